"""Shards of samples for WebDataset: tar files, each sample some members of one key.

A member is named `<key>.<what it is>`: `000012.npy` and `000012.json` are a sample. Bytes hang on
the content alone: members have no owner and no time.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from distbragg.store.files import durable_path

Sample = tuple[str, Mapping[str, bytes]]
"""Key, and the bytes of each member by what its name ends in."""

_COMMENT: Final = "comment"  # of the whole tar file, which readers of samples pass over
_END_BYTES: Final = 2 * tarfile.BLOCKSIZE


def npy_bytes(values: NDArray[Any]) -> bytes:
    """Return an array in numpy's own format; with names, where its type has some."""
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=False)
    return buffer.getvalue()


def json_bytes(values: Mapping[str, Any]) -> bytes:
    """Return plain data as JSON."""
    return json.dumps(values, sort_keys=True, allow_nan=False).encode()


def write_shard(path: Path, samples: Iterator[Sample], identity: str) -> None:
    """Write a shard whole or not at all; `identity` says what it was made from."""
    with (
        durable_path(path) as temporary,
        tarfile.open(
            temporary, "w", format=tarfile.PAX_FORMAT, pax_headers={_COMMENT: identity}
        ) as shard,
    ):
        for key, members in samples:
            for suffix, data in members.items():
                member = tarfile.TarInfo(f"{key}.{suffix}")
                member.size = len(data)
                shard.addfile(member, io.BytesIO(data))


def is_whole_shard(path: Path, identity: str) -> bool:
    """Whether a shard of this identity is there, up to the zeros that end it."""
    try:
        with tarfile.open(path, "r:") as shard:
            same = shard.pax_headers.get(_COMMENT) == identity
        with path.open("rb") as file:
            size = file.seek(0, io.SEEK_END)
            file.seek(-min(size, _END_BYTES), io.SEEK_END)
            return same and size % tarfile.RECORDSIZE == 0 and not any(file.read())
    except (OSError, tarfile.TarError):
        return False
