"""Guarding the arrays that a run wrote itself: `images`, variants, maps and coordinates.

Whatever else a user keeps beside them is that user's, and zarr's to judge. A stack may come from
elsewhere: a codec may be any code that is installed, and compressed data state their decoded size
themselves, which decoders allocate.
"""

from __future__ import annotations

import json
import math
import struct
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from zarr.abc.store import ByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import WrapperStore

from distbragg.errors import DamageError
from distbragg.read.bounds import SLACK_BYTES, decoded_bytes
from distbragg.store.layout import METADATA, StackLayout
from distbragg.store.objects import Objects
from distbragg.store.run_directory import RunDirectory

MAX_METADATA_BYTES: Final = 1 << 28
MAX_COORDINATE_BYTES: Final = 1 << 28
"""Decoded bytes of a coordinate: it is read whole when a stack is opened."""

MAX_CHUNK_BYTES: Final = 1 << 31
"""Decoded bytes of one inner chunk of `images`: Blosc holds no more."""

_ITEM_BYTES: Final[Mapping[str, int]] = {
    "bool": 1, "int8": 1, "int16": 2, "int32": 4, "int64": 8, "uint8": 1, "uint16": 2,
    "uint32": 4, "uint64": 8, "float16": 2, "float32": 4, "float64": 8, "string": 256,
}  # fmt: skip
"""Of a text, whose length the metadata do not tell, more than any name has."""

_COORDINATE_CODECS: Final = ("bytes", "vlen-utf8", "blosc", "zstd", "crc32c")
PIXEL_NAMES: Final = ("slow", "fast")
PANEL_NAMES: Final = frozenset(
    {"panel", "xyz", "panel_origin", "panel_fast", "panel_slow"}
    | {"panel_pixel_size", "panel_pixels_slow", "panel_pixels_fast"}
)
"""Coordinates of pixels, and of several panels."""

_ABSENT: Final = 2**64 - 1
_ENTRY: Final = struct.Struct("<QQ")
_CRC_BYTES: Final = 4
_BLOSC_BYTES: Final = 16  # bytes of Blosc's own head, which it reads whatever the length of a chunk
_HEAD_BYTES: Final = 18  # bytes in which a compressed chunk states its size


@dataclass(frozen=True, slots=True)
class ChunkBound:
    """What a chunk may decode to, bytes, by `blosc`, `zstd` or nothing; `chunks` of one shard."""

    compressor: str
    chunk_bytes: int
    chunks: int = 0


def check_own_arrays(run: RunDirectory) -> dict[str, ChunkBound]:
    """Check that `images` is the manifest's, and that the run's coordinates have safe codecs.

    Each array's own metadata are looked at and, where there are any, the group's consolidated
    ones. An extension that is being put in place may have made the first dimension longer. What
    each array's chunks may decode to is returned by its name; `DamageError` is raised before zarr
    opens anything.
    """
    try:
        return _bounds(run)
    except DamageError as error:
        raise damaged_metadata_error(run, str(error)) from None


def damaged_metadata_error(run: RunDirectory, problem: str) -> DamageError:
    """Say what is wrong with metadata that the run wrote, and the remedy."""
    return DamageError(f"{problem}; `distbragg repair {run.url}` makes it again")


def _bounds(run: RunDirectory) -> dict[str, ChunkBound]:
    layouts = {one.array: one for one in run.arrays}
    bounds = {
        name: check_pixels(load_metadata(run, f"{name}/{METADATA}"), run, layout, name)
        for name, layout in layouts.items()
    }
    for name, body in own_coordinates(run).items():
        bounds[name] = check_coordinate(body, run, name)
    for name, body in consolidated_metadata(run).items():
        if name in layouts:
            check_pixels(body, run, layouts[name], f"{METADATA}: {name}")
        elif name in bounds:
            check_coordinate(body, run, f"{METADATA}: {name}")
    return bounds


def consolidated_metadata(run: RunDirectory) -> Mapping[str, Any]:
    """Metadata of arrays and groups as the run's group repeats them, by name."""
    consolidated = load_metadata(run, METADATA).get("consolidated_metadata")
    found = consolidated.get("metadata") if isinstance(consolidated, dict) else None
    return found if isinstance(found, dict) else {}


