"""The seal of a finished run: what it held when it was declared finished.

`SEALED` states the Merkle root over the digests of all objects and the digests of the
metadata files; `SEALED.digests` holds the leaves, 32 bytes a unit, so that a changed object
can be named and not only noticed.
"""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distbragg._version import __version__
from distbragg.errors import DamageError
from distbragg.spec.canonical import canonical_json
from distbragg.store.files import sha256_bytes, sha256_file, write_atomic
from distbragg.store.home import publish_state
from distbragg.store.layout import IMAGES, SEAL_DIGESTS_FILE, SEAL_FILE, STATE_DIR
from distbragg.store.merkle import merkle_root
from distbragg.store.run_directory import RunDirectory

SCHEMA = 1
MAX_BYTES = 1 << 24
_FIELDS = {"schema", "run_id", "version", "sealed", "frames", "units", "merkle_root", "files"}


@dataclass(frozen=True, slots=True)
class Seal:
    """What a run held when it was sealed.

    Attributes
    ----------
    merkle_root : str
        Root over the digests of all objects in unit order, hex.
    digests : tuple of str
        SHA-256 of every unit's object, hex.
    files : mapping of str to str
        SHA-256 of every metadata file, by path below the run.
    sealed : str
        Time, ISO 8601, UTC.
    version : str
        distbragg's version that sealed it.
    """

    merkle_root: str
    digests: tuple[str, ...]
    files: Mapping[str, str]
    sealed: str
    version: str


def metadata_digests(run: RunDirectory) -> dict[str, str]:
    """SHA-256 of every file of the group but the images' objects, and of the manifest."""
    found = {}
    for folder, names, files in os.walk(run.path):
        below = Path(folder).relative_to(run.path)
        if below == Path("."):
            names[:] = [name for name in names if name != STATE_DIR]
        if below == Path(IMAGES):
            names[:] = [name for name in names if name != "c"]
        for name in files:
            path = Path(folder, name)
            found[(below / name).as_posix()] = sha256_file(path)[0]
    for path in sorted(run.state.glob("*.json")):
        found[f"{STATE_DIR}/{path.name}"] = sha256_file(path)[0]
    return found


def is_sealed(run: RunDirectory) -> bool:
    """Whether the run has a seal; see `read_seal` for what it says."""
    return (run.state / SEAL_FILE).exists()


def write_seal(run: RunDirectory, digests: Sequence[str]) -> Seal:
    """Seal a run whose objects have these digests, in unit order.

    Raises
    ------
    EnvironmentFailure
        There is no room.
    """
    body = {
        "schema": SCHEMA,
        "run_id": run.run_id,
        "version": __version__,
        "sealed": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "frames": run.layout.frames,
        "units": run.layout.units,
        "merkle_root": merkle_root(digests),
        "files": metadata_digests(run),
    }
    body["content_hash"] = sha256_bytes(canonical_json(body).encode())
    # The seal itself comes last: without it the leaves mean nothing.
    write_atomic(run.state / SEAL_DIGESTS_FILE, b"".join(map(bytes.fromhex, digests)))
    write_atomic(run.state / SEAL_FILE, canonical_json(body).encode())
    publish_state(run, (SEAL_DIGESTS_FILE, SEAL_FILE))
    seal = read_seal(run)
    if seal is None:
        raise DamageError(f"{run.state / SEAL_FILE}: vanished as soon as it was written")
    return seal


def read_seal(run: RunDirectory) -> Seal | None:
    """Return the seal of a run; None where it has none.

    Raises
    ------
    DamageError
        The seal is torn, was changed, or belongs to another run.
    """
    path = run.state / SEAL_FILE
    if not path.exists():
        return None
    body = _load(path)
    if body["run_id"] != run.run_id:
        raise DamageError(f"{path}: is the seal of another run")
    leaves = run.state / SEAL_DIGESTS_FILE
    try:
        whole = leaves.stat().st_size == 32 * run.layout.units
        data = leaves.read_bytes() if whole else b""
    except OSError as error:
        raise DamageError(f"{leaves}: cannot be read ({error.strerror})") from error
    digests = tuple(data[i : i + 32].hex() for i in range(0, len(data), 32))
    if not whole or merkle_root(digests) != body["merkle_root"]:
        raise DamageError(f"{leaves}: does not have the Merkle root of the seal; it was changed")
    return Seal(
        merkle_root=str(body["merkle_root"]),
        digests=digests,
        files={str(name): str(digest) for name, digest in body["files"].items()},
        sealed=str(body["sealed"]),
        version=str(body["version"]),
    )


def _load(path: Path) -> dict[str, Any]:
    if path.stat().st_size > MAX_BYTES:
        raise DamageError(f"{path}: is more than a seal can have ({MAX_BYTES} bytes)")
    try:
        body = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DamageError(f"{path}: not readable as JSON ({error})") from None
    if not isinstance(body, dict) or set(body) != {*_FIELDS, "content_hash"}:
        raise DamageError(f"{path}: fields are missing or unknown")
    stated = body.pop("content_hash")
    if sha256_bytes(canonical_json(body).encode()) != stated:
        raise DamageError(f"{path}: content does not match its hash; the file was changed")
    if body["schema"] != SCHEMA or not isinstance(body["files"], dict):
        raise DamageError(f"{path}: seal schema {body['schema']!r}, this version reads {SCHEMA}")
    return body
