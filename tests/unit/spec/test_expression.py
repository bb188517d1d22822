"""Arithmetic of derived axes: what it computes, and that it is nothing but arithmetic."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from distbragg.spec.expression import MAXIMUM_LENGTH, parse_expression

X = np.array([1.0, 2.0, 4.0])


@pytest.mark.spec("SWP-3")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12398.42 / x", 12398.42 / X),
        ("-x ** 2 + 3 * (x - 1) // 2", -(X**2) + 3 * (X - 1) // 2),
        ("sqrt(x) * sin(pi / x)", np.sqrt(X) * np.sin(math.pi / X)),
        ("max(x, 2) + min(x, 2) % 3", np.maximum(X, 2) + np.minimum(X, 2) % 3),
        ("atan2(x, 1) + degrees(radians(x))", np.arctan2(X, 1) + X),
        ("7", np.full(3, 7.0)),
    ],
)
def test_values_are_those_of_the_arithmetic(text: str, expected: np.ndarray) -> None:
    np.testing.assert_allclose(parse_expression(text).evaluate({"x": X}, 3), expected, rtol=1e-15)


@pytest.mark.spec("SWP-3")
def test_names_are_those_that_are_no_constants() -> None:
    assert parse_expression("a * pi + sin(b)").names == {"a", "b"}


@pytest.mark.spec("SWP-3")
@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "x.real",
        "x[0]",
        "(lambda: 1)()",
        "[x for x in (1,)]",
        "'text'",
        "True",
        "1j",
        "x if x else 1",
        "x < 2",
        "x and 1",
        "~x",
        "f'{x}'",
        "sin(x=1)",
        "sin(1, 2)",
        "open(x)",
        "sin",
        "x := 3",
        "",
        "1 +",
        "1e400",
        "x\n+ 1; 2",
        "(" * 400 + ")" * 400,
        "-" * 300 + "x",
        "1" * (MAXIMUM_LENGTH + 1),
    ],
)
def test_anything_but_arithmetic_is_refused(text: str) -> None:
    with pytest.raises((PydanticCustomError, KeyError)):
        parse_expression(text).evaluate({"x": X}, 3)


@pytest.mark.spec("SWP-3")
@pytest.mark.parametrize("text", ["9 ** 9 ** 9 ** 9", "1 / 0", "log(0)", "sqrt(0 - 1)", "0 ** -1"])
def test_what_is_not_finite_is_refused_at_once(text: str) -> None:
    with pytest.raises(PydanticCustomError, match="not a finite number"):
        parse_expression(text).evaluate({}, 3)


@given(st.text(alphabet="x0123456789+-*/%(). ,esincoqrt", max_size=40))
def test_no_text_does_anything_but_compute_or_be_refused(text: str) -> None:
    try:
        values = parse_expression(text).evaluate({"x": X}, 3)
    except (PydanticCustomError, KeyError):
        return
    assert values.shape == (3,)
    assert np.isfinite(values).all()
