"""A Gaussian crystal's mean transform over mosaicity, divergence and wavelength.

The transform of a finite Gaussian crystal about a reflection g is exp(−½ Δᵀ C⁻¹ Δ), with
Δ = q − g in the crystal's frame. The crystal's domains are turned by random rotation vectors ω
of covariance M, the incident direction departs from s₀ by δ of covariance D, normal
distributions both. What a pixel sees is the mean over ω and δ, over the spectrum, and over the
rotation about the spindle (`closed_rotation`). To first order all of these displace q by
vectors that add up, and a mean of Gaussians is a Gaussian: covariances add, Σ = C + D k² + the
image of M.

Three things bend that picture, and at low angles they matter:

- A rotation moves g on a sphere. Coordinates are therefore Q − |g| along g and the *angle*
  between q and g, in units of |g|, across it. What does not rotate (C and D) is flat, and its part
  of the displacement, which the posterior of the flat part given the whole tells, has a sagitta.
  An angle at radius Q stands for a length Q/|g| times as long.
- A rotation also turns C, about g itself (ω_g), while D stays. Both effects are linear in ω and are
  added as the mean of the logarithm's change, with the covariances that a product of three
  normal variables asks for.
- The incident direction is a unit vector: δ²/2 of it is lost along s₀.
- A spread of cells moves a lattice point by Σ z_k T_k q (`strain`), which makes C wider by what
  grows with q: C is taken at g, and its growth as a change of the logarithm.

The spectrum and the rotation are integrated at the end, each about its own posterior: lines are
summed as they are, a normal spectrum by Gauss-Hermite nodes.
docs/explanation/closed-form.md derives all this and tells how exact it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import Final

import numpy as np

from distbragg.physics.arrays import (
    Array,
    Triple,
    constant,
    cross,
    dot,
    floats,
    module_of,
    root,
    unit,
)
from distbragg.physics.strain import Strain, growing_of
from distbragg.physics.symmetric import Symmetric, outer

_SAGITTA_STEPS: Final = 4
"""Rounds that find the sagitta of the flat part: each is some hundred times smaller."""

_SPECTRUM_NODES: Final = 7
"""Points of Gauss and Hermite that stand for a normal spectrum."""

_MOST_BEND: Final = 0.2
"""What curvature may add to the logarithm, as a share of what the displacement takes from it."""

_NO_LENGTH: Final = 1e-12
"""What stands for |g| of the point 000, 1/Å."""

_BEHIND: Final = 1e-12
"""Least square of the cosine of half the angle between q and g: nothing is seen from there."""

_FLAT: Final = 1e-5
"""Sagitta of the mosaic spread beside the crystal's own width, below which nothing is curved."""


@dataclass(frozen=True, slots=True)
class Relps:
    """Reciprocal lattice points of the mean crystal, in the laboratory.

    Attributes
    ----------
    place : three (...) float64, 1/Å
        g.
    crystal : Symmetric, 1/Å²
        C, of the transform of the intensity exp(−½ Δᵀ C⁻¹ Δ).
    mosaic : Symmetric, rad²
        M, of the domains' rotation vectors.
    strains : matrices
        T_k of a spread of cells (`strain`); none where all domains have one cell.
    """

    place: Triple
    crystal: Symmetric
    mosaic: Symmetric
    strains: tuple[Strain, ...] = ()


@dataclass(frozen=True, slots=True)
class Incidence:
    """One source: direction and wavenumber of the incident beam, and how both spread.

    Attributes
    ----------
    direction : three float64
        s₀, a unit vector.
    spread : two of three float64, rad
        Two vectors across s₀, along the main axes of the divergence and as long as its standard
        deviations there; zeros for a parallel beam.
    wavenumber : (...) float64, 1/Å
        Mean of k = 1/λ.
    width : () float64, 1/Å
        Standard deviation of k, normally distributed; 0 for a line of a spectrum. Lines are
        summed by the caller.
    nodes : int
        Points by which a width is integrated over.
    """

    direction: Triple
    spread: tuple[Triple, Triple]
    wavenumber: Array
    width: Array = 0.0
    nodes: int = _SPECTRUM_NODES


@dataclass(frozen=True, slots=True)
class Frame:
    """What belongs to the reflections alone, in the frame (ĝ, t₁, t₂) of each.

    `crystal` is C, averaged over turns about ĝ; `turned` its change with such a turn, and `twist`
    the covariance of the turn about ĝ with the displacements. `curved` is 1, or 0 where the mosaic
    spread is so small that flat coordinates are the better ones: they are exact without one.
    """

    axes: tuple[Triple, Triple, Triple]
    length: Array
    crystal: Symmetric
    volume: Array  # |C|
    rotated: Symmetric  # the image of M
    turned: Symmetric
    twist: Triple
    curved: Array
    growing: tuple[Symmetric, ...] = ()  # of C with q along each axis: a spread of cells is in it


