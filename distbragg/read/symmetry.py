"""Expansion of merged reflections to the whole sphere of the P1 cell."""

from __future__ import annotations

from typing import Final

import gemmi
import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.read.miller import MAXIMUM_INDEX, MillerTable, check_box

MAXIMUM_LISTED: Final = 50_000_000

CellSix = tuple[float, float, float, float, float, float]


def cell_six(cell: gemmi.UnitCell, source: str) -> CellSix:
    """Return a unit cell (Å, degrees).

    Raises
    ------
    InputError
        The file names no crystal's cell.
    """
    values = tuple(float(value) for value in cell.parameters)
    if not all(np.isfinite(values)) or not cell.is_crystal() or cell.volume <= 0.0:
        raise InputError(
            "the file names no unit cell of a crystal",
            source=source,
            remedy="give a crystal structure, or crystal.cell with a text list",
        )
    a, b, c, alpha, beta, gamma = values
    return a, b, c, alpha, beta, gamma


def expand_to_p1(
    indices: NDArray[np.int64],
    amplitude: NDArray[np.float64],
    spacegroup: gemmi.SpaceGroup,
    source: str,
) -> MillerTable:
    """Expand by the rotations of a space group and by Friedel's law.

    Where two listed reflections are equivalent their amplitudes are averaged.

    Parameters
    ----------
    indices : (n, 3) int64
    amplitude : (n,) float64

    Raises
    ------
    InputError
        Too many reflections, or indices out of bounds.
    """
    operations = [np.array(op.rot, dtype=np.int64) for op in spacegroup.operations().sym_ops]
    if indices.shape[0] * len(operations) * 2 > MAXIMUM_LISTED:
        raise InputError(f"more than {MAXIMUM_LISTED} reflections in P1", source=source)
    if indices.shape[0] and int(np.abs(indices).max()) > MAXIMUM_INDEX:
        raise InputError(f"a Miller index exceeds {MAXIMUM_INDEX}", source=source)
    denominator = int(gemmi.Op.DEN)
    images = [(indices @ rotation) // denominator for rotation in operations]
    every = np.concatenate([*images, *(-image for image in images)])
    values = np.tile(amplitude, 2 * len(operations))
    check_box(every, source)
    unique, inverse = np.unique(every, axis=0, return_inverse=True)
    flat = inverse.reshape(-1)
    sums = np.bincount(flat, weights=values, minlength=unique.shape[0])
    counts = np.bincount(flat, minlength=unique.shape[0])
    return MillerTable(unique.astype(np.int64), sums / counts)


def listed_amplitudes(
    indices: NDArray[np.int64],
    amplitude: NDArray[np.float64],
    *,
    cell: gemmi.UnitCell,
    spacegroup: gemmi.SpaceGroup | None,
    dmin: float | None,
    source: str,
) -> MillerTable:
    """Check a merged list, cut it at `dmin` (Å) and expand it; NaN means not measured.

    Raises
    ------
    InputError
        No usable reflection, a negative or infinite amplitude, no space group.
    """
    if spacegroup is None:
        raise InputError("the file names no known space group", source=source)
    present = ~np.isnan(amplitude)
    indices, amplitude = indices[present], amplitude[present]
    if (amplitude < 0.0).any() or np.isinf(amplitude).any():
        raise InputError(
            "an amplitude is negative or infinite",
            source=source,
            remedy="choose a column of amplitudes with structure_factors.column",
        )
    if dmin is not None:
        keep = inverse_d_squared(indices, cell) <= 1.0 / (dmin * dmin)
        indices, amplitude = indices[keep], amplitude[keep]
    if indices.shape[0] == 0:
        raise InputError("no reflection with an amplitude", source=source)
    return expand_to_p1(indices, amplitude, spacegroup, source)


def inverse_d_squared(indices: NDArray[np.int64], cell: gemmi.UnitCell) -> NDArray[np.float64]:
    """1/d² (1/Å²) of Miller indices (n, 3)."""
    fractional = np.array(cell.frac.mat.tolist(), dtype=np.float64)
    # A damaged cell overflows to values that no resolution keeps.
    with np.errstate(all="ignore"):
        star = indices.astype(np.float64) @ fractional
        return np.asarray((star * star).sum(axis=1))
