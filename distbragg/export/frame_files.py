"""The formats of one file a frame and panel: how each is written, and when a file is whole."""

from __future__ import annotations

import io
import json
import math
import struct
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.export.cbf import is_whole_cbf, write_cbf
from distbragg.export.files import write_npy, write_whole
from distbragg.export.header import FrameFile
from distbragg.export.scaling import UINT16_MAXIMUM, whole_counts
from distbragg.export.smv import SmvCounts, smv_header, write_smv

_SHORT, _LONG, _ASCII = 3, 4, 2
_ENTRIES: Final = 11
_UNSIGNED, _FLOAT = 1, 3
_MAXIMUM_BYTES: Final = 2**32 - 1


@dataclass(frozen=True, slots=True)
class FrameFormat:
    """A format of one file a frame."""

    suffix: str
    write: Callable[[FrameFile, NDArray[Any], NDArray[np.bool_]], int]
    """Writes (slow, fast) photons whole or not at all, pixels without signal, where the mask is
    true, as the format marks them; returns how many pixels were out of range."""
    is_whole: Callable[[FrameFile], bool]
    """Whether the file is there with this header and its full size."""


def _smv_head(file: FrameFile) -> bytes:
    date = time.asctime(time.strptime(file.header.date, "%Y-%m-%dT%H:%M:%S"))
    plate, own, added = file.plate, file.header.recording, float(file.adc_offset)
    gain, offset, top = (
        (1.0, 0.0, math.inf) if own is None else (own.gain, own.offset, own.saturated)
    )
    stored = SmvCounts(
        gain=gain * file.scale,
        pedestal=offset * file.scale + added,
        saturated=min(top * file.scale + added, UINT16_MAXIMUM),
    )
    return smv_header(
        plate.smv, plate.shape, adc_offset=stored.pedestal, date=date, complete=True, counts=stored
    )


def _write_smv(file: FrameFile, image: NDArray[Any], masked: NDArray[np.bool_]) -> int:
    most = int(UINT16_MAXIMUM) - file.adc_offset
    least = min(0, 1 - file.adc_offset)  # readout noise goes below 0
    counts, outside = whole_counts(image, scale=file.scale, minimum=least, maximum=most)
    # 0 is not a measurement, as readers of SMV take it.
    pixels = np.where(masked, 0, counts + file.adc_offset).astype(np.uint16)
    write_smv(file.path, pixels, _smv_head(file))
    return outside


def tiff_head(file: FrameFile) -> bytes:
    """Format all that stands before the pixels: header, directory, description."""
    (slow, fast), dtype = file.plate.shape, file.dtype
    # Of the panels the file's own alone.
    plain = asdict(replace(file.header, panels=(file.plate,)))
    description = json.dumps(plain, sort_keys=True).encode("ascii") + b"\0"
    text_at = 8 + 2 + 12 * _ENTRIES + 4
    data_at = -(-(text_at + len(description)) // 16) * 16
    size = slow * fast * dtype.itemsize
    if data_at + size > _MAXIMUM_BYTES:
        raise InputError("the image is too large for TIFF", remedy="use --format nxmx or npy")
    kind = _FLOAT if dtype.kind == "f" else _UNSIGNED
    directory = [
        (256, _LONG, 1, fast),
        (257, _LONG, 1, slow),
        (258, _SHORT, 1, 8 * dtype.itemsize),
        (259, _SHORT, 1, 1),
        (262, _SHORT, 1, 1),
        (270, _ASCII, len(description), text_at),
        (273, _LONG, 1, data_at),
        (277, _SHORT, 1, 1),
        (278, _LONG, 1, slow),
        (279, _LONG, 1, size),
        (339, _SHORT, 1, kind),
    ]
    head = struct.pack("<2sHIH", b"II", 42, 8, len(directory))
    # A SHORT fills the low half of its field; little-endian, so packing as LONG is the same.
    head += b"".join(struct.pack("<HHII", *entry) for entry in directory)
    head += struct.pack("<I", 0) + description
    return head.ljust(data_at, b"\0")


def write_tiff(file: FrameFile, image: NDArray[Any], masked: NDArray[np.bool_]) -> int:
    """Write photons (slow, fast), number type kept; none are out of range.

    Pixels without signal are −1, in unsigned numbers the largest there is (as EIGER detectors
    write them).
    """
    mark = -1.0 if image.dtype.kind == "f" else np.iinfo(image.dtype).max
    pixels = np.where(masked, image.dtype.type(mark), image)
    pixels = pixels.astype(image.dtype.newbyteorder("<"), copy=False)
    write_whole(file.path, tiff_head(file) + pixels.tobytes())
    return 0


def _write_npy(file: FrameFile, image: NDArray[Any], _: NDArray[np.bool_]) -> int:
    write_npy(file.path, image)
    return 0


def _is_whole_npy(file: FrameFile) -> bool:
    buffer, descr = io.BytesIO(), np.lib.format.dtype_to_descr(file.dtype)
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": descr, "fortran_order": False, "shape": file.plate.shape}
    )
    return file.begins(buffer.getvalue(), file.dtype.itemsize)


def _write_png(file: FrameFile, image: NDArray[Any], masked: NDArray[np.bool_]) -> int:
    # matplotlib is slow to load, and only pictures need it.
    from distbragg.figures.frame import panel_picture

    write_whole(file.path, panel_picture(image, ~masked, file.header.title))
    return 0


def _is_whole_png(file: FrameFile) -> bool:
    try:
        data = file.path.read_bytes()
    except OSError:
        return False
    return data.startswith(b"\x89PNG\r\n\x1a\n") and data.endswith(b"IEND\xaeB`\x82")


FRAME_FORMATS: Final[dict[str, FrameFormat]] = {
    "smv": FrameFormat(".img", _write_smv, lambda file: file.begins(_smv_head(file), 2)),
    "cbf": FrameFormat(".cbf", write_cbf, is_whole_cbf),
    "tiff": FrameFormat(
        ".tif", write_tiff, lambda file: file.begins(tiff_head(file), file.dtype.itemsize)
    ),
    "png": FrameFormat(".png", _write_png, _is_whole_png),
    "npy": FrameFormat(".npy", _write_npy, _is_whole_npy),
}
"""Format → how its files are written."""
