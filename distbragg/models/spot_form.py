"""The quadratic form S of a crystal's spots: r² = δᵀ S δ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from distbragg.errors import InputError
from distbragg.models.build_beam import Physics
from distbragg.shapes import SHAPES, SpotShape

if TYPE_CHECKING:
    from torch import Tensor

    Number = TypeVar("Number", float, Tensor)
else:
    Number = TypeVar("Number")


def spot_form(
    shape: SpotShape,
    physics: Physics,
    fudge: float,
    cells: Sequence[Number],
    reciprocal: Sequence[Sequence[Number]],
) -> list[list[Number]]:
    """Return S (3, 3), without unit, as plain sums of floats or of 0-dimensional tensors.

    Parameters
    ----------
    shape : SpotShape
    physics : {"exact", "nanobragg"}
        `nanobragg` takes GAUSS and TOPHAT by |Δq*|² (Na Nb Nc)², as the C program does.
    fudge : float
    cells : (3,)
        Na, Nb, Nc.
    reciprocal : (3, 3), 1/Å
        Rows a*, b*, c*, in any orientation.
    """
    row = SHAPES[shape]
    # A product over the axes has no use for a radius: `fudge` leaves SQUARE as it is.
    share = 1.0 if row.transform == "interference" else fudge
    count = cells[0] * cells[1] * cells[2]
    if physics == "nanobragg" and row.program > 0.0:
        return _metric(reciprocal, count * count * (fudge * row.program))
    if row.form == "star":
        return _metric(reciprocal, (count / abs(_determinant(reciprocal))) ** (2.0 / 3.0) * fudge)
    zero = count * 0.0
    return [[cells[i] * cells[i] * share if i == j else zero for j in range(3)] for i in range(3)]


def check_cells(shape: SpotShape, physics: Physics, cells: Sequence[float] | None) -> None:
    """Refuse a shape that the physics lacks, and broken numbers of cells where none can be.

    Raises
    ------
    InputError
        Names the field.
    """
    if physics == "nanobragg" and SHAPES[shape].program < 0.0:
        raise InputError(
            f"the C program has no shape '{shape}'",
            field="crystal.shape",
            remedy=f"use physics: exact, or one of {', '.join(_of_program())}",
        )
    if shape != "square":
        return
    for axis, count in zip("abc", cells or (), strict=False):
        if count != int(count):
            raise InputError(
                f"{count:g} cells along {axis}: a square crystal has whole numbers of cells, "
                "since sin(πNh)/sin(πh) repeats from one reflection to the next for those only",
                field="crystal.cells",
                remedy=f"round it, or use one of the shapes {', '.join(_others())}",
            )


def _others() -> list[str]:
    return [row.name for row in SHAPES.values() if row.transform != "interference"]


def _of_program() -> list[str]:
    return [row.name for row in SHAPES.values() if row.program >= 0.0]


def _metric(rows: Sequence[Sequence[Number]], factor: Number) -> list[list[Number]]:
    """Scalar products of vectors times a factor, (3, 3)."""
    return [[_dot(first, second) * factor for second in rows] for first in rows]


def _determinant(rows: Sequence[Sequence[Number]]) -> Number:
    (a, b, c), (d, e, f), (g, h, i) = rows
    return a * (e * i - f * h) + b * (f * g - d * i) + c * (d * h - e * g)


def _dot(first: Sequence[Number], second: Sequence[Number]) -> Number:
    return first[0] * second[0] + first[1] * second[1] + first[2] * second[2]
