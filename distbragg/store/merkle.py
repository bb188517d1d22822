"""The Merkle root over the digests of a run's objects."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from distbragg.store.files import sha256_bytes


def merkle_root(digests: Sequence[str]) -> str:
    """Root of the binary tree over SHA-256 digests (hex), hex.

    Leaves and inner nodes are hashed with different first bytes, and a leaf with its position,
    so that no node can pass for another; a node without a sibling moves up unchanged
    (RFC 6962 in its use of the prefixes).
    """
    level = [
        hashlib.sha256(b"\0" + unit.to_bytes(8, "big") + bytes.fromhex(digest)).digest()
        for unit, digest in enumerate(digests)
    ]
    if not level:
        return sha256_bytes(b"")
    while len(level) > 1:
        pairs = [
            hashlib.sha256(b"\1" + level[i] + level[i + 1]).digest()
            for i in range(0, len(level) - 1, 2)
        ]
        level = pairs + level[2 * len(pairs) :]
    return level[0].hex()
