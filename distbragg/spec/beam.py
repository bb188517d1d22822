"""Beam: wavelength, intensity, polarisation, and the list of weighted sources."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from distbragg.spec.base import (
    Direction,
    FilePath,
    Finite,
    NonNegative,
    Positive,
    SpecModel,
    Steps,
    not_vanishing,
    refusal,
)

Bandwidth = Annotated[float, Field(ge=0, le=20), AfterValidator(not_vanishing)]
"""Of a normal spectrum, percent: above 20, five standard deviations reach a wavenumber of 0."""

_OneDivergence = Annotated[float, Field(ge=0, le=50), AfterValidator(not_vanishing)]
"""3 degrees, as far as the closed form follows a mosaicity too."""


def _kind_of_divergence(value: Any) -> str:  # noqa: ANN401
    return "two" if isinstance(value, list | tuple) else "one"


NormalDivergence = Annotated[
    Annotated[_OneDivergence, Tag("one")]
    | Annotated[tuple[_OneDivergence, _OneDivergence], Tag("two")],
    Discriminator(_kind_of_divergence),
]


class DivergenceAxisSpec(SpecModel):
    """One angular axis of the divergence grid; any two of the three give the third.

    Under `physics: exact` the range is cut into equal parts, and the directions are their
    centres, about the nominal one; `steps` alone is refused.
    """

    range_mrad: Finite | None = None
    step_mrad: Finite | None = None
    steps: Steps | None = None

    @property
    def asked_for(self) -> bool:
        """Whether any field asks for more than one direction."""
        wanted = (self.range_mrad or 0.0, self.step_mrad or 0.0, (self.steps or 0) - 1)
        return any(value > 0 for value in wanted)


class DivergenceSpec(SpecModel):
    """Grid of source directions."""

    horizontal: DivergenceAxisSpec = DivergenceAxisSpec()
    vertical: DivergenceAxisSpec = DivergenceAxisSpec()
    shape: Literal["round", "square"] = "round"


class DispersionSpec(SpecModel):
    """Grid of wavelengths about the nominal one, both ends of the range among them."""

    range_percent: Finite | None = None
    steps: Steps | None = None

    @property
    def asked_for(self) -> bool:
        """Whether the fields ask for more than one wavelength."""
        return (self.range_percent or 0.0) > 0 or (self.steps or 0) > 1


class SpectrumSpec(SpecModel):
    """Weighted wavelengths: inline lists, or a text/CSV table (wavelength or energy, weight).

    Without `weights` every line of an inline list weighs 1. An HDF5 or NetCDF-4 file or a Zarr
    store (a folder `.zarr`, or a ZIP of one, `.zarr.zip`) gives the spectra of many shots:
    `weights_dataset` (shots × channels), `channels_dataset` (wavelengths or photon energies, one
    for all shots or one each) in `channels_unit` (its `units` attribute where not given), of which
    the frame takes the row `shot`. Without these names the file is read as NeXus: its NXbeam gives
    the spectrum. `shot` alone is that of an NXmx master given as `detector.geometry_file`.
    """

    file: FilePath | None = None
    shot: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    weights_dataset: str | None = None
    channels_dataset: str | None = None
    channels_unit: Literal["angstrom", "nm", "m", "ev", "kev", "j"] | None = None
    wavelengths_angstrom: tuple[Positive, ...] | None = None
    energies_ev: tuple[Positive, ...] | None = None
    weights: tuple[Finite, ...] | None = None

    @property
    def of_geometry_file(self) -> bool:
        """Whether only the shot is given, of the geometry file."""
        lists = (self.file, self.wavelengths_angstrom, self.energies_ev, self.weights)
        return self.shot is not None and lists == (None,) * 4

    @model_validator(mode="after")
    def _check_lists(self) -> Self:
        of_shots = ("weights_dataset", "channels_dataset", "channels_unit")
        if self.file is not None:
            lists = ("wavelengths_angstrom", "energies_ev", "weights")
            self.refuse_given("given beside `file`", *lists, remedy="keep the file or the lists")
            return self
        if self.of_geometry_file and all(getattr(self, name) is None for name in of_shots):
            return self
        self.refuse_given("goes with a `file` of many shots", "shot", *of_shots)
        if (self.wavelengths_angstrom is None) == (self.energies_ev is None):
            problem = "needs a file, wavelengths_angstrom or energies_ev, exactly one of them"
            raise refusal(problem)
        lines = len(self.wavelengths_angstrom or self.energies_ev or ())
        if lines == 0:
            raise refusal("the list of wavelengths or energies is empty")
        if self.weights is not None:
            _check_weights(self.weights, lines)
        return self


def _check_weights(weights: tuple[float, ...], lines: int) -> None:
    if len(weights) != lines:
        raise refusal(
            f"{len(weights)} weights for {lines} spectral lines",
            field="weights",
            remedy="give one weight a line",
        )
    if not any(weight > 0 for weight in weights):
        raise refusal("no weight is positive", field="weights")


class PolarizationSpec(SpecModel):
    """Kahn polarisation; `axis` is the E-vector direction, by default the convention's."""

    enabled: bool = True
    kahn_factor: Annotated[float, Field(ge=-1, le=1)] | None = None
    axis: Direction | None = None


