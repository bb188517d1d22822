"""The seal of a finished run: what it held when it was declared finished.

`SEALED` states the digests of the metadata files and of `SEALED.digests`, which holds the digest of
every object, 32 bytes a unit, so that a changed object can be named and not only noticed.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from distbragg._version import __version__
from distbragg.errors import DamageError
from distbragg.store.files import sha256_bytes
from distbragg.store.generations import DIGESTS, SEALED, pack_digests, unpack_digests
from distbragg.store.layout import LABELS, MANIFEST, METADATA
from distbragg.store.manifest import decode_document, encode_document
from distbragg.store.own_arrays import find_metadata, own_coordinates
from distbragg.store.run_directory import RunDirectory

SCHEMA = 2
MAX_BYTES = 1 << 24
_FIELDS = {"schema", "run_id", "version", "sealed", "frames", "units", "objects", "files"}


@dataclass(frozen=True, slots=True)
class Seal:
    """What a run held when it was sealed; digests are SHA-256, hex."""

    objects: str  # over the digests of all objects in unit order
    digests: tuple[str, ...]  # of every unit's object
    files: Mapping[str, str]  # of its own metadata and coordinates
    sealed: str  # ISO 8601, UTC
    version: str


def metadata_digests(run: RunDirectory) -> dict[str, str]:
    """SHA-256 of what the run wrote beside its objects and tables of spots.

    Keys are those of files; an attribute has the key of its file, `#` and its name. What is added
    to a stack, to the attributes of its arrays too, is not a part of it; nor are the group's own
    attributes, which repeat the manifest and which xarray replaces when it adds a variable.
    """
    found, coordinates = {}, own_coordinates(run)
    arrays = (*(one.array for one in run.arrays), LABELS)
    groups = {name: find_metadata(run, f"{name}/{METADATA}") for name in arrays}
    for name, body in {**groups, **coordinates}.items():
        if body is not None:
            key = f"{name}/{METADATA}"
            for attribute, value in body.pop("attributes", {}).items():
                found[f"{key}#{attribute}"] = _digest(value)
            found[key] = _digest(body)
    for name in coordinates:
        for entry in run.objects.entries(f"{name}/c/"):
            found[entry.key] = run.objects.digest(entry.key)[0]
    found[MANIFEST] = run.objects.digest(MANIFEST)[0]
    return found


def is_sealed(run: RunDirectory) -> bool:
    """Whether the run has a seal; see `read_seal` for what it says."""
    return run.objects.head(SEALED) is not None


def write_seal(run: RunDirectory, digests: Sequence[str]) -> Seal:
    """Seal a run whose objects have these digests, in unit order."""
    packed = pack_digests(digests)
    body = {
        "schema": SCHEMA,
        "run_id": run.run_id,
        "version": __version__,
        "sealed": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "frames": run.layout.frames,
        "units": run.layout.units,
        "objects": sha256_bytes(packed),
        "files": metadata_digests(run),
    }
    # The seal itself comes last: without it the digests mean nothing.
    run.objects.put(DIGESTS, packed)
    run.objects.put(SEALED, encode_document(body))
    seal = read_seal(run)
    if seal is None:
        raise DamageError(f"{run.url}/{SEALED}: vanished as soon as it was written")
    return seal


def read_seal(run: RunDirectory) -> Seal | None:
    """Return the seal of a run; None where it has none, `DamageError` where it cannot be read."""
    try:
        return _read_seal(run)
    except DamageError as error:
        remedy = "put a copy back, or remove the seal, verify the run and seal it again"
        raise DamageError(f"{error}; {remedy}") from None


def _read_seal(run: RunDirectory) -> Seal | None:
    place = f"{run.url}/{SEALED}"
    try:
        data = run.objects.get(SEALED, MAX_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return None
    body = decode_document(data, _FIELDS, place)
    if body["schema"] != SCHEMA or not isinstance(body["files"], dict):
        raise DamageError(f"{place}: seal schema {body['schema']!r}, this version reads {SCHEMA}")
    if body["run_id"] != run.run_id:
        raise DamageError(f"{place}: is the seal of another run")
    place = f"{run.url}/{DIGESTS}"
    try:
        packed = run.objects.get(DIGESTS, 32 * run.layout.units)
    except OSError as error:
        raise DamageError(f"{place}: cannot be read ({error.strerror})") from error
    if sha256_bytes(packed) != body["objects"]:
        raise DamageError(f"{place}: does not have the digest that the seal states")
    return Seal(
        objects=str(body["objects"]),
        digests=unpack_digests(packed),
        files={str(name): str(digest) for name, digest in body["files"].items()},
        sealed=str(body["sealed"]),
        version=str(body["version"]),
    )


def _digest(value: object) -> str:
    return sha256_bytes(json.dumps(value, sort_keys=True).encode())
