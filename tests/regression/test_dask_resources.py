"""Why placement goes through `client.submit(resources=)`: annotations on arrays are lost."""

from __future__ import annotations

from collections.abc import Iterator

import dask
import dask.array as da
import numpy as np
import pytest
from distributed import Client, SpecCluster
from distributed.worker import get_worker

from distbragg.clusters.local import DASHBOARD_ADDRESS

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """Two in-process workers, of which one has a "GPU"."""
    from distributed import Scheduler, Worker

    def worker(resources: dict[str, int]) -> dict[str, object]:
        return {"cls": Worker, "options": {"nthreads": 1, "resources": resources, "port": 0}}

    cluster = SpecCluster(
        scheduler={
            "cls": Scheduler,
            "options": {
                "protocol": "inproc://",
                "dashboard_address": DASHBOARD_ADDRESS,
                "port": 0,
            },
        },
        workers={"gpu": worker({"GPU": 1}), "cpu": worker({})},
        silence_logs=False,
    )
    with cluster, Client(cluster, set_as_default=False) as opened:
        yield opened


def where(block: object = None) -> np.ndarray:
    return np.full((1,), get_worker().name == "gpu")


def test_annotated_array_blocks_land_on_workers_without_the_resource(client: Client):
    with dask.annotate(resources={"GPU": 1}):
        blocks = da.map_blocks(where, chunks=((1,) * 8,), dtype=bool, meta=np.empty(0, bool))
    placed = client.compute(blocks, optimize_graph=True).result(timeout=60)
    # When this fails, dask keeps annotations of arrays: lazy frames may then use them.
    assert not placed.all()


def test_submitted_tasks_land_where_the_resource_is(client: Client):
    futures = [
        client.submit(where, key=f"placed-{i}", resources={"GPU": 1}, pure=False) for i in range(8)
    ]
    assert np.concatenate(client.gather(futures)).all()
