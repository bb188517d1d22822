"""How much the unit cells of a crystal's mosaic domains differ."""

from __future__ import annotations

from typing import Annotated, Literal, Self

import numpy as np
from pydantic import AfterValidator, model_validator

from distbragg.matrices import covariance_root
from distbragg.spec.base import Finite, NonNegative, SpecModel, refusal

_Three = tuple[NonNegative, NonNegative, NonNegative]
_Six = tuple[Finite, Finite, Finite, Finite, Finite, Finite]
_Rows = tuple[_Six, _Six, _Six, _Six, _Six, _Six]

System = Literal[
    "auto",
    "triclinic",
    "monoclinic",
    "orthorhombic",
    "tetragonal",
    "trigonal",
    "rhombohedral",
    "hexagonal",
    "cubic",
]


def _check_covariance(rows: _Rows) -> _Rows:
    """Refuse a matrix that is not a covariance."""
    matrix = np.array(rows)
    if float(np.abs(matrix - matrix.T).max()) > 1e-6 * float(np.abs(matrix).max()):
        remedy = "rows and columns are a, b, c, alpha, beta, gamma"
        raise refusal("the covariance is not symmetric", remedy=remedy)
    try:
        covariance_root(0.5 * (matrix + matrix.T))
    except ValueError:
        problem = "no distribution has this covariance: it is not positive semi-definite"
        raise refusal(problem, remedy="variances are on the diagonal") from None
    return rows


class CellSpreadSpec(SpecModel):
    """Normal spread of the cells of mosaic domains about the crystal's cell.

    It must agree with the crystal system: lengths that are equal by symmetry vary together, and
    angles that symmetry fixes have no spread.
    """

    lengths_percent: NonNegative | _Three | None = None
    """Standard deviation of the edges, percent of each: one number, or those of a, b, c. Left out:
    0. Example: 0.2"""
    angles_deg: NonNegative | _Three | None = None
    """Standard deviation of the angles, degrees: one number for all that the system leaves free, or
    those of alpha, beta, gamma. Left out: 0. Example: 0.1"""
    covariance_percent_deg: Annotated[_Rows, AfterValidator(_check_covariance)] | None = None
    """Covariance of a, b, c, in percent of each, and alpha, beta, gamma, in degrees: six rows of
    six, in place of both. Left out: the deviations are independent."""
    system: System = "auto"
    """Crystal system, whose equal edges and fixed angles stay so; auto is that of the space group,
    else of the numbers of the cell. Example: tetragonal"""

    @model_validator(mode="after")
    def _check_spread(self) -> Self:
        self.keep_one("covariance_percent_deg", "lengths_percent", "angles_deg")
        return self

    @property
    def given(self) -> bool:
        """Whether any number is not 0."""
        numbers: list[float] = []
        for value in (self.lengths_percent, self.angles_deg):
            numbers += value if isinstance(value, tuple) else (value or 0.0,)
        for row in self.covariance_percent_deg or ():
            numbers += row
        return any(numbers)
