"""The identity of an experiment: SHA-256 over a canonical encoding of its numbers."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from distbragg.models.experiment import Experiment

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BLOCK_ELEMENTS: Final = 1 << 20


def physics_hash(experiment: Experiment) -> str:
    """Return the hash (64 hex digits) of everything a frame's numbers depend on.

    Equal numbers give equal hashes on every machine and in every process, and equal
    specifications give equal numbers wherever the C library's sine and cosine round alike:
    matrices are multiplied in plain sums (`distbragg.matrices`). Settings of compute, output
    and cluster do not enter, nor do notes. Arrays enter by type, shape and little-endian bytes,
    floats by their exact hexadecimal form (negative zero differs from zero).
    """
    digest = hashlib.sha256(b"distbragg experiment 1\n")
    _update(digest, experiment)
    return digest.hexdigest()


def _update(digest: hashlib._Hash, value: object) -> None:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        digest.update(f"<{type(value).__name__}".encode("ascii"))
        for field in dataclasses.fields(value):
            if not field.metadata.get("hashed", True):
                continue
            digest.update(f" {field.name}=".encode("ascii"))
            _update(digest, getattr(value, field.name))
        digest.update(b">")
    elif isinstance(value, np.ndarray):
        _update_array(digest, value)
    elif isinstance(value, tuple):
        digest.update(f"({len(value)}:".encode("ascii"))
        for item in value:
            _update(digest, item)
        digest.update(b")")
    else:
        digest.update(_scalar(value))


def _scalar(value: object) -> bytes:
    if isinstance(value, bool):
        return b"true;" if value else b"false;"
    if isinstance(value, int):
        return f"i{value};".encode("ascii")
    if isinstance(value, float):
        return f"f{float(value).hex()};".encode("ascii")
    if isinstance(value, str):
        raw = value.encode("utf-8")
        return f"s{len(raw)}:".encode("ascii") + raw + b";"
    raise TypeError(f"an experiment cannot hold a {type(value).__name__}")


def _update_array(digest: hashlib._Hash, array: NDArray[Any]) -> None:
    kind = array.dtype.newbyteorder("<")
    digest.update(f"[{kind.str}{array.shape}:".encode("ascii"))
    if array.size and array.ndim:
        # Row by row in blocks: a view of one value (the active pixels) is never copied whole.
        rows = max(_BLOCK_ELEMENTS // max(array[0].size, 1), 1)
        for start in range(0, array.shape[0], rows):
            block = np.ascontiguousarray(array[start : start + rows], dtype=kind)
            digest.update(block.tobytes())
    digest.update(b"]")
