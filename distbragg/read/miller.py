"""A list of reflections as every structure-factor reader returns it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.notes import Notes

MAXIMUM_BOX_POINTS: Final = 1 << 27
"""Largest box of Miller indices: 1 GiB of float64."""

MAXIMUM_INDEX: Final = 1 << 20
"""Largest Miller index of any reflection; a larger one is a damaged line."""


@dataclass(frozen=True, slots=True)
class MillerTable:
    """|F| of listed reflections of the P1 cell.

    Attributes
    ----------
    indices : (n, 3) int64
    amplitude : (n,) float64, electrons
    notes : tuple of Note
        Which column was read, what was left out or converted.
    """

    indices: NDArray[np.int64]
    amplitude: NDArray[np.float64]
    notes: Notes = ()

    @property
    def count(self) -> int:
        """Number of listed reflections."""
        return int(self.amplitude.shape[0])


def check_box(indices: NDArray[np.int64], source: str) -> None:
    """Refuse a list whose bounding box is too large to hold.

    Raises
    ------
    InputError
    """
    if indices.shape[0] == 0:
        raise InputError("the file lists no reflections", source=source)
    low = indices.min(axis=0)
    high = indices.max(axis=0)
    if max(int(high.max()), -int(low.min())) > MAXIMUM_INDEX:
        raise InputError(
            f"a Miller index exceeds {MAXIMUM_INDEX}", source=source, remedy="check for a bad line"
        )
    ranges = [int(last) - int(first) + 1 for first, last in zip(low, high, strict=True)]
    points = ranges[0] * ranges[1] * ranges[2]
    if points > MAXIMUM_BOX_POINTS:
        raise InputError(
            f"the reflections span {ranges[0]} x {ranges[1]} x {ranges[2]} indices, "
            f"more than {MAXIMUM_BOX_POINTS} grid points",
            source=source,
            remedy="check for a stray line, or cut the list at the resolution that is needed",
        )