@dataclass(frozen=True, slots=True)
class Sight:
    """A view of reflections from rays, in the frames of the reflections.

    At wavenumber k a ray's displacement is k `per_k` + `fixed`.
    """

    spread: Symmetric  # D, rad²
    forward: Triple  # s₀
    length: Array  # |s₁ − s₀|
    per_k: Triple
    fixed: Triple

    def displaced(self, wavenumber: Array) -> Triple:
        """Return the displacement of every ray from its reflection."""
        x, y, z = (
            wavenumber * rate + rest for rate, rest in zip(self.per_k, self.fixed, strict=True)
        )
        return x, y, z


def mean_transform(relps: Relps, incidence: Incidence, ray: Triple) -> Array:
    """Return the mean of exp(−½ Δᵀ C⁻¹ Δ) over mosaicity, divergence and wavelength.

    Parameters
    ----------
    relps : Relps
    incidence : Incidence
    ray : three (...) float64
        s₁, unit vectors from the crystal.

    Returns
    -------
    (...) float64
        At most 1; all arguments broadcast against each other.
    """
    log = log_over_spectrum(frame_of(relps), incidence, ray)
    return module_of(log).exp(log)


def log_over_spectrum(frame: Frame, incidence: Incidence, ray: Triple) -> Array:
    """Return the logarithm of the mean over a normal spectrum, by Gauss-Hermite nodes."""
    sight = sight_of(frame, incidence, ray)
    wavenumber, width = incidence.wavenumber, incidence.width
    if isinstance(width, float) and width == 0.0:
        return _log_mean(frame, sight, wavenumber)
    middle, spread = _posterior(frame, sight, wavenumber, width)
    module = module_of(middle)
    logs = []
    for node, weight in _gauss_hermite(incidence.nodes):
        here = middle + spread * node
        off = (here - wavenumber) / width
        log = _log_mean(frame, sight, here) - 0.5 * off * off
        logs.append(log + (0.5 * node * node + math.log(weight)))
    most = reduce(module.maximum, logs)
    total = sum(module.exp(log - most) for log in logs)
    return most + module.log(total * (spread / width))


@lru_cache
def _gauss_hermite(count: int) -> list[tuple[float, float]]:
    """Return points and weights of the mean over a standard normal distribution."""
    points, weights = np.polynomial.hermite_e.hermegauss(count)
    return list(zip(points.tolist(), (weights / math.sqrt(2.0 * math.pi)).tolist(), strict=True))


def _posterior(frame: Frame, sight: Sight, wavenumber: Array, width: Array) -> tuple[Array, Array]:
    """Return mean and standard deviation of k where a reflection is seen, to first order."""
    flat = flat_part(frame, sight, wavenumber, 1.0)
    inverse = (flat + frame.rotated).inverse()
    rate, (x, y, z) = sight.per_k, sight.fixed
    # At the direct beam no wavelength moves the point 000.
    stiff = module_of(x).clip(inverse.between(rate, rate), _NO_LENGTH**2, None)
    seen = -inverse.between(rate, sight.fixed) / stiff
    _, one, two = flat.times(inverse.times(sight.displaced(seen)))
    sagitta = frame.curved * (one * one + two * two) / (2.0 * frame.length)
    pull = -inverse.between(rate, (x - sagitta, y, z))
    prior = 1.0 / (width * width)
    precision = stiff + prior
    return (pull + wavenumber * prior) / precision, root(1.0 / precision)


def frame_of(relps: Relps) -> Frame:
    """Turn to the frames of the reflections what depends on nothing else."""
    length, forward = _length_of(relps.place)
    axes = (forward, *_tangents(forward))
    crystal, mosaic = relps.crystal.within(axes), relps.mosaic.within(axes)
    volume = whole = crystal.determinant()
    growing: tuple[Symmetric, ...] = ()
    if relps.strains:
        spread, growing = growing_of(relps.strains, axes, length)
        crystal = crystal + spread
        whole = crystal.determinant()
    turned = crystal.turning(0)
    twice = turned.turning(0)
    square = length * length
    zero = 0.0 * square
    half = 0.5 * mosaic[0, 0]
    # At least so thin is the crystal's transform in its thinnest direction.
    thin = root(whole) * 2.0 / crystal.trace()
    curved = floats(constant(mosaic.trace() * length) > constant(2.0 * _FLAT * thin))
    return Frame(
        axes=axes,
        length=length,
        crystal=crystal + Symmetric(tuple(part * half for part in twice.parts)),
        volume=volume,
        rotated=Symmetric(
            (zero, zero, zero, square * mosaic[2, 2], -square * mosaic[1, 2], square * mosaic[1, 1])
        ),
        turned=turned,
        twist=(zero, length * mosaic[0, 2], -length * mosaic[0, 1]),
        curved=curved,
        growing=growing,
    )


