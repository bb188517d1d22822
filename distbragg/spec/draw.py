"""Axes whose values are drawn for each position: distributions, and choices among them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal, Self

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from distbragg.spec.axis_values import AxisValues, plain_values
from distbragg.spec.base import Count, Positive, Seed, SpecModel, refusal
from distbragg.spec.distributions import (
    ChoiceDraw,
    Distribution,
    Drawing,
    LogNormalDraw,
    NormalDraw,
    UniformDraw,
    shown,
)
from distbragg.spec.vector_draws import (
    CellJitterDraw,
    MissetDraw,
    NormalsDraw,
    OrientationDraw,
)

_KINDS: Final = (
    "normal", "log_normal", "uniform", "choice", "normals", "orientation", "misset",
    "cell_jitter", "mixture", "chance", "when",
)  # fmt: skip
_ANYWHERE: Final = OrientationDraw()


def _outcome(value: object) -> object:
    """Take a plain value for a distribution that always gives it."""
    if isinstance(value, Mapping | SpecModel):
        return value
    return {"choice": {"values": [value]}}


Outcome = Annotated["OneDrawSpec", BeforeValidator(_outcome, json_schema_input_type=Any)]
"""A distribution, or one value: a number, text, true or false, a vector, null."""


class MixturePartSpec(SpecModel):
    """One part of a mixture."""

    weight: Positive
    """Share of the positions that have it, in any unit. Example: 0.3"""
    draw: Outcome
    """Its distribution, or one value. Example: 0"""


class _Either(Distribution):
    """One of two distributions."""

    then: Outcome
    """Distribution of the positions that it holds for, or one value. Example: 0"""
    otherwise: Outcome
    """Distribution of all others, or one value. Example: null"""

    def uses(self) -> Iterator[str]:
        """Yield the names of the axes that it depends on."""
        yield from self.then.uses()
        yield from self.otherwise.uses()

    def default_path(self) -> str:
        """Return the field that such values are for."""
        return self.then.default_path() or self.otherwise.default_path()

    def leaves(self) -> Iterator[tuple[str, Distribution]]:
        """Yield the distributions that it chooses among, and their places in it."""
        for name, part in (("then", self.then), ("otherwise", self.otherwise)):
            yield from ((f"{name}.{place}", one) for place, one in part.leaves())


class ChanceDraw(_Either):
    """With a probability one thing, otherwise another: a distribution or one value each."""

    probability: Annotated[float, Field(ge=0.0, le=1.0)]
    """Share of the positions, on average, that have `then`: from 0 to 1. Example: 0.3"""

    def drawn(self, drawing: Drawing) -> AxisValues:
        """Return its values at all positions."""
        which = drawing.choices((self.probability, 1.0 - self.probability))
        inside = drawing.inside()
        return AxisValues.choose(which, [self.then.drawn(inside), self.otherwise.drawn(inside)])

    def told(self) -> str:
        """Return it in words."""
        share = f"with a chance of {100.0 * self.probability:.3g} %"
        return f"{share} {self.then.told()}, otherwise {self.otherwise.told()}"


def _listed(value: object) -> tuple[Any, ...]:
    values = plain_values(value if isinstance(value, list | tuple) else [value])
    if any(isinstance(one, tuple) for one in values):
        raise refusal("a vector decides nothing", remedy="give a value, or a list of values")
    return values


class WhenDraw(_Either):
    """What the value of another axis of the same dim decides."""

    axis: str
    """Name of the axis that decides; files count by their names. Example: present"""
    equals: Annotated[
        tuple[Any, ...],
        BeforeValidator(_listed, json_schema_input_type=Any),
        Field(min_length=1),
    ]
    """Its value for `then`, or a list of such values. Example: true"""

    def uses(self) -> Iterator[str]:
        """Yield the names of the axes that it depends on."""
        yield self.axis
        yield from super().uses()

    def drawn(self, drawing: Drawing) -> AxisValues:
        """Return its values at all positions; both parts draw alike."""
        holds = self._holds(drawing.beside[self.axis])
        parts = [self.otherwise.drawn(drawing), self.then.drawn(drawing)]
        return AxisValues.choose(holds.astype(np.int64), parts)

    def _holds(self, other: AxisValues) -> np.ndarray[Any, np.dtype[np.bool_]]:
        if other.array.ndim != 1:
            raise refusal(f"the axis {self.axis!r} is one of vectors", field="when.axis")
        holds = np.zeros(len(other), dtype=np.bool_)
        texts = other.array.dtype.kind == "U"
        for value in self.equals:
            if value is None:
                holds |= other.nulls
                continue
            if isinstance(value, str) != texts:
                what = "texts" if texts else "numbers"
                problem = f"{value!r} is not a value of {self.axis!r}, which are {what}"
                raise refusal(problem, field="when.equals")
            holds |= (other.array == value) & ~other.nulls
        return holds

    def told(self) -> str:
        """Return it in words."""
        values = " or ".join(map(shown, self.equals))
        holds = f"where {self.axis} is {values}"
        return f"{holds} {self.then.told()}, otherwise {self.otherwise.told()}"


class OneDrawSpec(Distribution):
    """One distribution."""

    normal: NormalDraw | None = None
    """Normal numbers, cut or not. Left out: another distribution."""
    log_normal: LogNormalDraw | None = None
    """Numbers whose logarithms are normal. Left out: another distribution."""
    uniform: UniformDraw | None = None
    """Numbers drawn evenly, or whole numbers. Left out: another distribution."""
    choice: ChoiceDraw | None = None
    """One of some values, with weights. Left out: another distribution."""
    normals: NormalsDraw | None = None
    """Vectors of correlated normal numbers. Left out: another distribution."""
    orientation: Literal["uniform"] | None = None
    """Orientations uniform over all rotations. Left out: another distribution. Example: uniform"""
    misset: MissetDraw | None = None
    """Small rotations out of an orientation. Left out: another distribution."""
    cell_jitter: CellJitterDraw | None = None
    """Cells that vary and keep their crystal system. Left out: another distribution."""
    mixture: Annotated[tuple[MixturePartSpec, ...], Field(min_length=1)] | None = None
    """At each position one of several distributions, by weight. Left out: another distribution."""
    chance: ChanceDraw | None = None
    """With a probability one thing, otherwise another. Left out: another distribution."""
    when: WhenDraw | None = None
    """What another axis of the same dim decides. Left out: another distribution."""

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        given = [kind for kind in _KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            found = " and ".join(given) if given else "none"
            raise refusal(f"needs exactly one of {', '.join(_KINDS)}, found {found}")
        return self

    @property
    def _only(self) -> Distribution:
        return _ANYWHERE if self.orientation is not None else self._named[1]

    @property
    def _named(self) -> tuple[str, Distribution]:
        """The kind that is given, and its name."""
        return next((kind, of) for kind in _KINDS if (of := getattr(self, kind)) is not None)

    def drawn(self, drawing: Drawing) -> AxisValues:
        """Return its values at all positions."""
        if self.mixture is None:
            return self._only.drawn(drawing)
        which = drawing.choices([part.weight for part in self.mixture])
        parts = [part.draw.drawn(drawing.inside()) for part in self.mixture]
        return AxisValues.choose(which, parts)

    def told(self) -> str:
        """Return it in words."""
        if self.mixture is None:
            return self._only.told()
        total = sum(part.weight for part in self.mixture)
        parts = [f"{100.0 * p.weight / total:.3g} % {p.draw.told()}" for p in self.mixture]
        return f"a mixture: {'; '.join(parts)}"

    def uses(self) -> Iterator[str]:
        """Yield the names of the axes that it depends on."""
        if self.mixture is None:
            yield from self._only.uses()
        for part in self.mixture or ():
            yield from part.draw.uses()

    def default_path(self) -> str:
        """Return the field that such values are for."""
        if self.mixture is None:
            return self._only.default_path()
        return next(filter(None, (part.draw.default_path() for part in self.mixture)), "")

    def leaves(self) -> Iterator[tuple[str, Distribution]]:
        """Yield every distribution that is not a choice among others, and its place in this."""
        if self.mixture is not None:
            for number, part in enumerate(self.mixture):
                inner = part.draw.leaves()
                yield from ((f"mixture.{number}.draw.{place}", one) for place, one in inner)
            return
        name, only = ("orientation", _ANYWHERE) if self.orientation else self._named
        inside = [(f"{name}.{place}", one) for place, one in only.leaves()]
        yield from inside or [(name, only)]

    def choices(self) -> Iterator[tuple[str, ChoiceDraw]]:
        """Yield every list of values that are chosen from, and its place in this."""
        yield from ((place, one) for place, one in self.leaves() if isinstance(one, ChoiceDraw))


class DrawSpec(OneDrawSpec):
    """Values drawn for each position by itself.

    A number depends on the seed, the name of the axis and its position along the dim alone: more
    positions, other axes and their order change no draw.
    """

    count: Count | None = None
    """Number of positions. Left out: as many as other axes of the dim have, else the sweep's
    `count`. Example: 2000"""
    seed: Seed | None = None
    """Seed of this axis alone. Left out: the sweep's `seed`. Example: 5"""


for _model in (MixturePartSpec, ChanceDraw, WhenDraw, OneDrawSpec, DrawSpec):
    _model.model_rebuild()
