"""Checking what is stored against what the receipts, and the seal where there is one, say."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr

from distbragg.errors import DamageError
from distbragg.store.coordinates import axis_variables
from distbragg.store.generations import GENERATIONS, is_extending, left_short
from distbragg.store.grids import damaged_grids
from distbragg.store.inputs import input_names
from distbragg.store.layout import INPUTS
from distbragg.store.ledger import Receipt, TableReceipt, fold_receipts, is_disputed
from distbragg.store.maps import content_digest
from distbragg.store.metadata import check_metadata
from distbragg.store.objects import flat_index
from distbragg.store.open import open_array, reading_store
from distbragg.store.run_directory import RunDirectory
from distbragg.store.seal import Seal, metadata_digests, read_seal
from distbragg.store.spots import has_labels, is_beside_labels, labelled_unit, labels_key

Level = Literal["quick", "full", "deep"]
FileKind = Literal["foreign", "link", "input", "coordinate", "metadata"]
Kind = Literal[
    "missing", "empty", "truncated", "oversized", "swapped", "changed", "unreadable",
    "unreceipted", "disputed", "unsealed", "undecodable", "not-finite", "wrong-sum",
    "unreproduced", "labels", "map",
]  # fmt: skip
"""`missing`: a receipt (or the seal) and no object; `unreceipted`: an object and no receipt;
`unreadable`: the file system gives an error; `swapped`: the bytes of another unit; `changed`: a
flipped bit or an object of another run; `disputed`: it was rendered twice, to different bytes;
`unsealed`: not what was sealed; `unreproduced`: rendered again it comes out otherwise; `labels`:
its table of spots is not the receipted one; `map`: the object of a variant or a map is not."""

RECEIPT_KINDS = frozenset(
    {"undecodable", "not-finite", "wrong-sum", "unreproduced", "unsealed", "disputed"}
)
"""Damage of objects whose bytes a receipt states: the receipt is wrong too."""


@dataclass(frozen=True, slots=True)
class Damage:
    """A unit whose object is not what its receipt states."""

    unit: int
    problem: str
    kind: Kind = "changed"


@dataclass(frozen=True, slots=True)
class FileDamage:
    """A file of a run that is not what it should be; `name` is its key."""

    name: str
    problem: str
    kind: FileKind


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """Outcome of a verification."""

    path: Path | str
    level: Level
    units: int
    checked: int  # units with a receipt; all of a sealed run
    damaged: tuple[Damage, ...]  # whose object is not what receipt or seal state
    unreceipted: tuple[Damage, ...] = ()  # as a writer leaves them that was killed
    files: tuple[FileDamage, ...] = ()  # damage that belongs to no unit
    notes: tuple[str, ...] = ()  # what is no damage
    sealed: bool = False
    audited: tuple[int, ...] = ()  # units rendered again
    digests: Mapping[int, str] = field(default_factory=dict, repr=False)  # of sound objects

    @property
    def findings(self) -> tuple[Damage, ...]:
        """All damaged units, in order."""
        return tuple(sorted((*self.damaged, *self.unreceipted), key=lambda item: item.unit))

    @property
    def sound(self) -> bool:
        """Whether nothing is damaged."""
        return not (self.damaged or self.unreceipted or self.files)

    def to_plain(self) -> dict[str, Any]:
        """Return as JSON-able data."""
        return {
            "path": str(self.path),
            "level": self.level,
            "sound": self.sound,
            "sealed": self.sealed,
            "units": self.units,
            "checked": self.checked,
            "damaged": [asdict(item) for item in self.findings],
            "files": [asdict(item) for item in self.files],
            "notes": list(self.notes),
            "audited": list(self.audited),
        }


def verify_run(
    run: RunDirectory,
    level: Level = "full",
    on_unit: Callable[[int], None] | None = None,
    *,
    in_use: bool = False,
) -> VerifyReport:
    """Check every stored object, and call `on_unit` with each unit checked.

    `quick`: the object is there with the stated size; `full`: its bytes have the stated digest;
    `deep`: it decodes, every pixel is finite, and the pixels have the stated sum. While somebody
    is rendering (`in_use`), an object whose receipt is still to come is no damage. Metadata or a
    seal that contradict the manifest are a `DamageError`.
    """
    check_metadata(run)
    # Looked at before the receipts: an object found here has its receipt by then.
    listing = _listing(run)
    receipts = fold_receipts(run)
    seal = read_seal(run)
    checker = _Checker(run, level, receipts, listing, seal)
    settled = (unit for unit in range(run.layout.units) if run.settled(unit))
    expected: Collection[int] = sorted({*receipts, *(settled if run.lineage else ())})
    if seal is not None:
        expected = range(run.layout.units)
    damaged: list[Damage] = []
    for unit in expected:
        found = checker.check(unit)
        if found is not None:
            damaged.append(found)
        if on_unit is not None:
            on_unit(unit)
    known = {item.unit for item in damaged} | receipts.keys() | set(left_short(run, receipts))
    stored = {unit for sizes in listing.objects.values() for unit in sizes}
    orphans = () if in_use else sorted(stored - known)
    return VerifyReport(
        path=run.url,
        level=level,
        units=run.layout.units,
        checked=len(expected),
        damaged=tuple(damaged),
        unreceipted=tuple(
            Damage(unit, "it has an object and no receipt", "unreceipted") for unit in orphans
        ),
        files=(*listing.strays, *damaged_files(run, level, seal)),
        notes=tuple(_notes(run, level)),
        sealed=seal is not None,
        digests=checker.digests,
    )


@dataclass(frozen=True, slots=True)
class _Listing:
    """Sizes of objects, by array, and of tables of spots by unit; and what should not be there."""

    objects: dict[str, dict[int, int]] = field(default_factory=dict)
    tables: dict[int, int] = field(default_factory=dict)
    strays: list[FileDamage] = field(default_factory=list)


def _listing(run: RunDirectory) -> _Listing:
    """List the run once."""
    grids = {one.array: one.object_grid for one in run.arrays}
    found = _Listing(objects={name: {} for name in grids})
    odd = "is a link, a pipe or a device, which is not followed; remove it"
    labelled = has_labels(run)
    for key, entry in run.objects.names():
        if entry is None:
            found.strays.append(FileDamage(key, odd, "link"))
            continue
        name, chunk, index = key.partition("/c/")
        if chunk and name in grids:
            unit = flat_index(index, grids[name])
            if unit is None:
                found.strays.append(FileDamage(key, "is not an object of this run", "foreign"))
            else:
                found.objects[name][unit] = entry.size
        elif labelled and is_beside_labels(key):
            unit = labelled_unit(run, key)
            if unit is None:
                found.strays.append(FileDamage(key, "is not a table of this run", "foreign"))
            else:
                found.tables[unit] = entry.size
    return found


@dataclass
class _Checker:
    """Checks one unit after another against receipts and seal."""

    run: RunDirectory
    level: Level
    receipts: Mapping[int, tuple[Receipt, ...]]
    listing: _Listing
    seal: Seal | None
    digests: dict[int, str] = field(default_factory=dict)

    @cached_property
    def _array(self) -> zarr.Array[Any] | None:
        return open_array(self.run, self.run.first.array) if self.level == "deep" else None

    def check(self, unit: int) -> Damage | None:
        """Return what is wrong with a unit's object or table; None where nothing is."""
        receipts = self.receipts.get(unit, ())
        try:
            first = self.run.first
            size = self._size(self.listing.objects[first.array], unit, first.object_name(unit))
        except DamageError as error:
            return Damage(unit, f"its object cannot be read ({error})", "unreadable")
        if size is None:
            vouched = "receipt" if receipts else "seal" if self.seal else "generation"
            return Damage(unit, f"it has a {vouched}, but its object is gone", "missing")
        if not receipts:
            return Damage(unit, "it has an object and no receipt", "unreceipted")
        if is_disputed(receipts):
            places = (f"{item.digest[:12]} by {item.process}" for item in receipts)
            told = f"it was rendered twice, to different bytes ({' and '.join(places)})"
            return Damage(unit, told, "disputed")
        fits = any(receipt.size == size for receipt in receipts)
        if self.level == "quick" or not size:
            found = None if fits else _wrong_size(unit, size, receipts)
            found = found or self._check_beside(unit, receipts, {})
        else:
            found = self._check_bytes(unit, receipts)
        if found is None and has_labels(self.run):
            tables = [receipt.labels for receipt in receipts]
            problem, _ = self._look(self.listing.tables, unit, labels_key(unit), tables)
            if problem:
                self.digests.pop(unit, None)
                return Damage(unit, f"its table of spots {problem}", "labels")
        return found

    def _check_beside(
        self, unit: int, receipts: tuple[Receipt, ...], digests: dict[str, str]
    ) -> Damage | None:
        """Say what is wrong with the arrays beside; their `digests` are taken but at `quick`."""
        for one in self.run.beside:
            listed, key = self.listing.objects[one.array], one.object_name(unit)
            stated = [item.maps.get(one.array) for item in receipts if item.maps]
            problem, digests[one.array] = self._look(listed, unit, key, stated)
            if problem:
                return Damage(unit, f"its object of {one.array} {problem}", "map")
        return None

    def _look(
        self, listed: Mapping[int, int], unit: int, key: str, stated: list[TableReceipt | None]
    ) -> tuple[str, str]:
        """Return what is wrong with an object, empty where nothing is; and its digest, if taken."""
        digest = ""
        try:
            size = self._size(listed, unit, key)
            if size is not None and self.level != "quick":
                digest, size = self.run.objects.digest(key)
        except (OSError, DamageError) as error:
            return f"cannot be read ({getattr(error, 'strerror', None) or error})", ""
        if size is None:
            return "is gone", ""
        fitting = [one.digest for one in stated if one is not None and one.size == size]
        if not fitting:
            return f"has {size} bytes, which no receipt states", digest
        if digest and digest not in fitting:
            return f"has digest {digest[:12]}, which no receipt states", digest
        return "", digest

    def _size(self, listed: Mapping[int, int], unit: int, key: str) -> int | None:
        """Size of an object, which may have come since all were listed."""
        if unit in listed:
            return listed[unit]
        entry = self.run.objects.head(key)
        return None if entry is None else entry.size

    @cached_property
    def _owners(self) -> dict[str, int]:
        """Units by the digests that receipts state."""
        return {receipt.digest: unit for unit, found in self.receipts.items() for receipt in found}

    def _check_bytes(self, unit: int, receipts: tuple[Receipt, ...]) -> Damage | None:
        try:
            digest, size = self.run.objects.digest(self.run.first.object_name(unit))
        except OSError as error:
            return Damage(unit, f"its object cannot be read ({error.strerror})", "unreadable")
        if all(receipt.digest != digest for receipt in receipts):
            return self._wrong_bytes(unit, size, digest, receipts)
        beside: dict[str, str] = {}
        wrong = self._check_beside(unit, receipts, beside)
        if wrong is not None:
            return wrong
        digest, settled = content_digest(digest, beside), self.run.settled(unit)
        sealed = settled if self.seal is None else self.seal.digests[unit]
        if sealed not in (None, digest):
            by = "generation" if self.seal is None else "seal"
            problem = f"its bytes have digest {digest[:12]}, the {by} says {sealed[:12]}"
            return Damage(unit, problem, "unsealed")
        if self._array is not None:
            found = _check_pixels(self.run, unit, receipts, self._array)
            if found is not None:
                return found
        self.digests[unit] = digest
        return None

    def _wrong_bytes(
        self, unit: int, size: int, digest: str, receipts: tuple[Receipt, ...]
    ) -> Damage:
        owner = self._owners.get(digest)
        if owner is not None:
            return Damage(unit, f"its object holds the bytes of unit {owner}", "swapped")
        if all(receipt.size != size for receipt in receipts):
            return _wrong_size(unit, size, receipts)
        said = receipts[0].digest[:12]
        problem = f"its bytes have digest {digest[:12]}, the receipt says {said}"
        return Damage(unit, problem, "changed")


