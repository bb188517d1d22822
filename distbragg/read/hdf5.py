"""HDF5 files from elsewhere: opened with care, and nothing of other files read through them."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import product
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError, unreadable
from distbragg.read.bounds import MAXIMUM_CHUNK_BYTES, SLACK_BYTES, decoded_bytes
from distbragg.read.hdf5_heaps import REFERENCE_BYTES, check_heaps, check_lengths, check_texts

MAXIMUM_BYTES: Final = 1 << 28  # largest array that is read whole
_MOST_LINKS: Final = 64
_MOST_CHUNKS: Final = 1 << 17
_FLETCHER: Final = 3
_SAME_SIZE: Final = (2, _FLETCHER)
"""Filters that change no size, or by four bytes: shuffle, Fletcher's checksum."""

_BITSHUFFLE: Final = 32008
_CODERS: Final = {1: "zlib", 4: "szip", 32000: "lzf", 32001: "blosc", 32004: "lz4",
                  _BITSHUFFLE: "bitshuffle", 32015: "zstd"}  # fmt: skip
"""Filters that compress, by their registered numbers."""

_ATTRIBUTES: Final = (
    h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.STRING, h5py.h5t.ENUM, h5py.h5t.BITFIELD
)  # fmt: skip
"""Kinds that are read. libhdf5 crashes on sequences of variable length whose type is damaged."""

_MOST_BYTES_OF_AN_ATTRIBUTE: Final = 1 << 20

DAMAGE: Final = (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError,
                  ArithmeticError, MemoryError, NotImplementedError, zlib.error,
                 zipfile.BadZipFile)  # fmt: skip
"""What h5py, zarr and decoders raise on damaged files."""


class Elsewhere(InputError):
    """A member whose values lie in another file."""


@contextmanager
def open_hdf5(path: str, kind: str = "HDF5") -> Iterator[h5py.File]:
    """Open a file to read; what h5py raises on a damaged one becomes one line."""
    try:
        check_heaps(path)
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except DAMAGE as error:
        raise unreadable(error, path, form=kind) from None


def open_member(group: Any, name: str, source: str) -> Any:  # noqa: ANN401
    """Return a group or dataset that this file holds itself; None where there is none.

    The way is walked link by link, since one that HDF5 follows by itself may lead through any
    number of links out of the file: a link, a virtual dataset or one of external storage that
    does raises `Elsewhere`. A name that begins with a slash is one from the root.
    """
    node = group.file if name.startswith("/") else group
    left = [part for part in reversed(name.split("/")) if part not in ("", ".")]
    links = 0
    while left:
        part = left.pop()
        link = node.get(part, getlink=True) if isinstance(node, h5py.Group) else None
        if link is None:
            return None
        if isinstance(link, h5py.HardLink):
            node = node.get(part)
            continue
        if not isinstance(link, h5py.SoftLink):
            raise Elsewhere(f"{name!r} is a link to another file", source=source)
        links += 1
        if links > _MOST_LINKS:
            raise InputError(f"the links of {name!r} run in a circle", source=source)
        node = node.file if link.path.startswith("/") else node
        left += [part for part in reversed(link.path.split("/")) if part not in ("", ".")]
    if isinstance(node, h5py.Dataset) and (node.is_virtual or node.external):
        raise Elsewhere(f"{name!r} keeps its values in other files", source=source)
    return node


class Attributes(Mapping[str, Any]):
    """The attributes of a node, read when asked for; large ones and odd kinds are refused."""

    def __init__(self, node: Any) -> None:  # noqa: ANN401
        self._node = node

    def __iter__(self) -> Iterator[str]:
        return iter(self._node.attrs)

    def __len__(self) -> int:
        return len(self._node.attrs)

    def __getitem__(self, key: str) -> Any:  # noqa: ANN401
        if key not in self._node.attrs:
            raise KeyError(key)
        attribute = self._node.attrs.get_id(key)
        kind = attribute.get_type()
        if isinstance(kind, h5py.h5t.TypeArrayID):
            kind = kind.get_super()
        size = attribute.get_storage_size()
        if kind.get_class() not in _ATTRIBUTES or size > _MOST_BYTES_OF_AN_ATTRIBUTE:
            raise InputError(
                f"the attribute {key} of {self._node.name} is neither a number nor a text",
                source=str(self._node.file.filename),
            )
        if isinstance(kind, h5py.h5t.TypeStringID) and kind.is_variable_str():
            check_texts(str(self._node.file.filename), key)
        return self._node.attrs[key]


