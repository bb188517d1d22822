"""The axes of a detector as given or by convention, and how it is swung about the sample."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

from distbragg.errors import InputError
from distbragg.models.build_beam import Physics, direction_of
from distbragg.models.conventions import CONVENTIONS, ConventionRule
from distbragg.models.headers import HeaderValues
from distbragg.models.vectors import Vector, cross, dot, norm, rotate_about, rotate_xyz, scale, unit
from distbragg.spec.detector import DetectorAxesSpec, DetectorSpec
from distbragg.units import deg_to_rad

PARALLEL: Final = 1e-12
"""Sine, or cosine, of an angle below which two directions count as parallel, or at right angles."""

logger = logging.getLogger("distbragg")


@dataclass(frozen=True, slots=True)
class PanelAxes:
    """Unit vectors of a panel before it is swung, and the axis of 2θ."""

    fast: Vector
    slow: Vector
    normal: Vector
    twotheta: Vector


@dataclass(frozen=True, slots=True)
class Swing:
    """Rotations of the detector (rad): about laboratory x, y, z, then 2θ about its axis."""

    angles: Vector
    twotheta: float

    def turn(self, vector: Vector, axes: PanelAxes) -> Vector:
        """Swing a vector."""
        return rotate_about(rotate_xyz(vector, self.angles), axes.twotheta, self.twotheta)


def panel_axes(
    spec: DetectorSpec, rule: ConventionRule, physics: Physics, beam: Vector
) -> PanelAxes:
    """Resolve the axes: as given, else by the convention.

    Raises
    ------
    InputError
        An axis is no direction, or two are parallel.
    """
    given = spec.axes
    if (
        physics == "nanobragg"
        and rule is not CONVENTIONS["custom"]
        and any(vector is not None for vector in (given.fast, given.slow, given.normal))
    ):
        logger.warning("detector.axes: the convention's own axes replace the given ones")
        return PanelAxes(rule.fast, rule.slow, rule.normal, rule.twotheta)
    fast = direction_of(given.fast or rule.fast, "detector.axes.fast")
    slow = direction_of(given.slow or rule.slow, "detector.axes.slow")
    across = cross(fast, slow)
    if norm(across) < PARALLEL:
        raise InputError("the fast and slow axes are parallel", field="detector.axes.slow")
    if physics == "exact" and dot(beam, across) < 0.0:
        across = scale(across, -1.0)
    if abs(dot(fast, slow)) > 1e-6:
        logger.warning("detector.axes: the fast and slow axes are not at right angles")
    twotheta = direction_of(given.twotheta or rule.twotheta, "detector.axes.twotheta")
    return PanelAxes(fast, slow, _normal(given, across, rule, physics), twotheta)


def _normal(
    given: DetectorAxesSpec, across: Vector, rule: ConventionRule, physics: Physics
) -> Vector:
    """Return the panel normal: the convention's, unless axes of the panel itself were given.

    For given axes it is ± fast × slow, whichever looks along the beam: a slow axis that points
    down would else put the panel behind the sample. nanoBragg keeps its initial x axis there.
    """
    if given.normal is None:
        own = physics == "exact" and (given.fast is not None or given.slow is not None)
        return unit(across) if own else rule.normal
    if physics == "nanobragg" and norm(given.normal) != 1.0:
        logger.warning("detector.axes.normal: not a unit vector; fast × slow is used instead")
        return unit(across)
    return direction_of(given.normal, "detector.axes.normal")


def swing_of(spec: DetectorSpec, headers: HeaderValues, physics: Physics) -> Swing:
    """Resolve rotations and 2θ; a header's 2θ counts under `physics: exact` alone."""
    twotheta = 0.0 if spec.twotheta_deg is None else deg_to_rad(spec.twotheta_deg)
    if spec.twotheta_deg is None and headers.twotheta:
        if physics == "exact":
            twotheta = headers.twotheta
        else:
            logger.warning(
                "detector.twotheta_deg: that of the image header is not used, as in nanoBragg"
            )
    x, y, z = spec.rotation_deg
    return Swing((deg_to_rad(x), deg_to_rad(y), deg_to_rad(z)), twotheta)
