"""One array of numbers in a Zarr folder or ZIP file that comes from elsewhere.

Reads a row at a time, without the zarr library, which lives in other layers: metadata of Zarr 2
or 3 are compared with an allow-list before anything is allocated, and a chunk is decoded into a
buffer of the size that the metadata state.
"""

from __future__ import annotations

import json
import math
import os
import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import EllipsisType
from typing import Any, Final, Protocol

import numpy as np
from numcodecs.blosc import Blosc
from numcodecs.zstd import Zstd
from numpy.typing import NDArray

from distbragg.errors import InputError

MAXIMUM_METADATA_BYTES: Final = 1 << 20
MAXIMUM_CHUNK_BYTES: Final = 1 << 28
MAXIMUM_LENGTH: Final = 1 << 40
_SLACK_BYTES: Final = 1 << 16
_CRC_BYTES: Final = 4

_NAME: Final = re.compile(r"[A-Za-z0-9_][\w.-]{0,199}(/[A-Za-z0-9_][\w.-]{0,199}){0,7}", re.ASCII)
_TYPES: Final = {
    f"{kind}{8 * size}": f"{letter}{size}"
    for kind, letter, sizes in (
        ("float", "f", (2, 4, 8)),
        ("int", "i", (1, 2, 4, 8)),
        ("uint", "u", (1, 2, 4, 8)),
    )
    for size in sizes
}
_TYPES_2: Final = re.compile(r"[<>|][fiu][1248]")
_COMPRESSORS: Final = ("blosc", "zstd", "gzip", "zlib")


class Place(Protocol):
    """Where the objects of a store lie."""

    def read(self, key: str, most: int) -> bytes | None:
        """Return an object of at most `most` bytes; None where there is none."""


class Folder:
    """A store in a folder; no symbolic link leads out of it."""

    def __init__(self, path: str) -> None:
        self._path, self._root = Path(path), os.path.realpath(path)

    def read(self, key: str, most: int) -> bytes | None:
        """Return an object of at most `most` bytes; None where there is none."""
        path = self._path / key
        if not os.path.realpath(path).startswith(self._root.rstrip(os.sep) + os.sep):
            raise InputError(f"{key} is a link that leads out of the store", source=str(self._path))
        if not path.is_file():
            return None
        with path.open("rb") as stream:
            return _bounded(stream.read(most + 1), most, key, str(self._path))


