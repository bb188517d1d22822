"""Checking what is stored against what the receipts, and the seal where there is one, say."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray

from distbragg.errors import DamageError
from distbragg.store.held_over import held_over_units, is_held_over
from distbragg.store.home import open_images, present_objects, stored_digest, stored_size
from distbragg.store.labels import bring_labels, has_labels, labels_problem
from distbragg.store.ledger import Receipt, fold_receipts
from distbragg.store.open import check_array
from distbragg.store.run_directory import RunDirectory
from distbragg.store.seal import Seal, read_seal
from distbragg.store.verify_files import FileDamage, check_files

Level = Literal["quick", "full", "deep"]

Kind = Literal[
    "missing",
    "empty",
    "truncated",
    "oversized",
    "swapped",
    "changed",
    "unreadable",
    "unreceipted",
    "unsealed",
    "undecodable",
    "not-finite",
    "wrong-sum",
    "unreproduced",
    "labels",
]
"""`missing`: a receipt (or the seal) and no object; `unreceipted`: an object and no receipt;
`unreadable`: the file system gives an error; `swapped`: the bytes of another unit; `changed`: a
flipped bit or an object of another run; `unsealed`: not what was sealed; `unreproduced`:
rendered again it comes out otherwise; `labels`: its table of spots is not the receipted one."""

RECEIPT_KINDS = frozenset({"undecodable", "not-finite", "wrong-sum", "unreproduced", "unsealed"})
"""Damage of objects whose bytes are those receipted: the receipt is wrong too."""


@dataclass(frozen=True, slots=True)
class Damage:
    """A unit whose object is not what its receipt states."""

    unit: int
    problem: str
    kind: Kind = "changed"


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """Outcome of a verification.

    Attributes
    ----------
    path : Path
    level : {"quick", "full", "deep"}
    units : int
        Units of the run.
    checked : int
        Units with a receipt: those that should be there.
    damaged : tuple of Damage
        Units whose object is not what the receipt or the seal states.
    unreceipted : tuple of Damage
        Units with an object and no receipt, as a writer killed in between leaves them.
    files : tuple of FileDamage
        Damage that is no unit's: foreign files, changed inputs, coordinates or metadata.
    sealed : bool
        The run is sealed, and was compared with its seal.
    audited : tuple of int
        Units that were rendered again.
    digests : mapping of int to str
        Digest of every sound object; empty at level quick.
    """

    path: Path | str
    level: Level
    units: int
    checked: int
    damaged: tuple[Damage, ...]
    unreceipted: tuple[Damage, ...] = ()
    files: tuple[FileDamage, ...] = ()
    sealed: bool = False
    audited: tuple[int, ...] = ()
    digests: Mapping[int, str] = field(default_factory=dict, repr=False)

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
            "audited": list(self.audited),
        }


def verify_run(
    run: RunDirectory,
    level: Level = "full",
    on_unit: Callable[[int], None] | None = None,
    *,
    in_use: bool = False,
) -> VerifyReport:
    """Check every stored object.

    Parameters
    ----------
    run : RunDirectory
    level : {"quick", "full", "deep"}
        `quick`: the object is there with the stated size; `full`: its bytes have the stated
        digest; `deep`: it decodes, every pixel is finite, and the pixels have the stated sum.
    on_unit : callable, optional
        Called with each unit checked.
    in_use : bool
        Somebody is rendering: an object whose receipt is still to come is no damage.

    Raises
    ------
    DamageError
        The manifest, the array's metadata, the seal or the ledger contradict themselves.
    """
    rules = check_array(run).arrays
    # Looked at before the receipts: an object found here has its receipt by then.
    present = present_objects(run)
    receipts = fold_receipts(run)
    seal = read_seal(run)
    array = open_images(run, rules) if level == "deep" else None
    checker = _Checker(run, level, receipts, seal, array)
    damaged: list[Damage] = []
    settled = {unit for unit in range(run.layout.units) if run.settled(unit)} if run.lineage else ()
    expected = range(run.layout.units) if seal is not None else sorted({*receipts, *settled})
    for unit in expected:
        found = checker.check(unit)
        if found is not None:
            damaged.append(found)
        if on_unit is not None:
            on_unit(unit)
    told = {item.unit for item in damaged}
    held = {unit for unit in held_over_units(run, receipts) if is_held_over(run, unit)}
    orphans = () if in_use else sorted(present.keys() - receipts.keys() - told - held)
    return VerifyReport(
        path=run.shown,
        level=level,
        units=run.layout.units,
        checked=len(expected),
        damaged=tuple(damaged),
        unreceipted=tuple(
            Damage(unit, "it has an object and no receipt", "unreceipted") for unit in orphans
        ),
        files=check_files(run, level, seal, rules),
        sealed=seal is not None,
        digests=checker.digests,
    )


def pixel_sum(frames: NDArray[Any]) -> float:
    """Sum of stored frames (frames, …), exact over frames: what receipts state."""
    return math.fsum(float(frame.sum(dtype=np.float64)) for frame in frames)


class _Checker:
    """Checks one unit after another against receipts and seal."""

    def __init__(
        self,
        run: RunDirectory,
        level: Level,
        receipts: Mapping[int, tuple[Receipt, ...]],
        seal: Seal | None,
        array: zarr.Array[Any] | None,
    ) -> None:
        self._run = run
        self._level = level
        self._receipts = receipts
        self._seal = seal
        self._array = array
        self._labelled = has_labels(run)
        bring_labels(run)
        self._owners: dict[str, int] | None = None
        self.digests: dict[int, str] = {}

    def check(self, unit: int) -> Damage | None:
        """Return what is wrong with a unit's object; None where nothing is."""
        receipts = self._receipts.get(unit, ())
        size = stored_size(self._run, unit)
        if size < 0:
            vouched = "receipt" if receipts else "seal" if self._seal else "generation"
            return Damage(unit, f"it has a {vouched}, but its object is gone", "missing")
        if not receipts:
            return Damage(unit, "it has an object and no receipt", "unreceipted")
        fits = any(receipt.size == size for receipt in receipts)
        if self._level == "quick" or not size:
            found = None if fits else self._wrong_size(unit, size, receipts)
        else:
            found = self._check_bytes(unit, size, receipts)
        return found or self._check_labels(unit, receipts)

    def _check_labels(self, unit: int, receipts: tuple[Receipt, ...]) -> Damage | None:
        if not self._labelled:
            return None
        records = [receipt.record for receipt in receipts]
        problem = labels_problem(self._run, unit, records, digest=self._level != "quick")
        if problem:
            self.digests.pop(unit, None)
        return Damage(unit, problem, "labels") if problem else None

    def _check_bytes(self, unit: int, size: int, receipts: tuple[Receipt, ...]) -> Damage | None:
        try:
            digest = stored_digest(self._run, unit)
        except OSError as error:
            return Damage(unit, f"its object cannot be read ({error.strerror})", "unreadable")
        if all(receipt.digest != digest for receipt in receipts):
            return self._wrong_bytes(unit, size, digest, receipts)
        if self._seal is not None and self._seal.digests[unit] != digest:
            said = self._seal.digests[unit][:12]
            problem = f"its bytes have digest {digest[:12]}, the seal says {said}"
            return Damage(unit, problem, "unsealed")
        settled = self._run.settled(unit)
        if settled not in (None, digest):
            problem = f"its bytes have digest {digest[:12]}, its generation says {settled[:12]}"
            return Damage(unit, problem, "unsealed")
        found = self._pixels(unit, receipts)
        if found is None:
            self.digests[unit] = digest
        return found

    def _wrong_size(self, unit: int, size: int, receipts: tuple[Receipt, ...]) -> Damage:
        stated = receipts[0].size
        kind: Kind = "empty" if not size else "truncated" if size < stated else "oversized"
        return Damage(unit, f"its object has {size} bytes, the receipt says {stated}", kind)

    def _wrong_bytes(
        self, unit: int, size: int, digest: str, receipts: tuple[Receipt, ...]
    ) -> Damage:
        if self._owners is None:
            self._owners = {
                receipt.digest: owner for owner, all_ in self._receipts.items() for receipt in all_
            }
        owner = self._owners.get(digest)
        if owner is not None:
            return Damage(unit, f"its object holds the bytes of unit {owner}", "swapped")
        if all(receipt.size != size for receipt in receipts):
            return self._wrong_size(unit, size, receipts)
        said = receipts[0].digest[:12]
        problem = f"its bytes have digest {digest[:12]}, the receipt says {said}"
        return Damage(unit, problem, "changed")

    def _pixels(self, unit: int, receipts: tuple[Receipt, ...]) -> Damage | None:
        if self._array is None:
            return None
        return check_pixels(self._run, unit, receipts, self._array)


def check_pixels(
    run: RunDirectory, unit: int, receipts: tuple[Receipt, ...], array: zarr.Array[Any]
) -> Damage | None:
    """Decode a unit (chunk checksums are compared on the way) and compare its pixels."""
    layout = run.layout
    try:
        stored = np.asarray(array[layout.full_region(unit)])
    except (ValueError, OSError, RuntimeError, DamageError) as error:
        problem = f"its object does not decode ({' '.join(str(error).split())})"
        return Damage(unit, problem, "undecodable")
    if not np.isfinite(stored).all():
        return Damage(unit, "it holds pixels that are not finite", "not-finite")
    sums = (
        ("sum to", "sum", pixel_sum(stored.reshape(-1, layout.panels, *layout.shape))),
        ("reach", "max", float(stored.max())),
    )
    for verb, name, found in sums:
        if all(receipt.record.get(name) != found for receipt in receipts):
            said = receipts[0].record.get(name)
            return Damage(
                unit, f"its pixels {verb} {found:g}, the receipt says {said}", "wrong-sum"
            )
    return None
