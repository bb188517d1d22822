"""Distributions of vectors: correlated numbers, orientations, and changes of a cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Self

import numpy as np
from pydantic import AfterValidator, Field, model_validator

from distbragg.matrices import covariance_root
from distbragg.spec.axis_values import AxisValues
from distbragg.spec.base import FilePath, Finite, NonNegative, Positive, refusal
from distbragg.spec.distributions import Distribution, Drawing

QUATERNION_PATH: Final = "crystal.quaternion_xyzw"
CELL_CHANGE_PATH: Final = "crystal.cell_change_percent_deg"

_ROUNDED: Final = 1e-6

Three = tuple[NonNegative, NonNegative, NonNegative]
_Row = tuple[Finite, ...]


def _check_covariance(rows: tuple[_Row, ...]) -> tuple[_Row, ...]:
    """Refuse a matrix that is not a covariance."""
    if {len(row) for row in rows} != {len(rows)}:
        raise refusal("the covariance is not square", remedy="give as many rows as columns")
    matrix = np.array(rows)
    if float(np.abs(matrix - matrix.T).max()) > _ROUNDED * float(np.abs(matrix).max()):
        raise refusal("the covariance is not symmetric")
    try:
        covariance_root(0.5 * (matrix + matrix.T))
    except ValueError:
        problem = "no distribution has this covariance: it is not positive semi-definite"
        raise refusal(problem, remedy="variances are on the diagonal") from None
    return rows


class NormalsDraw(Distribution):
    """Vectors of normal numbers, correlated by a covariance, or independent with an `sd` each."""

    mean: Annotated[tuple[Finite, ...], Field(min_length=2)]
    """Mean of each component. Example: [79.1, 79.1, 38.0, 90, 90, 90]"""
    covariance: Annotated[tuple[_Row, ...], AfterValidator(_check_covariance)] | None = None
    """Covariance of the components in their units, a row each. Left out: another field says how
    they spread. Example: [[0.04, 0.01], [0.01, 0.09]]"""
    covariance_file: FilePath | None = None
    """File of the covariance: an .npy array, or numbers in rows (CSV or blanks). It becomes part of
    the sweep when that is loaded. Left out: another field says how they spread. Example: cov.npy"""
    sd: tuple[NonNegative, ...] | None = None
    """Standard deviation of each component, which are then independent. Left out: another field
    says how they spread. Example: [0.2, 0.3]"""

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        given = [n for n in ("covariance", "covariance_file", "sd") if getattr(self, n) is not None]
        if len(given) != 1:
            found = " and ".join(given) if given else "none"
            raise refusal(f"needs covariance, covariance_file or sd, found {found}")
        spread = self.covariance if self.sd is None else self.sd
        size = len(self.mean if spread is None else spread)
        if size != len(self.mean):
            raise refusal(f"{size} of it for a mean of {len(self.mean)} numbers", field=given[0])
        return self

    def drawn(self, drawing: Drawing) -> AxisValues:
        """Return its values at all positions, (count, components)."""
        if self.covariance_file is not None:
            raise refusal(
                f"the covariance {self.covariance_file!r} was not read",
                remedy="load the sweep from its file with distbragg.load_sweep",
            )
        size = len(self.mean)
        root = np.diag(self.sd or (0.0,) * size)
        if self.covariance is not None:
            given = np.array(self.covariance)
            root = covariance_root(0.5 * (given + given.T))
        deviates = drawing.normals(size)
        numbers = np.tile(np.array(self.mean), (len(deviates), 1))
        for column in range(size):
            numbers += deviates[:, column, np.newaxis] * root[:, column]
        return AxisValues(numbers)

    def told(self) -> str:
        """Return it in words."""
        spread = self.sd or np.sqrt(np.diag(np.array(self.covariance or [[0.0]]))).tolist()
        kind = "independent" if self.sd else "correlated"
        return f"{kind} normals, mean {_numbers(self.mean)}, sd {_numbers(spread)}"


class CellJitterDraw(Distribution):
    """Normal changes of the unit cell in keeping with the crystal system of each frame.

    One factor for each length that the system leaves free, and a change of each free angle: the
    six numbers of `crystal.cell_change_percent_deg`.
    """

    lengths_percent: NonNegative | Three = 0.0
    """Standard deviation of the edges, percent of each: one number, or those of a, b, c. Example:
    0.5"""
    angles_deg: NonNegative | Three = 0.0
    """Standard deviation of the angles that are free, degrees: one number, or those of alpha, beta,
    gamma. Example: 0.1"""

    @property
    def _spread(self) -> tuple[float, ...]:
        return (*_three(self.lengths_percent), *_three(self.angles_deg))

    @model_validator(mode="after")
    def _check_spread(self) -> Self:
        if not any(self._spread):
            raise refusal("changes nothing", remedy="give lengths_percent, angles_deg or both")
        return self

    def drawn(self, drawing: Drawing) -> AxisValues:
        """Return its values at all positions, (count, 6): percent of a, b, c, then degrees."""
        return AxisValues(drawing.normals(6) * np.array(self._spread))

    def told(self) -> str:
        """Return it in words."""
        lengths, angles = (_numbers(sorted(set(self._spread[i : i + 3]))) for i in (0, 3))
        return f"cells of the same system, sd {lengths} % of the edges, {angles}° of free angles"

    def default_path(self) -> str:
        """Return the field that such values are for."""
        return CELL_CHANGE_PATH


def _three(value: float | tuple[float, float, float]) -> tuple[float, float, float]:
    return value if isinstance(value, tuple) else (value, value, value)


class OrientationDraw(Distribution):
    """Orientations uniform on SO(3)."""

    def drawn(self, drawing: Drawing) -> AxisValues:
        """Return unit quaternions (count, 4), x, y, z, w: four normal deviates, normalized."""
        four = drawing.normals(4)
        return AxisValues(four / np.sqrt((four * four).sum(axis=1))[:, np.newaxis])

    def told(self) -> str:
        """Return it in words."""
        return "orientations uniform over all rotations"

    def default_path(self) -> str:
        """Return the field that such values are for."""
        return QUATERNION_PATH


Quaternion = tuple[Finite, Finite, Finite, Finite]


class MissetDraw(Distribution):
    """Small rotations out of an orientation: normal angles about the laboratory axes."""

    sd_deg: Positive
    """Standard deviation of the rotation about each laboratory axis, degrees. Example: 0.5"""
    about_xyzw: Quaternion | None = None
    """Orientation that is turned, as a quaternion x, y, z, w of any length. Left out: the standard
    setting, a* along x. Example: [0, 0, 0.7071, 0.7071]"""

    @model_validator(mode="after")
    def _check_about(self) -> Self:
        if self.about_xyzw is not None and not any(self.about_xyzw):
            raise refusal("a rotation cannot be the quaternion 0 0 0 0", field="about_xyzw")
        return self

    def drawn(self, drawing: Drawing) -> AxisValues:
        """Return unit quaternions, (count, 4): x, y, z, w."""
        turns = np.radians(self.sd_deg) * drawing.normals(3)
        angles = np.sqrt((turns * turns).sum(axis=1))[:, np.newaxis]
        vectors, scalars = turns / angles * np.sin(0.5 * angles), np.cos(0.5 * angles)
        given = np.array(self.about_xyzw or (0.0, 0.0, 0.0, 1.0))
        given = given / np.sqrt((given * given).sum())
        about, scalar = given[:3], given[3]
        x = scalars * about + scalar * vectors + np.cross(vectors, about)
        w = scalars[:, 0] * scalar - (vectors * about).sum(axis=1)
        return AxisValues(np.column_stack([x, w]))

    def told(self) -> str:
        """Return it in words."""
        about = f" about {_numbers(self.about_xyzw)}" if self.about_xyzw else ""
        return f"rotations of sd {self.sd_deg:g}° about each axis{about}"

    def default_path(self) -> str:
        """Return the field that such values are for."""
        return QUATERNION_PATH


def _numbers(values: Sequence[float]) -> str:
    return " ".join(f"{value:g}" for value in values)
