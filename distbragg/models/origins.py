"""Where resolved numbers come from, told by the code that resolves them while it does.

Nothing is recorded, and next to nothing done, unless somebody asks: see `recorded`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

Kind = Literal["given", "header", "convention", "rule", "default"]
"""Of a number that the specification states, a file states, the detector's convention has, that
follows from others, or that stands in for what nobody gave."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where one number comes from.

    `text` says what exactly: the field that gave it where that has another name, the name by
    which a file or convention states it, or the rule.
    """

    kind: Kind
    text: str = ""


Origins = dict[str, Origin]  # by dotted path of the field whose number it is

_RECORD: Final[ContextVar[Origins | None]] = ContextVar("origins", default=None)

asked = _RECORD.get
"""The record, or None where nobody asks: no call of Python, for what every frame passes."""


@contextmanager
def recorded() -> Iterator[Origins]:
    """Record the origins of what is resolved in this context."""
    record: Origins = {}
    token = _RECORD.set(record)
    try:
        yield record
    finally:
        _RECORD.reset(token)


def tell(field: str, kind: Kind, text: str = "") -> None:
    """Tell where a number comes from. The first word counts: of the first panel and lattice."""
    if (record := asked()) is not None:
        record.setdefault(field, Origin(kind, text))


def first(field: str, *choices: tuple[T | None, Kind, str]) -> T:
    """Return the first number that is there, of (number, kind of origin, text), and tell of it."""
    for value, kind, text in choices:
        if value is not None:
            tell(field, kind, text)
            return value
    raise ValueError(f"no choice for {field}")