def _wrong_size(unit: int, size: int, receipts: tuple[Receipt, ...]) -> Damage:
    stated = receipts[0].size
    kind: Kind = "empty" if not size else "truncated" if size < stated else "oversized"
    return Damage(unit, f"its object has {size} bytes, the receipt says {stated}", kind)


def _check_pixels(
    run: RunDirectory, unit: int, receipts: tuple[Receipt, ...], array: zarr.Array[Any]
) -> Damage | None:
    """Decode a unit (chunk checksums are compared on the way) and compare its pixels."""
    layout = run.first
    try:
        stored = np.asarray(array[layout.unit_region(unit)])
    except (ValueError, OSError, RuntimeError, DamageError) as error:
        problem = f"its object does not decode ({' '.join(str(error).split())})"
        return Damage(unit, problem, "undecodable")
    if not np.isfinite(stored).all():
        return Damage(unit, "it holds pixels that are not finite", "not-finite")
    if not run.keeps_frames:
        return None  # sums are of whole frames
    # Exact over frames, as receipts state it.
    frames = stored.reshape(-1, layout.panels, *layout.shape)
    sums = (
        ("sum to", "sum", math.fsum(float(frame.sum(dtype=np.float64)) for frame in frames)),
        ("reach", "max", float(stored.max())),
    )
    for verb, name, found in sums:
        if all(getattr(receipt, name) != found for receipt in receipts):
            said = getattr(receipts[0], name)
            return Damage(
                unit, f"its pixels {verb} {found:g}, the receipt says {said}", "wrong-sum"
            )
    return None


