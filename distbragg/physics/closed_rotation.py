"""The mean of a Gaussian crystal's transform over a uniform rotation about the spindle.

The logarithm is taken as a parabola of the angle about the angle at which the reflection passes
the ray, or the end of the rotation that is nearest to it; so the mean is a difference of error
functions. A rotation of several degrees is to be cut into parts.
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from distbragg.models.vectors import Float64Array, turn_about
from distbragg.physics.arrays import (
    Array,
    Triple,
    cross,
    dot,
    module_of,
    root,
    without_gradient,
)
from distbragg.physics.closed_form import (
    Frame,
    Incidence,
    Relps,
    flat_part,
    frame_of,
    log_over_spectrum,
    sight_of,
)
from distbragg.physics.symmetric import Symmetric

_TURN_STEPS: Final = 3
"""Newton steps towards the angle at which a reflection passes a ray."""

_STILL: Final = 1e-6
"""Curvature over the whole rotation, below which a parabola is a straight line."""

_FURTHEST: Final = 5.0
"""Distance of the passing angle from the rotation, in √2 standard deviations."""


@dataclass(frozen=True, slots=True)
class Spindle:
    """A uniform rotation of the crystal.

    Attributes
    ----------
    axis : three float64
        Unit vector.
    start, stop : float, rad
        From where to where.
    """

    axis: Triple
    start: float
    stop: float


@dataclass(frozen=True, slots=True)
class Passage:
    """How a rotation takes reflections past rays: the mean is exp(top) (erf(last) − erf(first))."""

    top: Array
    first: Array
    last: Array

    def mean(self) -> Array:
        """Return the mean over the rotation."""
        return module_of(self.top).exp(self.top) * (_erf(self.last) - _erf(self.first))


@dataclass(frozen=True, slots=True)
class _Parabola:
    """A logarithm log + pull·x − ½ stiff·x² of the angle x from `angle`."""

    log: Array
    pull: Array
    stiff: Array
    angle: Array

    def shape(self, spindle: Spindle) -> tuple[Array, Array]:
        """Return s and p of exp(−(s·x − p)²), which it is in proportion to."""
        module, width = module_of(self.stiff), spindle.stop - spindle.start
        sharp = root(0.5 * module.clip(self.stiff, _STILL / (width * width), None))
        # Beyond this the reflection is so far outside that nothing is left of it.
        return sharp, module.clip(self.pull / (2.0 * sharp), -_FURTHEST, _FURTHEST)

    def passage(self, spindle: Spindle) -> Passage:
        """Return the mean of its exponential over the rotation."""
        module, width = module_of(self.stiff), spindle.stop - spindle.start
        sharp, peak = self.shape(spindle)
        share = math.log(0.5 * math.sqrt(math.pi) / width)
        return Passage(
            self.log + peak * peak + (share - module.log(sharp)),
            sharp * (spindle.start - self.angle) - peak,
            sharp * (spindle.stop - self.angle) - peak,
        )


def mean_over_rotation(relps: Relps, incidence: Incidence, ray: Triple, spindle: Spindle) -> Array:
    """Return the mean of `mean_transform` over a uniform rotation of the crystal."""
    return passage_of(relps, incidence, ray, spindle).mean()


def passage_of(relps: Relps, incidence: Incidence, ray: Triple, spindle: Spindle) -> Passage:
    """Return `mean_over_rotation` by its parts, which are smooth functions of the ray."""
    return _parabola_of(relps, incidence, ray, spindle).passage(spindle)


def seen_in_rotation(
    relps: Relps, incidence: Incidence, ray: Triple, spindle: Spindle
) -> tuple[Float64Array, Float64Array]:
    """Return `mean_over_rotation`, and the mean angle at which it is seen, rad; of numpy alone.

    The mean is right to its last digits where little is left of it.
    """
    about = _parabola_of(relps, incidence, ray, spindle)
    passage, sharp, peak = about.passage(spindle), *about.shape(spindle)
    first, last = passage.first, passage.last
    area = _erf_between(first, last)
    off = (np.exp(-first * first) - np.exp(-last * last)) / (math.sqrt(math.pi) * area)
    return np.exp(passage.top) * area, about.angle + (peak + off) / sharp


def _parabola_of(relps: Relps, incidence: Incidence, ray: Triple, spindle: Spindle) -> _Parabola:
    """Return the logarithm near the angle at which reflections pass the rays."""
    frame, axis = frame_of(relps), spindle.axis
    # With a spread of cells the logarithm is not a parabola to the last digits, so it counts where
    # it is taken as one.
    kept = nullcontext() if frame.growing else without_gradient(frame.length)
    with kept:
        angle, step = _angle_of(frame, relps.place, incidence, ray, spindle)
    before, here, after = (
        log_over_spectrum(frame, *_seen_from_crystal(incidence, ray, axis, angle + off))
        for off in (-step, 0.0, step)
    )
    pull = 0.5 * (after - before) / step
    stiff = (2.0 * here - after - before) / (step * step)
    return _Parabola(here, pull, stiff, angle)


def _angle_of(
    frame: Frame, place: Triple, incidence: Incidence, ray: Triple, spindle: Spindle
) -> tuple[Array, Array]:
    """Return the angle at which reflections pass rays, and how far about it is looked, rad."""
    axis, width = spindle.axis, spindle.stop - spindle.start
    velocity = cross(axis, place)
    speed: Triple = (0.0, dot(velocity, frame.axes[1]), dot(velocity, frame.axes[2]))
    angle = 0.0 * speed[1] + 0.5 * (spindle.start + spindle.stop)
    for _ in range(_TURN_STEPS):
        seen, towards = _seen_from_crystal(incidence, ray, axis, angle)
        pull, stiff = _passing(frame, seen, towards, speed)
        ahead = pull / (stiff + _STILL / width**2)
        angle = module_of(ahead).clip(angle + ahead, spindle.start, spindle.stop)
    return angle, (1.0 / (stiff + 4.0 / width**2)) ** 0.5


def _seen_from_crystal(
    incidence: Incidence, ray: Triple, axis: Triple, angle: Array
) -> tuple[Incidence, Triple]:
    """Turn beam and rays back by the angle that the crystal has turned."""
    module = module_of(angle)
    turn = (axis, -module.sin(angle), module.cos(angle))
    one, two = incidence.spread
    turned = replace(
        incidence,
        direction=turn_about(incidence.direction, *turn),
        spread=(turn_about(one, *turn), turn_about(two, *turn)),
    )
    return turned, turn_about(ray, *turn)


def _passing(frame: Frame, incidence: Incidence, ray: Triple, speed: Triple) -> tuple[Array, Array]:
    """Return how the logarithm falls with the angle: its slope and minus its curvature.

    To first order in the displacements, and with the spectrum among them.
    """
    sight = sight_of(frame, incidence, ray)
    wavenumber, radial = incidence.wavenumber, incidence.width * sight.length
    total = flat_part(frame, sight, wavenumber, 1.0) + frame.rotated
    first, *others = total.parts
    inverse = Symmetric((first + radial * radial, *others)).inverse()
    d = sight.displaced(wavenumber)
    return inverse.between(speed, d), inverse.between(speed, speed)


def _erf(argument: Array) -> Array:
    module = module_of(argument)
    if module is not np:
        return module.erf(argument)
    from scipy import special  # here, since it takes long to load, and most frames need it not

    return special.erf(argument)


def _erf_between(first: Float64Array, last: Float64Array) -> Float64Array:
    """Return erf(last) − erf(first), of what is left of either where both are nearly one."""
    from scipy import special

    after, before = first > 0.0, last < 0.0
    near, far = np.where(before, -last, first), np.where(before, -first, last)
    beside = special.erfc(near) - special.erfc(far)
    return np.asarray(np.where(after | before, beside, special.erf(last) - special.erf(first)))
