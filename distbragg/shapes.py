"""Spot shapes: what every kernel must know of each, one row a shape.

The transform of a finite crystal is a function of r, r² = δᵀ S δ with δ the distance of the
Miller indices from the nearest lattice point and S the crystal's `spot_form`. SQUARE alone is no
function of r: it is a product over the three axes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

SpotShape = Literal["square", "round", "gauss", "gauss_star", "tophat"]

Transform = Literal["interference", "sinc3", "gaussian", "step"]

Form = Literal["cells", "star"]

ROUND_HEIGHT: Final = 0.723601254558268
"""Height of an ellipsoid's transform beside a parallelepiped of the same integral (nanoBragg.c)."""

_PROGRAM_GAUSS_WIDTH: Final = 0.63  # nanoBragg.c has exp(−|Δq*|² (Na Nb Nc)²/0.63)
_PROGRAM_TOPHAT_CUT: Final = 0.63 * 0.63  # nanoBragg.c compares |Δq*|² (Na Nb Nc)² with 0.3969
_TOPHAT_RADIUS: Final = math.cbrt(3.0 / (4.0 * math.pi))  # radius of a ball of volume 1


@dataclass(frozen=True, slots=True)
class ShapeRow:
    """One spot shape."""

    name: SpotShape  # as `crystal.shape` spells it
    code: int  # of its transform in the compiled kernels: shapes that differ in S alone share one
    transform: Transform
    """Amplitude in units of the height: Π sin(πNδ)/(N sin(πδ)); 3 (sin x/x − cos x)/x² of
    x = πr; exp(−½ decay r²); 1 for r < `zero_radius` and 0 beyond."""
    height: float
    """Amplitude at r = 0 in units of Na Nb Nc. Squared and integrated over a reciprocal cell
    every shape gives Na Nb Nc where fudge is 1."""
    form: Form
    """S = fudge · diag(N²), or fudge · G* (Na Nb Nc V)^(2/3) with G* the reciprocal metric (1/Å²)
    and V the volume of the cell (Å³): a ball in reciprocal space."""
    zero_radius: float = math.inf  # r beyond which the transform is 0; infinite where never
    decay: float = 0.0  # c where the square falls as exp(−c r²); 0 where it does not
    program: float = 0.0
    """Under `physics: nanobragg` S = fudge · G* (Na Nb Nc)² · program, which makes the transform
    the C program's; 0 where S is the same for both; −1 where the program lacks the shape."""

    @property
    def has_matrix(self) -> bool:
        """Whether N may have elements beside its diagonal: r = |N δ|."""
        return self.form == "cells" and self.transform != "interference"


SHAPES: Final[dict[SpotShape, ShapeRow]] = {
    row.name: row
    for row in (
        ShapeRow("square", 0, "interference", 1.0, "cells"),
        ShapeRow("round", 1, "sinc3", ROUND_HEIGHT, "cells"),
        ShapeRow(
            "gauss", 2, "gaussian", 1.0, "cells", decay=math.pi,
            program=2.0 / (math.pi * _PROGRAM_GAUSS_WIDTH),
        ),
        ShapeRow("gauss_star", 2, "gaussian", 1.0, "star", decay=math.pi, program=-1.0),
        ShapeRow(
            "tophat", 3, "step", 1.0, "cells", zero_radius=_TOPHAT_RADIUS,
            program=_TOPHAT_RADIUS**2 / _PROGRAM_TOPHAT_CUT,
        ),
    )
}  # fmt: skip
"""Rows by name."""
