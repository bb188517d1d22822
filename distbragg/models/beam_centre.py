"""Where the beam and the nearest point lie on the unrotated detector."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

from distbragg.errors import InputError
from distbragg.models.conventions import CONVENTIONS, BeamCentre, ConventionRule
from distbragg.models.headers import HeaderValues
from distbragg.spec.experiment import ExperimentSpec
from distbragg.units import mm_to_m

logger = logging.getLogger("distbragg")


@dataclass(frozen=True, slots=True)
class Centres:
    """Coordinates along the panel axes from its corner, m: beam (Fbeam…), nearest (Fclose…)."""

    fast_beam: float
    slow_beam: float
    fast_close: float
    slow_close: float


@dataclass(frozen=True, slots=True)
class _Given:
    """What is said about one axis: the beam as the convention writes it, and the nearest point."""

    beam: float | None
    close: float | None
    org: float | None


@dataclass(frozen=True, slots=True)
class _Side:
    """One panel axis: its length and pixel (m) and where the beam lies from the nearest point."""

    name: Literal["x", "y"]
    size: float
    pixel: float
    offset: float


def resolve_centres(
    spec: ExperimentSpec,
    rule: ConventionRule,
    headers: HeaderValues,
    *,
    size_fast: float,
    size_slow: float,
    pixel: float,
    offsets: tuple[float, float],
) -> Centres:
    """Resolve beam centre and nearest point.

    `physics: nanobragg` follows the program: the nearest point comes from ORGX/Y alone (from
    the beam centre under CUSTOM), and the beam centre from Xbeam/Ybeam by the convention.
    `physics: exact` lets whatever is given stand for what is not, for a detector as it was
    before its rotations; explicit fields replace those of a header together.

    Raises
    ------
    InputError
        The nearest point is given twice.
    """
    fast = _Side("x", size_fast, pixel, offsets[0])
    slow = _Side("y", size_slow, pixel, offsets[1])
    resolve = _nanobragg_axis if spec.physics == "nanobragg" else _exact_axis
    fast_beam, fast_close = resolve(spec, headers, rule.fast_centre, fast)
    slow_beam, slow_close = resolve(spec, headers, rule.slow_centre, slow)
    if spec.physics == "nanobragg":
        _warn_unused(spec, rule)
        if rule is CONVENTIONS["custom"]:
            fast_close, slow_close = fast_beam, slow_beam
    return Centres(fast_beam, slow_beam, fast_close, slow_close)


def _explicit(spec: ExperimentSpec, centre: BeamCentre, name: Literal["x", "y"]) -> _Given:
    detector = spec.detector
    beam = detector.xbeam_mm if centre.field == "xbeam" else detector.ybeam_mm
    close = detector.xclose_mm if name == "x" else detector.yclose_mm
    org = detector.orgx_px if name == "x" else detector.orgy_px
    return _Given(
        None if beam is None else mm_to_m(beam), None if close is None else mm_to_m(close), org
    )


def _from_header(headers: HeaderValues, centre: BeamCentre, name: Literal["x", "y"]) -> _Given:
    beam = headers.xbeam if centre.field == "xbeam" else headers.ybeam
    return _Given(beam, None, headers.orgx if name == "x" else headers.orgy)


def _org_position(org: float, pixel: float) -> float:
    return (org - 0.5) * pixel


def _default_value(centre: BeamCentre, side: _Side) -> float:
    return (side.size + centre.default_pixel * side.pixel) / 2.0


def _nanobragg_axis(
    spec: ExperimentSpec, headers: HeaderValues, centre: BeamCentre, side: _Side
) -> tuple[float, float]:
    explicit = _explicit(spec, centre, side.name)
    header = _from_header(headers, centre, side.name)
    org = header.org if explicit.org is None else explicit.org
    nearest = side.size / 2.0 if org is None else _org_position(org, side.pixel)
    value = header.beam if explicit.beam is None else explicit.beam
    if value is None and centre.from_close:
        value = nearest if explicit.close is None else explicit.close
    if value is None:
        value = _default_value(centre, side)
    return centre.position(value, side.size, side.pixel), nearest


def _exact_axis(
    spec: ExperimentSpec, headers: HeaderValues, centre: BeamCentre, side: _Side
) -> tuple[float, float]:
    given = _explicit(spec, centre, side.name)
    if given.close is not None and given.org is not None:
        raise InputError(
            f"given beside detector.{side.name}close_mm",
            field=f"detector.org{side.name}_px",
            remedy="keep one of the two",
        )
    if given.beam is None and given.close is None and given.org is None:
        given = _from_header(headers, centre, side.name)
    nearest = given.close
    if nearest is None and given.org is not None:
        nearest = _org_position(given.org, side.pixel)
    beam = None
    if given.beam is not None:
        beam = centre.position(given.beam, side.size, side.pixel)
    if beam is None and nearest is not None:
        return nearest + side.offset, nearest
    if beam is not None:
        return beam, beam - side.offset if nearest is None else nearest
    centred = side.size / 2.0
    if centre.from_close:
        return centred + side.offset, centred
    return centre.position(_default_value(centre, side), side.size, side.pixel), centred


def _warn_unused(spec: ExperimentSpec, rule: ConventionRule) -> None:
    """Say which centre fields the program parses and does not use."""
    detector = spec.detector
    if rule is CONVENTIONS["custom"]:
        return
    close = detector.xclose_mm is not None or detector.yclose_mm is not None
    org = detector.orgx_px is not None or detector.orgy_px is not None
    beam = detector.xbeam_mm is not None or detector.ybeam_mm is not None
    if close:
        logger.warning(
            "detector.xclose_mm, yclose_mm: no effect under this convention, as in nanoBragg"
        )
    if org and rule.pivot == "beam":
        logger.warning(
            "detector.orgx_px, orgy_px: no effect under a convention that pivots about the beam, "
            "as in nanoBragg"
        )
    if beam and rule.pivot == "sample":
        logger.warning(
            "detector.xbeam_mm, ybeam_mm: no effect under a convention that pivots about the "
            "sample, as in nanoBragg"
        )
