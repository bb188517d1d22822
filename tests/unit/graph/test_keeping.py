"""A local cluster keeps its number of workers; a lost one is not reported by tracebacks."""

from __future__ import annotations

import logging
import time
from typing import Any

import dask
import pytest

from distbragg.graph.cluster import open_site
from distbragg.graph.keeping import kept_at, quiet_loss


class Scaled:
    """Counts what it is scaled to."""

    def __init__(self) -> None:
        self.wanted: list[int] = []

    def scale(self, workers: int) -> None:
        self.wanted.append(workers)


def test_the_number_of_workers_is_asked_for_again_and_again_until_the_block_ends() -> None:
    cluster: Any = Scaled()
    before = dask.config.get("distributed.deploy.lost-worker-timeout")
    with kept_at(cluster, 3, period_s=0.01):
        assert dask.config.get("distributed.deploy.lost-worker-timeout") == "60 s"
        deadline = time.monotonic() + 10
        while len(cluster.wanted) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
    asked = list(cluster.wanted)
    time.sleep(0.05)
    assert asked[:3] == [3, 3, 3]
    assert cluster.wanted == asked
    assert dask.config.get("distributed.deploy.lost-worker-timeout") == before


@pytest.mark.spec("ENG-20")
@pytest.mark.cluster
def test_a_worker_given_up_by_dask_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distbragg.graph.keeping.PERIOD_S", 0.2)
    with open_site("local:1") as opened:
        cluster = opened.client.cluster
        (name,) = cluster.workers
        first = set(opened.client.nthreads())

        async def give_up() -> None:
            await cluster.workers.pop(name).close()

        cluster.sync(give_up)
        deadline = time.monotonic() + 60
        while not set(opened.client.nthreads()) - first and time.monotonic() < deadline:
            time.sleep(0.1)
        assert set(opened.client.nthreads()) - first


def test_dask_is_quiet_inside_the_block_alone() -> None:
    logger = logging.getLogger("distributed.client")
    before = logger.level
    with quiet_loss():
        assert not logger.isEnabledFor(logging.ERROR)
    assert logger.level == before
