"""Distributions of one number or vector; `spec.draw` makes them depend on one another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, model_validator

from distbragg.spec.axis_values import AxisValues, plain_values
from distbragg.spec.base import Finite, NonNegative, Positive, SpecModel, refusal
from distbragg.spec.deviates import Deviates, Float64Array, normal_quantile, normal_share

IntArray = NDArray[np.int64]

_LEAST_SHARE: Final = 1e-12
"""Of a distribution, between its cuts: with less, its own digits would show in what is drawn."""

_MOST_WHOLE: Final = 2**53
"""Up to which float64 has every whole number."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """What a distribution draws from: the deviates of its axis, and the axes beside it.

    Numbers and choices have deviates apart: `depth` counts the choices around this one.
    """

    deviates: Deviates
    beside: Mapping[str, AxisValues]
    depth: int = 0

    def uniform(self, column: int = 0) -> Float64Array:
        """Return numbers in (0, 1), (count,), of a component."""
        return self.deviates.uniform(f"value {column}")

    def normals(self, columns: int) -> Float64Array:
        """Return standard normal numbers, (count, columns)."""
        return np.stack([self.deviates.normal(f"value {c}") for c in range(columns)], axis=1)

    def choices(self, weights: Sequence[float]) -> IntArray:
        """Return which of the weighted parts each position has, (count,)."""
        return _by_weight(self.deviates.uniform(f"choice {self.depth}"), weights)

    def inside(self) -> Drawing:
        """Return the drawing of what is chosen among."""
        return replace(self, depth=self.depth + 1)


def _by_weight(unit: Float64Array, weights: Sequence[float]) -> IntArray:
    ends = np.cumsum(np.array(weights, dtype=np.float64))
    found = np.searchsorted(ends, unit * ends[-1], side="right")
    last = int(np.flatnonzero(weights)[-1])
    return np.asarray(np.minimum(found, last), dtype=np.int64)


class Range(SpecModel):
    """Numbers between `low` and `high`."""

    low: Finite
    """Least value. Example: 0.01"""
    high: Finite
    """Greatest value. Example: 0.3"""
    scale: Literal["linear", "log", "integer"] = "linear"
    """Whether numbers are drawn evenly, their logarithms are, or they are whole. Example: log"""

    @model_validator(mode="after")
    def _check_range(self) -> Self:
        if not self.low < self.high:
            raise refusal(f"low {self.low:g} is not below high {self.high:g}", field="low")
        if self.scale == "log" and self.low <= 0:
            raise refusal("a logarithmic range needs positive ends", field="low")
        if self.scale == "integer" and not (self.low.is_integer() and self.high.is_integer()):
            raise refusal("a range of whole numbers needs whole ends", field="low")
        if self.scale == "integer" and max(-self.low, self.high) > _MOST_WHOLE:
            problem = "whole numbers are drawn up to 2^53"
            raise refusal(problem, field="low" if -self.low > _MOST_WHOLE else "high")
        return self

    def within(self, unit: Float64Array) -> AxisValues:
        """Map numbers of [0, 1) to the range."""
        low, high = self.low, self.high
        if self.scale == "log":
            return AxisValues(np.exp(np.log(low) + unit * (np.log(high) - np.log(low))))
        if self.scale == "integer":
            whole = np.floor(low + unit * (high - low + 1.0))
            return AxisValues(np.minimum(whole, high).astype(np.int64))
        return AxisValues(low + unit * (high - low))


class Distribution(SpecModel):
    """What every distribution can do."""

    def drawn(self, drawing: Drawing) -> AxisValues:
        """Return its values at all positions."""
        raise NotImplementedError

    def told(self) -> str:
        """Return it in words."""
        raise NotImplementedError

    def uses(self) -> Iterator[str]:
        """Yield the names of the axes that it depends on."""
        yield from ()

    def default_path(self) -> str:
        """Return the field that such values are for; empty where they may be for any."""
        return ""

    def leaves(self) -> Iterator[tuple[str, Distribution]]:
        """Yield the distributions that it chooses among, and their places in it."""
        yield from ()


class UniformDraw(Range, Distribution):
    """Numbers drawn evenly between `low` and `high`."""

    def drawn(self, drawing: Drawing) -> AxisValues:
        """Return its values at all positions."""
        return self.within(drawing.uniform())

    def told(self) -> str:
        """Return it in words."""
        evenly = {"linear": "evenly", "log": "evenly in logarithm", "integer": "whole numbers"}
        return f"{evenly[self.scale]} from {self.low:g} to {self.high:g}"


class NormalDraw(Distribution):
    """Normal numbers, of which none is drawn below `low` or above `high` (a truncated normal).

    The distribution is cut there, and drawn from what is left: no number is moved to an end, and
    the mean of what is drawn may shift.
    """

    mean: Finite
    """Mean, before any cut. Example: 9000"""
    sd: Positive
    """Standard deviation, before any cut. Example: 20"""
    low: Finite | None = None
    """Where the distribution is cut below. Left out: it is not. Example: 8900"""
    high: Finite | None = None
    """Where the distribution is cut above. Left out: it is not. Example: 9100"""

    @model_validator(mode="after")
    def _check_cut(self) -> Self:
        _check_between(self.low, self.high, _cut(self.mean, self.sd, self.low, self.high))
        return self

    def drawn(self, drawing: Drawing) -> AxisValues:
        """Return its values at all positions."""
        cut = _cut(self.mean, self.sd, self.low, self.high)
        numbers = self.mean + self.sd * _cut_normal(drawing.uniform(), *cut)
        return AxisValues(np.clip(numbers, self.low, self.high))

    def told(self) -> str:
        """Return it in words."""
        return f"normal, mean {self.mean:g}, sd {self.sd:g}{_told_cut(self.low, self.high)}"


class LogNormalDraw(Distribution):
    """Numbers whose natural logarithms are normal, cut as a normal distribution is."""

    median: Positive
    """Median, before any cut: half of the numbers are below it. Example: 1e12"""
    sd_ln: Positive
    """Standard deviation of the natural logarithm: 0.1 is about 10 percent. Example: 0.3"""
    low: Positive | None = None
    """Where the distribution is cut below. Left out: it is not. Example: 1e11"""
    high: Positive | None = None
    """Where the distribution is cut above. Left out: it is not. Example: 1e13"""

    @model_validator(mode="after")
    def _check_cut(self) -> Self:
        _check_between(self.low, self.high, self._cut())
        return self

    def _cut(self) -> tuple[float, float]:
        low, high = (None if end is None else float(np.log(end)) for end in (self.low, self.high))
        return _cut(float(np.log(self.median)), self.sd_ln, low, high)

    def drawn(self, drawing: Drawing) -> AxisValues:
        """Return its values at all positions."""
        numbers = self.median * np.exp(self.sd_ln * _cut_normal(drawing.uniform(), *self._cut()))
        return AxisValues(np.clip(numbers, self.low, self.high))

    def told(self) -> str:
        """Return it in words."""
        cut = _told_cut(self.low, self.high)
        return f"log-normal, median {self.median:g}, sd of the logarithm {self.sd_ln:g}{cut}"


def _cut(mean: float, sd: float, low: float | None, high: float | None) -> tuple[float, float]:
    """Return the ends of a normal distribution in standard deviations from its mean."""
    return (
        -np.inf if low is None else (low - mean) / sd,
        np.inf if high is None else (high - mean) / sd,
    )


def _check_between(low: float | None, high: float | None, cut: tuple[float, float]) -> None:
    if low is not None and high is not None and not low < high:
        raise refusal(f"low {low:g} is not below high {high:g}", field="low")
    if _shares(*cut)[1] < _LEAST_SHARE:
        remedy = "check mean and sd, or move low and high"
        raise refusal("next to nothing of the distribution is between its cuts", remedy=remedy)


def _shares(low: float, high: float) -> tuple[float, float]:
    """Return the shares of a normal distribution below and between two ends, the lower tail's."""
    if low > 0.0:
        low, high = -high, -low
    below = normal_share(low)
    return below, normal_share(high) - below


