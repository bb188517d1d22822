"""Workers that live long never take one run for another: created anew, or grown between exports."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import obstore
import pytest
from distributed import LocalCluster

import distbragg as db
from distbragg.errors import ExitStatus

from .conftest import tiny_sweep

pytestmark = [pytest.mark.cluster, pytest.mark.spec("ENG-30")]


@contextmanager
def long_lived() -> Iterator[str]:
    """Address of a scheduler whose one worker outlives several runs."""
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster:
        yield cluster.scheduler_address


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with long_lived() as made:
        yield made


def sums(path: str | Path) -> np.ndarray:
    found: np.ndarray = db.open_stack(path).images.sum(("slow", "fast")).values
    return found


def test_export_of_a_run_that_grew_writes_what_the_master_speaks_of(
    address: str, tmp_path: Path
) -> None:
    run = db.create(tiny_sweep(), tmp_path / "x.zarr")
    db.resume(run, units=[0, 1], cluster=address, watch=False)
    frames = []
    for _ in range(2):
        out = tmp_path / "nxmx"
        result = db.export_run(run.path, "nxmx", out=out, compression="gzip", cluster=address)
        frames.append(result.frames)
        with h5py.File(result.opens) as master:
            data = master["/entry/data/data"][...]
        assert len(data) == result.frames
        db.resume(run, cluster=address, watch=False)
    assert result.status is ExitStatus.DONE
    assert frames[0] < frames[1] == 15
    expected = db.open_stack(run.path).images.values.reshape(data.shape)
    np.testing.assert_array_equal(data, expected)


def test_run_created_anew_at_its_path_holds_the_pixels_of_its_own_experiment(
    address: str, tmp_path: Path
) -> None:
    near, far = tiny_sweep(), tiny_sweep(detector={"distance_mm": 300.0})
    db.sweep(near, tmp_path / "run.zarr", cluster=address, watch=False)
    shutil.rmtree(tmp_path / "run.zarr")
    db.sweep(far, tmp_path / "run.zarr", cluster=address, watch=False)
    db.sweep(far, tmp_path / "truth.zarr", cluster="serial")
    np.testing.assert_array_equal(sums(tmp_path / "run.zarr"), sums(tmp_path / "truth.zarr"))


def test_run_created_anew_at_its_url_holds_the_pixels_of_its_own_experiment(
    bucket: str, tmp_path: Path
) -> None:
    near, far, url = tiny_sweep(), tiny_sweep(detector={"distance_mm": 300.0}), f"{bucket}/r.zarr"
    # Workers of its own: they inherit the keys of the test's bucket.
    with long_lived() as address:
        assert db.sweep(near, url, cluster=address, watch=False).done == 15
        store = obstore.store.from_url(bucket, client_options={"allow_http": True})
        for batch in obstore.list(store, "r.zarr"):
            obstore.delete(store, [item["path"] for item in batch])
        result = db.sweep(far, url, cluster=address, watch=False)
    assert (result.rendered, result.done) == (15, 15)
    db.sweep(far, tmp_path / "truth.zarr", cluster="serial")
    np.testing.assert_array_equal(sums(url), sums(tmp_path / "truth.zarr"))
