"""Crystal: cell, orientation, size, spot shape, mosaicity."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from distbragg.matrices import cholesky3, covariance_root
from distbragg.shapes import SpotShape
from distbragg.spec.base import (
    MAXIMUM_SEED,
    Count,
    Degrees3,
    FilePath,
    Finite,
    GeneratorSeed,
    Misset,
    NonNegative,
    Positive,
    SpecModel,
    Vector3,
    refusal,
)
from distbragg.spec.cell_spread import CellSpreadSpec
from distbragg.spec.diffuse import DiffuseSpec
from distbragg.spec.lattices import MOST_LATTICES, DrawnLatticesSpec

_NAMES_OF_CELL = ("a", "b", "c", "alpha", "beta", "gamma")


def _cell_by_name(value: object) -> object:
    """Take a cell that is written as a mapping of a, b, c, alpha, beta, gamma."""
    if isinstance(value, list | tuple) and len(value) != 6:
        problem = f"{len(value)} numbers, where a cell has six"
        raise refusal(problem, remedy="give a, b, c in Å and alpha, beta, gamma in degrees")
    if not isinstance(value, Mapping):
        return value
    problems = [f"{name} is missing" for name in _NAMES_OF_CELL if name not in value]
    problems += [
        f"{name!r} is not a part of a cell" for name in value if name not in _NAMES_OF_CELL
    ]
    if problems:
        raise refusal(problems[0], remedy=f"a cell has {', '.join(_NAMES_OF_CELL)}")
    return tuple(value[name] for name in _NAMES_OF_CELL)


Cell = Annotated[
    tuple[Finite, Finite, Finite, Finite, Finite, Finite], BeforeValidator(_cell_by_name)
]


SHORTEST_EDGE, LONGEST_EDGE = 1.0, 1e6
"""Edges of cells, Å: an atom is wider than the one, and a cell of the other would be seen."""

FLATTEST = 1e-4
"""Least volume of a cell in units of the product of its edges: a tenth is rare."""

ORIENTATIONS = ("misset_deg", "quaternion_xyzw", "euler_deg", "u_matrix")
"""Fields that turn the standard orientation: one of them is given."""


def _why_angles_cannot_close(angles: tuple[float, float, float]) -> str:
    """Say which inequality of the three angles fails, or an empty string."""
    names = _NAMES_OF_CELL[3:]
    if sum(angles) >= 360.0:
        return f"alpha + beta + gamma = {sum(angles):g} must be below 360"
    for index, angle in enumerate(angles):
        others = [other for other in range(3) if other != index]
        limit = sum(angles[other] for other in others)
        if angle >= limit:
            total = " + ".join(names[other] for other in others)
            return f"{names[index]} = {angle:g} must be below {total} = {limit:g}"
    return ""


@lru_cache(maxsize=4)
def check_cell(cell: Cell) -> None:
    """Refuse lengths that no crystal has and angles that do not form a cell."""
    for index, (name, value) in enumerate(zip(_NAMES_OF_CELL, cell, strict=True)):
        problem = remedy = ""
        if index < 3 and value <= 0:
            problem = f"cell length {name} = {value:g} must be positive"
        elif index < 3 and not SHORTEST_EDGE <= value <= LONGEST_EDGE:
            problem = f"cell length {name} = {value:g} Å is no edge of any crystal"
            remedy = f"it is in Å, {SHORTEST_EDGE:g} to {LONGEST_EDGE:g}"
        if index >= 3 and not 0 < value < 180:
            problem = f"cell angle {name} = {value:g} must lie between 0 and 180 degrees"
        if problem:
            raise refusal(problem, field=f"cell.{index}", remedy=remedy)
    if reason := _why_angles_cannot_close(cell[3:]):
        angles = " ".join(f"{angle:g}" for angle in cell[3:])
        raise refusal(f"the angles {angles} do not form a cell: {reason}", field="cell")
    a, b, c = np.cos(np.radians(cell[3:])).tolist()
    if 1.0 - a * a - b * b - c * c + 2.0 * a * b * c < FLATTEST**2:
        angles = " ".join(f"{angle:g}" for angle in cell[3:])
        raise refusal(f"the angles {angles} leave a cell next to no volume", field="cell")


Covariance = tuple[Vector3, Vector3, Vector3]
_Nine = tuple[Finite, Finite, Finite, Finite, Finite, Finite, Finite, Finite, Finite]
_ROUNDED = 1e-6
"""Elements of a symmetric matrix are one number where they differ by less of the largest."""

_CellCount = Annotated[float, Field(ge=1, le=MAXIMUM_SEED)]
_Three = tuple[_CellCount, _CellCount, _CellCount]
_Six = tuple[_CellCount, _CellCount, _CellCount, Finite, Finite, Finite]
_Row = tuple[Finite, Finite, Finite]

_WAYS = (
    "give one number, three (Na, Nb, Nc), six (Na, Nb, Nc, Nd, Ne, Nf), or the symmetric matrix "
    "[[Na, Nd, Nf], [Nd, Nb, Ne], [Nf, Ne, Nc]]"
)
_BESIDE = ((0, 1), (1, 2), (0, 2))  # Nd, Ne, Nf


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
        raise refusal("the matrix has elements that are not numbers", remedy=_WAYS)
    rows = np.array(flat, dtype=np.float64).reshape(3, 3)
    if not np.isfinite(rows).all():
        raise refusal("the matrix has elements that are not finite numbers", remedy=_WAYS)
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

_SPREADS = "give one number, three (about x, y, z of the crystal), or a 3 x 3 covariance in deg²"


def _kind_of_spread(value: Any) -> str:  # noqa: ANN401
    """Tell one spread, three of them, a matrix and its nine elements apart by their shape."""
    if not isinstance(value, list | tuple):
        return "one"
    if any(isinstance(row, list | tuple) for row in value):
        return "matrix"
    return "three" if len(value) == 3 else "nine"


def _spread_by_shape(value: Any) -> Any:  # noqa: ANN401
    """Refuse what is neither a number nor three nor a matrix."""
    if not isinstance(value, list | tuple):
        return value
    rows = [row for row in value if isinstance(row, list | tuple)]
    shape = len(value), len(rows), *{len(row) for row in rows}
    if shape not in ((3, 0), (9, 0), (3, 3, 3)):
        raise refusal("is neither a number, nor three, nor a matrix", remedy=_SPREADS)
    if any(type(part) is bool for row in rows for part in row):
        raise refusal("true/false is not allowed here")
    return value


def _in_rows(numbers: _Nine) -> Covariance:
    return numbers[:3], numbers[3:6], numbers[6:]


def _check_covariance(rows: Covariance) -> Covariance:
    """Refuse a matrix that is not a covariance; make one symmetric that is so but for rounding."""
    matrix = np.array(rows)
    even = 0.5 * (matrix + matrix.T)
    if float(np.abs(matrix - even).max()) > _ROUNDED * float(np.abs(matrix).max()):
        raise refusal("the covariance is not symmetric", remedy="rows and columns are x, y, z")
    try:
        covariance_root(even)
    except ValueError:
        problem = "no distribution has this covariance: it is not positive semi-definite"
        remedy = "variances, in deg², are on the diagonal"
        raise refusal(problem, remedy=remedy) from None
    first, second, third = (tuple(row) for row in even.tolist())
    return first, second, third


Spread = Annotated[
    Annotated[NonNegative, Tag("one")]
    | Annotated[tuple[NonNegative, NonNegative, NonNegative], Tag("three")]
    | Annotated[Covariance, AfterValidator(_check_covariance), Tag("matrix")]
    | Annotated[_Nine, AfterValidator(_in_rows), AfterValidator(_check_covariance), Tag("nine")],
    Discriminator(_kind_of_spread),
    BeforeValidator(_spread_by_shape),
]


class MosaicSpec(SpecModel):
    """Mosaic domains: random rotations about the aligned orientation.

    `sampling.method` says whether such domains are drawn. Those of `matrices_file` act after the
    spindle, equally weighted.
    """

    spread_deg: Spread | None = None
    """Spread of the domains, degrees: of cap the largest angle, of gaussian the standard
    deviation about every axis (a width at half maximum is 2.355 of these), three of them about x,
    y, z, or their covariance in deg². Left out: 0, one perfect crystal. Example: 0.1"""
    domains: Count | None = None
    """Number of domains that are drawn; a closed form needs none. Left out: 10 where there is a
    spread. Example: 100"""
    seed: GeneratorSeed | None = None
    """Seed of the generator that draws the domains. Left out: −12345678, nanoBragg's own. Example:
    1"""
    distribution: Literal["cap", "gaussian"] = "cap"
    """cap draws axes and angles within a cap, as nanoBragg does; gaussian draws normal rotation
    vectors. Example: gaussian"""
    per_frame: bool = False
    """Whether each frame draws its own domains. Example: true"""
    axes: Literal["crystal", "laboratory"] = "crystal"
    """What the three numbers or the covariance of `spread_deg` are about: x along a and z along c*
    of the crystal, or the laboratory's. Example: laboratory"""
    matrices_file: FilePath | None = None
    """Rotation matrices of the domains, none of which is drawn: an .npy array (n, 3, 3), or nine
    numbers per line. Left out: domains are drawn. Example: domains.npy"""

    @model_validator(mode="after")
    def _check_mosaic(self) -> Self:
        if self.distribution == "cap" and isinstance(self.spread_deg, tuple):
            problem = "a cap has one spread, the same about all axes"
            remedy = "set crystal.mosaic.distribution: gaussian, or give one number"
            raise refusal(problem, field="spread_deg", remedy=remedy)
        if self.matrices_file is not None:
            problem, remedy = "given together with matrices_file", "the domains of the file are all"
            self.refuse_given(problem, "spread_deg", "domains", "seed", remedy=remedy)
            if self.distribution != "cap":
                raise refusal(problem, field="distribution", remedy=remedy)
        return self