class BeamSpec(SpecModel):
    """The incident beam.

    Give `wavelength_angstrom` or `energy_ev`, unless a spectrum, a source file or a geometry or
    header file states one: none stands in for it. Give `fluence_photons_per_m2`, or
    `flux_photons_per_s` with `exposure_s` and `size_mm`. A `spectrum` multiplies a
    divergence grid and stands in place of a dispersion grid; a `source_file` stands in
    place of all three.

    `pulse_energy_fraction` is the standard deviation of the energy of the pulse that makes a frame,
    a fraction of the mean: a normal deviate for each frame, from `noise.seed`, multiplies all that
    the frame expects, its labels too.

    `bandwidth_percent` is the standard deviation of the wavenumber 1/wavelength of a normal
    spectrum, percent of its mean; `divergence_mrad` that of a normally distributed direction, one
    number or two (horizontal, vertical: the angles of the `divergence` grid). Every source has
    them. Both are integrated, not sampled: they need `sampling.method: closed_form`.
    """

    wavelength_angstrom: Positive | None = None
    energy_ev: Positive | None = None
    direction: Direction | None = None
    fluence_photons_per_m2: NonNegative | None = None
    flux_photons_per_s: NonNegative | None = None
    exposure_s: Positive | None = None
    size_mm: NonNegative | None = None
    pulse_energy_fraction: NonNegative = Field(
        default=0.0,
        description="Standard deviation, as a fraction of the mean, of the energy of the pulse "
        "that makes a frame; drawn for each frame from noise.seed, never below 0; 0: all equal.",
    )
    polarization: PolarizationSpec = PolarizationSpec()
    bandwidth_percent: Bandwidth | None = None
    divergence_mrad: NormalDivergence | None = None
    divergence: DivergenceSpec = DivergenceSpec()
    dispersion: DispersionSpec = DispersionSpec()
    spectrum: SpectrumSpec | None = None
    source_file: FilePath | None = None
    weights: Literal["auto", "sum", "count", "none"] = "auto"

    @model_validator(mode="after")
    def _check_beam(self) -> Self:
        self.keep_one("wavelength_angstrom", "energy_ev")
        self.keep_one("fluence_photons_per_m2", "flux_photons_per_s")
        self.keep_one("source_file", "spectrum")
        if self.flux_photons_per_s is None:
            problem = "has no effect without flux_photons_per_s"
            remedy = "give the flux or leave the exposure out"
            self.refuse_given(problem, "exposure_s", remedy=remedy)
        elif self.size_mm == 0:
            raise refusal("a flux through a beam of size 0 is infinite", field="size_mm")
        grids = {
            "dispersion": self.dispersion.asked_for,
            "divergence.horizontal": self.divergence.horizontal.asked_for,
            "divergence.vertical": self.divergence.vertical.asked_for,
        }
        wanted = [name for name, asked_for in grids.items() if asked_for]
        problem = ""
        if self.source_file is not None and wanted:
            problem = "a source_file stands in place of the generated grid"
        elif self.spectrum is not None and wanted[:1] == ["dispersion"]:
            problem = "a spectrum stands in place of the dispersion grid"
        if problem:
            raise refusal(problem, field=wanted[0], remedy="keep one of the two")
        return self
