"""A look at an HDF5 file from elsewhere before its library reads it.

Text of variable length lies in global heaps. In one that is damaged an object of no size makes
libhdf5 (2.0 and before) look at the same place for ever, where neither a signal handler nor a
thread of this process can end it. Format: HDF5 File Format Specification 3.0, section III.E.
"""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from distbragg.errors import InputError

_MARK: Final = b"GCOL\x01\x00\x00\x00"
_HEAD_BYTES: Final = 16
"""Of a heap: mark, and its size in 8 bytes. Of an object in it: index, counts, and its size."""

_MOST_IN_A_HEAP: Final = 1 << 16
"""Objects of one heap: their indices have 16 bits."""

MOST_OBJECTS: Final = 2_000_000
"""Objects of all heaps that are looked at: geometry and spectra have a few texts."""


def check_heaps(path: str) -> None:
    """Refuse a file with a global heap that does not end.

    Raises
    ------
    InputError
        It has one.
    OSError
        It cannot be read.
    """
    with Path(path).open("rb") as stream:
        if os.fstat(stream.fileno()).st_size == 0:
            return
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            looked = 0
            at = data.find(_MARK)
            while at >= 0:
                looked += _objects(data, at, path)
                if looked > MOST_OBJECTS:
                    raise InputError("has more pieces of text than are read", source=path)
                at = data.find(_MARK, at + len(_MARK))


def load_filters() -> None:
    """Let h5py read what is compressed by the filters of detectors, where they are installed."""
    with suppress(ImportError):
        import hdf5plugin  # noqa: F401


def _objects(data: mmap.mmap, start: int, path: str) -> int:
    """Count the objects of a heap, itself included, going from each to the next."""
    # What is said to lie beyond the file the library refuses by itself.
    end = min(start + _number(data, start + 8, 8), len(data))
    at, count = start + _HEAD_BYTES, 1
    while at + _HEAD_BYTES <= end:
        index, size = _number(data, at, 2), _number(data, at + 8, 8)
        # The free end, which has no index, counts its own head.
        step = size if index == 0 else _HEAD_BYTES + -(-size // 8) * 8
        count += 1
        if step < _HEAD_BYTES or count > _MOST_IN_A_HEAP + 2:
            raise InputError("a heap of text in it is damaged", source=path)
        at += step
    return count


def _number(data: mmap.mmap, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little")
