"""Conditions on axes and labels of frames, such as `hit and energy > 9000`."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic_core import PydanticCustomError

from distbragg.errors import InputError
from distbragg.spec.expression import CONSTANTS, MAXIMUM_LENGTH, MAXIMUM_NODES, formula_of

Chosen = NDArray[np.bool_]
Test = Callable[[Mapping[str, Any]], Any]

_COMPARISONS: Final[Mapping[type[ast.cmpop], Callable[..., Any]]] = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
}
_JOINS: Final = (ast.BitAnd, ast.BitOr, ast.Invert)
_SIGNS: Final = re.compile(r"[&|~]|!(?!=)")
_SINGLE: Final = re.compile(r"(?<![=!<>])=(?!=)")
_QUOTED: Final = re.compile(r"'[^']*'|\"[^\"]*\"")
_REMEDY: Final = "compare axes with numbers or text, e.g. energy > 9000 and form == 'gauss'"


@dataclass(frozen=True, slots=True)
class Condition:
    """A checked condition; `names` are the axes in it."""

    text: str
    names: frozenset[str]
    _test: Test

    def holds(self, values: Mapping[str, NDArray[Any]], size: int) -> Chosen:
        """Say where it holds, (size,), of the values of all `names`, (size,) numbers or text."""
        numbers = {
            name: array.astype(np.float64) if array.dtype.kind in "biuf" else array
            for name, array in values.items()
        }
        try:
            with np.errstate(all="ignore"):
                made = self._test({**CONSTANTS, **numbers})
        except TypeError:
            raise _refusal(f"{self.text!r} compares text with numbers") from None
        return np.array(np.broadcast_to(made, (size,)), dtype=np.bool_)


def parse_condition(text: str) -> Condition:
    """Check a condition: comparisons of arithmetic or text, joined by `and`, `or` and `not`.

    A name alone holds where it is true.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise _refusal(f"{text[:80]!r} is not a condition", _slip(text)) from None
    if len(text) > MAXIMUM_LENGTH or sum(1 for _ in ast.walk(tree)) > MAXIMUM_NODES:
        raise _refusal("is too long")
    if any(isinstance(node, _JOINS) for node in ast.walk(tree)):
        raise _refusal(f"{text[:80]!r} is not a condition", _slip(text))
    names: set[str] = set()
    try:
        test = _test_of(tree, names)
    except PydanticCustomError as error:
        raise _refusal(error.message()) from None
    return Condition(text, frozenset(names - set(CONSTANTS)), test)


def _test_of(node: ast.expr, names: set[str]) -> Test:
    if isinstance(node, ast.BoolOp):
        join = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
        parts = [_test_of(part, names) for part in node.values]
        return lambda values: join.reduce(np.broadcast_arrays(*(part(values) for part in parts)))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        inner = _test_of(node.operand, names)
        return lambda values: np.logical_not(inner(values))
    if isinstance(node, ast.Compare) and all(type(each) in _COMPARISONS for each in node.ops):
        sides = [_side(side, names) for side in (node.left, *node.comparators)]
        tests = [_COMPARISONS[type(each)] for each in node.ops]

        def chained(values: Mapping[str, Any]) -> Any:  # noqa: ANN401
            made = [side(values) for side in sides]
            found = [test(*made[at : at + 2]) for at, test in enumerate(tests)]
            return np.logical_and.reduce(np.broadcast_arrays(*found))

        return chained
    if isinstance(node, ast.Name):
        alone = formula_of(node, names)
        return lambda values: _truth(alone(values), node.id)
    raise _refusal(f"{ast.unparse(node)[:40]!r} is not a comparison")


def _truth(value: Any, name: str) -> Chosen:  # noqa: ANN401
    """Take a name alone for true where it is; refuse one that is neither true nor false."""
    found = np.asarray(value)
    numbers = found.astype(np.float64) if found.dtype.kind in "biuf" else np.full(1, 2.0)
    if not np.isin(numbers[~np.isnan(numbers)], (0.0, 1.0)).all():
        raise _refusal(f"{name!r} is not a comparison, and neither true nor false")
    return np.asarray(numbers == 1.0)


def _side(node: ast.expr, names: set[str]) -> Test:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        text = node.value
        return lambda values: text
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        truth = float(node.value)  # as the values of labels are compared
        return lambda values: truth
    return formula_of(node, names)


def _slip(text: str) -> str:
    """Say what is meant by signs that other languages have."""
    bare = _QUOTED.sub("", text)
    if _SIGNS.search(bare):
        return "conditions are joined by and, or, not, e.g. hit and lattices == 2"
    if _SINGLE.search(bare):
        return "compare by ==; what is true or false stands alone, e.g. hit and lattices == 2"
    return _REMEDY


def _refusal(problem: str, remedy: str = _REMEDY) -> InputError:
    return InputError(problem, source="--where", remedy=remedy)
