"""TIFF images: one uncompressed strip in the stack's own number type, the header as JSON."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.export.files import write_whole
from distbragg.export.header import FrameHeader

_SHORT, _LONG, _ASCII = 3, 4, 2
_ENTRIES: Final = 11
_UNSIGNED, _FLOAT = 1, 3
_MAXIMUM_BYTES: Final = 2**32 - 1


def tiff_head(
    shape: tuple[int, int], dtype: np.dtype[Any], header: FrameHeader, *, panel: int = 0
) -> bytes:
    """Format all that stands before the pixels: header, directory, description.

    Raises
    ------
    InputError
        The image is too large for TIFF.
    """
    slow, fast = shape
    plain = header.to_plain() | {"panels": [header.to_plain()["panels"][panel]]}
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


def write_tiff(
    path: str | Path,
    image: NDArray[Any],
    header: FrameHeader,
    *,
    panel: int = 0,
    masked: NDArray[np.bool_] | None = None,
) -> None:
    """Write a frame of one panel, number type kept (float32, float64, uint16 or uint32).

    Pixels without signal are −1, in unsigned numbers the largest there is (as EIGER detectors
    write them).

    Parameters
    ----------
    path : path
    image : (slow, fast) array, photons
    header : FrameHeader
    panel : int
    masked : (slow, fast) bool, optional
        Pixels without signal.
    """
    if masked is not None and masked.any():
        mark = -1.0 if image.dtype.kind == "f" else np.iinfo(image.dtype).max
        image = np.where(masked, image.dtype.type(mark), image)
    pixels = np.ascontiguousarray(image).astype(image.dtype.newbyteorder("<"), copy=False)
    shape = (pixels.shape[0], pixels.shape[1])
    write_whole(path, tiff_head(shape, image.dtype, header, panel=panel) + pixels.tobytes())