def _cut_normal(unit: Float64Array, low: float, high: float) -> Float64Array:
    """Return normal deviates between two ends, of shares in (0, 1) that grow with them."""
    below, between = _shares(low, high)
    mirrored = low > 0.0
    share = below + between * (1.0 - unit if mirrored else unit)
    deviates = normal_quantile(np.clip(share, 1e-300, np.nextafter(1.0, 0.0)))
    return -deviates if mirrored else deviates


def _told_cut(low: float | None, high: float | None) -> str:
    ends = [f"{way} {end:g}" for way, end in (("below", low), ("above", high)) if end is not None]
    return f", cut {' and '.join(ends)}" if ends else ""


class ChoiceDraw(Distribution):
    """One of some values: numbers, texts, files, names of alternatives, vectors, or `null`."""

    values: Annotated[tuple[Any, ...], BeforeValidator(plain_values), Field(min_length=1)]
    """The values; null leaves the field as if it were not given. Example: [1, 2, 3]"""
    weights: tuple[NonNegative, ...] | None = None
    """How often each is drawn, in any unit. Left out: all are as likely. Example: [2, 1, 1]"""

    @model_validator(mode="after")
    def _check_weights(self) -> Self:
        AxisValues.of(self.values)
        check_weights(self.weights, len(self.values), "values")
        return self

    def drawn(self, drawing: Drawing) -> AxisValues:
        """Return its values at all positions."""
        weights = self.weights or (1.0,) * len(self.values)
        return AxisValues.of(self.values).take(_by_weight(drawing.uniform(), weights))

    def told(self) -> str:
        """Return it in words."""
        texts = [shown(value) for value in self.values]
        if len(texts) == 1:
            return texts[0]
        if self.weights is not None:
            total = sum(self.weights)
            texts = [
                f"{text} ({100.0 * weight / total:.3g} %)"
                for text, weight in zip(texts, self.weights, strict=True)
            ]
        more = f" and {len(texts) - 6} more" if len(texts) > 6 else ""
        return f"one of {', '.join(texts[:6])}{more}"


def shown(value: object) -> str:
    """Write a value as YAML does."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def check_weights(weights: tuple[float, ...] | None, count: int, of: str) -> None:
    """Refuse weights that are not one for each part, or all 0."""
    if weights is not None and len(weights) != count:
        raise refusal(f"{len(weights)} weights for {count} {of}", field="weights")
    if weights is not None and not any(weights):
        raise refusal("all weights are 0", field="weights")
