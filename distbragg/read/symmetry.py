"""Expansion of merged reflections to the whole sphere of the P1 cell."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import gemmi
import numpy as np
from numpy.typing import NDArray

from distbragg.matrices import apply3, transposed
from distbragg.read.groups import Group, operations_of, symbol_of
from distbragg.read.miller import MillerTable, check_box
from distbragg.read.text import Reading

MAXIMUM_LISTED: Final = 50_000_000

_FULL_BOX: Final = 8  # up to this many points of the box per image, counting into it beats sorting
CellSix = tuple[float, float, float, float, float, float]


def cell_six(cell: gemmi.UnitCell, file: Reading) -> CellSix:
    """Return a unit cell (Å, degrees)."""
    a, b, c, alpha, beta, gamma = (float(value) for value in cell.parameters)
    finite = np.isfinite([a, b, c, alpha, beta, gamma]).all()
    if not finite or not cell.is_crystal() or cell.volume <= 0.0:
        raise file.refusal(
            "the file names no unit cell of a crystal (a cell of 1 1 1 stands for none)",
            "write the cell into the file, or give crystal.cell with a text list",
        )
    return a, b, c, alpha, beta, gamma


def expand_to_p1(
    indices: NDArray[np.int64],
    amplitude: NDArray[np.float64],
    group: Group,
    file: Reading,
    *,
    mates: NDArray[np.float64] | None = None,
    listed_mates: bool = False,
) -> MillerTable:
    """Expand by the rotations of a group, and by Friedel's law or with the mates given.

    Where two listed reflections (n, 3) are equivalent their amplitudes (n,) are averaged. `mates`
    (n,) are |F(−h −k −l)|; NaN in either means not measured, and the other stands for both. With
    `listed_mates` (h k l) and (−h −k −l) that are both listed keep their own amplitudes where no
    rotation takes one to the other.
    """
    denominator = int(gemmi.Op.DEN)
    rotations = [
        np.array(op.rot, dtype=np.int64) // denominator for op in operations_of(group).sym_ops
    ]
    if indices.shape[0] * len(rotations) * 2 > MAXIMUM_LISTED:
        raise file.refusal(f"more than {MAXIMUM_LISTED} reflections in P1")
    images = [*rotations, *(-rotation for rotation in rotations)]
    if mates is None and listed_mates:
        whole = _averaged(indices, rotations, np.tile(amplitude, len(rotations)), file)
        # (−h −k −l) of every (h k l) whose mate is not listed has the same amplitude.
        both = np.concatenate([whole.indices, -whole.indices])
        _, first = np.unique(both @ _strides(np.abs(both).max(axis=0)), return_index=True)
        return MillerTable(both[first], np.tile(whole.amplitude, 2)[first])
    mates = amplitude if mates is None else mates
    plus = np.where(np.isnan(amplitude), mates, amplitude)
    minus = np.where(np.isnan(mates), amplitude, mates)
    values = np.concatenate([np.tile(plus, len(rotations)), np.tile(minus, len(rotations))])
    return _averaged(indices, images, values, file)


def _strides(extent: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return what turns indices into places in the box that reaches from −extent to extent."""
    shape = 2 * extent + 1
    return np.array([shape[1] * shape[2], shape[2], 1], dtype=np.int64)


def _averaged(
    indices: NDArray[np.int64],
    rotations: list[NDArray[np.int64]],
    values: NDArray[np.float64],
    file: Reading,
) -> MillerTable:
    """Apply every rotation to every index; `values` (rotations · n,) average where images meet.

    An index is one whole number, its place in the bounding box, so that equal ones are found
    by counting (a full box) or by sorting numbers (a sparse one), never by comparing rows.
    """
    extent = np.zeros(3, dtype=np.int64)
    for rotation in rotations:
        image = indices @ rotation
        if image.shape[0]:
            extent = np.maximum(extent, np.abs(image).max(axis=0))
    # Friedel's law makes the box symmetric about 0.
    check_box(np.stack([-extent, extent]) if indices.shape[0] else indices, file)
    strides = _strides(extent)
    keys = np.empty(len(rotations) * indices.shape[0], dtype=np.int64)
    for part, rotation in zip(np.split(keys, len(rotations)), rotations, strict=True):
        np.matmul(indices, rotation @ strides, out=part)
    keys += int(extent @ strides)
    points = int((2 * extent + 1).prod())
    if points <= _FULL_BOX * keys.shape[0]:
        counts = np.bincount(keys, minlength=points)
        found = np.flatnonzero(counts != 0)
        sums = np.bincount(keys, weights=values, minlength=points)[found]
        counts = counts[found]
    else:
        found, inverse = np.unique(keys, return_inverse=True)
        sums = np.bincount(inverse, weights=values, minlength=found.shape[0])
        counts = np.bincount(inverse, minlength=found.shape[0])
    return MillerTable(_unravel(found, extent), sums / counts)


