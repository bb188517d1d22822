"""Crystal: cell, orientation, size, spot shape, mosaicity; and its structure factors."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from distbragg.spec.base import Auto, Finite, NonNegative, Positive, SpecModel, Vector3

Cell = tuple[float, float, float, float, float, float]
CellCounts = tuple[
    Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]
]


class MosaicSpec(SpecModel):
    """Mosaic domains: random rotations within a spread about the aligned orientation."""

    spread_deg: NonNegative | None = None
    domains: int | None = None
    seed: int | None = None
    distribution: Literal["cap", "gaussian"] = "cap"
    per_frame: bool = False


class CrystalSpec(SpecModel):
    """The crystal. Give `cell` or `matrix_file` (MOSFLM A matrix), or both.

    `quaternion_xyzw` (scipy order) and `misset_deg` (rotations about lab x, y, z in
    turn) turn the standard orientation; give one of them. `misset_deg: random` draws
    from `misset_seed`.
    """

    cell: Cell | None = None
    matrix_file: str | None = None
    misset_deg: Vector3 | Literal["random"] | None = None
    misset_seed: int | None = None
    quaternion_xyzw: tuple[Finite, Finite, Finite, Finite] | None = None
    cells: CellCounts | None = None
    size_mm: tuple[NonNegative, NonNegative, NonNegative] | None = None
    shape: Literal["square", "round", "gauss", "tophat"] = "square"
    fudge: Positive = 1.0
    mosaic: MosaicSpec = MosaicSpec()


class StructureFactorsSpec(SpecModel):
    """Where |F| comes from: text HKL, MTZ, SF-mmCIF, or a model (PDB, mmCIF, small-molecule CIF).

    `default_f_electrons` stands for every reflection not listed. `dmin_angstrom` bounds
    what is computed from a model; the cut on rendered pixels is `sampling.dmin_angstrom`.
    """

    file: str | None = None
    format: Literal["auto", "hkl", "mtz", "sf-mmcif", "model"] = "auto"
    column: str | None = None
    default_f_electrons: Finite = 0.0
    interpolate: bool | Auto = "auto"
    dmin_angstrom: Positive | None = None
    bulk_solvent: bool = True
    solvent_k_e_per_a3: NonNegative = 0.35
    solvent_b_angstrom2: NonNegative = 46.0
