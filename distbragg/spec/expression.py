"""Arithmetic of derived axes: parsed by `ast`, checked node by node, evaluated without `eval`."""

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

FUNCTIONS: Final[Mapping[str, tuple[int, Callable[..., Any]]]] = {
    "abs": (1, np.abs),
    "acos": (1, np.arccos),
    "asin": (1, np.arcsin),
    "atan": (1, np.arctan),
    "atan2": (2, np.arctan2),
    "ceil": (1, np.ceil),
    "cos": (1, np.cos),
    "degrees": (1, np.degrees),
    "exp": (1, np.exp),
    "floor": (1, np.floor),
    "hypot": (2, np.hypot),
    "log": (1, np.log),
    "log10": (1, np.log10),
    "max": (2, np.maximum),
    "min": (2, np.minimum),
    "radians": (1, np.radians),
    "round": (1, np.rint),
    "sin": (1, np.sin),
    "sqrt": (1, np.sqrt),
    "tan": (1, np.tan),
}
"""Functions by name, with the number of their arguments."""

_BINARY: Final[Mapping[type[ast.operator], Callable[..., Any]]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.FloorDiv: np.floor_divide,
    ast.Mod: np.mod,
    ast.Pow: np.power,
}
_UNARY: Final[Mapping[type[ast.unaryop], Callable[..., Any]]] = {
    ast.UAdd: np.positive,
    ast.USub: np.negative,
}

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked expression.

    Attributes
    ----------
    text : str
    names : frozenset of str
        Names it uses that are no constants: those of axes.
    """

    text: str
    names: frozenset[str]
    _tree: ast.expr

    def evaluate(self, values: Mapping[str, Numbers], size: int) -> Numbers:
        """Return the value for every position of an axis, (size,) float64.

        Parameters
        ----------
        values : mapping of str to (size,) float64
            For every one of `names`.
        size : int

        Raises
        ------
        PydanticCustomError
            Some value is not finite.
        """
        with np.errstate(all="ignore"):
            result = np.array(np.broadcast_to(_evaluate(self._tree, values), (size,)))
        bad = np.flatnonzero(~np.isfinite(result))
        if bad.size:
            raise refusal(
                f"{self.text!r} is not a finite number at position {int(bad[0])}", field="derived"
            )
        return np.asarray(result, dtype=np.float64)


def parse_expression(text: str) -> Expression:
    """Check an expression.

    Numbers, names, + − * / // % **, parentheses and the functions of `FUNCTIONS`; nothing
    else, and of limited length.

    Raises
    ------
    PydanticCustomError
        It is no such expression.
    """
    if len(text) > MAXIMUM_LENGTH:
        raise refusal(f"an expression of more than {MAXIMUM_LENGTH} characters", field="derived")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise refusal(
            f"{text!r} is no arithmetic expression",
            field="derived",
            remedy="write e.g. 12398.42 / wavelength",
        ) from None
    if sum(1 for _ in ast.walk(tree)) > MAXIMUM_NODES:
        raise refusal(f"an expression of more than {MAXIMUM_NODES} parts", field="derived")
    names: set[str] = set()
    _check(tree, names)
    return Expression(text, frozenset(names - set(CONSTANTS)), tree)


def _check(node: ast.expr, names: set[str]) -> None:
    """Refuse whatever is not on the list; collect names."""
    if isinstance(node, ast.Constant):
        if not _is_number(node.value):
            raise refusal(f"{str(node.value)[:40]!r} is no number here", field="derived")
    elif isinstance(node, ast.Name):
        names.add(node.id)
    elif isinstance(node, ast.UnaryOp) and type(node.op) in _UNARY:
        _check(node.operand, names)
    elif isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        _check(node.left, names)
        _check(node.right, names)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        _check_call(node.func.id, node.args, names)
    else:
        raise refusal(
            f"{ast.unparse(node)[:40]!r} is not allowed in an expression",
            field="derived",
            remedy=f"use + - * / // % ** and {', '.join(FUNCTIONS)}",
        )


def _check_call(name: str, arguments: list[ast.expr], names: set[str]) -> None:
    if name not in FUNCTIONS:
        raise refusal(
            f"there is no function {name!r}",
            field="derived",
            remedy=f"there are {', '.join(FUNCTIONS)}",
        )
    wanted = FUNCTIONS[name][0]
    if len(arguments) != wanted:
        raise refusal(f"{name} takes {wanted} arguments, not {len(arguments)}", field="derived")
    for argument in arguments:
        _check(argument, names)


def _evaluate(node: ast.expr, values: Mapping[str, Numbers]) -> Any:  # noqa: ANN401
    """Evaluate a checked node: in float64 throughout, so that no power can grow without end."""
    if isinstance(node, ast.Constant):
        return np.float64(node.value)  # type: ignore[arg-type]
    if isinstance(node, ast.Name):
        return values[node.id] if node.id in values else np.float64(CONSTANTS[node.id])
    if isinstance(node, ast.UnaryOp):
        return _UNARY[type(node.op)](_evaluate(node.operand, values))
    if isinstance(node, ast.BinOp):
        left, right = _evaluate(node.left, values), _evaluate(node.right, values)
        return _BINARY[type(node.op)](left, right)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        arguments = [_evaluate(argument, values) for argument in node.args]
        return FUNCTIONS[node.func.id][1](*arguments)
    raise AssertionError("a node that was not checked")


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= _LARGEST_NUMBER