class Archive:
    """A store in a ZIP file."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = zipfile.ZipFile(path)

    def read(self, key: str, most: int) -> bytes | None:
        """Return an object of at most `most` bytes; None where there is none."""
        try:
            stream = self._file.open(key)
        except KeyError:
            return None
        with stream:
            return _bounded(stream.read(most + 1), most, key, self._path)


@dataclass(frozen=True, slots=True)
class ZarrArray:
    """An array of one or two dimensions; `array[row]` and, of one dimension, `array[...]`.

    Attributes
    ----------
    name : str
    shape, chunks : tuple of int
    attrs : dict
    """

    place: Place
    source: str
    name: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    compressor: str
    checksummed: bool
    fill: float
    order: str
    prefix: str
    separator: str
    attrs: dict[str, Any]

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    def __getitem__(self, row: int | EllipsisType) -> NDArray[np.float64]:
        """Return a row, or all of an array of one dimension."""
        lead = () if isinstance(row, EllipsisType) else (row,)
        width = self.chunks[-1]
        values = np.empty(self.shape[-1])
        for start in range(0, self.shape[-1], width):
            stop = min(start + width, self.shape[-1])
            values[start:stop] = self._chunk(lead, start // width)[: stop - start]
        return values

    def _chunk(self, lead: tuple[int, ...], column: int) -> NDArray[Any]:
        """Return the part of a row that lies in the chunk of a column of chunks."""
        place = tuple(index // size for index, size in zip(lead, self.chunks, strict=False))
        key = self.separator.join(str(index) for index in (*place, column))
        count = math.prod(self.chunks)
        size = count * self.dtype.itemsize
        data = self.place.read(f"{self.name}/{self.prefix}{key}", size + size // 64 + _SLACK_BYTES)
        if data is None:
            return np.full(self.chunks[-1], self.fill)
        flat = np.frombuffer(self._decode(data, size), dtype=self.dtype)
        chunk = flat.reshape(self.chunks, order="F" if self.order == "F" else "C")
        inside = tuple(index % size for index, size in zip(lead, self.chunks, strict=False))
        return np.asarray(chunk[inside])

    def _decode(self, data: bytes, size: int) -> bytes | bytearray:
        if self.checksummed:
            # Damage inside shows as a decoder's error or as an odd spectrum.
            data = data[:-_CRC_BYTES]
        if self.compressor in ("blosc", "zstd"):
            whole = bytearray(size)
            (Blosc() if self.compressor == "blosc" else Zstd()).decode(data, out=whole)
            return whole
        if self.compressor in ("gzip", "zlib"):
            data = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32).decompress(data, size + 1)
        if len(data) != size:
            raise InputError(
                f"a chunk of {self.name} has {len(data)} bytes, not {size}", source=self.source
            )
        return data


def open_place(path: str) -> Place:
    """Open a Zarr folder, or a ZIP file of one.

    Raises
    ------
    InputError
        It is neither.
    """
    if os.path.isdir(path):
        return Folder(path)
    try:
        return Archive(path)
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        text = " ".join(str(error).split())[:200]
        raise InputError(
            f"is neither a Zarr folder nor a ZIP of one ({text})", source=path
        ) from None


def open_zarr_array(place: Place, name: str, source: str) -> ZarrArray:
    """Look at an array's metadata, Zarr 3 or 2.

    Raises
    ------
    InputError
        There is no such array, or its metadata are not on the list.
    """
    path = name.strip("/")
    if not _NAME.fullmatch(path):
        raise InputError(f"{name[:60]!r} is no name of an array", source=source)
    data = place.read(f"{path}/zarr.json", MAXIMUM_METADATA_BYTES)
    if data is not None:
        return _of_version_3(_mapping(data, path, source), place, path, source)
    data = place.read(f"{path}/.zarray", MAXIMUM_METADATA_BYTES)
    if data is None:
        raise InputError(f"there is no dataset {name!r}", source=source)
    attributes = place.read(f"{path}/.zattrs", MAXIMUM_METADATA_BYTES)
    attrs = {} if attributes is None else _mapping(attributes, path, source)
    return _of_version_2(_mapping(data, path, source), attrs, place, path, source)


def _of_version_3(body: dict[str, Any], place: Place, name: str, source: str) -> ZarrArray:
    if body.get("zarr_format") != 3 or body.get("node_type") != "array":
        raise InputError(f"{name!r} is no dataset", source=source)
    if body.get("storage_transformers"):
        raise InputError(f"{name!r} has storage transformers, which are not read", source=source)
    kind = _TYPES.get(str(body.get("data_type")))
    codecs = body.get("codecs")
    names = [_codec_name(item) for item in codecs] if isinstance(codecs, list) else []
    rest = names[1:]
    checksummed = rest[-1:] == ["crc32c"]
    rest = rest[:-1] if checksummed else rest
    known = names[:1] == ["bytes"] and len(rest) <= 1 and all(item in _COMPRESSORS for item in rest)
    if kind is None:
        raise _no_numbers(name, source)
    if not known or not isinstance(codecs, list):
        raise _unread_codecs(name, names, source)
    little = _configuration(codecs[0]).get("endian", "little") == "little"
    encoding = body.get("chunk_key_encoding")
    style = _codec_name(encoding)
    separator = _configuration(encoding).get("separator", "/" if style == "default" else ".")
    if style not in ("default", "v2") or separator not in ("/", "."):
        raise InputError(f"{name!r} has chunk keys of an unknown form", source=source)
    grid = body.get("chunk_grid")
    if _codec_name(grid) != "regular":
        raise InputError(f"{name!r} has no regular chunks", source=source)
    shape, chunks = _sizes(
        body.get("shape"), _configuration(grid).get("chunk_shape"), kind, name, source
    )
    return ZarrArray(
        place=place,
        source=source,
        name=name,
        shape=shape,
        chunks=chunks,
        dtype=np.dtype(f"{'<' if little else '>'}{kind}"),
        compressor=rest[0] if rest else "none",
        checksummed=checksummed,
        fill=_fill(body.get("fill_value")),
        order="C",
        prefix=f"c{separator}" if style == "default" else "",
        separator=separator,
        attrs=_attributes(body.get("attributes")),
    )


def _of_version_2(
    body: dict[str, Any], attrs: dict[str, Any], place: Place, name: str, source: str
) -> ZarrArray:
    kind, compressor = body.get("dtype"), body.get("compressor")
    if body.get("zarr_format") != 2:
        raise InputError(f"{name!r} is no dataset", source=source)
    if not isinstance(kind, str) or not _TYPES_2.fullmatch(kind):
        raise _no_numbers(name, source)
    codec = "none" if compressor is None else _codec_name(compressor, "id")
    if body.get("filters") or codec not in ("none", *_COMPRESSORS):
        raise _unread_codecs(name, [codec, "filters"] if body.get("filters") else [codec], source)
    separator, order = body.get("dimension_separator", "."), body.get("order", "C")
    if separator not in ("/", ".") or order not in ("C", "F"):
        raise InputError(f"{name!r} has chunks of an unknown form", source=source)
    shape, chunks = _sizes(body.get("shape"), body.get("chunks"), kind[1:], name, source)
    return ZarrArray(
        place=place,
        source=source,
        name=name,
        shape=shape,
        chunks=chunks,
        dtype=np.dtype(kind),
        compressor=codec,
        checksummed=False,
        fill=_fill(body.get("fill_value")),
        order=order,
        prefix="",
        separator=separator,
        attrs=attrs,
    )


def _sizes(
    shape: object, chunks: object, kind: str, name: str, source: str
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shape and chunks, where a chunk can be held."""
    found = []
    for sizes in (shape, chunks):
        if not isinstance(sizes, list) or len(sizes) not in (1, 2):
            raise _no_numbers(name, source)
        if any(type(size) is not int or not 0 < size <= MAXIMUM_LENGTH for size in sizes):
            raise InputError(f"{name!r} has sizes {str(sizes)[:60]}", source=source)
        found.append(tuple(sizes))
    if len(found[0]) != len(found[1]):
        raise InputError(f"{name!r} has chunks of another dimension", source=source)
    chunk_bytes = math.prod(found[1]) * int(kind[1:])
    if chunk_bytes > MAXIMUM_CHUNK_BYTES:
        raise InputError(
            f"{name!r} has chunks of {chunk_bytes} bytes; at most {MAXIMUM_CHUNK_BYTES} are read",
            source=source,
        )
    return found[0], found[1]


