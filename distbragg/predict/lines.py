"""Fewer lines that stand for a spectrum's where spots are integrated over all their rays.

The integral of a spot over its rays is a smooth function of the wavenumber k of a line: the spot
moves along its radius with k and is seen as long as the reflection is near the sphere. What is
summed over many lines of one direction is therefore summed over a few nodes, which are those of
the rule of Gauss for the lines themselves as a measure: exact for polynomials of k of degree
2n − 1, as it is for a continuous weight. Lines are cut into groups so narrow that the integrals
are such polynomials.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import numpy as np

from distbragg.matrices import dot3, norm3
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import Float64Array
from distbragg.physics.closed_form import Incidence
from distbragg.physics.near_sphere import CUT, GaussianCrystal, incidence_of, near_sphere
from distbragg.physics.strain import strain_covariance
from distbragg.predict.twin import Twin

_NODES: Final = 5
"""Nodes of a group of lines."""

_WIDEST: Final = 2.0
"""Standard deviations, in k, of the sharpest reflection that a group is wide: 5 nodes integrate
exp(−x²/2) over it to 1e-8."""

_BISECTIONS: Final = 60


@dataclass(frozen=True, slots=True)
class Line:
    """A line to integrate for, and which source it is: the first of a group."""

    incidence: Incidence
    weight: float
    source: int


def lines_of(
    experiment: Experiment, crystal: GaussianCrystal, dmin: float, twin: Twin | None = None
) -> Iterator[Line]:
    """Yield lines whose sums of integrals are those of the sources.

    Where |F| follows the energy each source stays by itself.
    """
    sources = experiment.beam.sources
    alike = experiment.reflections.spectral is None
    _, which = np.unique(sources.direction, axis=0, return_inverse=True)
    which = which.ravel()
    for number in dict.fromkeys(which.tolist()):
        found = np.flatnonzero(which == number)
        own = found[np.argsort(-sources.wavelength[found], kind="stable")].tolist()
        groups = _groups(experiment, crystal, own, dmin, twin) if alike else [[n] for n in own]
        for group in groups:
            yield from _lines(experiment, group)


def _groups(
    experiment: Experiment, crystal: GaussianCrystal, own: list[int], dmin: float, twin: Twin | None
) -> list[list[int]]:
    """Cut sources of one direction, by increasing k, into groups narrow for every reflection."""
    if len(own) <= _NODES:
        return [own]
    beam = experiment.beam
    wavenumber = 1.0 / beam.sources.wavelength
    widest = _WIDEST * _sharpest(crystal, incidence_of(beam, own[len(own) // 2]), dmin, twin)
    # Crystals that are much alike have the same groups, whose rules are then known.
    widest = 2.0 ** (0.5 * math.floor(2.0 * math.log2(widest))) if widest < math.inf else widest
    groups, start = [[own[0]]], wavenumber[own[0]]
    for source in own[1:]:
        if wavenumber[source] - start > widest:
            groups.append([])
            start = wavenumber[source]
        groups[-1].append(source)
    return groups


def _sharpest(
    crystal: GaussianCrystal, incidence: Incidence, dmin: float, twin: Twin | None
) -> float:
    """Return the least standard deviation in k of the integral of a spot, 1/Å.

    Along the outgoing ray s₁ a reflection's displacement has the variance s₁ᵀ Σ s₁, and the sphere
    moves by |u|²/2 with k.
    """
    part = crystal.parts()[0]
    if twin is None:
        places = near_sphere(part, incidence, cut=CUT["float64"], dmin=dmin)
    else:
        places, _ = twin.lit(part, [incidence], CUT["float64"], dmin)
    if len(places) == 0:
        return math.inf
    ray, relp, k = places.centre, places.relp, incidence.wavenumber
    across = np.cross(relp, ray)
    matrix = part.covariance + strain_covariance(part.strains, relp)
    variance = _between(matrix, ray) + _between(part.mosaic, across)
    for way in incidence.spread:
        variance = variance + (k * dot3(ray, np.array(way))) ** 2
    square = norm3(ray - np.array(incidence.direction)) ** 2
    moved = 0.5 * np.maximum(square, 1e-12)
    return float((np.sqrt(variance) / moved).min())


def _between(matrix: Float64Array, vectors: Float64Array) -> Float64Array:
    image = (matrix * vectors[:, np.newaxis, :]).sum(axis=2)
    return dot3(vectors, image)


def _lines(experiment: Experiment, group: list[int]) -> Iterator[Line]:
    """Yield the nodes of a group of sources, or the sources where they are no more."""
    beam = experiment.beam
    weights = beam.sources.weight[group].tolist()
    if len(group) <= _NODES:
        for source, weight in zip(group, weights, strict=True):
            yield Line(incidence_of(beam, source), weight, source)
        return
    wavenumbers = (1.0 / beam.sources.wavelength[group]).tolist()
    one = incidence_of(beam, group[0])
    for k, weight in gauss_rule(tuple(wavenumbers), tuple(weights), _NODES):
        width = beam.sources.bandwidth * k
        yield Line(replace(one, wavenumber=k, width=width), weight, group[0])


@lru_cache(maxsize=256)
def gauss_rule(
    points: tuple[float, ...], weights: tuple[float, ...], count: int
) -> tuple[tuple[float, float], ...]:
    """Return the Gauss rule of a discrete measure: `count` nodes and their weights.

    Nodes are the roots of the measure's orthogonal polynomial, which lie between those of the one
    before; the recurrence is that of Stieltjes. There are more points than nodes.
    """
    low, high = min(points), max(points)
    middle, half = 0.5 * (low + high), 0.5 * (high - low)
    scaled = [(point - middle) / half for point in points]
    recurrence: list[tuple[float, float]] = []
    before, here, norm = [0.0] * len(points), [1.0] * len(points), math.fsum(weights)
    last = 1.0
    for _ in range(count):
        first = math.fsum(w * x * p * p for w, x, p in zip(weights, scaled, here, strict=True))
        recurrence.append((first / norm, norm / last))
        a, b = recurrence[-1]
        here, before = (
            [(x - a) * p - b * q for x, p, q in zip(scaled, here, before, strict=True)],
            here,
        )
        norm, last = math.fsum(w * p * p for w, p in zip(weights, here, strict=True)), norm
    roots: list[float] = []
    for order in range(1, count + 1):
        edges = [-1.0, *roots, 1.0]
        roots = [_root(recurrence[:order], edges[i], edges[i + 1]) for i in range(order)]
    return tuple((middle + half * root, 1.0 / _kernel(recurrence, root)) for root in roots)


def _polynomials(recurrence: list[tuple[float, float]], x: float) -> list[float]:
    """Return the values at x of the orthogonal polynomials from order 0 on."""
    values = [0.0, 1.0]
    for a, b in recurrence:
        values.append((x - a) * values[-1] - b * values[-2])
    return values[1:]


def _root(recurrence: list[tuple[float, float]], low: float, high: float) -> float:
    """Return the one root of the last polynomial in an interval."""
    rising = _polynomials(recurrence, high)[-1] > 0.0
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        if (_polynomials(recurrence, middle)[-1] > 0.0) == rising:
            high = middle
        else:
            low = middle
    return 0.5 * (low + high)


def _kernel(recurrence: list[tuple[float, float]], x: float) -> float:
    """Return Σ p(x)²/‖p‖² of the polynomials below the last order: one over the weight there."""
    values = _polynomials(recurrence[:-1], x)
    norm, total = 1.0, 0.0
    for value, (_, ratio) in zip(values, recurrence, strict=True):
        norm *= ratio
        total += value * value / norm
    return total
