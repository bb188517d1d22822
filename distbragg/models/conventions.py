"""Detector conventions as one table (facts of nanoBragg.c)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from distbragg.models.origins import tell
from distbragg.models.vectors import Vector, X, Y, Z
from distbragg.spec.experiment import ExperimentSpec

Pivot = Literal["beam", "sample"]

_MINUS_X: Final[Vector] = (-1.0, 0.0, 0.0)
_MINUS_Y: Final[Vector] = (0.0, -1.0, 0.0)
_MINUS_Z: Final[Vector] = (0.0, 0.0, -1.0)


@dataclass(frozen=True, slots=True)
class BeamCentre:
    """One coordinate of the direct beam, as the convention writes it.

    The position along a detector axis is sign·value + size_share·(size of that axis)
    + pixel_share·pixel, where value is `Xbeam` or `Ybeam`. Where value is not given it is
    (default_size·size + default_pixel·pixel)/2 with the size of the same axis; a convention
    with `from_close` takes Xclose or Yclose instead.
    """

    field: Literal["xbeam", "ybeam"]
    sign: float
    size_share: float
    pixel_share: float
    default_pixel: float
    from_close: bool

    def position(self, value: float, size: float, pixel: float) -> float:
        """Return the coordinate along the detector axis, m."""
        return self.size_share * size + self.sign * value + self.pixel_share * pixel


@dataclass(frozen=True, slots=True)
class ConventionRule:
    """Axes, beam-centre rules and pivot of one convention."""

    beam: Vector
    fast: Vector
    slow: Vector
    normal: Vector
    twotheta: Vector
    polarization: Vector
    spindle: Vector
    fast_centre: BeamCentre
    slow_centre: BeamCentre
    pivot: Pivot


# MOSFLM and DENZO name coordinates by their own axes: X runs along our slow axis. Their
# default values therefore take the size of the axis they run along: Xbeam the slow one.
_MOSFLM_FAST = BeamCentre("ybeam", 1.0, 0.0, 0.5, 1.0, False)
_MOSFLM_SLOW = BeamCentre("xbeam", 1.0, 0.0, 0.5, 1.0, False)
_DENZO_FAST = BeamCentre("ybeam", 1.0, 0.0, 0.0, 1.0, False)
_DENZO_SLOW = BeamCentre("xbeam", 1.0, 0.0, 0.0, 1.0, False)
_ADXV_FAST = BeamCentre("xbeam", 1.0, 0.0, 0.0, 1.0, False)
_ADXV_SLOW = BeamCentre("ybeam", -1.0, 1.0, 0.0, -1.0, False)
_CLOSE_FAST = BeamCentre("xbeam", 1.0, 0.0, 0.0, 0.0, True)
_CLOSE_SLOW = BeamCentre("ybeam", 1.0, 0.0, 0.0, 0.0, True)

CONVENTIONS: Final[dict[str, ConventionRule]] = {
    "mosflm": ConventionRule(X, Z, _MINUS_Y, X, _MINUS_Z, Z, Z, _MOSFLM_FAST, _MOSFLM_SLOW, "beam"),
    "denzo": ConventionRule(X, Z, _MINUS_Y, X, _MINUS_Z, Z, Z, _DENZO_FAST, _DENZO_SLOW, "beam"),
    "adxv": ConventionRule(Z, X, _MINUS_Y, Z, _MINUS_X, X, X, _ADXV_FAST, _ADXV_SLOW, "beam"),
    "xds": ConventionRule(Z, X, Y, Z, X, X, X, _CLOSE_FAST, _CLOSE_SLOW, "sample"),
    "dials": ConventionRule(Z, X, Y, Z, Y, Y, Y, _CLOSE_FAST, _CLOSE_SLOW, "sample"),
    "custom": ConventionRule(X, Z, _MINUS_Y, X, Y, Z, Z, _CLOSE_FAST, _CLOSE_SLOW, "beam"),
}


def convention_of(spec: ExperimentSpec) -> str:
    """Name the convention: as given, else `custom` where directions or pix0 are, else MOSFLM.

    Panels with places of their own are such directions. Under `physics: nanobragg` a
    polarisation or spindle axis is one too; under `physics: exact` those two merely replace the
    convention's own.
    """
    detector, field = spec.detector, "detector.convention"
    if detector.convention is not None:
        tell(field, "given")
        return detector.convention
    directions: list[object] = [
        detector.panels,
        detector.geometry_file,
        detector.origin_m,
        spec.beam.direction,
        detector.axes.given or None,
    ]
    if spec.physics == "nanobragg":
        directions += [spec.beam.polarization.axis, spec.goniometer.spindle_axis]
    if any(direction is not None for direction in directions):
        tell(field, "rule", "directions are given")
        return "custom"
    tell(field, "default")
    return "mosflm"