def _length_of(place: Triple) -> tuple[Array, Triple]:
    """Return length and direction of g; where it is zero, next to nothing along x."""
    module = module_of(place[0])
    x = module.where(constant(dot(place, place)) == 0.0, _NO_LENGTH, place[0])
    place = (x, place[1], place[2])
    return root(dot(place, place)), unit(place)


def _tangents(forward: Triple) -> tuple[Triple, Triple]:
    """Return two unit vectors across a unit vector and each other, right-handed with it."""
    x, y, z = forward
    where, zero = module_of(x).where, 0.0 * x
    flat = constant(z * z) < 0.5
    first = unit((where(flat, -y, zero), where(flat, x, -z), where(flat, zero, y)))
    return first, cross(forward, first)


def sight_of(frame: Frame, incidence: Incidence, ray: Triple) -> Sight:
    """Look at reflections along rays."""
    s0 = incidence.direction
    u = (ray[0] - s0[0], ray[1] - s0[1], ray[2] - s0[2])
    # The direct beam, where u is 0, is not a direction of q.
    length = root(module_of(u[0]).clip(dot(u, u), _NO_LENGTH**2, None))
    forward, first, second = frame.axes
    along, across = dot(u, forward), (dot(u, first), dot(u, second))
    cosine = along / length
    # 2 sin(δ/2) in place of sin δ: the chord of the arc, which is |g|·δ to third order.
    half = module_of(length).clip((1.0 + cosine) * 0.5, _BEHIND, None)
    curved, flat = frame.curved, 1.0 - frame.curved
    stretch = frame.length / (length * root(half)) * curved
    one, two = incidence.spread
    spread = outer(one) + outer(two)
    return Sight(
        spread=spread.within(frame.axes),
        forward=(dot(s0, forward), dot(s0, first), dot(s0, second)),
        length=length,
        per_k=(length * curved + along * flat, across[0] * flat, across[1] * flat),
        fixed=(-frame.length, across[0] * stretch, across[1] * stretch),
    )


def _log_mean(frame: Frame, sight: Sight, wavenumber: Array) -> Array:
    """Return the logarithm of the mean for one wavelength.

    d is the displacement in the frame of g, Σ = F + R of a flat and a rotated part, y = Σ⁻¹ d.
    Given d, the flat part has the mean F y and the covariance F − F Σ⁻¹ F, and so on.
    """
    length = frame.length
    scale = _scale(frame, sight, wavenumber)
    flat = flat_part(frame, sight, wavenumber, scale)
    total = flat + frame.rotated
    inverse = total.inverse()
    y, d = _displaced(frame, sight, wavenumber, flat, inverse)
    module = module_of(length)
    bend = _turned(frame.twist, frame.turned, y, inverse) + _twisted(frame, y, inverse)
    # The divergence stays where it is when the frame turns about t₁ and t₂.
    for axis, row, sign in ((1, 2, 1.0), (2, 1, -1.0)):
        one, two, three = (frame.rotated[row, column] * (sign / length) for column in range(3))
        change = sight.spread.turning(axis).scaled(wavenumber, wavenumber * scale)
        bend = bend + _turned((one, two, three), change, y, inverse)
    bend = bend - _mixed(flat, inverse, y) / length
    steep = dot(y, d)
    # Far from the spot, where nothing is seen, a cubic may not outgrow the square.
    most = _MOST_BEND * (1.0 + steep) * frame.curved
    bend = module.clip(bend, -most, most)
    if frame.growing:
        grown = _grown(frame.growing, frame.crystal.scaled(1.0, scale), y, inverse)
        most = _MOST_BEND * (1.0 + steep)
        bend = bend + module.clip(grown, -most, most)
    return 0.5 * module.log(frame.volume * scale**4 / total.determinant()) - 0.5 * steep + bend


