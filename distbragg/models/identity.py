"""What the identity of resolved records is made of: every field, by exact value."""

from __future__ import annotations

import hashlib
from dataclasses import Field, fields, is_dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_BLOCK_ELEMENTS: Final = 1 << 20

WHERE_GIVEN: Final[dict[str, str]] = {"hashed": "where given"}
"""Metadata of a field that enters `physics_hash` only where it differs from its default, so that
the identity of an experiment that does not use it stays what it was before the field existed.
The default is None, a number, a text or an empty tuple."""


def update_digest(digest: hashlib._Hash, value: object) -> None:
    """Add a record of the models, an array, a tuple, a number or a text to a digest."""
    if is_dataclass(value) and not isinstance(value, type):
        digest.update(f"<{type(value).__name__}".encode("ascii"))
        for item in fields(value):
            part = getattr(value, item.name)
            if _enters(item, part):
                digest.update(f" {item.name}=".encode("ascii"))
                update_digest(digest, part)
        digest.update(b">")
    elif isinstance(value, np.ndarray):
        _add_array(digest, value)
    elif isinstance(value, tuple):
        digest.update(f"({len(value)}:".encode("ascii"))
        for item in value:
            update_digest(digest, item)
        digest.update(b")")
    else:
        digest.update(_scalar(value))


def _enters(item: Field[Any], part: object) -> bool:
    """Whether a field takes part in the hash: `WHERE_GIVEN` ones unless they are the default."""
    hashed = item.metadata.get("hashed", True)
    if hashed != "where given":
        return bool(hashed)
    return not (type(part) is type(item.default) and part == item.default)


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


def _add_array(digest: hashlib._Hash, array: NDArray[Any]) -> None:
    kind = array.dtype.newbyteorder("<")
    digest.update(f"[{kind.str}{array.shape}:".encode("ascii"))
    if array.size and array.ndim:
        # Row by row in blocks: a view of one value (the active pixels) is never copied whole.
        rows = max(_BLOCK_ELEMENTS // max(array[0].size, 1), 1)
        for start in range(0, array.shape[0], rows):
            block = np.ascontiguousarray(array[start : start + rows], dtype=kind)
            digest.update(block.tobytes())
    digest.update(b"]")
