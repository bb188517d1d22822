"""Resolve the crystal: lattice vectors, size, form of its spots, mosaic domains and spindle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from distbragg.constants import DEFAULT_MOSAIC_SEED
from distbragg.errors import InputError
from distbragg.models.build_beam import beam_size_m
from distbragg.models.build_cells import cell_roots, changed_cell
from distbragg.models.build_diffuse import build_diffuse
from distbragg.models.build_mosaic import (
    cap_rotations,
    mosaic_covariance,
    mosaic_frame,
    mosaic_spread,
)
from distbragg.models.build_sizes import check_sizes
from distbragg.models.crystal import Crystal, unit_cells
from distbragg.models.illuminated import illuminated_blocks
from distbragg.models.origins import Kind, asked, tell
from distbragg.models.rotations import (
    Ran1,
    given_orientation,
    kappa_setting,
    orientation_of,
    random_misset,
    uniform_rotation,
)
from distbragg.models.setting import HeaderValues, Resolved, Setting
from distbragg.models.steps import exact_steps, resolve_phi
from distbragg.models.vectors import (
    Float64Array,
    Number,
    Physics,
    Triad,
    cell_of,
    cell_parameters,
    components,
    cross,
    direction_of,
    dot,
    dual,
    frozen_float64,
    lattice,
    measured_cell,
    norm,
    rotate_xyz,
    rotated,
    scale,
    standard_reciprocal,
)
from distbragg.read.structure_factors import file_cell
from distbragg.read.table import read_matrix
from distbragg.shapes import SHAPES, SpotShape
from distbragg.spec.base import MAXIMUM_SEED
from distbragg.spec.beam import BeamSpec
from distbragg.spec.cell_spread import CellSpreadSpec
from distbragg.spec.crystal import ORIENTATIONS, CrystalSpec
from distbragg.spec.experiment import ExperimentSpec, GoniometerSpec
from distbragg.units import METRES_PER_ANGSTROM, angstrom_to_m, deg_to_rad, mm_to_m

_PHI_FIELDS: Final = ("goniometer.oscillation_deg", "goniometer.step_deg", "goniometer.steps")
_ROUNDING_NOISE: Final = 1e-12
_OF_A_MISS: Final = (100.0, 100.0, 100.0, 90.0, 90.0, 90.0)
"""A cell where there is no crystal to have one: nothing depends on it."""

_ALIKE: Final = CellSpreadSpec()  # all cells are
_PROGRAM_START: Final = Ran1(DEFAULT_MOSAIC_SEED)  # the generator as the C program starts with it


def build_crystal(
    spec: ExperimentSpec,
    setting: Setting,
    wavelength: float,
    frame: int,
    like: Resolved | None = None,
    *,
    turn: Float64Array | None = None,
) -> Crystal:
    """Resolve the crystal of one frame, without domains drawn from a normal distribution.

    `wavelength`: nominal, Å: an orientation matrix is divided by it. `frame`: enters the seed of
    mosaic domains that are drawn per frame. `like`: another frame, whose mosaicity is taken over
    where it is the same. `turn`: rotation in the laboratory, of a lattice against the crystal's
    orientation.
    """
    physics, shape, fudge = spec.physics, spec.crystal.shape, spec.crystal.fudge
    rule, headers = setting.rule, setting.headers
    _check_shape(shape, physics, spec.crystal.block_cells)
    _check_matrix(spec.crystal, physics)
    if spec.crystal.size_spread_fraction > 0.0:
        check_sizes(physics)
    generator = _PROGRAM_START.fork()
    if asked() is not None:
        own = spec.goniometer.spindle_axis is not None
        tell("goniometer.spindle_axis", "given" if own else "convention", "" if own else "spindle")
    spindle = direction_of(spec.goniometer.spindle_axis or rule.spindle, "goniometer.spindle_axis")
    beam = direction_of(spec.beam.direction or rule.beam, "beam.direction")
    real, reciprocal = _oriented_lattice(spec, headers, wavelength, generator)
    if spec.goniometer.kappa is not None:
        at_rest, spindle = kappa_setting(spec.goniometer.kappa, spindle, beam)
        real, reciprocal = rotated(at_rest, real), rotated(at_rest, reciprocal)
    if turn is not None:
        real, reciprocal = rotated(turn, real), rotated(turn, reciprocal)
    mosaic = spec.crystal.mosaic
    cells = _cells(spec.crystal, spec.beam, real, physics)
    form, scale = spot_form(shape, physics, fudge, cells, reciprocal), _scale(spec, cells, real)
    phi, oscillation = spindle_angles(spec.goniometer, headers, physics)
    # One spread is the same about all axes.
    axes = mosaic.axes if isinstance(mosaic.spread_deg, tuple) else "crystal"
    same = like is not None and physics == like.spec.physics and mosaic is like.spec.crystal.mosaic
    if like is not None and like.experiment.crystal.scale == 0.0:
        same = False  # a miss has no domains
    if like is not None and like.experiment.crystal.cell_deviates is not None:
        same = False  # it has domains for its cells
    if like is not None and same and mosaic.distribution == "cap" and not mosaic.per_frame:
        known = like.experiment.crystal
        spread, domains = known.mosaic_spread, known.mosaic_rotations
        covariance = known.mosaic_covariance
    else:
        spread = mosaic_spread(mosaic, physics)
        about = mosaic_frame(axes, (real, reciprocal), spindle, oscillation)
        covariance = frozen_float64(mosaic_covariance(mosaic, about))
        domains = cap_rotations(mosaic, spread, frame, generator)
    crystal = Crystal(
        real_space=frozen_float64(real),
        reciprocal=frozen_float64(reciprocal),
        cell=frozen_float64(measured_cell(real)),
        cells=frozen_float64(cells[:3]),
        shape=shape,
        fudge=fudge,
        spot_form=frozen_float64(form),
        mosaic_spread=spread,
        mosaic_rotations=domains,
        phi=frozen_float64(phi),
        spindle_axis=frozen_float64(spindle),
        mosaic_covariance=covariance,
        oscillation=oscillation,
        mosaic_axes=axes,
        scale=scale,
        cells_beside=tuple(cells[3:]),
        diffuse=None if spec.crystal.diffuse is None else build_diffuse(spec),
    )
    if spec.crystal.cell_spread == _ALIKE:
        return crystal
    return replace(crystal, cell_roots=cell_roots(spec, crystal))


def _oriented_lattice(
    spec: ExperimentSpec, headers: HeaderValues, wavelength: float, generator: Ran1
) -> tuple[Triad, Triad]:
    crystal, factors = spec.crystal, spec.structure_factors
    given = crystal.cell
    of_file = (
        headers.real_space if given is None and crystal.a_matrix_per_angstrom is None else None
    )
    unstated = given is None and of_file is None
    oriented = crystal.matrix_file is not None or crystal.a_matrix_per_angstrom is not None
    if unstated and not oriented and factors.first_file:
        tell("crystal.cell", "header", factors.first_file)
        given = file_cell(factors.first_file, factors.format, factors.column)
    changes = crystal.cell_change_percent_deg is not None
    if given is not None and changes and not oriented:
        given = changed_cell(spec, given)
    if unstated and given is None and not oriented and crystal.is_missed:
        given = _OF_A_MISS
    cell = None if given is None else cell_parameters(given)
    if crystal.a_matrix_per_angstrom is not None:
        a, b, c = (crystal.a_matrix_per_angstrom[place::3] for place in range(3))
        reciprocal = (components(a), components(b), components(c))
        field = "crystal.a_matrix_per_angstrom"
    elif crystal.matrix_file is not None:
        # Columns of a MOSFLM matrix, freed of the wavelength it was written with.
        rows = read_matrix(crystal.matrix_file).tolist()
        factor = METRES_PER_ANGSTROM / angstrom_to_m(wavelength)
        a, b, c = ((rows[0][i], rows[1][i], rows[2][i]) for i in range(3))
        reciprocal = (scale(a, factor), scale(b, factor), scale(c, factor))
        field = "crystal.matrix_file"
    elif of_file is not None:
        reciprocal = dual(of_file)
        field = "detector.geometry_file"
    elif cell is not None:
        reciprocal = standard_reciprocal(cell, spec.physics)
        field = "crystal.cell"
    else:
        raise InputError(
            "no unit cell",
            field="crystal.cell",
            remedy="give crystal.cell, crystal.matrix_file, or structure factors that name one",
        )
    if asked() is not None:
        tell("crystal.cell", *(("header", "real_space") if of_file else ("given", field)))
    if changes and (oriented or of_file is not None):
        real, _ = lattice(reciprocal, cell, spec.physics, field)
        cell = cell_parameters(changed_cell(spec, cell_of(real)))
        standing = standard_reciprocal(cell, spec.physics)
        reciprocal = rotated(orientation_of(np.array(real)), standing)
    turned = _turn(reciprocal, crystal, spec.physics, generator)
    return lattice(turned, cell, spec.physics, field)


def _turn(reciprocal: Triad, spec: CrystalSpec, physics: Physics, generator: Ran1) -> Triad:
    """Apply the orientation of the spec to the reciprocal vectors."""
    matrix, angles = given_orientation(spec), (0.0, 0.0, 0.0)
    if asked() is not None:
        tell("crystal.orientation", *_told_orientation(spec))
    if spec.misset_deg == "random":
        seed = spec.misset_seed or 0
        if physics == "nanobragg":
            angles = random_misset(seed, generator)
        else:
            matrix = uniform_rotation(seed)
    elif spec.misset_deg is not None:
        x, y, z = spec.misset_deg
        angles = (deg_to_rad(x), deg_to_rad(y), deg_to_rad(z))
    if matrix is not None:
        return rotated(matrix, reciprocal)
    a_star, b_star, c_star = (rotate_xyz(vector, angles) for vector in reciprocal)
    return a_star, b_star, c_star


def _told_orientation(spec: CrystalSpec) -> tuple[Kind, str]:
    """Say which field turns the crystal; of none it stands as its cell or matrix has it."""
    fields = [name for name in ORIENTATIONS if getattr(spec, name) is not None]
    if spec.misset_deg == "random":
        return "rule", f"drawn from crystal.misset_seed {spec.misset_seed or 0}"
    return ("given", f"crystal.{fields[0]}") if fields else ("default", "as the cell stands")


def _cells(spec: CrystalSpec, beam: BeamSpec, real: Triad, physics: Physics) -> list[float]:
    """Cells along a, b, c, and what N has beside: as given, or the size rounded up to whole cells.

    The beam clips the sample along its second and third axes. Under `physics: exact` only a
    beam whose size was given clips.
    """
    counts = [float(value) for value in (spec.block_cells or (1, 1, 1))]
    beside = counts[3:] if any(counts[3:]) else []
    if asked() is not None:
        told: Kind = "default" if spec.block_cells is None else "given"
        by_size = any(spec.block_size_mm or ())
        tell("crystal.block_cells", *(("rule", "size / edge") if by_size else (told,)))
    sizes = [] if spec.block_size_mm is None else [mm_to_m(value) for value in spec.block_size_mm]
    if sizes and (physics == "nanobragg" or beam.size_mm is not None):
        beam_size = beam_size_m(beam)
        for index in (1, 2):
            sizes[index] = min(sizes[index], beam_size)
    for index, size in enumerate(sizes):
        if size > 0.0:
            edge = norm(scale(real[index], METRES_PER_ANGSTROM))
            if not (cells := size / edge) <= MAXIMUM_SEED:
                raise InputError(
                    f"{cells:.3g} cells along {'abc'[index]}",
                    field="crystal.block_size_mm",
                    remedy=f"at most {MAXIMUM_SEED}; sizes are in mm",
                )
            counts[index] = float(whole_up(cells, physics))
    return [*(max(count, 1.0) for count in counts[:3]), *beside]


def _scale(spec: ExperimentSpec, cells: list[float], real: Triad) -> float:
    """Return how many blocks the beam illuminates; 1 where nothing is said of it."""
    given = spec.crystal
    if asked() is not None:
        by_hand: Kind = "default" if given.illuminated_blocks is None else "given"
        by_volume = ("rule", "illuminated volume / volume of a block")
        tell("crystal.illuminated_blocks", *(by_volume if given.specimen else (by_hand,)))
    if given.specimen is None:
        return 1.0 if given.illuminated_blocks is None else given.illuminated_blocks
    a, b, c = real
    return illuminated_blocks(given.specimen, spec.beam, cells, abs(dot(a, cross(b, c))))


def whole_up(ratio: float, physics: Physics) -> int:
    """Round up; `physics: exact` forgives rounding noise, so that 30 nm hold 12 cells of 2.5 nm.

    `physics: nanobragg` keeps the noise, which the program's image shows.
    """
    return math.ceil(ratio if physics == "nanobragg" else ratio * (1.0 - _ROUNDING_NOISE))


def spindle_angles(
    spec: GoniometerSpec, headers: HeaderValues, physics: Physics
) -> tuple[list[float], tuple[float, float]]:
    """Return the spindle angles of one frame, and the least and largest that it turns through, rad.

    `physics: nanobragg` takes the left edges phi0 + step·j; `physics: exact` the midpoints
    of as many equal intervals of the oscillation, backwards where it is negative, and one angle
    without an oscillation.
    """
    start, extent = headers.phi or 0.0, headers.oscillation
    if asked() is not None:
        for name, own, of_file in (
            ("phi", spec.phi_deg, headers.phi),
            ("oscillation", spec.oscillation_deg, extent),
        ):
            stated = ("default",) if of_file is None else ("header", name)
            tell(f"goniometer.{name}_deg", *(("given",) if own is not None else stated))
        by_step = ("rule", "oscillation / step") if spec.step_deg is not None else ("default",)
        tell("goniometer.steps", *(by_step if spec.steps is None else ("given",)))
    if spec.phi_deg is not None:
        start = deg_to_rad(spec.phi_deg)
    if spec.oscillation_deg is not None:
        extent = deg_to_rad(spec.oscillation_deg)
    step = None if spec.step_deg is None else deg_to_rad(spec.step_deg)
    if physics == "nanobragg":
        offset, (count, width) = 0.0, resolve_phi(extent, step, spec.steps)
    else:
        count, turned = exact_steps(extent, step, spec.steps, _PHI_FIELDS)
        offset, width = 0.5, turned / count
    stop = start + width * count
    values = [start + width * (index + offset) for index in range(count)]
    return values, (min(start, stop), max(start, stop))


def spot_form(
    shape: SpotShape,
    physics: Physics,
    fudge: float,
    cells: Sequence[Number],
    reciprocal: Sequence[Sequence[Number]],
) -> list[list[Number]]:
    """Return S (3, 3), without unit, as plain sums of floats or of 0-dimensional tensors.

    `physics: nanobragg` takes GAUSS and TOPHAT by |Δq*|² (Na Nb Nc)², as the C program does.
    `cells`: three numbers or six, see `models.crystal`. `reciprocal`: rows a*, b*, c*, 1/Å, in any
    orientation.
    """
    row = SHAPES[shape]
    # A product over the axes has no use for a radius: `fudge` leaves SQUARE as it is.
    share = 1.0 if row.transform == "interference" else fudge
    if row.form == "cells" and (physics != "nanobragg" or row.program <= 0.0):
        return _squared(cells, share)
    count = unit_cells(cells)
    if physics == "nanobragg" and row.program > 0.0:
        return _metric(reciprocal, count * count * (fudge * row.program))
    (a, b, c), (d, e, f), (g, h, i) = reciprocal
    volume = a * (e * i - f * h) + b * (f * g - d * i) + c * (d * h - e * g)
    return _metric(reciprocal, (count / abs(volume)) ** (2.0 / 3.0) * fudge)


def _squared(cells: Sequence[Number], share: Number) -> list[list[Number]]:
    """Return N² times a factor, (3, 3); plain zeros beside the diagonal where N has them."""
    a, b, c, *beside = cells
    if not beside:
        zero = a * 0.0
        own = (a, b, c)
        return [[own[i] * own[i] * share if i == j else zero for j in range(3)] for i in range(3)]
    d, e, f = beside
    rows = ((a, d, f), (d, b, e), (f, e, c))
    return [[(x[0] * y[0] + x[1] * y[1] + x[2] * y[2]) * share for y in rows] for x in rows]


def _check_shape(shape: SpotShape, physics: Physics, cells: Sequence[float] | None) -> None:
    """Refuse a shape that the physics lacks, and broken numbers of cells where none can be."""
    if physics == "nanobragg" and SHAPES[shape].program < 0.0:
        raise InputError(
            f"the C program has no shape '{shape}'",
            field="crystal.shape",
            remedy="use physics: exact, or one of "
            + ", ".join(row.name for row in SHAPES.values() if row.program >= 0.0),
        )
    if shape != "square":
        return
    others = (row.name for row in SHAPES.values() if row.transform != "interference")
    for axis, count in zip("abc", cells or (), strict=False):
        if count != int(count):
            raise InputError(
                f"{count:g} cells along {axis}: a square crystal has whole numbers of cells, "
                "since sin(πNh)/sin(πh) repeats from one reflection to the next for those only",
                field="crystal.block_cells",
                remedy=f"round it, or use one of the shapes {', '.join(others)}",
            )


def _check_matrix(spec: CrystalSpec, physics: Physics) -> None:
    """Refuse an N with elements beside its diagonal where nothing would look at them."""
    if not any((spec.block_cells or ())[3:]):
        return
    problem, remedy = "", "give Na, Nb, Nc alone"
    if physics == "nanobragg":
        problem, remedy = "the C program has no matrix of cells", f"set physics: exact, or {remedy}"
    elif any(spec.block_size_mm or ()):
        problem, remedy = "given as a matrix beside crystal.block_size_mm", "keep one of the two"
    elif not SHAPES[spec.shape].has_matrix:
        problem = f"a crystal of shape {spec.shape} has no matrix of cells"
        remedy = f"set crystal.shape: gauss, or {remedy}"
    if problem:
        raise InputError(problem, field="crystal.block_cells", remedy=remedy)


def _metric(rows: Sequence[Sequence[Number]], factor: Number) -> list[list[Number]]:
    """Scalar products of vectors times a factor, (3, 3)."""
    return [[(a[0] * b[0] + a[1] * b[1] + a[2] * b[2]) * factor for b in rows] for a in rows]
