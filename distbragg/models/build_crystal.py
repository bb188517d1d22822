"""Resolve the crystal: lattice vectors, size, mosaic domains and spindle."""

from __future__ import annotations

import logging
import math
from functools import lru_cache
from typing import Final

import numpy as np

from distbragg.constants import DEFAULT_MOSAIC_SEED
from distbragg.errors import InputError
from distbragg.models.arrays import Float64Array, frozen_float64
from distbragg.models.build_beam import Physics, beam_size_m, direction_of
from distbragg.models.cell import (
    CellParameters,
    Triad,
    cell_parameters,
    dual,
    lattice,
    measured_cell,
    standard_reciprocal,
)
from distbragg.models.conventions import ConventionRule
from distbragg.models.crystal import Crystal
from distbragg.models.headers import HeaderValues
from distbragg.models.orientation import given_orientation, kappa_setting
from distbragg.models.ran1 import Ran1
from distbragg.models.rotations import (
    cap_domains,
    fold_seed,
    gaussian_domains,
    random_misset,
    uniform_rotation,
)
from distbragg.models.spot_form import check_cells, spot_form
from distbragg.models.steps import (
    StepFields,
    exact_count,
    exact_steps,
    resolve_domains,
    resolve_phi,
)
from distbragg.models.vectors import Vector, apply_matrix, components, norm, rotate_xyz, scale
from distbragg.read.matrix import read_matrix
from distbragg.read.structure_factors import file_cell
from distbragg.spec.beam import BeamSpec
from distbragg.spec.crystal import CrystalSpec, MosaicSpec
from distbragg.spec.experiment import ExperimentSpec
from distbragg.spec.sampling import GoniometerSpec
from distbragg.units import angstrom_to_m, deg_to_rad, mm_to_m

logger = logging.getLogger("distbragg")

_SIZE_AXES: Final = ("a", "b", "c")
_PHI_FIELDS: Final = StepFields(
    "goniometer.oscillation_deg", "goniometer.step_deg", "goniometer.steps"
)
_METRES_PER_ANGSTROM: Final = 1e-10
_ROUNDING_NOISE: Final = 1e-12
_LARGEST_SPREAD_DEG: Final = 360.0
_PROGRAM_START: Final = Ran1(DEFAULT_MOSAIC_SEED)
"""The generator as the C program starts with it."""

_DOMAINS_KEPT: Final = 2
"""Sets of mosaic domains a process keeps: the frames of a sweep mostly share one."""


def build_crystal(
    spec: ExperimentSpec,
    rule: ConventionRule,
    headers: HeaderValues,
    wavelength: float,
    frame: int,
) -> Crystal:
    """Resolve the crystal of one frame.

    Parameters
    ----------
    spec : ExperimentSpec
    rule : ConventionRule
        Gives the spindle where the spec does not.
    headers : HeaderValues
    wavelength : float
        Nominal, Å: an orientation matrix is divided by it.
    frame : int
        Enters the seed of mosaic domains that are drawn per frame.

    Raises
    ------
    InputError
        Names the field or file that cannot be used.
    """
    physics, shape, fudge = spec.physics, spec.crystal.shape, spec.crystal.fudge
    check_cells(shape, physics, spec.crystal.cells)
    generator = _PROGRAM_START.fork()
    spindle = direction_of(spec.goniometer.spindle_axis or rule.spindle, "goniometer.spindle_axis")
    beam = direction_of(spec.beam.direction or rule.beam, "beam.direction")
    vectors = _oriented_lattice(spec, headers, wavelength, generator)
    (real, reciprocal), spindle = _mounted(spec.goniometer, spindle, beam, vectors)
    spread, rotations = _mosaic(spec.crystal.mosaic, physics, frame, generator)
    cells = _cells(spec.crystal, spec.beam, real, physics)
    return Crystal(
        real_space=frozen_float64(real),
        reciprocal=frozen_float64(reciprocal),
        cell=frozen_float64(measured_cell(real)),
        cells=frozen_float64(cells),
        shape=shape,
        fudge=fudge,
        spot_form=frozen_float64(spot_form(shape, physics, fudge, cells, reciprocal)),
        mosaic_spread=spread,
        mosaic_rotations=rotations,
        phi=frozen_float64(phi_values(spec.goniometer, headers, physics)),
        spindle_axis=frozen_float64(spindle),
    )


