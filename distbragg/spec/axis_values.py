"""The values of an axis, position by position: numbers, texts, vectors, and `null`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from pydantic_core import PydanticCustomError

from distbragg.spec.base import refusal
from distbragg.spec.yaml_text import PLAIN_NUMBERS, old_number

NO_TEXT: Final = "none"
"""Label of `null` among texts; among numbers it is NaN."""


@dataclass(frozen=True, slots=True, eq=False)
class AxisValues:
    """Values of an axis: (size,) scalars or text, or (size, components) numbers.

    `missing` (size,) marks those that are `null`, which leave a field as if it were not given:
    labelled NaN among numbers and `NO_TEXT` among texts. None where there is none.
    """

    array: NDArray[Any]
    missing: NDArray[np.bool_] | None = None
    truths: bool = False
    """Whether numbers stand for true and false, beside null, which is no truth value."""

    @classmethod
    def of(cls, values: Sequence[Any]) -> Self:
        """Stack values that `plain_values` has checked."""
        given = [value for value in values if value is not None]
        truths = [isinstance(value, bool) for value in given]
        if any(truths) and not all(truths) and not any(isinstance(v, str) for v in given):
            raise _true_beside_numbers()
        if len(given) < len(values):
            return cls._of_some(values, given)
        if any(isinstance(value, str) for value in values):
            return cls(np.array([str(value) for value in values]))
        if given and all(truths):
            return cls(np.array(values, dtype=np.bool_))
        if given and all(type(value) is int for value in values):
            return cls(np.array(values, dtype=np.int64))
        return cls(np.array(values, dtype=np.float64))

    @classmethod
    def _of_some(cls, values: Sequence[Any], given: list[Any]) -> Self:
        """Stack values of which some are `null`."""
        missing = np.array([value is None for value in values])
        if any(isinstance(value, str) for value in given):
            if NO_TEXT in map(str, given):
                remedy = f"null among texts is labelled {NO_TEXT!r}: leave one of the two out"
                raise refusal(f"{NO_TEXT!r} beside null", remedy=remedy)
            return cls(np.array([NO_TEXT if v is None else str(v) for v in values]), missing)
        width = next((len(value) for value in given if isinstance(value, tuple)), 0)
        nothing: Any = (math.nan,) * width if width else math.nan
        filled = [nothing if value is None else value for value in values]
        truths = bool(given) and all(isinstance(value, bool) for value in given)
        return cls(np.array(filled, dtype=np.float64), missing, truths)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AxisValues) or self.array.dtype.kind != other.array.dtype.kind:
            return False
        nan = self.array.dtype.kind == "f"
        return np.array_equal(self.array, other.array, equal_nan=nan) and np.array_equal(
            self.nulls, other.nulls
        )

    def __hash__(self) -> int:
        return hash(self.array.shape)

    def __len__(self) -> int:
        return int(self.array.shape[0])

    @property
    def nulls(self) -> NDArray[np.bool_]:
        """Which values are `null`, (size,)."""
        return np.zeros(len(self), dtype=np.bool_) if self.missing is None else self.missing

    def items(self) -> list[Any]:
        """All values as plain Python data."""
        if self.missing is None:
            values: list[Any] = self.array.tolist()
            return values
        return [self.item(index) for index in range(len(self))]

    def item(self, index: int) -> Any:  # noqa: ANN401
        """Return the value at a position as plain Python data."""
        if self.missing is not None and self.missing[index]:
            return None
        value = self.array[index].tolist()
        return bool(value) if self.truths else value

    def extremes(self, texts: int) -> set[int]:
        """Return where numbers are least and greatest, `null` is, and so many texts are first."""
        values = self.array
        if values.dtype.kind == "U":
            _, places = np.unique(values, return_index=True)
            return set(sorted(places.tolist())[:texts])
        found = set() if self.missing is None else {int(self.missing.argmax())}
        if not self.nulls.all():
            found.update(np.ravel(np.nanargmin(values, axis=0)).tolist())
            found.update(np.ravel(np.nanargmax(values, axis=0)).tolist())
        return found

    def take(self, places: NDArray[np.int64]) -> AxisValues:
        """Return the values at some places, in their order."""
        missing = None if self.missing is None else self.nulls[places]
        return AxisValues(self.array[places], missing, self.truths)

    @classmethod
    def choose(cls, which: NDArray[np.int64], parts: Sequence[AxisValues]) -> Self:
        """Take each value from the part, of the same size, that `which` (size,) names.

        Their common type does not depend on `which`: text where any is text, else numbers.
        """
        vectors = {part.array.shape[1:] for part in parts if not part.nulls.all()}
        if len(vectors) > 1:
            remedy = "give scalars only, or vectors of one length"
            raise refusal("the values are of different shapes", remedy=remedy)
        shape = (len(which), *next(iter(vectors), ()))
        nulls, truths = [part.nulls for part in parts], False
        if any(part.array.dtype.kind == "U" for part in parts):
            columns = [_as_texts(part) for part in parts]
        else:
            kinds = {
                part.truths or part.array.dtype.kind == "b"
                for part in parts
                if not part.nulls.all()
            }
            if len(kinds) > 1:
                raise _true_beside_numbers()
            truths = kinds == {True}
            kind = np.result_type(*(part.array.dtype for part in parts))
            columns = [_spread_over(part.array.astype(kind), shape) for part in parts]
        rows = np.arange(len(which))
        array = np.stack(columns)[which, rows]
        missing = np.stack(nulls)[which, rows] if any(n.any() for n in nulls) else None
        return cls(array, missing, truths and missing is not None)


def _true_beside_numbers() -> PydanticCustomError:
    return refusal("true or false beside numbers", remedy="give one kind of values")


def _spread_over(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return NaN of `null` alone as vectors of it."""
    wanting = len(shape) - array.ndim
    return np.broadcast_to(array.reshape(array.shape + (1,) * wanting), shape)


def _as_texts(part: AxisValues) -> NDArray[np.str_]:
    return np.array([NO_TEXT if value is None else str(value) for value in part.items()])


def plain_values(values: object) -> tuple[Any, ...]:
    """Check the `values` of an axis: scalars, text or null, or vectors of one length.

    Text that reads as a number in Python but not in YAML stays text.
    """
    if not isinstance(values, list | tuple):
        raise refusal("needs a list")
    rows = [tuple(row) if isinstance(row, list | tuple) else row for row in values]
    shapes = {len(row) if isinstance(row, tuple) else -1 for row in rows if row is not None}
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
    allowed = (int, float) if in_vector else (int, float, str, type(None))
    if not isinstance(value, allowed) or (in_vector and isinstance(value, bool)):
        raise refusal(f"a value cannot be {type(value).__name__}", remedy="use numbers or text")
    if isinstance(value, str) and old_number(value):
        raise refusal(f"{value!r} is not a number", remedy=PLAIN_NUMBERS)
    if isinstance(value, int) and abs(value) > 2**63 - 1:
        raise refusal("an integer beyond 64 bits")
    if isinstance(value, float) and math.isnan(value):
        raise refusal("a value is not a number (NaN)")