class SpecimenSpec(SpecModel):
    """The whole crystal, of which the beam sees a part: its size, in one of three ways.

    The beam is a square of `beam.size_mm`; where a fluence is given and no size, it sees the whole
    crystal.
    """

    edges_um: tuple[Positive, Positive, Positive] | None = None
    """Edges of a box, µm: along the beam, then across it. Left out: the rod or the volume says the
    size. Example: [50, 40, 40]"""
    diameter_um: Positive | None = None
    """Diameter of a rod that lies across the beam, µm. Left out: the box or the volume says the
    size. Example: 5"""
    length_um: Positive | None = None
    """Length of the rod across the beam, µm. Left out: the box or the volume says the size.
    Example: 40"""
    volume_um3: Positive | None = None
    """Volume, µm³, which is taken for a cube. Left out: the box or the rod says the size. Example:
    1000"""

    @model_validator(mode="after")
    def _check_size(self) -> Self:
        self.keep_one("edges_um", "diameter_um", "length_um", "volume_um3")
        self.keep_one("volume_um3", "diameter_um", "length_um")
        if (self.diameter_um is None) != (self.length_um is None):
            missing = "length_um" if self.length_um is None else "diameter_um"
            raise refusal("a rod has a diameter and a length", field=missing, remedy="give both")
        if self.edges_um is None and self.volume_um3 is None and self.diameter_um is None:
            raise refusal("needs edges_um, diameter_um and length_um, or volume_um3")
        return self