def _oriented_lattice(
    spec: ExperimentSpec, headers: HeaderValues, wavelength: float, generator: Ran1
) -> tuple[Triad, Triad]:
    crystal = spec.crystal
    of_file = headers.real_space is not None and crystal.cell is None
    cell = None if of_file else _given_cell(spec)
    if crystal.matrix_file is not None:
        reciprocal = _matrix_vectors(crystal.matrix_file, wavelength)
        field = "crystal.matrix_file"
    elif of_file and headers.real_space is not None:
        reciprocal = dual(headers.real_space)
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
    turned = _turn(reciprocal, crystal, spec.physics, generator)
    return lattice(turned, cell, spec.physics, field)


def _given_cell(spec: ExperimentSpec) -> CellParameters | None:
    """Cell of the spec; without one and without a matrix, that of the structure-factor file."""
    cell = spec.crystal.cell
    if cell is None and spec.crystal.matrix_file is None:
        factors = spec.structure_factors
        if factors.file is not None:
            cell = file_cell(factors.file, factors.format, factors.column)
    return None if cell is None else cell_parameters(cell)


def _matrix_vectors(path: str, wavelength: float) -> Triad:
    """Columns of a MOSFLM matrix, freed of the wavelength it was written with."""
    rows = read_matrix(path).tolist()
    factor = _METRES_PER_ANGSTROM / angstrom_to_m(wavelength)
    columns: list[Vector] = [(rows[0][i], rows[1][i], rows[2][i]) for i in range(3)]
    return scale(columns[0], factor), scale(columns[1], factor), scale(columns[2], factor)


def _turn(reciprocal: Triad, spec: CrystalSpec, physics: Physics, generator: Ran1) -> Triad:
    """Apply the misset or the quaternion to the reciprocal vectors."""
    a_star, b_star, c_star = reciprocal
    matrix = given_orientation(spec)
    if spec.misset_deg is not None and matrix is not None:
        raise InputError(
            "given beside crystal.misset_deg",
            field="crystal.quaternion_xyzw",
            remedy="keep one of the two",
        )
    angles = (0.0, 0.0, 0.0)
    if spec.misset_deg == "random":
        seed = 0 if spec.misset_seed is None else spec.misset_seed
        if physics == "nanobragg":
            angles = random_misset(seed, generator)
        else:
            matrix = uniform_rotation(seed)
    elif spec.misset_deg is not None:
        x, y, z = spec.misset_deg
        angles = (deg_to_rad(x), deg_to_rad(y), deg_to_rad(z))
    if matrix is not None:
        return _rotated(matrix, reciprocal)
    return rotate_xyz(a_star, angles), rotate_xyz(b_star, angles), rotate_xyz(c_star, angles)


def _rotated(matrix: Float64Array, vectors: Triad) -> Triad:
    first, second, third = vectors
    return (
        apply_matrix(matrix, first),
        apply_matrix(matrix, second),
        apply_matrix(matrix, third),
    )


def _mounted(
    spec: GoniometerSpec, spindle: Vector, beam: Vector, vectors: tuple[Triad, Triad]
) -> tuple[tuple[Triad, Triad], Vector]:
    """Set the crystal by the goniometer's axes at rest; return it and the axis that turns."""
    if spec.kappa is None:
        return vectors, spindle
    setting, axis = kappa_setting(spec.kappa, spindle, beam)
    real, reciprocal = vectors
    return (_rotated(setting, real), _rotated(setting, reciprocal)), axis


def _cells(spec: CrystalSpec, beam: BeamSpec, real: Triad, physics: Physics) -> list[float]:
    """Cells along a, b, c: as given, or the sample size rounded up to whole cells.

    The beam clips the sample along its second and third axes. Under `physics: exact` only a
    beam whose size was given clips.
    """
    counts = [float(value) for value in (spec.cells or (1, 1, 1))]
    sizes = [mm_to_m(value) for value in (spec.size_mm or (0.0, 0.0, 0.0))]
    if physics == "nanobragg" or beam.size_mm is not None:
        beam_size = beam_size_m(beam)
        for index in (1, 2):
            if beam_size < sizes[index]:
                logger.warning(
                    "crystal.size_mm: clipping the sample along %s (%g mm) to the beam (%g mm)",
                    _SIZE_AXES[index],
                    sizes[index] * 1e3,
                    beam_size * 1e3,
                )
                sizes[index] = beam_size
    for index, size in enumerate(sizes):
        if size > 0.0:
            edge = norm(scale(real[index], _METRES_PER_ANGSTROM))
            counts[index] = float(whole_up(size / edge, physics))
    return [max(count, 1.0) for count in counts]


