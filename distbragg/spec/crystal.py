"""Crystal: cell, orientation, size, spot shape, mosaicity; and its structure factors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from distbragg.shapes import SpotShape
from distbragg.spec.base import (
    MAXIMUM_SEED,
    Auto,
    FilePath,
    Finite,
    GeneratorSeed,
    NonNegative,
    Positive,
    SpecModel,
    Steps,
    Vector3,
    refusal,
)
from distbragg.units import deg_to_rad

_NAMES_OF_CELL = ("a", "b", "c", "alpha", "beta", "gamma")


def _cell_by_name(value: object) -> object:
    """Take a cell that is written as a mapping of a, b, c, alpha, beta, gamma."""
    if not isinstance(value, Mapping):
        return value
    names = ", ".join(_NAMES_OF_CELL)
    for name in _NAMES_OF_CELL:
        if name not in value:
            raise refusal(f"{name} is missing", remedy=f"a cell has {names}")
    for name in value:
        if name not in _NAMES_OF_CELL:
            raise refusal(f"{name!r} is no part of a cell", remedy=f"a cell has {names}")
    return tuple(value[name] for name in _NAMES_OF_CELL)


Cell = Annotated[tuple[float, float, float, float, float, float], BeforeValidator(_cell_by_name)]
_CellCount = Annotated[float, Field(ge=1, le=MAXIMUM_SEED)]
CellCounts = tuple[_CellCount, _CellCount, _CellCount]

_LENGTHS = ("a", "b", "c")
_ANGLES = ("alpha", "beta", "gamma")


def cell_volume(cell: Cell) -> float:
    """Volume of a unit cell, Å³; zero where the angles close no cell.

    Parameters
    ----------
    cell : six floats
        a, b, c in Å, alpha, beta, gamma in degrees.

    Notes
    -----
    V = abc sqrt(1 − cos²α − cos²β − cos²γ + 2 cosα cosβ cosγ), *International Tables* C, 1.1.
    """
    ca, cb, cg = (math.cos(deg_to_rad(angle)) for angle in cell[3:])
    square = 1.0 - ca * ca - cb * cb - cg * cg + 2.0 * ca * cb * cg
    return cell[0] * cell[1] * cell[2] * math.sqrt(max(square, 0.0))


def _why_angles_cannot_close(angles: tuple[float, float, float]) -> str:
    """Say which inequality of the three angles fails, or an empty string."""
    if sum(angles) >= 360.0:
        return f"alpha + beta + gamma = {sum(angles):g} must be below 360"
    for index, angle in enumerate(angles):
        others = [other for other in range(3) if other != index]
        limit = sum(angles[other] for other in others)
        if angle >= limit:
            names = " + ".join(_ANGLES[other] for other in others)
            return f"{_ANGLES[index]} = {angle:g} must be below {names} = {limit:g}"
    return ""


@lru_cache(maxsize=4)
def check_cell(cell: Cell) -> None:
    """Refuse lengths that are not positive and angles that close no cell."""
    for index, name in enumerate(_LENGTHS):
        if cell[index] <= 0:
            raise refusal(
                f"cell length {name} = {cell[index]:g} must be positive", field=f"cell.{index}"
            )
    for index, name in enumerate(_ANGLES, start=3):
        if not 0 < cell[index] < 180:
            raise refusal(
                f"cell angle {name} = {cell[index]:g} must lie between 0 and 180 degrees",
                field=f"cell.{index}",
            )
    angles = " ".join(f"{angle:g}" for angle in cell[3:])
    reason = _why_angles_cannot_close(cell[3:])
    if reason:
        raise refusal(f"the angles {angles} close no cell: {reason}", field="cell")
    volume = cell_volume(cell)
    if not (volume > 0 and math.isfinite(volume)):
        raise refusal(f"the cell has no usable volume ({volume:g} cubic angstrom)", field="cell")


class MosaicSpec(SpecModel):
    """Mosaic domains: random rotations within a spread about the aligned orientation."""

    spread_deg: NonNegative | None = None
    domains: Steps | None = None
    seed: GeneratorSeed | None = None
    distribution: Literal["cap", "gaussian"] = "cap"
    per_frame: bool = False


def _check_axes(axes: str) -> None:
    if axes[0] == axes[1] or axes[1] == axes[2]:
        raise refusal(f"{axes} turns about one axis twice in a row", field="euler_axes")


class CrystalSpec(SpecModel):
    """The crystal. Give `cell` or `matrix_file` (MOSFLM A matrix), or both.

    A cell is six numbers in a row, or a mapping of a, b, c, alpha, beta, gamma.
    `misset_deg` (rotations about lab x, y, z in turn), `quaternion_xyzw` (scipy order),
    `euler_deg` about `euler_axes` (scipy's names: upper case intrinsic, lower case extrinsic)
    and `u_matrix` (nine numbers, rows first) turn the standard orientation; give one of them.
    `misset_deg: random` draws from `misset_seed`. Where `size_mm` is positive along an axis it
    sets the number of cells there, whatever `cells` says. Numbers of cells are whole for
    `shape: square`, and real for the others.
    """

    cell: Cell | None = None
    matrix_file: FilePath | None = None
    misset_deg: Vector3 | Literal["random"] | None = None
    misset_seed: GeneratorSeed | None = None
    quaternion_xyzw: tuple[Finite, Finite, Finite, Finite] | None = None
    euler_deg: Vector3 | None = None
    euler_axes: Annotated[str, Field(pattern=r"^([XYZ]{3}|[xyz]{3})$")] = "ZYZ"
    u_matrix: tuple[Finite, ...] | None = Field(default=None, min_length=9, max_length=9)
    cells: CellCounts | None = None
    size_mm: tuple[NonNegative, NonNegative, NonNegative] | None = None
    shape: SpotShape = "square"
    fudge: Positive = 1.0
    mosaic: MosaicSpec = MosaicSpec()

    @model_validator(mode="after")
    def _check_crystal(self) -> Self:
        if self.cell is not None:
            check_cell(self.cell)
        ways = ("misset_deg", "quaternion_xyzw", "euler_deg", "u_matrix")
        given = [name for name in ways if getattr(self, name) is not None]
        if len(given) > 1:
            raise refusal(f"given beside {given[0]}", field=given[1], remedy="keep one of the two")
        _check_axes(self.euler_axes)
        if self.quaternion_xyzw is not None:
            norm = math.hypot(*self.quaternion_xyzw)
            if not (norm > 0 and math.isfinite(norm)):
                raise refusal(
                    "a rotation cannot be the quaternion 0 0 0 0", field="quaternion_xyzw"
                )
        return self


class StructureFactorsSpec(SpecModel):
    """Where |F| comes from: a list of reflections, or a model (PDB, mmCIF, small-molecule CIF).

    `format` is told by the file's content and name unless it is given; `hklf4` and `hklf3` are
    the lists of SHELX, which cannot be told apart. `intensities: root` takes |F| as the root of an
    intensity where a list has no amplitudes; else such a list is refused. `space_group` (symbol or
    number) is the symmetry of a list, in place of what the file says.
    `default_f_electrons` stands for every reflection not listed, 0 where it is not given. One of
    it and `file` is needed; `default_f_electrons: 0` alone is a crystal that scatters nothing,
    for images of the background. `dmin_angstrom` bounds what is computed from a model; the cut
    on rendered pixels is `sampling.dmin_angstrom`.
    `anomalous` adds f′ and f″ at the beam's nominal wavelength to the atoms of a model.
    """

    file: FilePath | None = None
    format: Literal[
        "auto", "hkl", "hklf4", "hklf3", "crystfel", "xds", "mtz", "sf-mmcif", "model"
    ] = "auto"
    column: str | None = None
    intensities: Literal["refuse", "root"] = "refuse"
    space_group: str | None = None
    default_f_electrons: Finite | None = None
    interpolate: bool | Auto = "auto"
    dmin_angstrom: Positive | None = None
    bulk_solvent: bool = True
    solvent_k_e_per_a3: NonNegative = 0.35
    solvent_b_angstrom2: NonNegative = 46.0
    anomalous: bool = False
