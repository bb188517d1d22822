"""What a user adds to a stack with xarray or zarr is that user's, and harms nothing."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from zarr.codecs import GzipCodec

import distbragg as db
from distbragg.cli.main import main
from distbragg.run.card import card
from distbragg.run.repair import repair
from distbragg.run.status import status
from distbragg.run.verify import seal, verify
from distbragg.store.run_directory import open_run

pytestmark = pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")


def add(**variables: tuple[tuple[str, ...], np.ndarray]) -> Callable[[Path], object]:
    def to_zarr(path: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of types and metadata that Zarr 3 does not define yet
            xr.Dataset(variables).to_zarr(path, mode="a", consolidated=True)

    return to_zarr


def group(path: Path) -> zarr.Group:
    return zarr.open_group(path, mode="r+")


def subgroup(path: Path) -> None:
    pyramid = group(path).create_group("pyramid")
    pyramid.create_array("half", shape=(5, 8, 11), dtype="f4", chunks=(1, 8, 11))


def consolidate(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(path)


def both(*changes: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda path: [change(path) for change in changes]


ADDITIONS: dict[str, Callable[[Path], object]] = {
    "a mask": add(mask=(("slow", "fast"), np.zeros((17, 23), bool))),
    "a derived stack": add(mean=(("phi", "slow", "fast"), np.zeros((5, 17, 23), "f4"))),
    "a datetime coordinate": add(taken=(("phi",), np.array(["2026-01-01"] * 5, "M8[ns]"))),
    "fixed text": add(name=(("phi",), np.array([b"a"] * 5))),
    "gzip": lambda path: group(path).create_array(
        "background", shape=(17, 23), dtype="f4", chunks=(17, 23), compressors=GzipCodec()
    ),
    "complex numbers": lambda path: group(path).create_array("F", shape=(4,), dtype="c8"),
    "an unsharded array of 500 MB": lambda path: group(path).create_array(
        "denoised", shape=(5, 5000, 5000), dtype="f4", chunks=(1, 5000, 5000)
    ),
    "an attribute that is NaN": lambda path: group(path).update_attributes({"limit": np.nan}),
    "attributes": lambda path: group(path).update_attributes({"ome": {"version": "0.5"}}),
    "an attribute of images": lambda path: group(path)["images"].update_attributes({"seen": 1}),
    "a group": subgroup,
    "a group, consolidated": both(subgroup, consolidate),
    "consolidated metadata": consolidate,
}


@pytest.mark.spec("STK-20")
@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("case", ADDITIONS)
def test_additions_leave_every_command_working(
    case: str, sealed: bool, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = shutil.copytree(finished, tmp_path / "RUN")
    if sealed:
        seal(path)
    before = db.open_stack(path).images.values
    ADDITIONS[case](path)
    np.testing.assert_array_equal(db.open_stack(path).images, before)
    assert len(db.StackDataset(path, part=None)) == 15
    assert verify(path, level="deep", audit=1).sound
    assert repair(path, cluster="serial").found.sound
    assert seal(path).already == sealed
    assert status(path).state == "sealed"
    assert "distbragg" in card(path)
    assert db.resume(path, cluster="serial").nothing_to_do
    out = tmp_path / "out"
    assert main(["export", str(path), "--format", "tiff", "-o", str(out)]) == 0
    assert len(list(out.glob("*.tif*"))) == 15


@pytest.mark.spec("STK-20")
def test_what_was_added_is_there_when_the_stack_is_opened(finished: Path, tmp_path: Path) -> None:
    path = shutil.copytree(finished, tmp_path / "RUN")
    mask = np.arange(17 * 23).reshape(17, 23) % 2 == 0
    add(mask=(("slow", "fast"), mask), scale=(("phi",), np.array([1.0, np.nan, 3, 4, 5])))(path)
    stack = db.open_stack(path)
    np.testing.assert_array_equal(stack["mask"], mask)
    assert np.isnan(stack["scale"].values[1])
    both = (stack.images * stack["mask"]).isel(phi=0).compute()
    assert float(both.sum()) < float(stack.images.isel(phi=0).sum())


@pytest.mark.spec("STK-21")
def test_dask_reads_one_task_for_each_stored_object(finished: Path) -> None:
    run = open_run(finished)
    stack = db.open_stack(finished)
    assert stack.images.data.npartitions == run.layout.units
    assert stack.images.data.chunksize == run.layout.shard_shape
    plain = db.open_stack(finished, chunks=None)
    assert plain.images.chunks is None
    np.testing.assert_array_equal(plain.images, stack.images)
    cut = db.open_stack(finished, chunks={"phi": 1, "spread": 1})
    assert cut.images.data.npartitions == 15
    np.testing.assert_array_equal(cut.images, stack.images)