def stored_values(dataset: Any, source: str, row: int | None = None) -> NDArray[Any]:  # noqa: ANN401
    """Return all values of a dataset, or a row; refuse too many, and chunks beyond their place."""
    if dataset.dtype.kind == "O":
        _check_texts_of(dataset, source)
    shape = dataset.shape if row is None else dataset.shape[1:]
    size = math.prod(shape) * dataset.dtype.itemsize
    if size > MAXIMUM_BYTES:
        raise InputError(f"{dataset.name!r} has {size} bytes", source=source)
    if dataset.chunks is not None:
        _check_chunks(dataset, source, row)
    return np.asarray(dataset[()] if row is None else dataset[row])


def is_written(dataset: Any, place: tuple[int, ...]) -> bool:  # noqa: ANN401
    """Whether the file has bytes of what lies at an index of the leading dimensions."""
    if dataset.chunks is None:
        return bool(dataset.id.get_space_status() != h5py.h5d.SPACE_STATUS_NOT_ALLOCATED)
    chunks, beyond = dataset.chunks, len(place)
    steps = [range(at - at % edge, at + 1, edge) for at, edge in zip(place, chunks, strict=False)]
    for extent, edge in zip(dataset.shape[beyond:], chunks[beyond:], strict=True):
        steps.append(range(0, extent, edge))
    if math.prod(map(len, steps)) > _MOST_CHUNKS:
        return True  # Reading it is refused for this.
    info = dataset.id.get_chunk_info_by_coord
    return any(info(at).byte_offset is not None for at in product(*steps))


def _check_texts_of(dataset: Any, source: str) -> None:  # noqa: ANN401
    """Refuse text of variable length that claims to be long, and what is not text."""
    if (
        h5py.check_string_dtype(dataset.dtype) is None
        or dataset.id.get_create_plist().get_nfilters()
    ):
        raise InputError(f"{dataset.name!r} holds neither numbers nor plain text", source=source)
    if dataset.chunks is None:
        place = dataset.id.get_offset()
        if place is not None:
            with Path(source).open("rb") as stream:
                stream.seek(place)
                check_lengths(stream.read(dataset.size * REFERENCE_BYTES), dataset.name, source)
        return
    for number in range(dataset.id.get_num_chunks()):
        _, data = dataset.id.read_direct_chunk(dataset.id.get_chunk_info(number).chunk_offset)
        check_lengths(data, dataset.name, source)


def _check_chunks(dataset: Any, source: str, row: int | None) -> None:  # noqa: ANN401
    """Compare what the chunks will decode to with their place: the filters trust the file."""
    shape, chunks = dataset.shape, dataset.chunks
    room = math.prod(chunks) * dataset.dtype.itemsize
    if room > MAXIMUM_CHUNK_BYTES:
        raise InputError(
            f"{dataset.name!r} has chunks of {room} bytes; at most {MAXIMUM_CHUNK_BYTES} are read",
            source=source,
            remedy="write it in smaller chunks, e.g. with h5repack",
        )
    coder, position = _coder(dataset, source)
    if not coder:
        return
    steps = [range(0, extent, edge) for extent, edge in zip(shape, chunks, strict=True)]
    if row is not None:
        steps[0] = range(row - row % chunks[0], row + 1, chunks[0])
    if math.prod(map(len, steps)) > _MOST_CHUNKS:
        raise InputError(f"{dataset.name!r} has too many chunks", source=source)
    room += SLACK_BYTES
    for place in product(*steps):
        chunk = dataset.id.get_chunk_info_by_coord(place)
        if chunk.byte_offset is None or chunk.filter_mask >> position & 1:
            continue
        if chunk.size <= room:
            _, data = dataset.id.read_direct_chunk(place)
            size = decoded_bytes(coder, data, room)
        if chunk.size > room or size > room:
            raise InputError(
                f"a chunk of {dataset.name!r} decodes to more than its place", source=source
            )


def _coder(dataset: Any, source: str) -> tuple[str, int]:  # noqa: ANN401
    """Return the one filter that compresses, and its place in the pipeline; empty without one."""
    with suppress(ImportError):  # The compression of detectors, where it is installed.
        import hdf5plugin  # noqa: F401
    properties = dataset.id.get_create_plist()
    filters = [properties.get_filter(index) for index in range(properties.get_nfilters())]
    # Bitshuffle without a compressor, whose number is its fifth value, changes no size either.
    coders = [
        (place, code)
        for place, (code, _, values, _) in enumerate(filters)
        if code not in _SAME_SIZE and (code != _BITSHUFFLE or any(values[4:5]))
    ]
    if not coders:
        return "", 0
    (place, code), *others = coders
    after = [code for code, *_ in filters[place + 1 :]]
    if others or code not in _CODERS or after not in ([], [_FLETCHER]):
        raise InputError(
            f"{dataset.name!r} is compressed by filters that are not read "
            f"({', '.join(str(code) for code, *_ in filters)})",
            source=source,
            remedy="compress it by gzip, e.g. h5repack -f GZIP=4",
        )
    return _CODERS[code], place