def _mapping(data: bytes, name: str, source: str) -> dict[str, Any]:
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise InputError(f"the metadata of {name!r} are no JSON mapping", source=source)
    return body


def _codec_name(item: object, key: str = "name") -> str:
    name = item.get(key) if isinstance(item, dict) else None
    return name if isinstance(name, str) else "?"


def _configuration(item: object) -> dict[str, Any]:
    return _attributes(item.get("configuration")) if isinstance(item, dict) else {}


def _attributes(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _fill(value: object) -> float:
    if value is None:
        return 0.0
    plain = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if plain else math.nan  # type: ignore[arg-type]


def _no_numbers(name: str, source: str) -> InputError:
    return InputError(f"{name!r} is no array of numbers in one or two dimensions", source=source)


def _unread_codecs(name: str, names: list[str], source: str) -> InputError:
    shown = ", ".join(item[:40] for item in names[:8]) or "none"
    return InputError(
        f"{name!r} is encoded by {shown}, which is not read",
        source=source,
        remedy=f"write it uncompressed or with one of {', '.join(_COMPRESSORS)}, without shards",
    )


def _bounded(data: bytes, most: int, key: str, source: str) -> bytes:
    if len(data) > most:
        raise InputError(f"{key} has more than {most} bytes", source=source)
    return data
