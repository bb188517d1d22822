"""Generations of a run: what it held before frames were appended, kept and chained.

An extension makes a new manifest whose `parent` names the old one by its content and the
Merkle root over the digests of all its objects. The old manifest and the digests stay under
`.distbragg/generations`: an old object that was changed together with its receipt is found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from distbragg.errors import DamageError
from distbragg.store.files import read_bounded
from distbragg.store.layout import STATE_DIR, StackLayout
from distbragg.store.manifest import MAX_BYTES, Manifest, parse_manifest
from distbragg.store.merkle import merkle_root

GENERATIONS_DIR: Final = "generations"
MAX_GENERATIONS: Final = 1000
_DIGEST_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Generation:
    """One former state of a run, in which it was finished.

    Attributes
    ----------
    number : int
    manifest : Manifest
    digests : tuple of str
        SHA-256 of every unit's object, hex.
    """

    number: int
    manifest: Manifest
    digests: tuple[str, ...]

    def settles(self, unit: int, layout: StackLayout) -> bool:
        """Whether a unit of `layout` holds the same frames in this generation."""
        ours = self.manifest.layout
        return unit < ours.units and ours.unit_region(unit) == layout.unit_region(unit)


def parent_of(manifest: Manifest, digests: Sequence[str]) -> dict[str, Any]:
    """Return what the manifest of the next generation says of this one."""
    return {
        "run_id": manifest.run_id,
        "content_hash": manifest.content_hash,
        "generation": generation_number(manifest),
        "frames": manifest.layout.frames,
        "units": manifest.layout.units,
        "merkle_root": merkle_root(digests),
    }


def generation_number(manifest: Manifest) -> int:
    """Count the extensions that led to a manifest."""
    return 0 if manifest.parent is None else int(manifest.parent["generation"]) + 1


def generation_files(manifest: Manifest, digests: Sequence[str]) -> dict[str, bytes]:
    """Return the files that keep a generation, by name below `generations`."""
    stem = _stem(generation_number(manifest))
    return {
        f"{stem}.json": manifest.to_bytes(),
        f"{stem}.digests": b"".join(map(bytes.fromhex, digests)),
    }


def load_lineage(run: Path, manifest: Manifest) -> tuple[Generation, ...]:
    """Load and check all former generations of a run, newest first.

    Raises
    ------
    DamageError
        One is missing, was changed, or is not the one its successor names.
    """
    found: list[Generation] = []
    folder = run / STATE_DIR / GENERATIONS_DIR
    child = manifest
    while child.parent is not None:
        number = generation_number(child) - 1
        if len(found) >= MAX_GENERATIONS or number < 0:
            raise DamageError(f"{run}: manifest: the chain of generations does not end")
        found.append(_load(folder, number, child.parent))
        child = found[-1].manifest
    return tuple(found)


def settled_digest(lineage: Sequence[Generation], unit: int, layout: StackLayout) -> str | None:
    """Return the digest that a unit's object has had since an earlier generation."""
    for generation in lineage:
        if generation.settles(unit, layout):
            return generation.digests[unit]
    return None


def _load(folder: Path, number: int, parent: dict[str, Any]) -> Generation:
    path, leaves = (folder / f"{_stem(number)}.{kind}" for kind in ("json", "digests"))
    try:
        data = read_bounded(path, MAX_BYTES)
        units = int(parent["units"])
        raw = read_bounded(leaves, _DIGEST_BYTES * units)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamageError(f"{path}: generation {number} cannot be read ({error})") from None
    manifest = parse_manifest(data, str(path))
    digests = tuple(raw[i : i + _DIGEST_BYTES].hex() for i in range(0, len(raw), _DIGEST_BYTES))
    whole = len(raw) == _DIGEST_BYTES * units and manifest.layout.units == units
    if not whole or parent != parent_of(manifest, digests):
        raise DamageError(f"{path}: is not the generation that its successor names")
    return Generation(number, manifest, digests)


def _stem(number: int) -> str:
    return f"{number:04d}"
