"""The mean of a Gaussian crystal's transform over a uniform rotation about the spindle.

The logarithm is taken as a parabola of the angle about the angle at which the reflection passes
the ray, or the end of the rotation that is nearest to it; so the mean is a difference of error
functions. A rotation of several degrees is to be cut into parts.
"""

from __future__ import annotations

import math
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
        first, last = self.first, self.last
        return self.between(self.top - first * first, self.top - last * last)

    def between(self, before: Array, after: Array) -> Array:
        """Return the mean, by the logarithms top − first² and top − last² of both ends.

        Where the reflection passes beside the rotation, top may be far above both of them, and
        both error functions nearly alike; so it is summed from the nearer end on.
        """
        module = module_of(self.top)
        early, late = self.first > 0.0, self.last < 0.0
        beside = early | late
        # What is not taken is a number too, or its gradient would be none.
        near, far = (
            module.where(early, one, module.where(late, -other, 0.0))
            for one, other in ((self.first, self.last), (self.last, self.first))
        )
        high, low = (
            module.where(early, one, module.where(late, other, 0.0))
            for one, other in ((before, after), (after, before))
        )
        beyond = module.exp(high) * _scaled_erfc(near) - module.exp(low) * _scaled_erfc(far)
        first, last, top = (
            module.where(beside, 0.0, part) for part in (self.first, self.last, self.top)
        )
        return module.where(beside, beyond, module.exp(top) * (_erf(last) - _erf(first)))


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
        return sharp, self.pull / (2.0 * sharp)

    def passage(self, spindle: Spindle) -> Passage:
        """Return the mean of its exponential over the rotation."""
        sharp, peak = self.shape(spindle)
        return Passage(
            self.log + peak * peak + self._share(spindle),
            sharp * (spindle.start - self.angle) - peak,
            sharp * (spindle.stop - self.angle) - peak,
        )

    def ends(self, spindle: Spindle) -> tuple[Array, Array]:
        """Return the logarithms that a passage is summed between."""
        sharp, share = self.shape(spindle)[0], self._share(spindle)
        before, after = (
            self.log + share + x * (self.pull - sharp * sharp * x)
            for x in (spindle.start - self.angle, spindle.stop - self.angle)
        )
        return before, after

    def _share(self, spindle: Spindle) -> Array:
        """Return the logarithm of what error functions are the mean's share of."""
        share = math.log(0.5 * math.sqrt(math.pi) / (spindle.stop - spindle.start))
        sharp = self.shape(spindle)[0]
        return share - module_of(sharp).log(sharp)

    def mean(self, spindle: Spindle) -> Array:
        """Return the mean of its exponential over the rotation, at most 1."""
        mean = self.passage(spindle).between(*self.ends(spindle))
        return module_of(mean).clip(mean, None, 1.0)


def mean_over_rotation(relps: Relps, incidence: Incidence, ray: Triple, spindle: Spindle) -> Array:
    """Return the mean of `mean_transform` over a uniform rotation of the crystal."""
    return _parabola_of(relps, incidence, ray, spindle).mean(spindle)


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
    mean, (sharp, peak) = about.mean(spindle), about.shape(spindle)
    before, after = (np.exp(end) for end in about.ends(spindle))
    off = (before - after) / (math.sqrt(math.pi) * mean)
    return mean, about.angle + (peak + off) / sharp


def _parabola_of(relps: Relps, incidence: Incidence, ray: Triple, spindle: Spindle) -> _Parabola:
    """Return the logarithm near the angle at which reflections pass the rays."""
    frame, axis = frame_of(relps), spindle.axis
    # The logarithm is not a parabola to the last digits, so its gradient flows through where it is
    # taken as one, too.
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


def _scaled_erfc(argument: Array) -> Array:
    """Return exp(x²) erfc(x)."""
    module = module_of(argument)
    if module is not np:
        return module.special.erfcx(argument)
    from scipy import special

    return special.erfcx(argument)
