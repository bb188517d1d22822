"""Zarr 2 copies, opened by xarray and zarr."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from distbragg.errors import DamageError
from distbragg.export.zarr2 import create_zarr2, is_whole_zarr2_frame, write_zarr2_frame
from distbragg.store import files as files_module


def stack(dtype: str = "float32") -> xr.Dataset:
    values = np.random.default_rng(9).random((3, 2, 17, 23)).astype(dtype)
    values[1, 1] = 0  # a frame without intensity is there all the same
    return xr.Dataset(
        {"images": (("phi", "spread", "slow", "fast"), values, {"units": "photons"})},
        coords={
            "phi": ("phi", [0.0, 1.0, 2.0], {"units": "degree"}),
            "spread": [0.1, 0.2],
            "rendered": (("phi", "spread"), np.ones((3, 2), dtype=bool)),
        },
        attrs={"title": "test"},
    )


@pytest.mark.spec("EXP-1")
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint16"])
def test_xarray_and_zarr_read_the_same_stack(tmp_path: Path, dtype: str) -> None:
    path, source = tmp_path / "a.zarr", stack(dtype)
    create_zarr2(path, source)
    for index in np.ndindex(3, 2):
        assert not is_whole_zarr2_frame(path, index)
        write_zarr2_frame(path, index, source.images.values[index])
        assert is_whole_zarr2_frame(path, index)
    read = xr.open_zarr(str(path), zarr_format=2, mask_and_scale=False)
    np.testing.assert_array_equal(read.images.values, source.images.values)
    assert read.images.dims == source.images.dims
    assert read.phi.attrs["units"] == "degree"
    assert read.attrs["title"] == "test"
    # As a user opens it: pixels without photons are 0, whatever stands for absent frames.
    np.testing.assert_array_equal(xr.open_zarr(str(path), zarr_format=2).images, source.images)
    array = zarr.open_array(str(path / "images"), mode="r")
    assert array.metadata.zarr_format == 2
    assert array.chunks == (1, 1, 17, 23)


@pytest.mark.parametrize("dtype", ["float32", "uint32"])
def test_creating_again_keeps_what_is_written(tmp_path: Path, dtype: str) -> None:
    path, source = tmp_path / "a.zarr", stack(dtype)
    create_zarr2(path, source)
    write_zarr2_frame(path, (0, 1), source.images.values[0, 1])
    create_zarr2(path, source)
    assert is_whole_zarr2_frame(path, (0, 1))
    assert not is_whole_zarr2_frame(path, (0, 0))
    assert np.isnan(xr.open_zarr(str(path), zarr_format=2).images[0, 0]).all()
    assert [item.name for item in tmp_path.iterdir()] == ["a.zarr"]


def test_all_of_it_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    seen: list[bool] = []

    def note(path: Path) -> None:
        synced.append(path)
        seen.append((tmp_path / "a.zarr").exists())

    monkeypatch.setattr(files_module, "sync_path", note)
    create_zarr2(tmp_path / "a.zarr", stack())
    made = {item.relative_to(tmp_path / "a.zarr") for item in (tmp_path / "a.zarr").rglob("*")}
    folder = next(path for path in synced if path.name.startswith("a.zarr.tmp-"))
    assert {path.relative_to(folder) for path in synced[:-1]} == made | {Path()}
    assert synced[-1] == tmp_path
    assert seen == [False] * len(synced[:-1]) + [True]


def test_an_array_of_another_type_is_not_written_into(tmp_path: Path) -> None:
    create_zarr2(tmp_path / "a.zarr", stack())
    with pytest.raises(DamageError, match="another array"):
        create_zarr2(tmp_path / "a.zarr", stack("uint16"))
