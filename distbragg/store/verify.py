"""Checking what is stored against what the receipts say."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray

from distbragg.store.array import open_reader
from distbragg.store.files import sha256_file
from distbragg.store.ledger import Receipt, fold_receipts
from distbragg.store.open import check_array
from distbragg.store.run_directory import RunDirectory
from distbragg.store.scan import object_size

Level = Literal["quick", "full", "deep"]


@dataclass(frozen=True, slots=True)
class Damage:
    """A unit whose object is not what its receipt states."""

    unit: int
    problem: str


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
    """

    path: Path
    level: Level
    units: int
    checked: int
    damaged: tuple[Damage, ...]


def verify_run(
    run: RunDirectory, level: Level = "full", on_unit: Callable[[int], None] | None = None
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

    Raises
    ------
    DamageError
        The manifest, the array's metadata or the ledger contradict themselves.
    """
    check_array(run)
    array = open_reader(run.path) if level == "deep" else None
    damaged: list[Damage] = []
    receipts = sorted(fold_receipts(run).items())
    for unit, of_unit in receipts:
        problem = _check_object(run.object_path(unit), of_unit, level)
        if not problem and array is not None:
            problem = _check_pixels(run, unit, of_unit, array)
        if problem:
            damaged.append(Damage(unit, problem))
        if on_unit is not None:
            on_unit(unit)
    return VerifyReport(run.path, level, run.layout.units, len(receipts), tuple(damaged))


def remove_damaged(run: RunDirectory, damaged: Iterable[Damage]) -> None:
    """Remove damaged objects, so that resuming the run renders them again."""
    for item in damaged:
        run.object_path(item.unit).unlink(missing_ok=True)


def pixel_sum(frames: NDArray[Any]) -> float:
    """Sum of stored frames (frames, …), exact over frames: what receipts state."""
    return math.fsum(float(frame.sum(dtype=np.float64)) for frame in frames)


def _check_object(path: Path, receipts: tuple[Receipt, ...], level: Level) -> str:
    """Return what is wrong with an object; empty where nothing is."""
    size = object_size(path)
    if size < 0:
        return "its object is gone"
    if all(receipt.size != size for receipt in receipts):
        return f"its object has {size} bytes, the receipt says {receipts[0].size}"
    if level == "quick":
        return ""
    digest, _ = sha256_file(path)
    if all(receipt.digest != digest for receipt in receipts):
        return f"its bytes have digest {digest[:12]}, the receipt says {receipts[0].digest[:12]}"
    return ""


def _check_pixels(
    run: RunDirectory, unit: int, receipts: tuple[Receipt, ...], array: zarr.Array[Any]
) -> str:
    layout = run.layout
    try:
        stored = np.asarray(array[layout.full_region(unit)])
    except (ValueError, OSError, RuntimeError) as error:
        return f"its object does not decode ({' '.join(str(error).split())})"
    if not np.isfinite(stored).all():
        return "it holds pixels that are not finite"
    found = pixel_sum(stored.reshape(layout.frame_count(unit), layout.panels, *layout.shape))
    if all(receipt.record.get("sum") != found for receipt in receipts):
        return f"its pixels sum to {found:g}, the receipt says {receipts[0].record.get('sum')}"
    return ""
