"""Which reflections can reflect in a frame at all."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from distbragg.errors import InputError
from distbragg.matrices import dot3, norm3
from distbragg.models.arrays import Float64Array, IntArray
from distbragg.models.experiment import Experiment
from distbragg.predict.landing import project
from distbragg.predict.samples import MARGIN, Span
from distbragg.predict.section import Section

FRINGES: Final = 8.0
"""Widths of the transform from the Ewald sphere beyond which a reflection is left out: less than
a thousandth of its peak is there."""

_CHUNK: Final = 1 << 19
_MAXIMUM_INDICES: Final = 50_000_000


def candidates(
    experiment: Experiment, section: Section, span: Span
) -> tuple[IntArray, Float64Array]:
    """Return the reflections that come near the Ewald sphere in one sample at least.

    Returns
    -------
    hkl : (n, 3) int64
        In order of h, k, l.
    amplitude : (n,) float64, electrons

    Raises
    ------
    InputError
        There is no table of |F|, and far too many indices are within reach.
    """
    found = [
        (hkl[near], amplitude[near])
        for hkl, amplitude in _listed(experiment, span)
        for near in (_near(hkl, section, span, experiment),)
    ]
    if not found:
        return np.zeros((0, 3), dtype=np.int64), np.zeros(0)
    indices, amplitudes = zip(*found, strict=True)
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
    reach = _largest_stol(experiment, span) * 2.0
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


def _largest_stol(experiment: Experiment, span: Span) -> float:
    """Return sin θ/λ of the detector's farthest corner, or of the cut, 1/Å."""
    cosines = [1.0]
    for panel in experiment.detector.panels:
        for slow in (0, panel.shape[0]):
            for fast in (0, panel.shape[1]):
                corner = panel.origin + panel.pixel_size * (slow * panel.slow + fast * panel.fast)
                cosines.append(float(dot3(corner, span.incident) / norm3(corner)))
    angle = math.acos(max(-1.0, min(cosines))) + span.divergence
    largest = math.sin(min(angle, math.pi) / 2.0) * (span.wave_number + span.wave_numbers)
    cut = experiment.sampling.dmin
    return min(largest, 0.5 / cut) if cut > 0.0 else largest


def _near(hkl: IntArray, section: Section, span: Span, experiment: Experiment) -> IntArray:
    """Positions of the reflections within reach of the sphere, by first-order bounds."""
    point = indexed(hkl, span.reciprocal)
    outgoing = span.wave_number * span.incident + point
    length = np.sqrt(project(outgoing, outgoing))
    square = project(point, point)
    size = np.sqrt(square)
    normal = outgoing / np.where(length > 0.0, length, 1.0)[:, np.newaxis]
    spindle = experiment.crystal.spindle_axis
    sweep = np.abs(project(np.cross(spindle, point), normal)) * span.turn
    # Second order: the arc of the rotation lies off its tangent.
    sweep += 0.5 * size * span.turn**2
    travel = sweep + size * (span.mosaic + span.divergence)
    travel += np.abs(1.0 - project(normal, span.incident)) * span.wave_numbers
    slopes = np.stack([project(normal, row) for row in span.reciprocal], axis=1)
    reach = MARGIN * travel + FRINGES * section.width(slopes)
    kept = np.abs(length - span.wave_number) <= reach
    if experiment.sampling.dmin > 0.0:
        kept &= square <= experiment.sampling.dmin**-2
    return np.flatnonzero(kept)


def indexed(hkl: IntArray, reciprocal: Float64Array) -> Float64Array:
    """Return h a* + k b* + l c* of every reflection, (n, 3); rows of `reciprocal` in 1/Å."""
    h, k, l = hkl[:, 0:1], hkl[:, 1:2], hkl[:, 2:3]  # noqa: E741 the field's letter
    return np.asarray(h * reciprocal[0] + k * reciprocal[1] + l * reciprocal[2])
