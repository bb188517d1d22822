"""Which Zarr metadata a stack may have: an allow-list, applied before zarr sees any of it.

A stack may come from elsewhere. Codecs run code and chunk shapes decide what a reader
allocates, so both are compared with what distbragg itself writes; everything else is refused.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from distbragg.errors import DamageError

MAX_METADATA_BYTES: Final = 1 << 28
MAX_DEPTH: Final = 64
MAX_DIMENSIONS: Final = 16
MAX_LENGTH: Final = 1 << 40
MAX_ARRAY_BYTES: Final = 1 << 60
MAX_CHUNK_BYTES: Final = 1 << 30
"""Decoded bytes of one (inner) chunk: what a reader allocates at a time."""

MAX_WHOLE_BYTES: Final = 1 << 28
"""Decoded bytes of an array without shards: coordinates are read whole when a stack is opened."""

MAX_INNER_CHUNKS: Final = 1 << 20
TEXT_BYTES: Final = 256
"""Bytes counted for one text, whose length the metadata do not tell."""

ITEM_BYTES: Final[Mapping[str, int]] = {
    "bool": 1,
    "int8": 1,
    "int16": 2,
    "int32": 4,
    "int64": 8,
    "uint8": 1,
    "uint16": 2,
    "uint32": 4,
    "uint64": 8,
    "float16": 2,
    "float32": 4,
    "float64": 8,
    "string": TEXT_BYTES,
}

Compressor = Literal["blosc", "zstd", "none"]

_SERIALIZERS: Final = frozenset({"bytes", "vlen-utf8"})
_COMPRESSORS: Final[Mapping[str, Compressor]] = {"blosc": "blosc", "zstd": "zstd"}
_ARRAY_KEYS: Final = frozenset(
    {"zarr_format", "node_type", "shape", "data_type", "chunk_grid", "chunk_key_encoding"}
    | {"fill_value", "codecs", "attributes", "dimension_names", "storage_transformers"}
)
_GROUP_KEYS: Final = frozenset({"zarr_format", "node_type", "attributes", "consolidated_metadata"})
_NAME: Final = re.compile(r"[A-Za-z_][\w.-]{0,199}(/[A-Za-z_][\w.-]{0,199}){0,7}")


@dataclass(frozen=True, slots=True)
class ArrayRules:
    """What reading an array may cost.

    Attributes
    ----------
    shape, chunk : tuple of int
        Of the array; of an object of it, the shard where there are shards.
    inner : tuple of int
        Of the smallest part that is decoded at once.
    data_type : str
    dimension_names : tuple of str
    compressor : {"blosc", "zstd", "none"}
    sharded, checksummed : bool
    chunk_bytes : int
        Decoded bytes of an inner chunk.
    """

    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    inner: tuple[int, ...]
    data_type: str
    dimension_names: tuple[str, ...]
    compressor: Compressor
    sharded: bool
    checksummed: bool
    chunk_bytes: int

    @property
    def inner_chunks(self) -> int:
        """Inner chunks of one object."""
        return math.prod(whole // part for whole, part in zip(self.chunk, self.inner, strict=True))


def parse_metadata(data: bytes, place: str) -> dict[str, Any]:
    """Parse the bytes of a `zarr.json` strictly.

    Raises
    ------
    DamageError
        Too large, no JSON, a key given twice, NaN, or nested too deeply.
    """
    if len(data) > MAX_METADATA_BYTES:
        raise DamageError(f"{place}: more than {MAX_METADATA_BYTES} bytes of metadata")
    try:
        body = json.loads(data, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise DamageError(f"{place}: cannot be opened ({_line(error)})") from None
    if not isinstance(body, dict):
        raise DamageError(f"{place}: cannot be opened (no mapping)")
    if _depth(body) > MAX_DEPTH:
        raise DamageError(f"{place}: nested deeper than {MAX_DEPTH} levels")
    return body


def check_group(body: Mapping[str, Any], place: str) -> dict[str, ArrayRules]:
    """Check the metadata of a group; return the rules of the arrays it consolidates.

    Raises
    ------
    DamageError
        Anything that is not on the list.
    """
    _check_keys(body, _GROUP_KEYS, "group", place)
    consolidated = body.get("consolidated_metadata")
    if consolidated is None:
        return {}
    entries = consolidated.get("metadata") if isinstance(consolidated, dict) else None
    if not isinstance(entries, dict) or consolidated.get("kind") != "inline":
        raise DamageError(f"{place}: consolidated metadata of an unknown kind")
    rules = {}
    for name, entry in entries.items():
        if not _NAME.fullmatch(name):
            raise DamageError(f"{place}: {name[:40]!r} is no name of an array")
        if not isinstance(entry, dict):
            raise DamageError(f"{place}: the entry of {name} is no mapping")
        if entry.get("node_type") == "group":
            check_group(entry, f"{place}: {name}")
        else:
            rules[name] = check_array_metadata(entry, f"{place}: {name}")
    return rules


def check_array_metadata(body: Mapping[str, Any], place: str) -> ArrayRules:
    """Check the metadata of an array; return what reading it may cost.

    Raises
    ------
    DamageError
        A codec, type, size or key that is not on the list.
    """
    _check_keys(body, _ARRAY_KEYS, "array", place)
    if body.get("storage_transformers"):
        raise DamageError(f"{place}: storage transformers are not read")
    shape = _sizes(body.get("shape"), 0, "shape", place)
    chunk = _regular_chunk(body, place)
    data_type = body.get("data_type")
    if not isinstance(data_type, str) or data_type not in ITEM_BYTES:
        raise DamageError(f"{place}: data type {str(data_type)[:40]!r} is not read")
    inner, codecs = _inner(body.get("codecs"), chunk, place)
    compressor, checksummed = _check_chain(codecs, place)
    item = ITEM_BYTES[data_type]
    rules = ArrayRules(
        shape=shape,
        chunk=chunk,
        inner=inner or chunk,
        data_type=data_type,
        dimension_names=_dimension_names(body, len(shape), place),
        compressor=compressor,
        sharded=inner is not None,
        checksummed=checksummed,
        chunk_bytes=math.prod(inner or chunk) * item,
    )
    _check_cost(rules, math.prod(shape) * item, place)
    return rules


def _check_cost(rules: ArrayRules, total: int, place: str) -> None:
    if len(rules.shape) != len(rules.chunk):
        raise DamageError(f"{place}: {len(rules.chunk)} chunk sizes for {len(rules.shape)} axes")
    whole = MAX_ARRAY_BYTES if rules.sharded else MAX_WHOLE_BYTES
    part = MAX_CHUNK_BYTES if rules.sharded else MAX_WHOLE_BYTES
    if total > whole:
        raise DamageError(f"{place}: {total} bytes; at most {whole} are read")
    if rules.chunk_bytes > part:
        raise DamageError(f"{place}: chunks of {rules.chunk_bytes} bytes; at most {part} are read")
    if rules.inner_chunks > MAX_INNER_CHUNKS:
        raise DamageError(f"{place}: {rules.inner_chunks} chunks to a shard")


def _inner(
    codecs: object, chunk: tuple[int, ...], place: str
) -> tuple[tuple[int, ...] | None, object]:
    """Inner chunk of a sharded array and the codecs of it; None and the codecs of any other."""
    if not (isinstance(codecs, list) and len(codecs) == 1 and _name(codecs[0]) == _SHARDING):
        return None, codecs
    configuration = codecs[0].get("configuration")
    if not isinstance(configuration, dict):
        raise DamageError(f"{place}: sharding without a configuration")
    inner = _sizes(configuration.get("chunk_shape"), 1, "inner chunk", place)
    fits = len(inner) == len(chunk) and all(a % b == 0 for a, b in zip(chunk, inner, strict=False))
    if not fits:
        raise DamageError(f"{place}: inner chunks {inner} do not divide shards {chunk}")
    if configuration.get("index_location", "end") != "end":
        raise DamageError(f"{place}: the index of a shard is read at its end alone")
    index = [_name(codec) for codec in configuration.get("index_codecs") or ()]
    if index != ["bytes", "crc32c"]:
        raise DamageError(f"{place}: index codecs {index} are not read")
    return inner, configuration.get("codecs")


_SHARDING: Final = "sharding_indexed"


def _check_chain(codecs: object, place: str) -> tuple[Compressor, bool]:
    if not isinstance(codecs, list) or not codecs:
        raise DamageError(f"{place}: no list of codecs")
    names = [_name(codec) for codec in codecs]
    rest = names[1:]
    checksummed = bool(rest) and rest[-1] == "crc32c"
    if checksummed:
        rest = rest[:-1]
    known = names[0] in _SERIALIZERS and len(rest) <= 1 and all(n in _COMPRESSORS for n in rest)
    if not known:
        raise DamageError(f"{place}: codecs {[name[:40] for name in names[:8]]} are not read")
    return (_COMPRESSORS[rest[0]] if rest else "none"), checksummed


def _name(codec: object) -> str:
    name = codec.get("name") if isinstance(codec, dict) else None
    return name if isinstance(name, str) else "?"


def _regular_chunk(body: Mapping[str, Any], place: str) -> tuple[int, ...]:
    grid = body.get("chunk_grid")
    if not isinstance(grid, dict) or grid.get("name") != "regular":
        raise DamageError(f"{place}: the chunk grid is not regular")
    encoding = body.get("chunk_key_encoding")
    separated = isinstance(encoding, dict) and encoding.get("name") == "default"
    configuration = encoding.get("configuration") if isinstance(encoding, dict) else None
    if not separated or configuration not in (None, {}, {"separator": "/"}):
        raise DamageError(f"{place}: chunk keys of an unknown form")
    configuration = grid.get("configuration")
    shape = configuration.get("chunk_shape") if isinstance(configuration, dict) else None
    return _sizes(shape, 1, "chunk", place)


def _dimension_names(body: Mapping[str, Any], count: int, place: str) -> tuple[str, ...]:
    names = body.get("dimension_names")
    if names is None:
        return ()
    valid = isinstance(names, list) and len(names) == count
    if not valid or not all(isinstance(name, str) and len(name) < 200 for name in names):
        raise DamageError(f"{place}: dimension names {str(names)[:60]}")
    return tuple(names)


def _sizes(values: object, least: int, what: str, place: str) -> tuple[int, ...]:
    if not isinstance(values, list) or len(values) > MAX_DIMENSIONS:
        raise DamageError(f"{place}: {what} is no list of at most {MAX_DIMENSIONS} sizes")
    for value in values:
        if type(value) is not int or not least <= value <= MAX_LENGTH:
            raise DamageError(f"{place}: {what} holds {str(value)[:40]}")
    return tuple(values)


def _check_keys(body: Mapping[str, Any], known: frozenset[str], kind: str, place: str) -> None:
    if body.get("zarr_format") != 3 or body.get("node_type") != kind:
        raise DamageError(f"{place}: cannot be opened (no Zarr 3 {kind})")
    unknown = sorted(set(body) - known)
    if unknown:
        raise DamageError(f"{place}: unknown key {unknown[0][:40]!r}")


def _depth(value: object) -> int:
    """Levels of nesting, counted without recursion."""
    deepest, waiting = 0, [(value, 1)]
    while waiting:
        node, level = waiting.pop()
        deepest = max(deepest, level)
        if level > MAX_DEPTH:
            return level
        if isinstance(node, dict):
            waiting += [(item, level + 1) for item in node.values()]
        elif isinstance(node, Sequence) and not isinstance(node, str):
            waiting += [(item, level + 1) for item in node]
    return deepest


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise ValueError("a key is given twice")
    return mapping


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _line(error: BaseException) -> str:
    return " ".join(f"{error}".split())[:200] or type(error).__name__
