"""How counts, ranges and steps give one another.

Under `physics: exact` a range is cut into equal parts, each sampled at its centre, and a number
that nobody gave is refused. The rest are nanoBragg's default sampling rules.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from distbragg.errors import InputError
from distbragg.models.origins import asked, tell
from distbragg.units import deg_to_rad

MAXIMUM_STEPS: Final = 10_000_000  # longest list of phi steps, domains, layers or generated sources
NOMINAL_ANGLE: Final = 1.0  # range, rad, that a divergence count alone stands for in nanoBragg
_DEFAULT_DOMAINS: Final = 10
_NOMINAL_OSCILLATION: Final = deg_to_rad(1.0)


@dataclass(frozen=True, slots=True)
class Grid:
    """`count` values about 0, `step` apart, over the full range `extent`.

    Centred, they are the centres of equal parts of the range; else the first is −extent/2, as in
    nanoBragg.
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


def exact_steps(
    extent: float | None, step: float | None, count: int | None, fields: tuple[str, str, str]
) -> tuple[int, float]:
    """Return the number of equal parts and the range that they fill, under `physics: exact`.

    `extent`: range; it may be negative, for a rotation backwards. `step`: width of a part.
    `count`: number of parts; 2 where neither it nor a step is given. `fields`: of these three,
    for messages.
    """
    of_extent, of_step, of_count = fields
    if step is not None and step <= 0.0:
        raise InputError("is not positive", field=of_step, remedy="leave it out")
    if extent is None:
        if step is not None and count is not None:
            return count, step * count
        if step is None and count in (None, 1):
            return 1, 0.0
        given = of_count if step is None else of_step
        raise InputError("given without a range", field=given, remedy=f"give {of_extent} beside it")
    if extent == 0.0:
        return 1, 0.0
    if step is None:
        return count or 2, extent
    if count is None:
        return max(1, _ceiling(abs(extent) / step * (1.0 - _ROUNDING_NOISE), of_step)), extent
    if abs(abs(extent) - step * count) > _AGREEMENT * abs(extent):
        raise InputError(
            f"contradicts {of_step} and {of_count}: their product is "
            f"{step * count / abs(extent):g} of it",
            field=of_extent,
            remedy="keep two of the three",
        )
    return count, extent


def exact_grid(extent: float | None, step: float | None, count: int | None, field: str) -> Grid:
    """Resolve a grid about 0 under `physics: exact`; see `exact_steps`.

    `extent`, `step`: rad, or None. `field`: the section of the specification, for messages.
    """
    fields = (f"{field}.range_mrad", f"{field}.step_mrad", f"{field}.steps")
    if extent is not None and extent < 0.0:
        raise InputError("is negative", field=fields[0], remedy="a range is 0 or more")
    number, full = exact_steps(extent, step, count, fields)
    return OFF if full == 0.0 else Grid(number, full, full / number, centred=True)


def resolve_grid(
    extent: float | None, step: float | None, count: int | None, *, nominal: float, field: str
) -> Grid:
    """Resolve a divergence or dispersion grid from any of its three numbers, as nanoBragg does.

    A negative range and a step or count that is not positive mean "not given". `nominal`: range
    that a count alone stands for. `field`: for messages.
    """
    extent = -1.0 if extent is None else extent
    step = -1.0 if step is None else step
    count = 0 if count is None else count
    grid = OFF
    if extent >= 0.0 and step > 0.0:
        grid = Grid(count if count > 0 else _ceiling(extent / step, field), extent, step)
    elif extent >= 0.0:
        number = max(count, 2)
        grid = Grid(number, extent, extent / (number - 1))
    elif step > 0.0:
        grid = Grid(2, step, step)
    elif count > 0:
        grid = Grid(count, nominal, nominal / count)
    if grid.extent <= 0.0 or grid.step <= 0.0 or grid.count <= 0:
        return OFF
    check_count(grid.count, field)
    return grid


def check_count(count: float, field: str) -> None:
    """Refuse a list too long to be meant."""
    if not count <= MAXIMUM_STEPS:
        number = count if isinstance(count, int) else f"{count:.3g}"
        problem = f"{number} steps, more than {MAXIMUM_STEPS}"
        raise InputError(problem, field=field, remedy="take larger steps")


def _ceiling(ratio: float, field: str) -> int:
    check_count(ratio, field)
    return math.ceil(ratio)


def resolve_phi(extent: float | None, step: float | None, count: int | None) -> tuple[int, float]:
    """Return count and width (rad) of the spindle's steps, as nanoBragg resolves them.

    Only a range gives two steps; range and step give ceil(range/step); a count alone stands
    for one degree; a step without range gives two steps of it.
    """
    field = "goniometer.steps"
    if count is not None and count < 0:
        count = None
    if extent is None or extent < 0.0:
        if step is not None and step > 0.0:
            return 2, step
        if count is None:
            return 1, 0.0
        extent, step = _NOMINAL_OSCILLATION, None
    elif count is None:
        if step is None or step <= 0.0:
            return 2, extent / 2.0
        return max(_ceiling(extent / step, field), 1), step
    count = max(count, 1)
    check_count(count, field)
    return count, extent / count if step is None or step < 0.0 else step


def resolve_domains(spread: float | None, count: int | None) -> tuple[float, int]:
    """Resolve mosaic spread (rad) and number of domains.

    Domains without a spread become one; a spread without a count gives ten.
    """
    alone, unsaid = spread is None or spread <= 0.0, count is None or count <= 0
    if asked() is not None:
        by_spread = ("rule", "one without a spread") if alone else ("default",)
        tell("crystal.mosaic.domains", *(by_spread if alone or unsaid else ("given",)))
    if spread is None or spread <= 0.0:
        return 0.0, 1
    if count is None or count <= 0:
        return spread, _DEFAULT_DOMAINS
    check_count(count, "crystal.mosaic.domains")
    return spread, count
