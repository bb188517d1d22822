"""The values of a sweep axis, held as one array."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from distbragg.spec.base import MAXIMUM_COUNT, refusal


@dataclass(frozen=True, slots=True, eq=False)
class AxisValues:
    """Values of an axis: (size,) scalars or text, or (size, components) numbers."""

    array: NDArray[Any]

    @classmethod
    def of(cls, values: tuple[Any, ...]) -> Self:
        """Stack values that `plain_values` has checked."""
        if any(isinstance(value, str) for value in values):
            return cls(np.array([str(value) for value in values]))
        if values and all(isinstance(value, bool) for value in values):
            return cls(np.array(values, dtype=np.bool_))
        if values and all(type(value) is int for value in values):
            return cls(np.array(values, dtype=np.int64))
        return cls(np.array(values, dtype=np.float64))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AxisValues) and np.array_equal(self.array, other.array)

    def __hash__(self) -> int:
        return hash(self.array.shape)

    def __len__(self) -> int:
        return int(self.array.shape[0])

    def item(self, index: int) -> Any:  # noqa: ANN401
        """One value as plain Python data."""
        return self.array[index].tolist()


def plain_values(values: object) -> tuple[Any, ...]:
    """Check the `values` of an axis: scalars or text, or vectors of one length.

    Text that reads as a number in Python but not in YAML stays text.
    """
    if not isinstance(values, list | tuple):
        raise refusal("needs a list")
    rows = [tuple(row) if isinstance(row, list | tuple) else row for row in values]
    shapes = {len(row) if isinstance(row, tuple) else -1 for row in rows}
    if len(shapes) > 1:
        raise refusal(
            "the values are of different shapes",
            remedy="give scalars only, or vectors of one length",
        )
    for row in rows:
        for value in row if isinstance(row, tuple) else (row,):
            _check_scalar(value, in_vector=isinstance(row, tuple))
    return tuple(rows)


def _check_scalar(value: object, *, in_vector: bool) -> None:
    allowed = (int, float) if in_vector else (int, float, str)
    if not isinstance(value, allowed) or (in_vector and isinstance(value, bool)):
        raise refusal(f"a value cannot be {type(value).__name__}", remedy="use numbers or text")
    if isinstance(value, int) and abs(value) > 2**63 - 1:
        raise refusal("an integer beyond 64 bits")
    if isinstance(value, float) and math.isnan(value):
        raise refusal("a value is not a number (NaN)")


def linspace_values(start: float, stop: float, count: int) -> AxisValues:
    """Evenly spaced values, both ends included."""
    return AxisValues(np.linspace(start, stop, count, dtype=np.float64))


def arange_size(start: float, stop: float, step: float) -> int:
    """Count the values of `arange`; a remainder of rounding adds none."""
    if step == 0:
        raise refusal("must not be 0", field="arange.step")
    span = (stop - start) / step
    if not math.isfinite(span) or span > MAXIMUM_COUNT:
        raise refusal(f"gives more than {MAXIMUM_COUNT} values", field="arange")
    return max(math.ceil(span - 1e-9), 0)


def arange_values(start: float, stop: float, step: float) -> AxisValues:
    """Values start + i·step below `stop` (above it for a negative step)."""
    index = np.arange(arange_size(start, stop, step), dtype=np.float64)
    return AxisValues(start + index * step)


def random_quaternions(count: int, seed: int) -> AxisValues:
    """Draw unit quaternions (x, y, z, w), uniform on SO(3): four normal deviates, normalized.

    They are those of scipy's `Rotation.random`, which would cost every process that opens a
    sweep a fifth of a second for loading scipy.
    """
    drawn = np.random.default_rng(seed).normal(size=(count, 4))
    return AxisValues(drawn / np.sqrt((drawn * drawn).sum(axis=1))[:, np.newaxis])


def designs(method: str, count: int, columns: int, seed: int) -> NDArray[np.float64]:
    """Sample the unit cube: (count, columns) float64 in [0, 1).

    Parameters
    ----------
    method : {"random", "latin_hypercube", "sobol"}
        Independent numbers; one in each of `count` equal slices of every column
        (`scipy.stats.qmc.LatinHypercube`); a scrambled Sobol sequence.
    count, columns, seed : int
    """
    if method == "random":
        return np.random.default_rng(seed).random((count, columns))
    from scipy.stats import qmc

    if method == "sobol":
        sobol = qmc.Sobol(columns, rng=np.random.default_rng(seed))
        exponent = max(0, math.ceil(math.log2(count)))
        # Sobol points balance in powers of two: more are drawn than asked for, in silence.
        return np.asarray(sobol.random_base2(exponent)[:count], dtype=np.float64)
    cube = qmc.LatinHypercube(columns, rng=np.random.default_rng(seed)).random(count)
    return np.asarray(cube, dtype=np.float64)


def stretched(unit: NDArray[np.float64], low: float, high: float, scale: str) -> AxisValues:
    """Map numbers of [0, 1) to a range, evenly (`linear`), by their logarithm, or to integers."""
    if scale == "log":
        return AxisValues(np.exp(np.log(low) + unit * (np.log(high) - np.log(low))))
    if scale == "integer":
        whole = np.floor(low + unit * (high - low + 1.0))
        return AxisValues(np.minimum(whole, high).astype(np.int64))
    return AxisValues(low + unit * (high - low))