def whole_up(ratio: float, physics: Physics) -> int:
    """Round up; `physics: exact` forgives rounding noise, so that 30 nm hold 12 cells of 2.5 nm.

    `physics: nanobragg` keeps the noise, which the program's image shows.
    """
    return math.ceil(ratio if physics == "nanobragg" else ratio * (1.0 - _ROUNDING_NOISE))


def largest_width_m(crystal: Crystal) -> float:
    """Return the largest width of the crystal, m (cells times edge)."""
    widths = [
        norm(scale(components(row), _METRES_PER_ANGSTROM)) * float(count)
        for row, count in zip(crystal.real_space, crystal.cells, strict=True)
    ]
    return max(widths)


def _mosaic(
    spec: MosaicSpec, physics: Physics, frame: int, generator: Ran1
) -> tuple[float, Float64Array]:
    if spec.spread_deg is not None and spec.spread_deg > _LARGEST_SPREAD_DEG:
        raise InputError(
            f"a spread of {spec.spread_deg:g} degrees is more than a whole turn",
            field="crystal.mosaic.spread_deg",
            remedy=f"give at most {_LARGEST_SPREAD_DEG:g}",
        )
    asked = None if spec.spread_deg is None else deg_to_rad(spec.spread_deg)
    if physics == "exact":
        exact_count(spec.domains, "crystal.mosaic.domains")
    spread, count = resolve_domains(asked, spec.domains)
    if spread == 0.0:
        return 0.0, frozen_float64(np.eye(3)[np.newaxis])
    seed = -DEFAULT_MOSAIC_SEED if spec.seed is None else spec.seed
    if spec.per_frame:
        seed = fold_seed(seed, frame)
    if spec.distribution == "gaussian":
        return spread, _gaussian(spread, count, fold_seed(seed, 0))
    if seed >= 0:
        return spread, _cap(spread, count, seed)
    # A negative seed goes on with the generator's table, as in the program.
    generator.reseed(-seed)
    return spread, frozen_float64(cap_domains(spread, count, generator))


@lru_cache(maxsize=_DOMAINS_KEPT)
def _cap(spread: float, count: int, seed: int) -> Float64Array:
    """Domains of a seed that fills the generator afresh: the same for every frame that names it."""
    return frozen_float64(cap_domains(spread, count, Ran1(-seed)))


@lru_cache(maxsize=_DOMAINS_KEPT)
def _gaussian(spread: float, count: int, seed: int) -> Float64Array:
    return frozen_float64(gaussian_domains(spread, count, seed))


def phi_values(spec: GoniometerSpec, headers: HeaderValues, physics: Physics) -> list[float]:
    """Spindle angles of one frame, rad.

    `physics: nanobragg` takes the left edges phi0 + step·j; `physics: exact` the midpoints
    of as many equal intervals of the oscillation, backwards where it is negative, and one angle
    without an oscillation.

    Raises
    ------
    InputError
        Too many steps, or under `physics: exact` what `exact_steps` refuses.
    """
    start = headers.phi if spec.phi_deg is None else deg_to_rad(spec.phi_deg)
    start = 0.0 if start is None else start
    extent = headers.oscillation
    if spec.oscillation_deg is not None:
        extent = deg_to_rad(spec.oscillation_deg)
    step = None if spec.step_deg is None else deg_to_rad(spec.step_deg)
    if physics == "nanobragg":
        steps = resolve_phi(extent, step, spec.steps)
        return [start + steps.step * index for index in range(steps.count)]
    count, turned = exact_steps(extent, step, spec.steps, _PHI_FIELDS)
    width = turned / count
    return [start + width * (index + 0.5) for index in range(count)]