class OrientedSpec(SpecModel):
    """Cell, orientation and size of one lattice."""

    block_cells: CellCounts | None = None
    """Unit cells along a, b and c of one mosaic block (nanoBragg's N, simtbx's Ncells_abc), which
    set the width of spots: one number, three, or the symmetric matrix as six, nine or three rows.
    Left out: what `block_size_mm` holds, else 1. Example: [30, 30, 20]"""
    cell: Cell | None = None
    """Unit cell a, b, c in Å and alpha, beta, gamma in degrees: six numbers, or a mapping of these
    names. Left out: that of `matrix_file`, of the geometry file or of the structure factors' file.
    Example: [78, 78, 38, 90, 90, 90]"""
    misset_deg: Misset | Literal["random"] | None = None
    """Rotations about the laboratory x, y and z axes in turn, degrees; or random, drawn from
    `misset_seed`. Left out: another field orients the crystal, else a* lies along x and c along z.
    Example: [10, 20, 30]"""
    misset_seed: GeneratorSeed | None = None
    """Seed of `misset_deg: random`. Left out: 0. Example: 5"""
    quaternion_xyzw: tuple[Finite, Finite, Finite, Finite] | None = None
    """Rotation as a quaternion x, y, z, w, scalar last, as scipy has it; any length. Left out:
    another field orients the crystal. Example: [0, 0, 0.7071, 0.7071]"""
    euler_deg: Degrees3 | None = None
    """Rotation by three angles about `euler_axes`, degrees. Left out: another field orients the
    crystal. Example: [10, 20, 30]"""
    euler_axes: Annotated[str, Field(pattern=r"^([XYZ]{3}|[xyz]{3})$")] = "ZYZ"
    """Axes of `euler_deg` as scipy names them: upper case turn with the crystal, lower case stay.
    Example: zxz"""
    u_matrix: tuple[Finite, ...] | None = Field(default=None, min_length=9, max_length=9)
    """Rotation matrix, nine numbers, rows first. Left out: another field orients the crystal.
    Example: [0, -1, 0, 1, 0, 0, 0, 0, 1]"""
    a_matrix_per_angstrom: tuple[Finite, ...] | None = Field(
        default=None, min_length=9, max_length=9
    )
    """Cell and orientation in one: a*, b*, c* in 1/Å as the columns of a matrix, nine numbers, rows
    first, in the laboratory at spindle angle 0 (DIALS' A = U B). Left out: `cell` and a field of
    orientation. Example: [0.02, 0, 0, 0, 0.02, 0, 0, 0, 0.01]"""
    illuminated_blocks: Positive | None = None
    """Mosaic blocks in the beam, whose intensities add up: the scale of the spots. Left out: what
    `specimen` holds, else 1. Example: 1e6"""

    former = {"cells": "block_cells"}  # noqa: RUF012
    _exclusive: ClassVar[tuple[tuple[str, ...], ...]] = (
        ("a_matrix_per_angstrom", "cell", *ORIENTATIONS),
        *(ORIENTATIONS[index:] for index in range(len(ORIENTATIONS) - 1)),
    )
    """Fields of which the first stands beside none of the others."""

    def _check_own(self) -> None:
        """Refuse what a kind of lattice refuses besides."""

    @model_validator(mode="after")
    def _check_oriented(self) -> Self:
        self._check_own()
        if self.cell is not None:
            check_cell(self.cell)
        for first, *others in self._exclusive:
            self.keep_one(first, *others)
        axes = self.euler_axes
        if axes[1] in (axes[0], axes[2]):
            raise refusal(f"{axes} turns about one axis twice in a row", field="euler_axes")
        if self.quaternion_xyzw is not None and not any(self.quaternion_xyzw):
            problem = "a rotation cannot be the quaternion 0 0 0 0"
            raise refusal(problem, field="quaternion_xyzw")
        return self


