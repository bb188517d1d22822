"""The identity of records: which fields enter it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from distbragg.models.identity import WHERE_GIVEN, update_digest


def digest(value: object) -> str:
    found = hashlib.sha256()
    update_digest(found, value)
    return found.hexdigest()


@dataclass(frozen=True)
class Record:
    first: float


Before = Record


def with_fields() -> type:
    @dataclass(frozen=True)
    class Record:
        first: float
        scale: float = field(default=1.0, metadata=WHERE_GIVEN)
        matrix: NDArray[np.float64] | None = field(default=None, metadata=WHERE_GIVEN)
        told: str = field(default="", metadata={"hashed": False})

    return Record


def test_a_field_that_is_not_given_leaves_the_identity_as_it_was() -> None:
    after = with_fields()
    assert digest(Before(2.0)) == digest(after(2.0)) == digest(after(2.0, told="a note"))


def test_a_field_that_is_given_enters() -> None:
    after = with_fields()
    given = [after(2.0), after(2.0, 0.5), after(2.0, matrix=np.eye(3)), after(2.0, 0.5, np.eye(3))]
    assert len({digest(record) for record in given}) == len(given)
