"""How much a compressed piece will decode to, before anything allocates it."""

from __future__ import annotations

import sys
import zlib
from typing import Final

MAXIMUM_CHUNK_BYTES: Final = 1 << 27
"""Largest chunk of HDF5 or Zarr that is decoded: their libraries hold it whole, some twice."""

SLACK_BYTES: Final = 1 << 16

_BLOCK: Final = 1 << 20
_LZF_RATIO: Final = 88
"""Bytes of output for one of input at the most: a token of 3 bytes stands for 264."""

_STATED: Final[dict[str, tuple[int, int]]] = {
    "szip": (0, 4), "blosc": (4, 4), "lz4": (0, -8), "bitshuffle": (0, -8),
}  # fmt: skip
"""Place and bytes of the size that a decoder will allocate; negative where it is big-endian."""

CODERS: Final = ("gzip", "zlib", "zstd", "lzf", *_STATED)


def decoded_bytes(coder: str, data: bytes, room: int) -> int:
    """Return the size that one of `CODERS` makes of a piece; of gzip no more than about `room`.

    A stream of gzip does not state its size, and is decoded without keeping it.
    """
    if coder in ("gzip", "zlib"):
        stream, size = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32), 0
        while data and size <= room and not stream.eof:
            size += len(stream.decompress(data, _BLOCK))
            data = stream.unconsumed_tail
        # What follows the first stream some decoders read on.
        return size + (room if stream.unused_data[4:] else 0)
    if coder == "zstd":
        return _zstandard_bytes(data)
    if coder == "lzf":
        return 0 if len(data) * _LZF_RATIO <= 2 * MAXIMUM_CHUNK_BYTES else len(data) * _LZF_RATIO
    start, width = _STATED[coder]
    return int.from_bytes(data[start : start + abs(width)], "little" if width > 0 else "big")


def _zstandard_bytes(data: bytes) -> int:
    """Size of the content of a frame (RFC 8878, 3.1.1.1); endless where it does not say."""
    if not data.startswith(b"\x28\xb5\x2f\xfd") or len(data) < 5:
        return sys.maxsize
    kind, single = data[4] >> 6, data[4] >> 5 & 1
    start = 6 - single + (0, 1, 2, 4)[data[4] & 3]
    width = (single, 2, 4, 8)[kind]
    if width == 0:
        return sys.maxsize
    return int.from_bytes(data[start : start + width], "little") + (256 if width == 2 else 0)
