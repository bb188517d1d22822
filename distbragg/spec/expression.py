"""Arithmetic of derived axes: parsed by `ast`, turned node by node into functions of numpy."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from distbragg.spec.base import refusal

MAXIMUM_LENGTH: Final = 500
MAXIMUM_NODES: Final = 200
_LARGEST_NUMBER: Final = 1e300

CONSTANTS: Final[Mapping[str, float]] = {"pi": math.pi, "e": math.e, "tau": math.tau}

_SAME_IN_NUMPY: Final = (
    "abs", "acos", "asin", "atan", "atan2", "ceil", "cos", "degrees", "exp", "floor", "hypot",
    "log", "log10", "radians", "sin", "sqrt", "tan",
)  # fmt: skip
_OTHERS: Final = {"max": np.maximum, "min": np.minimum, "round": np.rint}
FUNCTIONS: Final[Mapping[str, np.ufunc]] = dict(
    sorted({**{name: getattr(np, name) for name in _SAME_IN_NUMPY}, **_OTHERS}.items())
)
"""Functions of one or two arguments, by name."""

_OPERATORS: Final[Mapping[type[ast.operator | ast.unaryop], Callable[..., Any]]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.FloorDiv: np.floor_divide,
    ast.Mod: np.mod,
    ast.Pow: np.power,
    ast.UAdd: np.positive,
    ast.USub: np.negative,
}

Numbers = NDArray[np.float64]
Formula = Callable[[Mapping[str, Any]], Any]
"""Gives the value of a part of an expression, from the values of the names in it."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked expression; `names` are those it uses that are not constants: axes."""

    text: str
    names: frozenset[str]
    _formula: Formula

    def evaluate(self, values: Mapping[str, Numbers], size: int) -> Numbers:
        """Return the value at every position, (size,) float64, from those of all `names`."""
        with np.errstate(all="ignore"):
            made = self._formula({**CONSTANTS, **values})
            result = np.array(np.broadcast_to(made, (size,)), dtype=np.float64)
        bad = np.flatnonzero(~np.isfinite(result))
        if bad.size:
            raise refusal(
                f"{self.text!r} is not a finite number at position {int(bad[0])}", field="derived"
            )
        return result


def parse_expression(text: str) -> Expression:
    """Check an expression of numbers, names, + − * / // % **, parentheses and `FUNCTIONS`."""
    if len(text) > MAXIMUM_LENGTH:
        raise refusal(f"an expression of more than {MAXIMUM_LENGTH} characters", field="derived")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise refusal(
            f"{text!r} is not an arithmetic expression",
            field="derived",
            remedy="write e.g. 12398.42 / wavelength",
        ) from None
    if sum(1 for _ in ast.walk(tree)) > MAXIMUM_NODES:
        raise refusal(f"an expression of more than {MAXIMUM_NODES} parts", field="derived")
    names: set[str] = set()
    formula = formula_of(tree, names)
    return Expression(text, frozenset(names - set(CONSTANTS)), formula)


def formula_of(node: ast.expr, names: set[str]) -> Formula:
    """Turn a node into its formula, and collect names; whatever is not on the list is refused.

    Numbers are float64 throughout, so that no power can grow without end.
    """
    if isinstance(node, ast.Constant):
        value: Any = node.value
        if type(value) not in (int, float) or not abs(value) <= _LARGEST_NUMBER:
            raise refusal(f"{str(value)[:40]!r} is not a number here", field="derived")
        number = np.float64(value)
        return lambda values: number
    if isinstance(node, ast.Name):
        name = node.id
        names.add(name)
        return lambda values: values[name]
    function, operands = _operation(node)
    parts = [formula_of(operand, names) for operand in operands]
    return lambda values: function(*(part(values) for part in parts))


def _operation(node: ast.expr) -> tuple[Callable[..., Any], list[ast.expr]]:
    """Return what a node does with which other nodes."""
    if isinstance(node, ast.UnaryOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)], [node.operand]
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)], [node.left, node.right]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        name = node.func.id
        if name not in FUNCTIONS:
            raise refusal(
                f"there is no function {name!r}",
                field="derived",
                remedy=f"there are {', '.join(FUNCTIONS)}",
            )
        function = FUNCTIONS[name]
        if len(node.args) != function.nin:
            problem = f"{name} takes {function.nin} arguments, not {len(node.args)}"
            raise refusal(problem, field="derived")
        return function, node.args
    raise refusal(
        f"{ast.unparse(node)[:40]!r} is not allowed in an expression",
        field="derived",
        remedy=f"use + - * / // % ** and {', '.join(FUNCTIONS)}",
    )
