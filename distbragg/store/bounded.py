"""A read-only store whose objects are looked at before they are decoded.

Compressed data state their decoded size themselves, and decoders allocate what they state. A
chunk of a few bytes that promises gigabytes is refused here, from its first bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from zarr.abc.store import ByteRequest, RangeByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import LocalStore, WrapperStore

from distbragg.errors import DamageError
from distbragg.store.foreign import check_inside
from distbragg.store.zarr_rules import ArrayRules

_ABSENT: Final = 2**64 - 1
_INDEX_ENTRY: Final = struct.Struct("<QQ")
_CRC_BYTES: Final = 4
_SLACK_BYTES: Final = 1 << 16
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_HEAD: Final = 18
"""Bytes in which a frame states its size."""


class BoundedStore(WrapperStore[Store]):
    """Passes on what reading may cost no more than the metadata promise.

    Parameters
    ----------
    store : Store
    rules : mapping of str to ArrayRules
        By name of the array; objects of other arrays are not read at all.
    """

    def __init__(self, store: Store, rules: Mapping[str, ArrayRules] | None = None) -> None:
        super().__init__(store)
        self.rules = dict(rules or {})

    def _with_store(self, store: Store) -> Self:
        return type(self)(store, self.rules)

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
        """Return the value of `key` once it was found to be within bounds.

        Raises
        ------
        DamageError
            It is not.
        """
        name = _array_of(key)
        if name is None:
            return await super().get(key, prototype, byte_range)  # type: ignore[arg-type]
        rules = self.rules.get(name)
        if rules is None:
            raise DamageError(f"{key}: belongs to no array that was checked")
        if isinstance(self._store, LocalStore):
            check_inside(Path(self._store.root) / key, Path(self._store.root))
        if isinstance(byte_range, RangeByteRequest):
            await self._check_range(key, rules, byte_range)
        elif byte_range is None:
            await self._check_size(key, rules)
        value = await super().get(key, prototype, byte_range)  # type: ignore[arg-type]
        if value is not None:
            _check_value(key, value, rules, byte_range)
        return value

    async def _check_range(self, key: str, rules: ArrayRules, part: RangeByteRequest) -> None:
        length, size = part.end - part.start, await self._size(key)
        if not 0 <= part.start <= part.end <= size:
            raise DamageError(f"{key}: its index points beyond its {size} bytes")
        if length > encoded_bound(rules):
            raise DamageError(f"{key}: a chunk of {length} bytes is more than it can have")

    async def _check_size(self, key: str, rules: ArrayRules) -> None:
        size = await self._size(key)
        bound = rules.inner_chunks * (encoded_bound(rules) + _INDEX_ENTRY.size) + _CRC_BYTES
        if size > bound:
            raise DamageError(f"{key}: {size} bytes are more than it can have ({bound})")

    async def _size(self, key: str) -> int:
        try:
            return await self._store.getsize(key)
        except FileNotFoundError:
            return 0


def encoded_bound(rules: ArrayRules) -> int:
    """Most bytes that an inner chunk takes when it does not compress at all."""
    return rules.chunk_bytes + rules.chunk_bytes // 64 + _SLACK_BYTES


def check_chunk(key: str, data: bytes, rules: ArrayRules) -> None:
    """Compare the decoded size that a compressed chunk states with what it may have.

    Parameters
    ----------
    key : str
        For messages.
    data : bytes
        At least the first 18 bytes of the chunk.
    rules : ArrayRules

    Raises
    ------
    DamageError
        It states more, or nothing.
    """
    if rules.compressor == "blosc":
        stated = struct.unpack_from("<I", data, 4)[0] if len(data) >= 16 else None
    elif rules.compressor == "zstd":
        stated = zstd_content_size(data)
    else:
        return
    if stated is None:
        raise DamageError(f"{key}: a chunk does not state its size")
    if stated > rules.chunk_bytes:
        raise DamageError(
            f"{key}: a chunk states {stated} bytes where {rules.chunk_bytes} are possible"
        )


def zstd_content_size(data: bytes) -> int | None:
    """Return the decoded size that a Zstandard frame states (RFC 8878 §3.1.1.1); None if none."""
    if len(data) < 6 or data[:4] != _ZSTD_MAGIC:
        return None
    descriptor = data[4]
    single = descriptor >> 5 & 1
    width = (1 if single else 0, 2, 4, 8)[descriptor >> 6]
    start = 5 + (0 if single else 1) + (0, 1, 2, 4)[descriptor & 3]
    if not width or len(data) < start + width:
        return None
    return int.from_bytes(data[start : start + width], "little") + (256 if width == 2 else 0)


def _check_value(
    key: str, value: Buffer, rules: ArrayRules, byte_range: ByteRequest | None
) -> None:
    if not rules.sharded or isinstance(byte_range, RangeByteRequest):
        check_chunk(key, value[:_HEAD].to_bytes(), rules)
    elif byte_range is None:
        # A view: a shard may be hundreds of megabytes.
        _check_shard(key, memoryview(value.as_buffer_like()).cast("B"), rules)


def _check_shard(key: str, data: memoryview, rules: ArrayRules) -> None:
    """Look at every chunk of a shard that was read in one piece."""
    count = rules.inner_chunks
    start = len(data) - _CRC_BYTES - count * _INDEX_ENTRY.size
    if start < 0:
        raise DamageError(f"{key}: {len(data)} bytes do not even hold its index")
    for offset, length in _INDEX_ENTRY.iter_unpack(data[start : len(data) - _CRC_BYTES]):
        if offset == length == _ABSENT:
            continue
        if offset + length > start:
            raise DamageError(f"{key}: its index points beyond its {len(data)} bytes")
        if length > encoded_bound(rules):
            raise DamageError(f"{key}: a chunk of {length} bytes is more than it can have")
        check_chunk(key, bytes(data[offset : offset + _HEAD]), rules)


def _array_of(key: str) -> str | None:
    """Name of the array whose object `key` is; None for metadata."""
    name, middle, _ = f"{key}/".partition("/c/")
    return name if middle else None
