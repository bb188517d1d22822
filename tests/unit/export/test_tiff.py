"""TIFF images read back by fabio, whatever their number type."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import fabio
import numpy as np
import pytest

from distbragg.errors import InputError
from distbragg.export.frame_files import tiff_head, write_tiff
from distbragg.export.header import FrameFile, FrameHeader, PanelHeader
from distbragg.export.smv import SmvGeometry

PANEL = PanelHeader(
    "p", (17, 23), 0.1, 100.0, (11.5, 8.5), (0.0, 0.0, -100.0),
    (1.0, 0.0, 0.0), (0.0, -1.0, 0.0), 0.0,
    SmvGeometry(0.1, 100.0, 100.0, 1.1, (0.0, 0.0), 0.0, 0.0, 1.7, (0.0, 0.0, 0.0), (0.0, 0.0)),
)  # fmt: skip
HEADER = FrameHeader(
    title="test – title",
    wavelength=1.1,
    phi=0.0,
    oscillation=0.0,
    spindle=(1.0, 0.0, 0.0),
    panels=(replace(PANEL, name="other"), PANEL),
    counts=False,
    exposure=1.0,
    date="2026-11-23T07:00:00",
)


NOTHING = np.zeros((17, 23), dtype=bool)


def file(path: Path, dtype: str = "float32", header: FrameHeader = HEADER) -> FrameFile:
    return FrameFile(path, header, 1, np.dtype(dtype))


@pytest.mark.spec("EXP-1")
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint16", "uint32"])
def test_fabio_reads_the_same_numbers(tmp_path: Path, dtype: str) -> None:
    image = (np.random.default_rng(5).random((17, 23)) * 60000).astype(dtype)
    path = tmp_path / "a.tif"
    write_tiff(file(path, dtype), image, NOTHING)
    with fabio.open(str(path)) as read:
        assert read.data.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(read.data, image)


def test_the_description_is_the_header_as_json(tmp_path: Path) -> None:
    head = tiff_head(file(Path("a.tif")))
    start = head.index(b"{")
    plain = json.loads(head[start:].rstrip(b"\0"))
    assert plain["title"] == "test – title"
    assert plain["wavelength"] == 1.1
    assert [panel["name"] for panel in plain["panels"]] == ["p"]
    assert len(head) % 16 == 0


def test_an_image_beyond_four_gigabytes_is_refused() -> None:
    header = replace(HEADER, panels=(PANEL, replace(PANEL, shape=(40000, 40000))))
    with pytest.raises(InputError, match="too large for TIFF"):
        tiff_head(file(Path("a.tif"), header=header))


@pytest.mark.spec("EXP-10")
@pytest.mark.parametrize(("dtype", "mark"), [("float32", -1.0), ("uint16", 65535)])
def test_masked_pixels_are_no_counts(tmp_path: Path, dtype: str, mark: float) -> None:
    image = np.arange(17 * 23, dtype=dtype).reshape(17, 23)
    masked = image % 5 == 0
    path = tmp_path / "a.tif"
    write_tiff(file(path, dtype), image, masked)
    with fabio.open(str(path)) as read:
        np.testing.assert_array_equal(read.data, np.where(masked, mark, image))
