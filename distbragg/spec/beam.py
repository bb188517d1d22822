"""Beam: wavelength, intensity, polarisation, and the list of weighted sources."""

from __future__ import annotations

from typing import Literal

from distbragg.spec.base import Finite, NonNegative, Positive, SpecModel, Vector3


class DivergenceAxisSpec(SpecModel):
    """One angular axis of the divergence grid; any two of the three give the third."""

    range_mrad: Finite | None = None
    step_mrad: Finite | None = None
    steps: int | None = None


class DivergenceSpec(SpecModel):
    """Grid of source directions."""

    horizontal: DivergenceAxisSpec = DivergenceAxisSpec()
    vertical: DivergenceAxisSpec = DivergenceAxisSpec()
    shape: Literal["round", "square"] = "round"


class DispersionSpec(SpecModel):
    """Grid of wavelengths about the nominal one."""

    range_percent: Finite | None = None
    steps: int | None = None


class SpectrumSpec(SpecModel):
    """Weighted wavelengths: inline lists, or a text/CSV table (wavelength or energy, weight)."""

    file: str | None = None
    wavelengths_angstrom: tuple[Positive, ...] | None = None
    energies_ev: tuple[Positive, ...] | None = None
    weights: tuple[float, ...] | None = None


class PolarizationSpec(SpecModel):
    """Kahn polarisation; `axis` is the E-vector direction, by default the convention's."""

    enabled: bool = True
    kahn_factor: Finite = 0.0
    axis: Vector3 | None = None


class BeamSpec(SpecModel):
    """The incident beam."""

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
    source_file: str | None = None
    weights: Literal["auto", "sum", "count", "none"] = "auto"


