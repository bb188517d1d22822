"""How many unit cells a crystal's block has: one number, three, or a matrix."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag

from distbragg.matrices import cholesky3
from distbragg.spec.base import MAXIMUM_SEED, Finite, refusal

_CellCount = Annotated[float, Field(ge=1, le=MAXIMUM_SEED)]
_Three = tuple[_CellCount, _CellCount, _CellCount]
_Six = tuple[_CellCount, _CellCount, _CellCount, Finite, Finite, Finite]
_Row = tuple[Finite, Finite, Finite]
_Nine = tuple[Finite, Finite, Finite, Finite, Finite, Finite, Finite, Finite, Finite]

_WAYS = (
    "give one number, three (Na, Nb, Nc), six (Na, Nb, Nc, Nd, Ne, Nf), or the symmetric matrix "
    "[[Na, Nd, Nf], [Nd, Nb, Ne], [Nf, Ne, Nc]]"
)
_BESIDE = ((0, 1), (1, 2), (0, 2))  # Nd, Ne, Nf
_ROUNDED = 1e-6
"""Elements of a symmetric matrix are one number where they differ by less of the largest."""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _in_order(value: Any) -> Any:  # noqa: ANN401
    """Bring one number, nine, or three rows to three numbers, or to six."""
    if _is_number(value):
        return (value, value, value)
    if not isinstance(value, list | tuple) or len(value) == 6:
        return value
    flat = list(value)
    if len(flat) == 3 and all(isinstance(row, list | tuple) and len(row) == 3 for row in flat):
        flat = [part for row in flat for part in row]
    if len(flat) == 3 and not any(isinstance(part, list | tuple) for part in flat):
        return value
    if len(flat) != 9:
        raise refusal("is neither a number, nor three, nor six, nor a matrix", remedy=_WAYS)
    if not all(map(_is_number, flat)):
        raise refusal("a matrix of what are no numbers", remedy=_WAYS)
    rows = np.array(flat, dtype=np.float64).reshape(3, 3)
    if not np.isfinite(rows).all():
        raise refusal("a matrix of what are no finite numbers", remedy=_WAYS)
    if not float(np.abs(rows - rows.T).max()) <= _ROUNDED * float(np.abs(rows).max()):
        raise refusal("the matrix is not symmetric", remedy=_WAYS)
    even = 0.5 * (rows + rows.T)
    return (*np.diag(even).tolist(), *(float(even[place]) for place in _BESIDE))


def _closed(cells: _Six) -> _Six:
    """Refuse a matrix that is not positive definite."""
    a, b, c, d, e, f = cells
    try:
        cholesky3(np.array([[a, d, f], [d, b, e], [f, e, c]]))
    except ValueError:
        problem = "the matrix is not positive definite: no block of cells has this width"
        raise refusal(problem, remedy="make Nd, Ne, Nf smaller beside Na, Nb, Nc") from None
    return cells


CellCounts = Annotated[
    Annotated[_Three, Tag("three")] | Annotated[_Six, AfterValidator(_closed), Tag("six")],
    Discriminator(
        lambda value: "six" if isinstance(value, list | tuple) and len(value) == 6 else "three"
    ),
    BeforeValidator(
        _in_order, json_schema_input_type=float | _Three | _Six | _Nine | tuple[_Row, _Row, _Row]
    ),
]
