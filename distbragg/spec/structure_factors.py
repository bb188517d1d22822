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
    """Atoms of a model whose f′ and f″ follow the energy of each source.

    All atoms of `element`, or those of them that `label` names: the name of an atom (FE1; of a
    small-molecule CIF its label), or chain, residue number and name (A/64/FE). An atom that a
    label names does not count for its element. `table_file` holds energy in eV, f′ and f″ in
    electrons, line by line; without it gemmi computes them after Cromer and Liberman, for an
    atom by itself.
    """

    element: Annotated[str, Field(pattern=r"^[A-Za-z]{1,2}$")]
    label: Annotated[str, Field(min_length=1)] | None = None
    table_file: FilePath | None = None


class ModelSpec(SpecModel):
    """One model of an ensemble, and its share in any unit."""

    file: FilePath
    weight: Positive = 1.0


class ChannelSpec(SpecModel):
    """|F| of some of the sources: a list or model of their own.

    `energy_ev` says of which sources, by the least and the greatest energy; or `sources` by their
    numbers in the order of the table, from 0. `factor` multiplies |F|².
    """

    file: FilePath
    energy_ev: tuple[Positive, Positive] | None = None
    sources: tuple[_Number, ...] | None = Field(default=None, min_length=1)
    factor: NonNegative = 1.0

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

    `format` is told by the file's content and name unless it is given; `hklf4` and `hklf3` are
    the lists of SHELX, which cannot be told apart. `intensities: root` takes |F| as the root of an
    intensity where a list has no amplitudes; else such a list is refused. `space_group` (symbol or
    number) is the symmetry of a list, in place of what the file says.
    `default_f_electrons` stands for every reflection not listed, 0 where it is not given. One of
    it and `file` is needed; `default_f_electrons: 0` alone is a crystal that scatters nothing,
    for images of the background. `dmin_angstrom` bounds what is computed from a model; the cut
    on rendered pixels is `sampling.dmin_angstrom`.
    `anomalous` adds f′ and f″ at the beam's nominal wavelength to the atoms of a model.
    `anomalous_elements`, in its place, makes |F| follow the energy of each source; atoms that it
    does not name have no f′ and f″.
    `models` is an ensemble in place of `file`. Of `average: amplitudes` F is the weighted mean of
    the models' F, as of molecules that differ at random from cell to cell; of `intensities` |F|²
    is the weighted mean of |F|², as of crystals of several kinds.
    `channels`, in place of `file`, gives groups of sources their own |F|.
    `delta_b_angstrom2` multiplies |F|² by e^(−2 ΔB (sin θ/λ)²) at each reflection, Å²: a crystal
    more disordered than its model, or less where it is negative.
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
    anomalous_elements: tuple[AnomalousSpec, ...] | None = Field(
        default=None, min_length=1, max_length=8
    )
    models: tuple[ModelSpec, ...] | None = Field(default=None, min_length=1)
    average: Literal["amplitudes", "intensities"] = "amplitudes"
    channels: tuple[ChannelSpec, ...] | None = Field(default=None, min_length=1)
    delta_b_angstrom2: Finite = 0.0

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
