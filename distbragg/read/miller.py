"""A list of reflections as every structure-factor reader returns it, and what is asked of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from numpy.typing import NDArray

from distbragg.notes import Notes
from distbragg.read.text import Reading

if TYPE_CHECKING:
    from distbragg.read.groups import Group

MAXIMUM_BOX_POINTS: Final = 1 << 27  # largest box of Miller indices: 1 GiB of float64
MAXIMUM_INDEX: Final = 1 << 20
"""Largest Miller index of any reflection; a larger one is a damaged line."""

IntensityRule = Literal["refuse", "root"]  # whether |F| may be the root of an intensity


@dataclass(frozen=True, slots=True)
class Asked:
    """Options of `read_structure_factors`; its `group` rules over what a list says."""

    column: str | None = None
    dmin: float | None = None
    intensities: IntensityRule = "refuse"
    group: Group | None = None
    bulk_solvent: bool = True
    solvent_k: float = 0.35
    solvent_b: float = 46.0
    wavelength: float | None = None


NOTHING_ASKED: Final = Asked()


@dataclass(frozen=True, slots=True)
class MillerTable:
    """|F| (n,) float64, electrons, of listed reflections (n, 3) int64 of the P1 cell."""

    indices: NDArray[np.int64]
    amplitude: NDArray[np.float64]
    notes: Notes = ()

    @property
    def count(self) -> int:
        """Number of listed reflections."""
        return int(self.amplitude.shape[0])


def check_box(indices: NDArray[np.int64], file: Reading) -> None:
    """Refuse a list whose bounding box is too large to hold."""
    if indices.shape[0] == 0:
        raise file.refusal("the file lists no reflections")
    low, high = indices.min(axis=0), indices.max(axis=0)
    if max(int(high.max()), -int(low.min())) > MAXIMUM_INDEX:
        raise file.refusal(f"a Miller index exceeds {MAXIMUM_INDEX}", "check for a bad line")
    first, second, third = (high - low + 1).tolist()
    if first * second * third > MAXIMUM_BOX_POINTS:
        raise file.refusal(
            f"the reflections span {first} x {second} x {third} indices, "
            f"more than {MAXIMUM_BOX_POINTS} grid points",
            "check for a stray line, or cut the list at the resolution that is needed",
        )


def repeated(indices: NDArray[np.int64]) -> int:
    """Count the reflections that a list (n, 3) gives more than once."""
    if not indices.size:
        return 0
    low = indices.min(axis=0)
    shape = indices.max(axis=0) - low + 1
    keys = ((indices - low) * [shape[1] * shape[2], shape[2], 1]).sum(axis=1)
    _, counts = np.unique(keys, return_counts=True)
    return int((counts > 1).sum())


def whole_indices(values: NDArray[np.float64], file: Reading) -> NDArray[np.int64]:
    """Return Miller indices (n, 3) that came as numbers."""
    if not np.isfinite(values).all() or (values != np.rint(values)).any():
        raise file.refusal("a Miller index is not a whole number")
    if values.size and np.abs(values).max() > MAXIMUM_INDEX:
        raise file.refusal("a Miller index is out of range")
    return values.astype(np.int64)