def _scale(frame: Frame, sight: Sight, wavenumber: Array) -> Array:
    """Return how many times a flat length across counts as an angle times |g|."""
    curved = frame.length / (wavenumber * sight.length)
    return curved * frame.curved + (1.0 - frame.curved)


def flat_part(frame: Frame, sight: Sight, wavenumber: Array, scale: Array) -> Symmetric:
    """Return F, of what does not rotate; lengths across g count `scale` times as much."""
    spread = sight.spread.scaled(wavenumber, wavenumber * scale)
    return frame.crystal.scaled(1.0, scale) + spread


def _displaced(
    frame: Frame, sight: Sight, wavenumber: Array, flat: Symmetric, inverse: Symmetric
) -> tuple[Triple, Triple]:
    """Return y and d, after the sagitta of the flat part and what the divergence loses along s₀."""
    scale = _scale(frame, sight, wavenumber)
    off, first, second = sight.displaced(wavenumber)
    bent = frame.curved / (2.0 * frame.length * scale)
    loose = sum(
        flat[axis, axis] - inverse.between(flat.row(axis), flat.row(axis)) for axis in (1, 2)
    )
    spread, square = sight.spread, wavenumber * wavenumber
    unsure = 0.0
    for axis in range(3):
        x, one, two = spread.row(axis)
        row = (x, one * scale, two * scale)
        unsure = unsure + spread[axis, axis] - square * inverse.between(row, row)
    d: Triple = (off, first, second)
    for _ in range(_SAGITTA_STEPS):
        y = inverse.times(d)
        _, one, two = flat.times(y)
        sagitta = (one * one + two * two + loose) * bent
        mean = spread.times((y[0], y[1] * scale, y[2] * scale))
        lost = 0.5 * wavenumber * (square * dot(mean, mean) + unsure)
        along, one, two = sight.forward
        d = (
            off - sagitta + lost * along,
            first + lost * one * scale,
            second + lost * two * scale,
        )
    return inverse.times(d), d


def _mixed(flat: Symmetric, inverse: Symmetric, y: Triple) -> Array:
    """Return Σ⁻¹F between along and across, times the mean of the flat part across."""
    _, one, two = flat.times(y)
    along: Triple = (inverse[0, 0], inverse[0, 1], inverse[0, 2])
    return one * dot(along, flat.row(1)) + two * dot(along, flat.row(2))


def _turned(angle: Triple, change: Symmetric, y: Triple, inverse: Symmetric) -> Array:
    """Return the mean of ½ ω zᵀ N z, where a turn by ω changes a flat covariance by ω N.

    z = F⁻¹ times the flat part has the mean y and, with ω, the covariance −Σ⁻¹ a, where a is the
    covariance of ω with the displacement; ω itself has the mean aᵀ y.
    """
    mean = dot(angle, y)
    even = change.between(y, y) - change.trace_with(inverse)
    return 0.5 * mean * even - change.between(y, inverse.times(angle))


def _grown(
    growing: tuple[Symmetric, ...], crystal: Symmetric, y: Triple, inverse: Symmetric
) -> Array:
    """Return the mean of ½ Σ_l f_l (wᵀ N_l w − tr F⁻¹ N_l), as F grows by N_l with f along l.

    f is the part of the displacement that belongs to the crystal, of covariance F, and w = F⁻¹ f
    has the mean y and, given the displacement, the covariance F⁻¹ − Σ⁻¹.
    """
    f = crystal.times(y)
    total = 0.0
    for way, change in enumerate(growing):
        pull = change.times(y)
        lost = inverse.times(crystal.row(way))
        total = total + 0.5 * f[way] * (dot(y, pull) - change.trace_with(inverse))
        total = total + pull[way] - dot(pull, lost)
    return total


def _twisted(frame: Frame, y: Triple, inverse: Symmetric) -> Array:
    """Return the mean of ½ ω_g zᵀ J m: a turn about g turns the rotated part m by half of it.

    To second order exp(ω) is a turn about g by ω_g and then one across it by ω + ½ ω_g ĝ × ω.
    """
    rotated, twist = frame.rotated, frame.twist
    pull = inverse.times(twist)
    _, one, two = rotated.times(y)
    _, pull_one, pull_two = rotated.times(pull)
    mean = dot(twist, y)
    trace = dot(inverse.row(2), rotated.row(1)) - dot(inverse.row(1), rotated.row(2))
    return 0.5 * (
        mean * (y[2] * one - y[1] * two - trace)
        + (y[2] * twist[1] - y[1] * twist[2])
        - (y[2] * pull_one - y[1] * pull_two)
        - (pull[2] * one - pull[1] * two)
    )
