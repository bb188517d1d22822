"""The formats of one file a frame and panel: how each is written, and when a file is whole."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from distbragg.export.cbf import is_whole_cbf, write_cbf
from distbragg.export.header import FrameHeader, whole_counts
from distbragg.export.raw import write_npy
from distbragg.export.scaling import DEFAULT_ADC_OFFSET, UINT16_MAXIMUM
from distbragg.export.smv import smv_header, write_smv
from distbragg.export.tiff import tiff_head, write_tiff

_PNG_START: Final = b"\x89PNG\r\n\x1a\n"
_PNG_END: Final = b"IEND\xaeB`\x82"


@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """The pixels of one panel.

    Attributes
    ----------
    image : (slow, fast) array, photons
    masked : (slow, fast) bool
        Those without signal.
    """

    image: NDArray[Any]
    masked: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class FileSettings:
    """How counts are written.

    Attributes
    ----------
    scale : float
        Counts per photon of SMV and CBF.
    adc_offset : int
        Added to every count of SMV.
    """

    scale: float = 1.0
    adc_offset: int = int(DEFAULT_ADC_OFFSET)


@dataclass(frozen=True, slots=True)
class FrameFormat:
    """A format of one file a frame.

    Attributes
    ----------
    suffix : str
    write : callable(path, pixels, header, panel, settings) -> int
        Writes whole or not at all, pixels without signal as the format marks them; returns how
        many pixels were out of range.
    is_whole : callable(path, header, panel, settings, dtype) -> bool
        Whether the file is there with this header and its full size.
    square : bool
        Its header can only describe a panel square to the beam.
    """

    suffix: str
    write: Callable[[Path, Pixels, FrameHeader, int, FileSettings], int]
    is_whole: Callable[[Path, FrameHeader, int, FileSettings, np.dtype[Any]], bool]
    square: bool = False


def _smv_date(header: FrameHeader) -> str:
    return time.asctime(time.strptime(header.date, "%Y-%m-%dT%H:%M:%S"))


def _write_smv(
    path: Path, pixels: Pixels, header: FrameHeader, panel: int, settings: FileSettings
) -> int:
    offset = settings.adc_offset
    counts, outside = whole_counts(
        pixels.image, scale=settings.scale, maximum=int(UINT16_MAXIMUM) - offset
    )
    write_smv(
        path,
        # Measured pixels hold the offset at least: 0 is none, as readers of SMV take it.
        np.where(pixels.masked, 0, counts + offset).astype(np.uint16),
        header.panels[panel].smv,
        adc_offset=float(offset),
        date=_smv_date(header),
        complete=True,
    )
    return outside


def _is_whole_smv(
    path: Path, header: FrameHeader, panel: int, settings: FileSettings, dtype: np.dtype[Any]
) -> bool:
    del dtype
    plate = header.panels[panel]
    head = smv_header(
        plate.smv,
        plate.shape,
        adc_offset=float(settings.adc_offset),
        date=_smv_date(header),
        complete=True,
    )
    return _begins(path, head, len(head) + 2 * plate.shape[0] * plate.shape[1])


def _write_cbf(
    path: Path, pixels: Pixels, header: FrameHeader, panel: int, settings: FileSettings
) -> int:
    image, masked = pixels.image, pixels.masked
    return write_cbf(path, image, header, panel=panel, scale=settings.scale, masked=masked)


def _is_whole_cbf(
    path: Path, header: FrameHeader, panel: int, settings: FileSettings, dtype: np.dtype[Any]
) -> bool:
    del settings, dtype
    return is_whole_cbf(path, header, panel=panel)


def _write_tiff(
    path: Path, pixels: Pixels, header: FrameHeader, panel: int, settings: FileSettings
) -> int:
    del settings
    write_tiff(path, pixels.image, header, panel=panel, masked=pixels.masked)
    return 0


def _is_whole_tiff(
    path: Path, header: FrameHeader, panel: int, settings: FileSettings, dtype: np.dtype[Any]
) -> bool:
    del settings
    shape = header.panels[panel].shape
    head = tiff_head(shape, dtype, header, panel=panel)
    return _begins(path, head, len(head) + shape[0] * shape[1] * dtype.itemsize)


def _write_npy(
    path: Path, pixels: Pixels, header: FrameHeader, panel: int, settings: FileSettings
) -> int:
    del header, panel, settings
    write_npy(path, pixels.image)
    return 0


def _is_whole_npy(
    path: Path, header: FrameHeader, panel: int, settings: FileSettings, dtype: np.dtype[Any]
) -> bool:
    del settings
    shape = header.panels[panel].shape
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer,
        {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape},
    )
    head = buffer.getvalue()
    return _begins(path, head, len(head) + shape[0] * shape[1] * dtype.itemsize)


def _write_png(
    path: Path, pixels: Pixels, header: FrameHeader, panel: int, settings: FileSettings
) -> int:
    del panel, settings
    # matplotlib is slow to load, and only pictures need it.
    from distbragg.export.picture import write_picture

    write_picture(path, pixels.image, title=header.title)
    return 0


def _is_whole_png(
    path: Path, header: FrameHeader, panel: int, settings: FileSettings, dtype: np.dtype[Any]
) -> bool:
    del header, panel, settings, dtype
    try:
        data = path.read_bytes()
    except OSError:
        return False
    return data.startswith(_PNG_START) and data.endswith(_PNG_END)


def _begins(path: Path, head: bytes, size: int) -> bool:
    """Whether a file begins with `head` and has `size` bytes."""
    try:
        if path.stat().st_size != size:
            return False
        with path.open("rb") as stream:
            return stream.read(len(head)) == head
    except OSError:
        return False


FRAME_FORMATS: Final[dict[str, FrameFormat]] = {
    "smv": FrameFormat(".img", _write_smv, _is_whole_smv, square=True),
    "cbf": FrameFormat(".cbf", _write_cbf, _is_whole_cbf, square=True),
    "tiff": FrameFormat(".tif", _write_tiff, _is_whole_tiff),
    "png": FrameFormat(".png", _write_png, _is_whole_png),
    "npy": FrameFormat(".npy", _write_npy, _is_whole_npy),
}
"""Format → how its files are written."""
