"""Beam: wavelength, intensity, polarisation, and the list of weighted sources."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from distbragg.spec.base import (
    Count,
    Direction,
    Energy,
    FilePath,
    Finite,
    NonNegative,
    Positive,
    SpecModel,
    Wavelength,
    not_vanishing,
    possible,
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


Milliradians = Annotated[Finite, possible(-6284.0, 6284.0, "mrad")]  # a whole turn
BeamSize = Annotated[NonNegative, possible(0.0, 1e6, "mm")]


class DivergenceAxisSpec(SpecModel):
    """One angular axis of the divergence grid; any two of the three give the third.

    Under `physics: exact` the range is cut into equal parts, and the directions are their
    centres, about the nominal one; `steps` alone is refused.
    """

    range_mrad: Milliradians | None = None
    """Full angular range of the directions, mrad. Left out: `step_mrad` times `steps`, else one
    direction. Example: 0.5"""
    step_mrad: Milliradians | None = None
    """Angle from one direction to the next, mrad. Left out: `range_mrad` divided by `steps`.
    Example: 0.1"""
    steps: Count | None = None
    """Number of directions. Left out: `range_mrad` divided by `step_mrad`, else 2. Example: 5"""

    @property
    def asked_for(self) -> bool:
        """Whether any field asks for more than one direction."""
        wanted = (self.range_mrad or 0.0, self.step_mrad or 0.0, (self.steps or 0) - 1)
        return any(value > 0 for value in wanted)


class DivergenceSpec(SpecModel):
    """Grid of source directions."""

    horizontal: DivergenceAxisSpec = DivergenceAxisSpec()
    """Directions across the polarisation axis."""
    vertical: DivergenceAxisSpec = DivergenceAxisSpec()
    """Directions along the polarisation axis."""
    shape: Literal["round", "square"] = "round"
    """Whether a grid of two ranges is cut to their ellipse (round) or kept whole. Example: square
    """


class DispersionSpec(SpecModel):
    """Grid of wavelengths about the nominal one, both ends of the range among them."""

    range_percent: Finite | None = None
    """Full range of wavelengths, percent of the nominal one. Left out: one wavelength. Example: 0.2
    """
    steps: Count | None = None
    """Number of wavelengths, evenly spaced. Left out: 2 where there is a range. Example: 11"""

    @property
    def asked_for(self) -> bool:
        """Whether the fields ask for more than one wavelength."""
        return (self.range_percent or 0.0) > 0 or (self.steps or 0) > 1


class SpectrumSpec(SpecModel):
    """Weighted wavelengths: inline lists, a table, or the spectrum of one shot of many.

    A text or CSV table has a wavelength or energy and a weight per line. HDF5 and NetCDF-4 files
    and Zarr stores (a folder `.zarr`, or a ZIP of one, `.zarr.zip`) hold the spectra of many shots.
    `shot` alone is that of an NXmx master given as `detector.geometry_file`.
    """

    file: FilePath | None = None
    """Table (text, CSV) of wavelengths or energies and weights, or HDF5, NetCDF-4 or Zarr with the
    spectra of shots. Left out: the lists beside it. Example: spectra.h5"""
    shot: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    """Number of the shot, from 0: the row of the file whose spectrum the frame has. Left out: 0.
    Example: 12"""
    weights_dataset: str | None = None
    """Path in the file of the spectra, shots × channels. Left out: NXbeam of a NeXus file. Example:
    /spectra/intensity"""
    channels_dataset: str | None = None
    """Path in the file of the channels' wavelengths or energies, one list or one per shot. Left
    out: NXbeam of a NeXus file. Example: /spectra/energy"""
    channels_unit: Literal["angstrom", "nm", "m", "ev", "kev", "j"] | None = None
    """Unit that the channels' wavelengths or energies are in. Left out: the `units` attribute of
    their dataset. Example: ev"""
    wavelengths_angstrom: tuple[Wavelength, ...] | None = None
    """Wavelengths of the spectral lines, in any order, Å. Left out: `energies_ev`. Example: [0.979,
    0.980, 0.981]"""
    energies_ev: tuple[Energy, ...] | None = None
    """Photon energies of the lines, eV. Left out: `wavelengths_angstrom`. Example: [12640, 12650,
    12660]"""
    weights: tuple[Finite, ...] | None = None
    """Relative intensities of the lines, one for each. Left out: all equal. Example: [1, 4, 1]"""

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
            self.refuse_given(
                "given together with `file`", *lists, remedy="keep the file or the lists"
            )
            return self
        if self.of_geometry_file and all(getattr(self, name) is None for name in of_shots):
            return self
        self.refuse_given("needs a `file` of many shots", "shot", *of_shots)
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
    """How the beam is polarised, for Kahn's factor."""

    enabled: bool = True
    """Whether scattering depends on the polarisation; false leaves the factor out. Example: false
    """
    kahn_factor: Annotated[float, Field(ge=-1, le=1)] | None = None
    """Kahn's factor (I∥ − I⊥)/(I∥ + I⊥) along `axis`: 0 not polarised, 1 fully; 2f − 1 of a
    polarisation fraction f. Left out: that of a header, else 0. Example: 0.98"""
    axis: Direction | None = None
    """Direction of the electric field, three components. Left out: the convention's. Example: [0,
    1, 0]"""


