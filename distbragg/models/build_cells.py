"""Resolve a spread of unit cells, in keeping with the crystal system."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np

from distbragg.errors import InputError
from distbragg.matrices import covariance_root
from distbragg.models.build_mosaic import domain_count, mosaic_seed
from distbragg.models.crystal import Crystal
from distbragg.models.rotations import fold_seed
from distbragg.models.vectors import Float64Array, frozen_float64
from distbragg.spec.cell_spread import CellSpreadSpec
from distbragg.spec.crystal import Cell, MosaicSpec
from distbragg.spec.experiment import ExperimentSpec
from distbragg.units import deg_to_rad

_FIELD: Final = "crystal.cell_spread"
_NAMES: Final = ("a", "b", "c", "alpha", "beta", "gamma")
_ROUNDED: Final = 1e-4
"""By what share equal edges may differ, and angles from what symmetry makes them, rad."""

_ALIKE: Final = 1e-6

_FREE: Final[dict[str, tuple[tuple[int, ...], ...]]] = {
    "triclinic": ((0,), (1,), (2,), (3,), (4,), (5,)),
    "orthorhombic": ((0,), (1,), (2,)),
    "tetragonal": ((0, 1), (2,)),
    "hexagonal": ((0, 1), (2,)),
    "rhombohedral": ((0, 1, 2), (3, 4, 5)),
    "cubic": ((0, 1, 2),),
}
"""Numbers of the cell that vary, those together that symmetry makes one."""

_LARGEST_SPREAD: Final = 0.2
"""Of an edge, of itself, or of an angle, rad: of more, draws would soon not be a cell at all."""

_STREAM: Final = 1
"""Of the seed of mosaicity: rotations have stream 0."""


def cell_roots(spec: ExperimentSpec, crystal: Crystal) -> Float64Array | None:
    """Return `Crystal.cell_roots` (k, 6); None where all cells are alike."""
    spread = spec.crystal.cell_spread
    if not spread.given:
        return None
    if spec.physics != "exact":
        raise InputError(
            "the C program's domains have one cell", field=_FIELD, remedy="set physics: exact"
        )
    system = crystal_system_of(spec, crystal.cell)
    free = _free(system, crystal.cell)
    groups = np.zeros((len(free), 6))
    for row, places in zip(groups, free, strict=True):
        row[list(places)] = 1.0
    root = _root(spread, free, groups, system)
    # The columns of the root are independent deviates; without those that move nothing.
    rows = root.T @ groups
    rows = rows[(rows != 0.0).any(axis=1)]
    units = np.array([*(0.01 * crystal.cell[:3]), *([deg_to_rad(1.0)] * 3)])
    roots = frozen_float64(rows * units)
    if (largest := largest_spread(replace(crystal, cell_roots=roots))) > _LARGEST_SPREAD:
        raise InputError(
            f"a standard deviation of {100.0 * largest:.3g} % of an edge, or of {largest:.3g} rad "
            "of an angle, is of no crystal",
            field=_FIELD,
            remedy=f"give at most {100.0 * _LARGEST_SPREAD:g} %; lengths are in %, angles in deg",
        )
    return roots


def with_cells(crystal: Crystal, spec: MosaicSpec, frame: int) -> Crystal:
    """Return a sampled crystal with cells drawn for its domains, the first being the mean one."""
    if crystal.cell_roots is None:
        return crystal
    turns = crystal.mosaic_rotations
    if len(turns) == 1 and spec.matrices_file is None:
        turns = frozen_float64(np.tile(turns, (domain_count(spec), 1, 1)))
    seed = fold_seed(mosaic_seed(spec, frame), _STREAM)
    deviates = np.random.default_rng(seed).standard_normal((len(turns), len(crystal.cell_roots)))
    deviates[0] = 0.0
    return replace(crystal, mosaic_rotations=turns, cell_deviates=frozen_float64(deviates))


def changed_cell(spec: ExperimentSpec, cell: Cell) -> Cell:
    """Return a cell, Å and degrees, with `crystal.cell_change_percent_deg` in its own system."""
    change = spec.crystal.cell_change_percent_deg
    if change is None:
        return cell
    given = np.array([*cell[:3], *(deg_to_rad(angle) for angle in cell[3:])])
    a, b, c, alpha, beta, gamma = cell
    made = [a, b, c, alpha, beta, gamma]
    for places in _free(crystal_system_of(spec, given), given):
        by = change[places[0]]
        for place in places:
            made[place] = made[place] * (1.0 + 0.01 * by) if place < 3 else made[place] + by
    if min(made[:3]) <= 0.0:
        raise InputError(
            f"leaves no edge of {' '.join(f'{edge:g}' for edge in cell[:3])} Å",
            field="crystal.cell_change_percent_deg",
            remedy="edges change by percent: -1 is 1 % shorter",
        )
    a, b, c, alpha, beta, gamma = made
    return a, b, c, alpha, beta, gamma


def crystal_system_of(spec: ExperimentSpec, cell: Float64Array) -> str:
    """Return the crystal system: as stated, of the space group given, or by the cell's numbers."""
    stated: str = spec.crystal.cell_spread.system
    name = spec.structure_factors.space_group
    if stated == "auto":
        stated = (_system_of_group(name) if name else None) or _by_numbers(cell)
    if stated == "trigonal":
        return "rhombohedral" if _fits("rhombohedral", cell) else "hexagonal"
    return stated


