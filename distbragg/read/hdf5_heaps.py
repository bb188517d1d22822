"""Text of variable length in HDF5: what libhdf5 (2.0 and before) trusts, looked at before it does.

Such text lies in global heaps, and a reference to it says its length and place. In a damaged heap
an object of no size makes the library look at the same place for ever, where neither a signal
handler nor a thread of this process can end it. The length is allocated before anything is looked
at, up to 4 GiB. Format: HDF5 File Format Specification 3.0, sections III.E and IV.A.2.
"""

from __future__ import annotations

import mmap
import os
import struct
from math import prod
from pathlib import Path
from typing import Final

from distbragg.errors import InputError
from distbragg.read.text import remembered

REFERENCE_BYTES: Final = 16
"""Of a reference: length of the text (4 bytes), place of its heap (8), index in it (4)."""

_MOST_BYTES_OF_A_TEXT: Final = 1 << 20
_VARIABLE_LENGTH: Final = 9
_MOST_TEXTS: Final = 1 << 16
MOST_OBJECTS: Final = 2_000_000
"""Objects of all heaps that are looked at: geometry and spectra have a few texts."""

_MARK: Final = b"GCOL\x01\x00\x00\x00"
_HEAD_BYTES: Final = 16
"""Of a heap: mark, and its size in 8 bytes. Of an object in it: index, counts, and its size."""

_MOST_IN_A_HEAP: Final = 1 << 16  # objects of one heap: their indices have 16 bits


@remembered(32)
def check_heaps(path: str) -> None:
    """Refuse a file with a global heap that does not end."""
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


@remembered(256)
def check_texts(path: str, name: str) -> None:
    """Refuse a file where an attribute of a name, wherever it stands, claims to be a long text."""
    word = name.encode() + b"\0"
    with (
        Path(path).open("rb") as stream,
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        at = data.find(word)
        while at >= 0:
            for references in _references(data, at, len(word)):
                check_lengths(references, name, path)
            at = data.find(word, at + 1)


def check_lengths(references: bytes, name: str, source: str) -> None:
    """Refuse references to text of which one claims to be long."""
    for at in range(0, len(references) - REFERENCE_BYTES + 1, REFERENCE_BYTES):
        length = int.from_bytes(references[at : at + 4], "little")
        if length > _MOST_BYTES_OF_A_TEXT:
            raise InputError(f"{name} claims to be a text of {length} bytes", source=source)


def _references(data: mmap.mmap, at: int, length: int) -> list[bytes]:
    """Return what may be the references of an attribute, by versions 1 to 3 of its message."""
    found = []
    for head, versions, step in ((8, (1,), 8), (8, (2,), 1), (9, (3,), 1)):
        if at < head or data[at - head] not in versions:
            continue
        flags, *sizes = struct.unpack_from("<BHHH", data, at - head + 1)
        name_size, type_size, space_size = (-(-size // step) * step for size in sizes)
        kind, space = at + name_size, at + name_size + type_size
        shared = flags & 1 and versions != (1,)
        if sizes[0] != length or space + space_size > len(data):
            continue
        if shared or data[kind] & 0x0F == _VARIABLE_LENGTH:
            count = min(_count(data[space : space + space_size]), _MOST_TEXTS)
            start = space + space_size
            found.append(data[start : start + count * REFERENCE_BYTES])
    return found


def _count(space: bytes) -> int:
    """Elements of a dataspace message, of version 1 or 2."""
    if len(space) < 4:
        return 1
    start = 8 if space[0] == 1 else 4
    sizes = [space[at : at + 8] for at in range(start, start + 8 * space[1], 8)]
    return prod(int.from_bytes(size, "little") for size in sizes)
