"""Structure factors: where |F| comes from, and how it depends on the energy and on the frame."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from distbragg.spec.base import (
    Auto,
    FilePath,
    Finite,
    NonNegative,
    Positive,
    SpecModel,
    refusal,
)

_Number = Annotated[int, Field(ge=0)]


class AnomalousSpec(SpecModel):
    """Atoms of a model whose f′ and f″ follow the energy of each source."""

    element: Annotated[str, Field(pattern=r"^[A-Za-z]{1,2}$")]
    """Chemical symbol of the atoms. Example: Se"""
    label: Annotated[str, Field(min_length=1)] | None = None
    """Name of an atom (FE1), or chain, residue number and name (A/64/FE). Left out: all atoms of
    the element that no other entry names. Example: A/64/FE"""
    table_file: FilePath | None = None
    """Table of energy in eV, f′ and f″ in electrons, one row per line. Left out: Cromer and
    Liberman's values for a free atom. Example: se.txt"""


class ModelSpec(SpecModel):
    """One model of an ensemble, and its share in any unit."""

    file: FilePath
    """The model: PDB, mmCIF or small-molecule CIF. Example: open.pdb"""
    weight: Positive = 1.0
    """Its share in the mean, in any unit. Example: 0.3"""


class ChannelSpec(SpecModel):
    """|F| of some of the sources, which `energy_ev` or `sources` names."""

    file: FilePath
    """List or model that |F| of these sources comes from. Example: peak.mtz"""
    energy_ev: tuple[Positive, Positive] | None = None
    """Least and greatest energy of the sources, eV. Left out: `sources` says which. Example:
    [12600, 12700]"""
    sources: tuple[_Number, ...] | None = Field(default=None, min_length=1)
    """Numbers of the sources in the order of the table, from 0. Left out: `energy_ev` says which.
    Example: [0, 1]"""
    factor: NonNegative = 1.0
    """What |F|² is multiplied by. Example: 0.5"""

    @model_validator(mode="after")
    def _check_channel(self) -> Self:
        self.keep_one("energy_ev", "sources")
        if self.energy_ev is None and self.sources is None:
            problem = "a channel needs to know which sources it is for"
            raise refusal(problem, remedy="give energy_ev: [least, greatest], or sources")
        if self.energy_ev is not None and self.energy_ev[0] >= self.energy_ev[1]:
            raise refusal("the greatest energy is not above the least", field="energy_ev")
        return self


class StructureFactorsSpec(SpecModel):
    """Where |F| comes from: a list of reflections, or a model (PDB, mmCIF, small-molecule CIF).

    One of `file`, `models`, `channels` and `default_f_electrons` is needed;
    `default_f_electrons: 0` alone is a crystal that scatters nothing, for images of the background.
    `dmin_angstrom` bounds what is computed from a model; the cut on rendered pixels is
    `sampling.dmin_angstrom`. Atoms that `anomalous_elements` does not name have no f′ and f″.
    """

    file: FilePath | None = None
    """List of reflections (hkl, MTZ, mmCIF, CrystFEL, XDS, SHELX) or model (PDB, mmCIF,
    small-molecule CIF). Left out: `models`, `channels` or `default_f_electrons` give |F|. Example:
    1lyz.pdb"""
    format: Literal[
        "auto", "hkl", "hklf4", "hklf3", "crystfel", "xds", "mtz", "sf-mmcif", "model"
    ] = "auto"
    """Format of the file; auto recognises it by content and name, except SHELX's hklf4
    (intensities) and hklf3 (amplitudes). Example: hklf4"""
    column: str | None = None
    """Column of an MTZ or mmCIF file that holds |F|. Left out: the most complete amplitudes of the
    file, which a note names. Example: F-model"""
    intensities: Literal["refuse", "root"] = "refuse"
    """Whether a list of intensities alone is refused, or |F| is their root. Example: root"""
    space_group: str | None = None
    """Symbol or number of the space group of a list. Left out: what the file says, else P1.
    Example: P 43 21 2"""
    default_f_electrons: Finite | None = None
    """|F| of every reflection that is not listed, electrons; alone, of all of them. Left out: 0
    beside a file. Example: 100"""
    interpolate: bool | Auto = "auto"
    """Whether |F| between reflections is interpolated; auto does so for blocks of at most two cells
    along an axis. Example: false"""
    dmin_angstrom: Positive | None = None
    """Finest spacing d to which |F| of a model is computed, Å. Left out: `sampling.dmin_angstrom`,
    else 2. Example: 1.5"""
    bulk_solvent: bool = True
    """Whether the solvent between a model's molecules scatters. Example: false"""
    solvent_k_e_per_a3: NonNegative = 0.35
    """Mean density of the solvent, electrons/Å³. Example: 0.4"""
    solvent_b_angstrom2: NonNegative = 46.0
    """B factor of the solvent, Å²: how fast it falls off with resolution. Example: 50"""
    anomalous: bool = False
    """Whether a model's atoms have f′ and f″, those of the nominal wavelength. Example: true"""
    anomalous_elements: tuple[AnomalousSpec, ...] | None = Field(
        default=None, min_length=1, max_length=8
    )
    """Atoms whose f′ and f″ follow the energy of each source. Left out: |F| is the same for all
    sources."""
    models: tuple[ModelSpec, ...] | None = Field(default=None, min_length=1)
    """Models of an ensemble with their shares, in place of `file`. Left out: one file."""
    average: Literal["amplitudes", "intensities"] = "amplitudes"
    """What is averaged over an ensemble: amplitudes of molecules mixed within a crystal,
    intensities of crystals of several kinds. Example: intensities"""
    channels: tuple[ChannelSpec, ...] | None = Field(default=None, min_length=1)
    """Lists or models for groups of sources, in place of `file`. Left out: one for all."""
    delta_b_angstrom2: Finite = 0.0
    """B factor that is added to all reflections, Å²: |F|² times exp(−2 ΔB (sin θ/λ)²). Example: 5
    """

    @model_validator(mode="after")
    def _check_factors(self) -> Self:
        self.keep_one("file", "models", "channels")
        self.keep_one("models", "channels")
        if self.by_energy:
            problem = "|F| that follows the energy is known where it is listed, and nowhere else"
            self._refuse_default(problem)
            if self.interpolate is True:
                problem = "|F| that follows the energy cannot be interpolated"
                raise refusal(problem, field="interpolate", remedy="leave it out")
        if self.models is not None:
            self._refuse_default("an ensemble is known where it is computed, and nowhere else")
        if self.anomalous:
            problem = "says otherwise what f′ and f″ are taken of"
            for field in ("anomalous_elements", "channels"):
                self.refuse_given(problem, field, remedy="leave it out, or anomalous")
        self.keep_one("channels", "anomalous_elements")
        if self.delta_b_angstrom2 != 0.0:
            self._refuse_default("a reflection beyond the list has no ΔB")
        return self

    def _refuse_default(self, problem: str) -> None:
        if self.default_f_electrons:
            remedy = "leave it out, or give 0"
            raise refusal(problem, field="default_f_electrons", remedy=remedy)

    @property
    def by_energy(self) -> bool:
        """Whether |F| differs from source to source."""
        return self.channels is not None or self.anomalous_elements is not None

    @property
    def files(self) -> tuple[str, ...]:
        """The lists or models that |F| is made of."""
        if self.file is not None:
            return (self.file,)
        return tuple(part.file for part in self.models or self.channels or ())

    @property
    def first_file(self) -> str | None:
        """The file that names the cell where the crystal does not."""
        return next(iter(self.files), None)
