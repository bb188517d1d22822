"""Resolve mosaicity: its width, its covariance in the laboratory, and the domains drawn from it."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from typing import Final

import numpy as np

from distbragg.constants import DEFAULT_MOSAIC_SEED
from distbragg.errors import InputError
from distbragg.matrices import covariance_root, matmul3, norm3, singular_values3, transposed
from distbragg.models.crystal import Crystal
from distbragg.models.origins import asked, tell
from distbragg.models.rotations import Ran1, cap_domains, fold_seed, gaussian_domains
from distbragg.models.steps import resolve_domains
from distbragg.models.vectors import (
    Float64Array,
    Physics,
    Triad,
    Vector,
    components,
    cross,
    frozen_float64,
    rotation_about,
    unit,
)
from distbragg.read.rotations import read_rotations
from distbragg.spec.crystal import MosaicSpec
from distbragg.units import deg_to_rad

_LARGEST_SPREAD_DEG: Final = 360.0

_ALIGNED: Final = frozen_float64(np.eye(3)[np.newaxis])
"""The one domain of a crystal without mosaic spread."""

_DOMAINS_KEPT: Final = 2
"""Sets of mosaic domains a process keeps: the frames of a sweep mostly share one."""


def mosaic_spread(spec: MosaicSpec, physics: Physics) -> float:
    """Return the spread, rad; of a normal distribution the largest standard deviation."""
    if spec.matrices_file is not None:
        if asked() is not None:
            for field in ("spread_deg", "domains"):
                tell(f"crystal.mosaic.{field}", "given", "crystal.mosaic.matrices_file")
        return _spread_of(given_domains(spec, physics))
    given = spec.spread_deg or 0.0
    if not isinstance(given, tuple):
        largest = given
    elif isinstance(given[0], tuple):
        largest = float(np.sqrt(singular_values3(np.array(given)).max()))
    else:
        largest = float(max(given))
    if largest > _LARGEST_SPREAD_DEG:
        raise InputError(
            f"a spread of {largest:g} degrees is more than a whole turn",
            field="crystal.mosaic.spread_deg",
            remedy=f"give at most {_LARGEST_SPREAD_DEG:g}",
        )
    return resolve_domains(deg_to_rad(largest), spec.domains)[0]


def given_domains(spec: MosaicSpec, physics: Physics) -> Float64Array:
    """Return the domains of `matrices_file`, (domains, 3, 3)."""
    field = "crystal.mosaic.matrices_file"
    if physics == "nanobragg":
        problem = "the C program draws its domains"
        raise InputError(problem, field=field, remedy="set physics: exact")
    return frozen_float64(read_rotations(spec.matrices_file or ""))


def _spread_of(rotations: Float64Array) -> float:
    """Return the root mean square of the components of all rotation vectors, rad."""
    traces = rotations[:, 0, 0] + rotations[:, 1, 1] + rotations[:, 2, 2]
    off = rotations - transposed(rotations)
    sine = 0.5 * norm3(np.stack([off[:, 2, 1], off[:, 0, 2], off[:, 1, 0]], axis=1))
    angles = np.arctan2(sine, 0.5 * (traces - 1.0))
    return math.sqrt(math.fsum((angles * angles).tolist()) / (3.0 * len(rotations)))


def mosaic_frame(
    axes: str, lattice: tuple[Triad, Triad], spindle: Vector, oscillation: tuple[float, float]
) -> Float64Array:
    """Return the axes that `mosaic_covariance` is given about, at phi = 0: columns of (3, 3).

    `axes` are those of the `crystal`, of vectors a, b, c and a*, b*, c*; or the `laboratory`'s,
    turned back from the middle of the oscillation.
    """
    if axes == "crystal":
        return crystal_axes(*lattice)
    angle = 0.5 * (oscillation[0] + oscillation[1])
    return transposed(rotation_about(spindle, angle)) if angle else np.eye(3)


def frame_of_mosaic(crystal: Crystal) -> Float64Array:
    """Return `mosaic_frame` of a crystal as it was resolved."""
    lattice = _triad(crystal.real_space), _triad(crystal.reciprocal)
    spindle = components(crystal.spindle_axis)
    return mosaic_frame(crystal.mosaic_axes, lattice, spindle, crystal.oscillation)


def mosaic_covariance(spec: MosaicSpec, axes: Float64Array) -> Float64Array:
    """Return M of `Crystal.mosaic_covariance`, rad².

    M = A Mc Aᵀ, where Mc is the covariance about the axes that it is given about, diag(σ²) where
    standard deviations are given, and the columns of A are these axes.
    """
    if spec.distribution != "gaussian" or not spec.spread_deg:
        return np.zeros((3, 3))
    if not isinstance(spec.spread_deg, tuple):
        spread = deg_to_rad(spec.spread_deg)
        return spread * spread * np.eye(3)
    root = matmul3(axes, _root(spec))
    return matmul3(root, transposed(root))


def crystal_axes(real: Triad, reciprocal: Triad) -> Float64Array:
    """Return unit vectors x (along a), y = z × x and z (along c*), the columns of (3, 3)."""
    x = unit(real[0])
    y = unit(cross(reciprocal[2], x))
    return np.array((x, y, cross(x, y))).T.copy()


def _root(spec: MosaicSpec) -> Float64Array:
    """Return L of ω = L z about the axes that it is given about, (3, 3) rad: Mc = L Lᵀ."""
    given = np.array(spec.spread_deg, dtype=np.float64)
    return deg_to_rad(1.0) * (np.diag(given) if given.ndim == 1 else covariance_root(given))


def cap_rotations(spec: MosaicSpec, spread: float, frame: int, generator: Ran1) -> Float64Array:
    """Return the domains within a cap, or those given, (domains, 3, 3).

    Of another distribution it is the aligned one.
    """
    if spec.matrices_file is not None:
        return given_domains(spec, "exact")
    if spread == 0.0 or spec.distribution != "cap":
        return _ALIGNED
    _, count = resolve_domains(spread, spec.domains)
    seed = mosaic_seed(spec, frame)
    if seed >= 0:
        return _cap(spread, count, seed)
    # A negative seed goes on with the generator's table, as in the program.
    generator.reseed(-seed)
    return frozen_float64(cap_domains(spread, count, generator))


def with_normal_domains(crystal: Crystal, spec: MosaicSpec, frame: int) -> Crystal:
    """Return the crystal with domains drawn from a normal distribution where it has one.

    A spread that differs by axis is about the axes as they stand in the middle of the oscillation.
    """
    if crystal.mosaic_spread == 0.0 or spec.distribution != "gaussian":
        return crystal
    _, count = resolve_domains(crystal.mosaic_spread, spec.domains)
    width: float | tuple[float, ...] = crystal.mosaic_spread
    if isinstance(spec.spread_deg, tuple):
        root = matmul3(frame_of_mosaic(crystal), _root(spec))
        if angle := middle(crystal):
            root = matmul3(rotation_about(components(crystal.spindle_axis), angle), root)
        width = tuple(root.ravel().tolist())
    drawn = _normal(width, count, fold_seed(mosaic_seed(spec, frame), 0))
    return replace(crystal, mosaic_rotations=drawn)


def averaged(crystal: Crystal) -> Crystal:
    """Return the crystal with one step, over whose domains and rotation the kernel integrates."""
    return replace(crystal, mosaic_rotations=_ALIGNED, phi=frozen_float64([middle(crystal)]))


def middle(crystal: Crystal) -> float:
    """Return the angle in the middle of the oscillation, rad."""
    return 0.5 * (crystal.oscillation[0] + crystal.oscillation[1])


def _triad(rows: Float64Array) -> Triad:
    first, second, third = (components(row) for row in rows)
    return first, second, third


def domain_count(spec: MosaicSpec) -> int:
    """Return how many domains are drawn."""
    return resolve_domains(1.0, spec.domains)[1]


def mosaic_seed(spec: MosaicSpec, frame: int) -> int:
    """Return the seed of the domains of one frame."""
    seed = -DEFAULT_MOSAIC_SEED if spec.seed is None else spec.seed
    return fold_seed(seed, frame) if spec.per_frame else seed


@lru_cache(maxsize=_DOMAINS_KEPT)
def _cap(spread: float, count: int, seed: int) -> Float64Array:
    """Domains of a seed that starts afresh: the same for every frame that names it."""
    return frozen_float64(cap_domains(spread, count, Ran1(-seed)))


@lru_cache(maxsize=_DOMAINS_KEPT)
def _normal(width: float | tuple[float, ...], count: int, seed: int) -> Float64Array:
    """Domains of `gaussian_domains`; a root is given as nine numbers, rows first."""
    root = np.reshape(width, (3, 3)) if isinstance(width, tuple) else width
    return frozen_float64(gaussian_domains(root, count, seed))
