"""How counts, ranges and steps give one another.

Under `physics: exact` a range is cut into equal parts, each sampled at its centre, and a number
that nobody gave is refused. The rest are nanoBragg's default sampling rules.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Final

from distbragg.errors import InputError
from distbragg.units import deg_to_rad

logger = logging.getLogger("distbragg")

MAXIMUM_STEPS: Final = 10_000_000
"""Longest list of phi steps, domains, layers or generated sources."""

NOMINAL_ANGLE: Final = 1.0
"""Range, rad, that a divergence count alone stands for in nanoBragg."""

_DEFAULT_DOMAINS: Final = 10
_NOMINAL_OSCILLATION: Final = deg_to_rad(1.0)


@dataclass(frozen=True, slots=True)
class Grid:
    """A resolved range of equally spaced values about 0.

    Attributes
    ----------
    count : int
    extent : float
        Full range.
    step : float
        Distance between neighbours.
    centred : bool
        The values are the centres of `count` equal parts of the range; otherwise the first is
        −extent/2, as in nanoBragg.
    """

    count: int
    extent: float
    step: float
    centred: bool = False

    @property
    def values(self) -> list[float]:
        """All values, in ascending order."""
        if self.centred:
            return [self.step * (i + 0.5 - self.count / 2.0) for i in range(self.count)]
        return [self.step * index - self.extent / 2.0 for index in range(self.count)]


OFF: Final = Grid(1, 0.0, 0.0)

_ROUNDING_NOISE: Final = 1e-9
_AGREEMENT: Final = 1e-6
"""By what share of the range three numbers may miss one another: they were rounded to be read."""


@dataclass(frozen=True, slots=True)
class StepFields:
    """Names of the fields that a range, its step and its count were given in, for messages."""

    extent: str
    step: str
    count: str


def exact_count(count: int | None, field: str) -> int | None:
    """Refuse a count below 1, which means "not given" to nanoBragg alone.

    Raises
    ------
    InputError
    """
    if count is not None and count < 1:
        raise InputError(
            f"a count of {count}",
            field=field,
            remedy="give 1 or more, or leave it out; numbers below 1 mean something under "
            "physics: nanobragg alone",
        )
    return count


def exact_steps(
    extent: float | None, step: float | None, count: int | None, fields: StepFields
) -> tuple[int, float]:
    """Return the number of equal parts and the range that they fill, under `physics: exact`.

    Parameters
    ----------
    extent : float or None
        Range; it may be negative, for a rotation backwards.
    step : float or None
        Width of a part.
    count : int or None
        Number of parts; 2 where neither it nor a step is given.
    fields : StepFields
        For messages.

    Raises
    ------
    InputError
        A count or a step without a range, three numbers that contradict one another, too many
        steps, or numbers that are no count or step.
    """
    count = exact_count(count, fields.count)
    if count is not None:
        check_count(count, fields.count)
    if step is not None and step <= 0.0:
        raise InputError("is not positive", field=fields.step, remedy="leave it out")
    if extent is None:
        if step is not None and count is not None:
            return count, step * count
        if step is None and count in (None, 1):
            return 1, 0.0
        given = fields.count if step is None else fields.step
        raise InputError(
            "given without a range", field=given, remedy=f"give {fields.extent} beside it"
        )
    if extent == 0.0:
        return 1, 0.0
    if step is None:
        return count or 2, extent
    if count is None:
        return max(1, _ceiling(abs(extent) / step * (1.0 - _ROUNDING_NOISE), fields.step)), extent
    if abs(abs(extent) - step * count) > _AGREEMENT * abs(extent):
        raise InputError(
            f"contradicts {fields.step} and {fields.count}: their product is "
            f"{step * count / abs(extent):g} of it",
            field=fields.extent,
            remedy="keep two of the three",
        )
    return count, extent


def exact_grid(extent: float | None, step: float | None, count: int | None, field: str) -> Grid:
    """Resolve a grid about 0 under `physics: exact`; see `exact_steps`.

    Parameters
    ----------
    extent, step : float, rad, or None
    count : int or None
    field : str
        The section of the specification, for messages.

    Raises
    ------
    InputError
        As `exact_steps`, or a range below 0.
    """
    fields = StepFields(f"{field}.range_mrad", f"{field}.step_mrad", f"{field}.steps")
    if extent is not None and extent < 0.0:
        raise InputError("is negative", field=fields.extent, remedy="a range is 0 or more")
    number, full = exact_steps(extent, step, count, fields)
    return OFF if full == 0.0 else Grid(number, full, full / number, centred=True)


def resolve_grid(
    extent: float | None, step: float | None, count: int | None, *, nominal: float, field: str
) -> Grid:
    """Resolve a divergence or dispersion grid from any of its three numbers.

    Parameters
    ----------
    extent : float or None
        Full range; negative means not given.
    step : float or None
        Distance between neighbours; not positive means not given.
    count : int or None
        Number of values; not positive means not given.
    nominal : float
        Range that a count alone stands for.
    field : str
        Spec field, for messages.

    Raises
    ------
    InputError
        The grid would be too long.
    """
    extent = -1.0 if extent is None else extent
    step = -1.0 if step is None else step
    count = 0 if count is None else count
    if extent < 0.0:
        grid = _without_extent(step, count, nominal)
    elif step > 0.0:
        grid = Grid(count if count > 0 else _ceiling(extent / step, field), extent, step)
    else:
        number = max(count, 2)
        grid = Grid(number, extent, extent / (number - 1))
    if grid.extent <= 0.0 or grid.step <= 0.0 or grid.count <= 0:
        return OFF
    check_count(grid.count, field)
    return grid


def _without_extent(step: float, count: int, nominal: float) -> Grid:
    if step > 0.0:
        return Grid(2, step, step)
    if count > 0:
        return Grid(count, nominal, nominal / count)
    return OFF


def check_count(count: int, field: str) -> None:
    """Refuse a list too long to be meant.

    Raises
    ------
    InputError
    """
    if count > MAXIMUM_STEPS:
        raise InputError(
            f"{count} steps, more than {MAXIMUM_STEPS}", field=field, remedy="take larger steps"
        )


def _ceiling(ratio: float, field: str) -> int:
    if not ratio <= MAXIMUM_STEPS:
        raise InputError(
            f"{ratio:.3g} steps, more than {MAXIMUM_STEPS}", field=field, remedy="take larger steps"
        )
    return math.ceil(ratio)


@dataclass(frozen=True, slots=True)
class PhiSteps:
    """Resolved spindle rotation: `count` steps of `step` from the start, `extent` in all (rad)."""

    count: int
    extent: float
    step: float


def resolve_phi(extent: float | None, step: float | None, count: int | None) -> PhiSteps:
    """Resolve the oscillation (rad) from range, step and count.

    Only a range gives two steps; range and step give ceil(range/step); a count alone stands
    for one degree; a step without range gives two steps of it.

    Raises
    ------
    InputError
        Too many steps.
    """
    extent = -1.0 if extent is None else extent
    step = -1.0 if step is None else step
    field = "goniometer.steps"
    if extent < 0.0:
        if step > 0.0:
            return PhiSteps(2, step, step)
        if count is None or count < 0:
            return PhiSteps(1, 0.0, 0.0)
        number = max(count, 1)
        check_count(number, field)
        return PhiSteps(number, _NOMINAL_OSCILLATION, _NOMINAL_OSCILLATION / number)
    if count is None or count < 0:
        if step <= 0.0:
            return PhiSteps(2, extent, extent / 2.0)
        return PhiSteps(max(_ceiling(extent / step, field), 1), extent, step)
    number = max(count, 1)
    check_count(number, field)
    return PhiSteps(number, extent, extent / number if step < 0.0 else step)


def resolve_domains(spread: float | None, count: int | None) -> tuple[float, int]:
    """Resolve mosaic spread (rad) and number of domains.

    Domains without a spread become one; a spread without a count gives ten.

    Raises
    ------
    InputError
        Too many domains.
    """
    if spread is None or spread <= 0.0:
        if count is not None and count > 1:
            logger.warning(
                "crystal.mosaic.domains: %d domains without a spread are one aligned domain", count
            )
        return 0.0, 1
    if count is None or count <= 0:
        return spread, _DEFAULT_DOMAINS
    check_count(count, "crystal.mosaic.domains")
    return spread, count
