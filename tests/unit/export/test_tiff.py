"""TIFF images read back by fabio, whatever their number type."""

from __future__ import annotations

import json
from pathlib import Path

import fabio
import numpy as np
import pytest

from distbragg.errors import InputError
from distbragg.export.header import FrameHeader
from distbragg.export.tiff import tiff_head, write_tiff

HEADER = FrameHeader(
    title="test – title",
    wavelength=1.1,
    phi=0.0,
    oscillation=0.0,
    spindle=(1.0, 0.0, 0.0),
    panels=(None,),  # type: ignore[arg-type] # TIFF copies whatever a panel is
    counts=False,
    exposure=1.0,
    date="2026-11-23T07:00:00",
)


@pytest.mark.spec("EXP-1")
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint16", "uint32"])
def test_fabio_reads_the_same_numbers(tmp_path: Path, dtype: str) -> None:
    image = (np.random.default_rng(5).random((17, 23)) * 60000).astype(dtype)
    path = tmp_path / "a.tif"
    write_tiff(path, image, HEADER)
    with fabio.open(str(path)) as read:
        assert read.data.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(read.data, image)


def test_the_description_is_the_header_as_json(tmp_path: Path) -> None:
    head = tiff_head((17, 23), np.dtype("float32"), HEADER)
    start = head.index(b"{")
    plain = json.loads(head[start:].rstrip(b"\0"))
    assert plain["title"] == "test – title"
    assert plain["wavelength"] == 1.1
    assert len(head) % 16 == 0


def test_an_image_beyond_four_gigabytes_is_refused() -> None:
    with pytest.raises(InputError, match="too large for TIFF"):
        tiff_head((40000, 40000), np.dtype("float32"), HEADER)


@pytest.mark.spec("EXP-10")
@pytest.mark.parametrize(("dtype", "mark"), [("float32", -1.0), ("uint16", 65535)])
def test_masked_pixels_are_no_counts(tmp_path: Path, dtype: str, mark: float) -> None:
    image = np.arange(17 * 23, dtype=dtype).reshape(17, 23)
    masked = image % 5 == 0
    path = tmp_path / "a.tif"
    write_tiff(path, image, HEADER, masked=masked)
    with fabio.open(str(path)) as read:
        np.testing.assert_array_equal(read.data, np.where(masked, mark, image))