class LatticeSpec(OrientedSpec):
    """A further lattice in the beam. Fields that are not given are those of the crystal."""

    turned_deg: Degrees3 | None = None
    """Rotations out of the crystal's orientation about the laboratory x, y and z axes in turn,
    degrees. Left out: none, or an orientation of its own. Example: [0.5, 0, 0]"""
    mosaic: MosaicSpec | None = None
    """Mosaicity of this lattice. Left out: the crystal's."""

    _exclusive = (*OrientedSpec._exclusive, ("turned_deg", "a_matrix_per_angstrom", *ORIENTATIONS))


class CrystalSpec(OrientedSpec):
    """The crystal: a mosaic of blocks, each of some unit cells, whose intensities add up.

    `misset_deg`, `quaternion_xyzw`, `euler_deg` and `u_matrix` turn the standard orientation; give
    one of them. Numbers of cells are whole for `shape: square`, and real for the others. A matrix
    N = [[Na, Nd, Nf], [Nd, Nb, Ne], [Nf, Ne, Nc]] of cells, as six numbers Na, Nb, Nc, Nd, Ne, Nf,
    as nine or in rows, is for shapes of r = |N (h − h0)|: round, gauss, tophat.
    """

    matrix_file: FilePath | None = None
    """MOSFLM A matrix, made with the wavelength of the beam. Left out: `cell` and the fields of
    orientation. Example: auto.mat"""
    block_size_mm: tuple[NonNegative, NonNegative, NonNegative] | None = None
    """Size of the mosaic block along a, b and c, mm, in place of `block_cells` where positive;
    along b and c the beam clips it. Left out: `block_cells` says it. Example: [0.001, 0.001, 0.001]
    """
    specimen: SpecimenSpec | None = None
    """Size of the whole crystal, which sets how many blocks the beam illuminates. Left out:
    `illuminated_blocks` says it."""
    shape: SpotShape = "square"
    """Form of the block, hence of the spots: square has interference fringes, round weak ones,
    gauss and gauss_star none, tophat flat spots. Example: gauss"""
    fudge: Positive = 1.0
    """Factor of the squared distance from a reflection in all shapes but square: above 1 spots are
    narrower. Example: 1.2"""
    mosaic: MosaicSpec = MosaicSpec()
    """Spread of orientations within the crystal."""
    diffuse: DiffuseSpec | None = None
    """Diffuse scattering about the spots, of displaced cells. Left out: none."""
    lattices: tuple[LatticeSpec, ...] | None = Field(default=None, max_length=MOST_LATTICES)
    """Further lattices in the beam. Left out: none."""
    drawn_lattices: DrawnLatticesSpec | None = None
    """How many lattices are drawn for each frame. Left out: the crystal alone."""
    present: bool = True
    """Whether the beam meets a crystal; false is a miss, a frame of background alone, which needs
    neither cell nor structure factors. Example: false"""
    cell_change_percent_deg: tuple[Finite, Finite, Finite, Finite, Finite, Finite] | None = None
    """Change of the cell: percent of a, b, c, then degrees of alpha, beta, gamma. Numbers that
    symmetry makes equal change as the first of them, and those that it fixes stay;
    `cell_spread.system` may state the system. Left out: none. Example: [0.5, 0.5, -0.2, 0, 0, 0]"""
    cell_spread: CellSpreadSpec = CellSpreadSpec()
    """Spread of the unit cells of mosaic domains."""
    size_spread_fraction: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    """Spread of the sizes of mosaic blocks, as a fraction: standard deviation of the logarithm of
    the number of cells along an axis, all axes together, about `block_cells`, in the crystal's
    volume. Blocks keep their form, and the crystal its photons. Example: 0.2"""

    former = {**OrientedSpec.former, "size_mm": "block_size_mm"}  # noqa: RUF012
    _exclusive = (
        *OrientedSpec._exclusive,
        ("a_matrix_per_angstrom", "matrix_file"),
        ("illuminated_blocks", "specimen"),
        ("lattices", "drawn_lattices"),
    )

    @property
    def is_missed(self) -> bool:
        """Whether the beam meets no lattice."""
        drawn = self.drawn_lattices
        return not self.present or (drawn is not None and drawn.count == 0)

    def _check_own(self) -> None:
        for index, lattice in enumerate(self.lattices or ()):
            if self.a_matrix_per_angstrom is not None and lattice.cell is not None:
                problem = "the crystal's a_matrix_per_angstrom gives its cell, which turns with it"
                field = f"lattices.{index}.cell"
                raise refusal(
                    problem, field=field, remedy="give the lattice an a_matrix_per_angstrom too"
                )
            own = lattice.mosaic
            if own is not None and own.distribution != self.mosaic.distribution:
                problem = f"{own.distribution}, where the crystal's is {self.mosaic.distribution}"
                field = f"lattices.{index}.mosaic.distribution"
                raise refusal(problem, field=field, remedy="give one distribution to all lattices")
