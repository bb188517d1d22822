"""Which reflections can reflect in a frame at all."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from distbragg.errors import InputError
from distbragg.matrices import apply3, dot3, matmul3, norm3, transposed
from distbragg.models.crystal import Crystal
from distbragg.models.detector import Panel
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import Float64Array, IntArray, components, rotation_about
from distbragg.physics.arrays import dot
from distbragg.physics.rays import SampleIndex, placement_of, sample_rays
from distbragg.physics.strain import crystal_strains
from distbragg.predict.section import Section

_FRINGES: Final = 8.0
"""Widths of the transform from the Ewald sphere beyond which a reflection is left out: less than
a thousandth of its peak is there."""

_MARGIN: Final = 1.25
"""First-order bounds on how far a lattice point travels, enlarged for what is beyond them."""

_GRID: Final = 129
"""Places along each edge of a bent panel at which the angle to the beam is looked at."""

_CHUNK: Final = 1 << 19
_MAXIMUM_INDICES: Final = 50_000_000


@dataclass(frozen=True, slots=True)
class Span:
    """How far the samples of a frame lie from its middle."""

    incident: Float64Array  # (3,), mean direction of the beam
    wave_number: float  # 1/Å, middle of the range of 1/λ
    wave_numbers: float  # half of that range
    divergence: float  # rad, largest angle from the mean beam
    mosaic: float  # rad, largest angle of a domain, and by what share lattice points are strained
    turn: float  # rad, half of the rotation
    reciprocal: Float64Array  # (3, 3), 1/Å: rows a*, b*, c* at the middle of the rotation


def span(experiment: Experiment) -> Span:
    """Return how far the samples of a frame lie apart."""
    sources, crystal = experiment.beam.sources, experiment.crystal
    incident = -sources.direction.sum(axis=0)
    incident = incident / norm3(incident)
    cosines = np.clip(-(sources.direction * incident).sum(axis=1), -1.0, 1.0)
    wave_numbers = 1.0 / sources.wavelength
    low, high = float(wave_numbers.min()), float(wave_numbers.max())
    traces = np.trace(crystal.mosaic_rotations, axis1=1, axis2=2)
    angles = np.arccos(np.clip((traces - 1.0) / 2.0, -1.0, 1.0))
    first, last = float(crystal.phi.min()), float(crystal.phi.max())
    middle = rotation_about(components(crystal.spindle_axis), 0.5 * (first + last))
    return Span(
        incident=incident,
        wave_number=0.5 * (low + high),
        wave_numbers=0.5 * (high - low),
        divergence=float(np.arccos(cosines).max()),
        mosaic=float(angles.max()) + _strain(crystal),
        turn=min(0.5 * (last - first), math.pi),
        reciprocal=matmul3(crystal.reciprocal, transposed(middle)),
    )


def _strain(crystal: Crystal) -> float:
    """Return by what share of |g| the cells of domains move a lattice point, at most."""
    if crystal.cell_deviates is None:
        return 0.0
    sizes = np.sqrt((crystal_strains(crystal) ** 2).sum(axis=(1, 2)))
    return float((np.abs(crystal.cell_deviates) * sizes).sum(axis=1).max())


def candidates(experiment: Experiment, section: Section) -> tuple[IntArray, Float64Array]:
    """Return h, k, l, (n, 3), and |F|, electrons, of what comes near the Ewald sphere at all."""
    samples = span(experiment)
    indices, amplitudes = [np.zeros((0, 3), dtype=np.int64)], [np.zeros(0)]
    for hkl, amplitude in _listed(experiment, samples):
        near = _near(hkl, section, samples, experiment)
        indices.append(hkl[near])
        amplitudes.append(amplitude[near])
    return np.concatenate(indices), np.concatenate(amplitudes)


def _listed(experiment: Experiment, span: Span) -> Iterator[tuple[IntArray, Float64Array]]:
    """Yield all reflections of non-zero |F| in chunks."""
    table = experiment.reflections
    if table.amplitude.size:
        flat = np.flatnonzero(table.amplitude)
        for start in range(0, flat.size, _CHUNK):
            part = flat[start : start + _CHUNK]
            where = np.unravel_index(part, table.amplitude.shape)
            hkl = np.stack([np.asarray(axis) for axis in where], axis=1) + np.array(table.origin)
            yield hkl[hkl.any(axis=1)], table.amplitude.ravel()[part][hkl.any(axis=1)]
        return
    if table.default_amplitude == 0.0:
        return
    reach = largest_stol(experiment, span) * 2.0
    edges = norm3(experiment.crystal.real_space)
    limits = np.ceil(edges * reach).astype(np.int64)
    sizes = 2 * limits + 1
    if math.prod(sizes.tolist()) > _MAXIMUM_INDICES:
        raise InputError(
            f"{math.prod(sizes.tolist()):.3g} reflections are within reach, too many to predict",
            field="output.labels",
            remedy="give structure factors, or a sampling.dmin_angstrom",
        )
    for h in range(-int(limits[0]), int(limits[0]) + 1):
        k, l = np.mgrid[-limits[1] : limits[1] + 1, -limits[2] : limits[2] + 1]  # noqa: E741
        hkl = np.stack([np.full(k.size, h), k.ravel(), l.ravel()], axis=1)
        hkl = hkl[hkl.any(axis=1)]
        yield hkl, np.full(hkl.shape[0], table.default_amplitude)


def largest_stol(experiment: Experiment, span: Span) -> float:
    """Return sin θ/λ of the detector's farthest corner, or of the cut, 1/Å.

    Of a panel with a corner beyond a right angle that of a ray straight back, since what lies
    between such corners may be farther than all of them.
    """
    cosines = [1.0]
    for panel in experiment.detector.panels:
        if panel.surface != "flat":
            cosines.append(_least_cosine(panel, span.incident))
            continue
        for slow in (0, panel.pixels[0]):
            for fast in (0, panel.pixels[1]):
                corner = panel.origin + panel.pixel_size * (slow * panel.slow + fast * panel.fast)
                cosine = float(dot3(corner, span.incident) / norm3(corner))
                cosines.append(cosine if cosine > 0.0 else -1.0)
    angle = math.acos(max(-1.0, min(cosines))) + span.divergence
    largest = math.sin(min(angle, math.pi) / 2.0) * (span.wave_number + span.wave_numbers)
    cut = experiment.sampling.dmin
    return min(largest, 0.5 / cut) if cut > 0.0 else largest


def _least_cosine(panel: Panel, incident: Float64Array) -> float:
    """Return the cosine of the largest angle between the beam and a bent panel, on a fine grid."""
    slow, fast = (np.linspace(-0.5, size - 0.5, _GRID) for size in panel.pixels)
    sample = SampleIndex(panel.sensor.count - 1, 0, 0)
    placement = placement_of(panel, incident)
    rays = sample_rays(placement, slow[:, np.newaxis], fast, sample=sample, oversample=1)
    return float(np.min(dot(rays.direction, components(incident))))


def _near(hkl: IntArray, section: Section, span: Span, experiment: Experiment) -> IntArray:
    """Positions of the reflections within reach of the sphere, by first-order bounds."""
    point = indexed(hkl, span.reciprocal)
    outgoing = span.wave_number * span.incident + point
    length = norm3(outgoing)
    square = dot3(point, point)
    size = np.sqrt(square)
    normal = outgoing / np.where(length > 0.0, length, 1.0)[:, np.newaxis]
    spindle = experiment.crystal.spindle_axis
    sweep = np.abs(dot3(np.cross(spindle, point), normal)) * span.turn
    # Second order: the arc of the rotation lies off its tangent.
    sweep += 0.5 * size * span.turn**2
    travel = sweep + size * (span.mosaic + span.divergence)
    travel += np.abs(1.0 - dot3(normal, span.incident)) * span.wave_numbers
    slopes = apply3(span.reciprocal, normal)
    reach = _MARGIN * travel + _FRINGES * section.width(slopes)
    kept = np.abs(length - span.wave_number) <= reach
    if experiment.sampling.dmin > 0.0:
        kept &= square <= experiment.sampling.dmin**-2
    return np.flatnonzero(kept)


def indexed(hkl: IntArray, reciprocal: Float64Array) -> Float64Array:
    """Return h a* + k b* + l c* of every reflection, (n, 3); rows of `reciprocal` in 1/Å."""
    return apply3(transposed(reciprocal), hkl)
