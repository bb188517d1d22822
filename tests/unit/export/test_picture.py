"""PNG pictures and contact sheets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from distbragg.errors import InputError
from distbragg.export.picture import (
    SheetAxis,
    dataset_contact_sheet,
    write_contact_sheet,
    write_picture,
)
from distbragg.export.scaling import shrunk

PNG = b"\x89PNG\r\n\x1a\n"


def stack(**sizes: int) -> xr.Dataset:
    shape = (*sizes.values(), 13, 17)
    values = np.random.default_rng(3).exponential(size=shape)
    dims = (*sizes, "slow", "fast")
    coords = {
        name: (name, np.linspace(0, 1, size), {"units": "deg"}) for name, size in sizes.items()
    }
    return xr.Dataset({"images": (dims, values)}, coords=coords, attrs={"title": "test"})


def png_size(path: Path) -> tuple[int, int]:
    data = path.read_bytes()
    assert data.startswith(PNG)
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def test_block_maxima_keep_the_brightest_pixel_of_ragged_images() -> None:
    image = np.zeros((17, 23))
    image[16, 22] = 9.0
    small = shrunk(image, 6)
    assert small.shape == (5, 6)
    assert small[-1, -1] == 9.0
    assert small.min() == 0.0


def test_small_images_are_not_reduced() -> None:
    image = np.ones((5, 4))
    assert shrunk(image, 5) is image


def test_a_sheet_has_the_longer_axis_across(tmp_path: Path) -> None:
    dataset_contact_sheet(stack(orientation=5, mosaic_spread=2), tmp_path / "a.png")
    dataset_contact_sheet(stack(mosaic_spread=2, orientation=5), tmp_path / "b.png")
    width, height = png_size(tmp_path / "a.png")
    assert width > height
    assert png_size(tmp_path / "b.png") == (width, height)


@pytest.mark.parametrize("sizes", [{}, {"phi": 7}, {"a": 2, "b": 3, "c": 2}, {"a": 30, "b": 1}])
def test_sweeps_of_any_number_of_axes_give_a_sheet(tmp_path: Path, sizes: dict[str, int]) -> None:
    dataset_contact_sheet(stack(**sizes), tmp_path / "a.png")
    png_size(tmp_path / "a.png")


def test_missing_frames_and_empty_frames_are_drawn(tmp_path: Path) -> None:
    dataset = stack(phi=4)
    dataset["images"].values[1] = np.nan
    dataset["images"].values[2] = 0.0
    dataset_contact_sheet(dataset, tmp_path / "a.png")
    dataset["images"].values[:] = np.nan
    dataset_contact_sheet(dataset, tmp_path / "b.png")


def test_one_panel_of_several_is_shown(tmp_path: Path) -> None:
    values = np.ones((2, 3, 5, 4))
    dataset = xr.Dataset({"images": (("phi", "panel", "slow", "fast"), values)})
    dataset_contact_sheet(dataset, tmp_path / "a.png", panel=2)


def test_equal_pictures_are_equal_bytes(tmp_path: Path) -> None:
    image = np.random.default_rng(4).exponential(size=(30, 40))
    write_picture(tmp_path / "a.png", image, title="t")
    write_picture(tmp_path / "b.png", image, title="t")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_labels_must_match_the_frames() -> None:
    axis = SheetAxis("x", ("1", "2"))
    with pytest.raises(InputError, match="contact sheet"):
        write_contact_sheet("unused.png", np.zeros((2, 3, 4, 4)), axis, axis)