def _system_of_group(name: str) -> str | None:
    from distbragg.read.groups import crystal_system  # which loads gemmi

    return crystal_system(name)


def largest_spread(crystal: Crystal) -> float:
    """Return the largest standard deviation: of an edge, of itself, or of an angle, rad."""
    if crystal.cell_roots is None:
        return 0.0
    sizes = np.sqrt((crystal.cell_roots**2).sum(axis=0))
    return float((sizes / np.array([*crystal.cell[:3], 1.0, 1.0, 1.0])).max())


def _by_numbers(cell: Float64Array) -> str:
    for system in ("cubic", "hexagonal", "rhombohedral", "tetragonal", "orthorhombic"):
        if _fits(system, cell):
            return system
    right = [abs(angle - math.pi / 2.0) <= _ROUNDED for angle in cell[3:].tolist()]
    return "monoclinic" if sum(right) == 2 else "triclinic"


def _fits(system: str, cell: Float64Array) -> bool:
    """Whether the numbers of a cell are what a system makes them."""
    edges, angles = cell[:3], cell[3:]
    if system == "monoclinic":
        return int((abs(angles - math.pi / 2.0) <= _ROUNDED).sum()) >= 2
    if system == "rhombohedral":
        right = bool(np.ptp(angles) <= _ROUNDED)
    else:
        fixed = np.full(3, math.pi / 2.0)
        fixed[2] *= 4.0 / 3.0 if system == "hexagonal" else 1.0
        right = system == "triclinic" or bool((abs(angles - fixed) <= _ROUNDED).all())
    alike = [np.ptp(edges[list(group)]) for group in _FREE[system] if max(group) < 3]
    return right and bool(max(alike) <= _ROUNDED * float(edges.max()))


def _free(system: str, cell: Float64Array) -> tuple[tuple[int, ...], ...]:
    if not _fits(system, cell):
        numbers = " ".join(f"{part:g}" for part in (*cell[:3], *np.degrees(cell[3:])))
        raise InputError(
            f"the cell {numbers} is not {system}",
            field=f"{_FIELD}.system",
            remedy="correct the cell, or give the system that it has",
        )
    if system == "monoclinic":
        # The angle that is not right; beta where all are.
        oblique = int(np.argmax(abs(cell[3:] - math.pi / 2.0)))
        right = bool((abs(cell[3:] - math.pi / 2.0) <= _ROUNDED).all())
        return ((0,), (1,), (2,), (4 if right else 3 + oblique,))
    return _FREE[system]


def _root(
    spread: CellSpreadSpec, free: tuple[tuple[int, ...], ...], groups: Float64Array, system: str
) -> Float64Array:
    """Return the root of the covariance of what is free, (free, free), in percent and degrees."""
    if spread.covariance_percent_deg is not None:
        given = np.array(spread.covariance_percent_deg)
        given = 0.5 * (given + given.T)
        first = [places[0] for places in free]
        own = given[np.ix_(first, first)]
        if np.abs(groups.T @ own @ groups - given).max() > _ALIKE * np.abs(given).max():
            _refuse("covariance_percent_deg", "breaks the symmetry", system, free)
        return covariance_root(own)
    lengths, angles = spread.lengths_percent or 0.0, spread.angles_deg or 0.0
    vary = {place for places in free for place in places}
    if not isinstance(angles, tuple):
        if angles and not any(place > 2 for place in vary):
            _refuse("angles_deg", "all angles are fixed", system, free)
        angles = (
            angles if 3 in vary else 0.0,
            angles if 4 in vary else 0.0,
            angles if 5 in vary else 0.0,
        )
    six = (*(lengths if isinstance(lengths, tuple) else (lengths,) * 3), *angles)
    for place in range(6):
        if six[place] and place not in vary:
            _refuse("angles_deg", f"{_NAMES[place]} is fixed", system, free)
    for places in free:
        if len({six[place] for place in places}) > 1:
            field = "lengths_percent" if places[0] < 3 else "angles_deg"
            names = " and ".join(_NAMES[place] for place in places)
            _refuse(field, f"{names} are one number", system, free)
    return np.diag([six[places[0]] for places in free])


def _refuse(field: str, problem: str, system: str, free: tuple[tuple[int, ...], ...]) -> None:
    names = ", ".join(" = ".join(_NAMES[place] for place in places) for places in free)
    raise InputError(
        f"{problem} of a {system} crystal",
        field=f"{_FIELD}.{field}",
        remedy=f"free are {names}; or state another crystal.cell_spread.system",
    )