def _unravel(keys: NDArray[np.int64], extent: NDArray[np.int64]) -> NDArray[np.int64]:
    """Miller indices (n, 3) of places in the box that reaches from −extent to extent."""
    shape = [int(2 * limit + 1) for limit in extent]
    # Division by one 32-bit number is several times faster than divmod or unravel_index.
    last = keys.astype(np.int32)
    rows = last // np.int32(shape[2])
    last -= rows * np.int32(shape[2])
    first = rows // np.int32(shape[1])
    rows -= first * np.int32(shape[1])
    indices = np.empty((keys.shape[0], 3), dtype=np.int64)
    for axis, column in enumerate((first, rows, last)):
        np.subtract(column, extent[axis], out=indices[:, axis])
    return indices


def listed_amplitudes(
    indices: NDArray[np.int64],
    amplitude: NDArray[np.float64],
    group: Group | None,
    file: Reading,
    *,
    cell: gemmi.UnitCell | None = None,
    dmin: float | None = None,
    mates: NDArray[np.float64] | None = None,
) -> MillerTable:
    """Check a merged list, cut it at `dmin` (Å) and expand it; NaN means not measured.

    `mates` (n,) are |F(−h −k −l)| of a list of anomalous pairs. Mates that are listed as
    reflections of their own keep their own amplitudes. Without a cell nothing is cut.
    """
    if group is None:
        raise file.refusal(
            "the file names no known space group", "give structure_factors.space_group"
        )
    both = amplitude[:, None] if mates is None else np.stack([amplitude, mates], axis=1)
    keep = ~np.isnan(both).all(axis=1)
    if (both < 0.0).any() or np.isinf(both).any():
        raise file.refusal(
            "an amplitude is negative or infinite",
            "choose a column of amplitudes with structure_factors.column",
        )
    missing = int((~keep).sum())
    if missing:
        file.note(f"{missing} of {keep.shape[0]} reflections have no value")
    if dmin is not None and cell is not None:
        keep &= inverse_d_squared(indices, cell) <= 1.0 / (dmin * dmin)
    indices, both = indices[keep], both[keep]
    if indices.shape[0] == 0:
        raise file.refusal("no reflection with an amplitude")
    forbidden = operations_of(group).systematic_absences(indices.astype(np.int32))
    found = int((np.asarray(forbidden) & (both > 0.0).any(axis=1)).sum())
    if found:
        name = symbol_of(group)
        file.warn(f"{found} reflections that {name} forbids are listed, and kept as they are")
    mates = None if mates is None else both[:, 1]
    table = expand_to_p1(indices, both[:, 0], group, file, mates=mates, listed_mates=True)
    warn_of_metric(cell, group, file)
    return replace(table, notes=tuple(file.notes))


def warn_of_metric(cell: gemmi.UnitCell | None, group: Group, file: Reading) -> None:
    """Warn of a cell that its space group does not allow."""
    if cell is None or not isinstance(group, gemmi.SpaceGroup):
        return
    if not cell.is_compatible_with_spacegroup(group):
        name = symbol_of(group)
        file.warn(f"the cell does not have the symmetry of {name}: is the setting right?")


def inverse_d_squared(indices: NDArray[np.int64], cell: gemmi.UnitCell) -> NDArray[np.float64]:
    """1/d² (1/Å²) of Miller indices (n, 3)."""
    fractional = np.array(cell.frac.mat.tolist(), dtype=np.float64)
    # A damaged cell overflows to values that no resolution keeps.
    with np.errstate(all="ignore"):
        star = apply3(transposed(fractional), indices)
        return np.asarray((star * star).sum(axis=1))