class BeamSpec(SpecModel):
    """The incident beam.

    A `spectrum` multiplies a divergence grid and stands in place of a dispersion grid; a
    `source_file` stands in place of all three. `bandwidth_percent` and `divergence_mrad` are those
    of every source, and need `sampling.method: closed_form`.
    """

    wavelength_angstrom: Wavelength | None = None
    """Wavelength of the beam, the nominal one of several sources, Å. Left out: that of `energy_ev`,
    of a header or geometry file, or the mean of the spectrum or source file; none of them is an
    error. Example: 0.9795"""
    energy_ev: Energy | None = None
    """Photon energy, eV, in place of the wavelength. Left out: that of the wavelength. Example:
    12658"""
    direction: Direction | None = None
    """Direction in which the beam travels, three components. Left out: the convention's. Example:
    [0, 0, 1]"""
    fluence_photons_per_m2: NonNegative | None = None
    """Photons that cross the sample during the frame, photons/m². Left out: flux times exposure
    over the beam's area, else 1.26e29, nanoBragg's own scale. Example: 1e24"""
    flux_photons_per_s: NonNegative | None = None
    """Photons in the whole beam, photons/s; with `exposure_s` and `size_mm` in place of the
    fluence. Left out:
    `fluence_photons_per_m2` counts. Example: 1e12"""
    exposure_s: Positive | None = None
    """Duration of the frame in seconds, for `flux_photons_per_s`. Left out: 1. Example: 0.1"""
    size_mm: BeamSize | None = None
    """Side of the square that the beam fills, mm; it clips the block of cells, and sets how much
    background material is lit. Left out: 0.1 where flux or background need it. Example: 0.02"""
    pulse_energy_fraction: NonNegative = 0.0
    """Standard deviation of the energy of a frame's pulse, as a fraction of the mean: a normal
    deviate of each frame, from `noise.seed`, multiplies all that the frame expects. Example: 0.15
    """
    polarization: PolarizationSpec = PolarizationSpec()
    """Polarisation of the beam."""
    bandwidth_percent: Bandwidth | None = None
    """Standard deviation of the wavenumber of a normal spectrum, percent of its mean; integrated in
    closed form. Left out: every source has one wavelength. Example: 0.1"""
    divergence_mrad: NormalDivergence | None = None
    """Standard deviation of a normally distributed direction, mrad: one number, or two (horizontal,
    vertical); integrated in closed form. Left out: every source has one direction. Example: 0.2"""
    divergence: DivergenceSpec = DivergenceSpec()
    """Grid of directions that is summed over."""
    dispersion: DispersionSpec = DispersionSpec()
    """Grid of wavelengths that is summed over."""
    spectrum: SpectrumSpec | None = None
    """Weighted wavelengths, in place of the dispersion grid. Left out: that of an NXmx geometry
    file where the wavelength is not given, else none."""
    source_file: FilePath | None = None
    """Table of sources, `X Y Z weight wavelength` per line in metres, in place of grids and
    spectrum. Left out: the grids and the spectrum. Example: sources.txt"""
    weighting: Literal["auto", "sum", "count", "none"] = "auto"
    """What source weights do: sum divides by their sum, count ignores them, none divides by 1; auto
    is sum, under `physics: nanobragg` count. Example: none"""

    former = {"weights": "weighting"}  # noqa: RUF012

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
