"""Expansion of merged reflections to the whole sphere of the P1 cell."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import gemmi
import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.matrices import apply3, transposed
from distbragg.notes import Note, Notes
from distbragg.read.groups import Group, operations_of, symbol_of
from distbragg.read.miller import MAXIMUM_INDEX, MillerTable, check_box

MAXIMUM_LISTED: Final = 50_000_000

_FULL_BOX: Final = 8
"""Up to this many points of the box per image, counting into it beats sorting."""

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
            "the file names no unit cell of a crystal (a cell of 1 1 1 stands for none)",
            source=source,
            remedy="write the cell into the file, or give crystal.cell with a text list",
        )
    a, b, c, alpha, beta, gamma = values
    return a, b, c, alpha, beta, gamma


def expand_to_p1(
    indices: NDArray[np.int64],
    amplitude: NDArray[np.float64],
    group: Group,
    source: str,
    *,
    mates: NDArray[np.float64] | None = None,
    listed_mates: bool = False,
) -> MillerTable:
    """Expand by the rotations of a group, and by Friedel's law or with the mates given.

    Where two listed reflections are equivalent their amplitudes are averaged.

    Parameters
    ----------
    indices : (n, 3) int64
    amplitude : (n,) float64
    mates : (n,) float64, optional
        |F(−h −k −l)| of each, where it differs from |F(h k l)|; NaN in either means not
        measured, and the other stands for both.
    listed_mates : bool
        Where (h k l) and (−h −k −l) are both listed and no rotation takes one to the other, each
        keeps its own amplitude; else they are averaged.

    Raises
    ------
    InputError
        Too many reflections, or indices out of bounds.
    """
    denominator = int(gemmi.Op.DEN)
    rotations = [
        np.array(op.rot, dtype=np.int64) // denominator for op in operations_of(group).sym_ops
    ]
    if indices.shape[0] * len(rotations) * 2 > MAXIMUM_LISTED:
        raise InputError(f"more than {MAXIMUM_LISTED} reflections in P1", source=source)
    if indices.shape[0] and int(np.abs(indices).max()) > MAXIMUM_INDEX:
        raise InputError(f"a Miller index exceeds {MAXIMUM_INDEX}", source=source)
    images = [*rotations, *(-rotation for rotation in rotations)]
    if mates is None and listed_mates:
        whole = _averaged(indices, rotations, np.tile(amplitude, len(rotations)), source)
        return _with_mates(whole)
    if mates is None:
        values = np.tile(amplitude, len(images))
    else:
        plus = np.where(np.isnan(amplitude), mates, amplitude)
        minus = np.where(np.isnan(mates), amplitude, mates)
        values = np.concatenate([np.tile(plus, len(rotations)), np.tile(minus, len(rotations))])
    return _averaged(indices, images, values, source)


def _with_mates(table: MillerTable) -> MillerTable:
    """Add (−h −k −l) of every (h k l) whose mate is not listed, with the same amplitude."""
    extent = np.abs(table.indices).max(axis=0)
    shape = 2 * extent + 1
    strides = np.array([shape[1] * shape[2], shape[2], 1], dtype=np.int64)
    places = (table.indices + extent) @ strides
    opposite = (extent - table.indices) @ strides
    # The places ascend, as `_averaged` leaves them.
    nearest = np.minimum(np.searchsorted(places, opposite), places.shape[0] - 1)
    alone = places[nearest] != opposite
    if not alone.any():
        return table
    keys = np.concatenate([places, opposite[alone]])
    order = np.argsort(keys)
    return MillerTable(
        _unravel(keys[order], extent),
        np.concatenate([table.amplitude, table.amplitude[alone]])[order],
    )


def _averaged(
    indices: NDArray[np.int64],
    rotations: list[NDArray[np.int64]],
    values: NDArray[np.float64],
    source: str,
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
    check_box(np.stack([-extent, extent]) if indices.shape[0] else indices, source)
    shape = 2 * extent + 1
    strides = np.array([shape[1] * shape[2], shape[2], 1], dtype=np.int64)
    centre = int(extent @ strides)
    keys = np.empty(len(rotations) * indices.shape[0], dtype=np.int64)
    for part, rotation in zip(np.split(keys, len(rotations)), rotations, strict=True):
        np.matmul(indices, rotation @ strides, out=part)
    keys += centre
    points = int(shape.prod())
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
    *,
    cell: gemmi.UnitCell | None,
    group: Group | None,
    dmin: float | None,
    source: str,
    mates: NDArray[np.float64] | None = None,
    notes: Notes = (),
) -> MillerTable:
    """Check a merged list, cut it at `dmin` (Å) and expand it; NaN means not measured.

    `mates` (n,) are |F(−h −k −l)| of a list of anomalous pairs. Mates that are listed as
    reflections of their own keep their own amplitudes. Without a cell nothing is cut.

    Raises
    ------
    InputError
        No usable reflection, a negative or infinite amplitude, no space group.
    """
    if group is None:
        raise InputError(
            "the file names no known space group",
            source=source,
            remedy="give structure_factors.space_group",
        )
    both = amplitude[:, None] if mates is None else np.stack([amplitude, mates], axis=1)
    keep = ~np.isnan(both).all(axis=1)
    if (both < 0.0).any() or np.isinf(both).any():
        raise InputError(
            "an amplitude is negative or infinite",
            source=source,
            remedy="choose a column of amplitudes with structure_factors.column",
        )
    missing = int((~keep).sum())
    if missing:
        notes += (Note("note", source, f"{missing} of {keep.shape[0]} reflections have no value"),)
    if dmin is not None and cell is not None:
        keep &= inverse_d_squared(indices, cell) <= 1.0 / (dmin * dmin)
    indices, both = indices[keep], both[keep]
    if indices.shape[0] == 0:
        raise InputError("no reflection with an amplitude", source=source)
    notes += _absence_notes(indices, both, group, source)
    table = expand_to_p1(
        indices,
        both[:, 0],
        group,
        source,
        mates=None if mates is None else both[:, 1],
        listed_mates=True,
    )
    return replace(table, notes=(*notes, *metric_notes(cell, group, source)))


def _absence_notes(
    indices: NDArray[np.int64], amplitude: NDArray[np.float64], group: Group, source: str
) -> Notes:
    """Warn of reflections that the group forbids and the list gives an amplitude."""
    forbidden = operations_of(group).systematic_absences(indices.astype(np.int32))
    found = int((np.asarray(forbidden) & (amplitude > 0.0).any(axis=1)).sum())
    if not found:
        return ()
    text = f"{found} reflections that {symbol_of(group)} forbids are listed, and kept as they are"
    return (Note("warning", source, text),)


def metric_notes(cell: gemmi.UnitCell | None, group: Group, source: str) -> Notes:
    """Warn of a cell that its space group does not allow."""
    if cell is None or not isinstance(group, gemmi.SpaceGroup):
        return ()
    if cell.is_compatible_with_spacegroup(group):
        return ()
    text = f"the cell does not have the symmetry of {symbol_of(group)}: is the setting right?"
    return (Note("warning", source, text),)


def inverse_d_squared(indices: NDArray[np.int64], cell: gemmi.UnitCell) -> NDArray[np.float64]:
    """1/d² (1/Å²) of Miller indices (n, 3)."""
    fractional = np.array(cell.frac.mat.tolist(), dtype=np.float64)
    # A damaged cell overflows to values that no resolution keeps.
    with np.errstate(all="ignore"):
        star = apply3(transposed(fractional), indices)
        return np.asarray((star * star).sum(axis=1))