class GuardedStore(WrapperStore[Store]):
    """The objects of a run for zarr, read-only: no link, pipe or device of a folder is read.

    A chunk of the run's own arrays, of which there are `bounds` by name, is passed on if it states
    no more than it may decode to; what a user added is passed on as it is.
    """

    def __init__(self, objects: Objects, bounds: Mapping[str, ChunkBound]) -> None:
        super().__init__(objects.zarr_store())
        self._objects, self._bounds = objects, bounds

    def with_read_only(self, read_only: bool = False) -> Self:
        """Return the same store; it stays read-only."""
        del read_only
        return self

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Return the value of `key`; `DamageError` where it is not to be read."""
        self._objects.check_plain(key)
        name, middle, _ = key.partition("/c/")
        bound = self._bounds.get(name) if middle else None
        if bound is not None and isinstance(byte_range, RangeByteRequest):
            length = byte_range.end - byte_range.start
            if not 0 <= length <= bound.chunk_bytes + bound.chunk_bytes // 64 + SLACK_BYTES:
                raise DamageError(f"{key}: its index points beyond what a chunk of it can have")
        value = await super().get(key, prototype, byte_range)  # type: ignore[arg-type]
        # The end of a shard is its index, which is not compressed.
        if value is None or bound is None or isinstance(byte_range, SuffixByteRequest):
            return value
        # A view: a shard may be hundreds of megabytes.
        data = memoryview(value.as_buffer_like()).cast("B")
        whole_shard = bound.chunks and byte_range is None
        for head in _heads(key, data, bound.chunks) if whole_shard else (data[:_HEAD_BYTES],):
            _check_head(key, bytes(head), bound)
        return value


def _check_head(key: str, head: bytes, bound: ChunkBound) -> None:
    """Refuse a chunk that states more than it may decode to, or nothing."""
    if not bound.compressor:
        return
    stated = decoded_bytes(bound.compressor, head, 0)
    if stated == sys.maxsize or (bound.compressor == "blosc" and len(head) < _BLOSC_BYTES):
        raise DamageError(f"{key}: a chunk does not state its size")
    if stated > bound.chunk_bytes:
        raise DamageError(
            f"{key}: a chunk states {stated} bytes where {bound.chunk_bytes} are possible"
        )


def _heads(key: str, data: memoryview, chunks: int) -> Iterator[memoryview]:
    """First bytes of every chunk of a shard that was read in one piece."""
    start = len(data) - _CRC_BYTES - chunks * _ENTRY.size
    if start < 0:
        raise DamageError(f"{key}: {len(data)} bytes do not even hold its index")
    for offset, length in _ENTRY.iter_unpack(data[start : len(data) - _CRC_BYTES]):
        if offset == length == _ABSENT:
            continue
        if offset + length > start:
            raise DamageError(f"{key}: its index points beyond its {len(data)} bytes")
        yield data[offset : offset + min(length, _HEAD_BYTES)]


def own_coordinates(run: RunDirectory) -> dict[str, dict[str, Any]]:
    """Metadata of the coordinates that the run wrote, by name."""
    names = {name for name, _ in run.layout.dims} | {*PIXEL_NAMES, *PANEL_NAMES}
    names |= {name for one in run.arrays for name in one.pixel_names}
    for axis in run.sweep.axes:
        leaf = [part for part in axis.target.split(".") if not part.isdecimal()][-1]
        names |= {axis.name, f"{axis.name}_{leaf}"}
    found = {
        name: find_metadata(run, f"{name}/{METADATA}")
        for name in sorted(names & run.objects.children())
    }
    return {name: body for name, body in found.items() if body is not None}


def check_pixels(
    body: Any,  # noqa: ANN401 JSON
    run: RunDirectory,
    layout: StackLayout,
    name: str,
) -> ChunkBound:
    """Compare the metadata of images, a variant or a map with the manifest; bound its chunks."""
    place = f"{run.url}/{name}"
    stated = layout.array_shape
    try:
        sharding, grid, keys = (
            body["codecs"][0]["configuration"], body["chunk_grid"], body["chunk_key_encoding"],
        )  # fmt: skip
        shape = tuple(body["shape"])
        separator = (keys.get("configuration") or {}).get("separator", "/")
        compared = {
            "shape": (shape[len(layout.dims) and 1 :], stated[len(layout.dims) and 1 :]),
            "data type": (body["data_type"], layout.dtype),
            "shards": (tuple(grid["configuration"]["chunk_shape"]), layout.shard_shape),
            "chunks": (tuple(sharding["chunk_shape"]), layout.chunk_shape),
            "dimension names": (tuple(body["dimension_names"]), layout.dimension_names),
            "chunk grid": (grid["name"], "regular"),
            "chunk keys": ((keys["name"], separator), ("default", "/")),
            "codec": (_names(body["codecs"]), ["sharding_indexed"]),
            "codecs": (_names(sharding["codecs"]), ["bytes", "blosc", "crc32c"]),
            "index codecs": (_names(sharding["index_codecs"]), ["bytes", "crc32c"]),
            "index": (sharding.get("index_location", "end"), "end"),
            "storage transformers": (list(body.get("storage_transformers") or ()), []),
        }
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise DamageError(f"{place}: cannot be opened (no array of images: {error!r})") from None
    # The first dimension of a sweep may be longer: an extension is being put in place.
    if len(shape) != len(stated) or any(type(size) is not int for size in shape):
        raise DamageError(f"{place}: shape {shape} is not the manifest's {stated}")
    if shape[0] < stated[0]:
        raise DamageError(f"{place}: shape {shape} is less than the manifest's {stated}")
    for what, (found, written) in compared.items():
        if found != written:
            raise DamageError(f"{place}: {what} {str(found)[:200]} is not the manifest's {written}")
    chunk_bytes = math.prod(layout.chunk_shape) * _ITEM_BYTES[layout.dtype]
    if chunk_bytes > MAX_CHUNK_BYTES:
        raise DamageError(f"{place}: chunks of {chunk_bytes} bytes")
    chunks = math.prod(layout.shard_shape) // math.prod(layout.chunk_shape)
    return ChunkBound("blosc", chunk_bytes, chunks)


def check_coordinate(body: Any, run: RunDirectory, name: str) -> ChunkBound:  # noqa: ANN401 JSON
    """Refuse the metadata of a coordinate that is not safe to read; bound its chunks."""
    place = f"{run.url}/{name}"
    try:
        codecs, item = _names(body["codecs"]), _ITEM_BYTES[body["data_type"]]
        shape, chunk = body["shape"], body["chunk_grid"]["configuration"]["chunk_shape"]
        size = max(math.prod(map(int, shape)), math.prod(map(int, chunk))) * item
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamageError(f"{place}: the coordinate cannot be opened ({error!r})") from None
    compressors = [codec for codec in codecs if codec in {"blosc", "zstd"}]
    if not set(codecs) <= set(_COORDINATE_CODECS) or len(compressors) > 1:
        raise DamageError(f"{place}: codecs {[codec[:40] for codec in codecs[:8]]} are not read")
    if min([*shape, *chunk], default=0) < 0 or size > MAX_COORDINATE_BYTES:
        raise DamageError(f"{place}: {size} bytes; at most {MAX_COORDINATE_BYTES} are read")
    return ChunkBound("".join(compressors), math.prod(chunk) * item)


def _names(codecs: Any) -> list[str]:  # noqa: ANN401 JSON
    return [str(codec["name"]) for codec in codecs]


def load_metadata(run: RunDirectory, key: str) -> dict[str, Any]:
    """Return the metadata of an array or a group, a `zarr.json`, which must be there."""
    body = find_metadata(run, key)
    if body is None:
        raise DamageError(f"{run.url}/{key}: cannot be opened (no such file)")
    return body


def find_metadata(run: RunDirectory, key: str) -> dict[str, Any] | None:
    """Return the metadata of an array or a group; None where they are missing."""
    place = f"{run.url}/{key}"
    try:
        body = json.loads(run.objects.get(key, MAX_METADATA_BYTES))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DamageError(f"{place}: cannot be opened ({reason})") from None
    if not isinstance(body, dict):
        raise DamageError(f"{place}: cannot be opened (no mapping)")
    return body