def damaged_files(run: RunDirectory, level: Level, seal: Seal | None) -> Iterator[FileDamage]:
    """Find at `full` changed inputs and metadata, at `deep` changed coordinates too."""
    if level != "quick":
        yield from damaged_inputs(run)
        yield from _metadata(run, seal)
    if level == "deep":
        yield from _coordinates(run)


def damaged_inputs(run: RunDirectory) -> Iterator[FileDamage]:
    """Find copies of input files that are gone or changed."""
    for name in sorted(input_names(run.manifest.sweep)):
        key = INPUTS + name
        try:
            digest, _ = run.objects.digest(key)
        except OSError:
            yield FileDamage(key, "the input file is gone", "input")
            continue
        if digest != name.partition("/")[0]:
            yield FileDamage(key, "the input file was changed", "input")


def _metadata(run: RunDirectory, seal: Seal | None) -> Iterator[FileDamage]:
    for number, former in enumerate((run.manifest.parent or {}).get("former", ())):
        key = f"{GENERATIONS}/{number:04d}.json"
        if run.objects.head(key) is None or run.objects.digest(key)[0] != former["manifest"]:
            yield FileDamage(key, "is not the generation that its successor names", "metadata")
    # An extension that is being put in place has changed metadata, and keeps the seal.
    if seal is None or is_extending(run):
        return
    now = metadata_digests(run)
    for name, digest in sorted(seal.files.items()):
        if now.get(name) == digest:
            continue
        file, _, attribute = name.partition("#")
        told = f"its attribute {attribute!r} " if attribute else ""
        changed = "was changed since the run was sealed"
        gone = "existed when the run was sealed and is missing now"
        yield FileDamage(file, told + (changed if name in now else gone), "metadata")


def _coordinates(run: RunDirectory) -> Iterator[FileDamage]:
    store = reading_store(run)
    for name, variable in axis_variables(run.sweep.coordinates()).items():
        try:
            stored = np.asarray(zarr.open_array(store, path=name, mode="r", zarr_format=3)[...])
        except (ValueError, OSError, RuntimeError, KeyError, DamageError) as error:
            yield FileDamage(name, f"cannot be read ({' '.join(str(error).split())})", "coordinate")
            continue
        nan = stored.dtype.kind == variable.values.dtype.kind == "f"
        same = np.array_equal(stored, variable.values, equal_nan=nan)
        if not same and not is_extending(run):
            yield FileDamage(name, "is not the axis of the specification", "coordinate")


def _notes(run: RunDirectory, level: Level) -> Iterator[str]:
    if is_extending(run):
        yield f"an extension is being put in place; `distbragg resume {run.url}` finishes it"
    if level != "quick":
        for key in damaged_grids(run.objects):
            yield f"{key}: is damaged; it is a cache, and will be computed again"
