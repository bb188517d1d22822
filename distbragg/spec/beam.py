"""Beam: wavelength, intensity, polarisation, and the list of weighted sources."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from distbragg.spec.base import (
    FilePath,
    Finite,
    NonNegative,
    Positive,
    SpecModel,
    Steps,
    Vector3,
    refusal,
    require_direction,
)


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
        if self.file is not None:
            for name in ("wavelengths_angstrom", "energies_ev", "weights"):
                if getattr(self, name) is not None:
                    raise refusal(
                        "given beside `file`", field=name, remedy="keep the file or the lists"
                    )
            return self
        datasets = (self.weights_dataset, self.channels_dataset, self.channels_unit)
        if self.of_geometry_file and datasets == (None, None, None):
            return self
        self._check_inline()
        return self

    def _check_inline(self) -> None:
        for name in ("shot", "weights_dataset", "channels_dataset", "channels_unit"):
            if getattr(self, name) is not None:
                raise refusal("goes with a `file` of many shots", field=name)
        if (self.wavelengths_angstrom is None) == (self.energies_ev is None):
            problem = "needs a file, wavelengths_angstrom or energies_ev, exactly one of them"
            raise refusal(problem)
        lines = len(self.wavelengths_angstrom or self.energies_ev or ())
        if lines == 0:
            raise refusal("the list of wavelengths or energies is empty")
        if self.weights is not None:
            self._check_weights(self.weights, lines)

    @staticmethod
    def _check_weights(weights: tuple[float, ...], lines: int) -> None:
        if len(weights) != lines:
            raise refusal(
                f"{len(weights)} weights for {lines} spectral lines",
                field="weights",
                remedy="give one weight a line",
            )
        for index, weight in enumerate(weights):
            if weight < 0:
                raise refusal(f"negative weight {weight!r}", field=f"weights.{index}")
        if not any(weights):
            raise refusal("every weight is zero", field="weights")


class PolarizationSpec(SpecModel):
    """Kahn polarisation; `axis` is the E-vector direction, by default the convention's."""

    enabled: bool = True
    kahn_factor: Annotated[Finite, Field(ge=-1, le=1)] | None = None
    axis: Vector3 | None = None

    @model_validator(mode="after")
    def _check_axis(self) -> Self:
        require_direction(self.axis, "axis")
        return self


class BeamSpec(SpecModel):
    """The incident beam.

    Give `wavelength_angstrom` or `energy_ev`, unless a spectrum, a source file or a geometry or
    header file states one: none stands in for it. Give `fluence_photons_per_m2`, or
    `flux_photons_per_s` with `exposure_s` and `size_mm`. A `spectrum` multiplies a
    divergence grid and stands in place of a dispersion grid; a `source_file` stands in
    place of all three.
    """

    wavelength_angstrom: Positive | None = None
    energy_ev: Positive | None = None
    direction: Vector3 | None = None
    fluence_photons_per_m2: NonNegative | None = None
    flux_photons_per_s: NonNegative | None = None
    exposure_s: Positive | None = None
    size_mm: NonNegative | None = None
    polarization: PolarizationSpec = PolarizationSpec()
    divergence: DivergenceSpec = DivergenceSpec()
    dispersion: DispersionSpec = DispersionSpec()
    spectrum: SpectrumSpec | None = None
    source_file: FilePath | None = None
    weights: Literal["auto", "sum", "count", "none"] = "auto"

    @model_validator(mode="after")
    def _check_beam(self) -> Self:
        require_direction(self.direction, "direction")
        if self.wavelength_angstrom is not None and self.energy_ev is not None:
            raise refusal(
                "given beside wavelength_angstrom", field="energy_ev", remedy="keep one of the two"
            )
        self._check_intensity()
        self._check_sources()
        return self

    def _check_intensity(self) -> None:
        if self.fluence_photons_per_m2 is not None and self.flux_photons_per_s is not None:
            raise refusal(
                "given beside fluence_photons_per_m2",
                field="flux_photons_per_s",
                remedy="keep one of the two",
            )
        if self.exposure_s is not None and self.flux_photons_per_s is None:
            raise refusal(
                "has no effect without flux_photons_per_s",
                field="exposure_s",
                remedy="give the flux or leave the exposure out",
            )
        if self.flux_photons_per_s is not None and self.size_mm == 0:
            raise refusal("a flux through a beam of size 0 is infinite", field="size_mm")

    def _check_sources(self) -> None:
        grids = {
            "dispersion": self.dispersion.asked_for,
            "divergence.horizontal": self.divergence.horizontal.asked_for,
            "divergence.vertical": self.divergence.vertical.asked_for,
        }
        if self.source_file is not None:
            if self.spectrum is not None:
                raise refusal(
                    "given beside source_file", field="spectrum", remedy="keep one of the two"
                )
            for name, wanted in grids.items():
                if wanted:
                    raise refusal(
                        "a source_file stands in place of the generated grid",
                        field=name,
                        remedy="keep one of the two",
                    )
        if self.spectrum is not None and grids["dispersion"]:
            raise refusal(
                "a spectrum stands in place of the dispersion grid",
                field="dispersion",
                remedy="keep one of the two",
            )
