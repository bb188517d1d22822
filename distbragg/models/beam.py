"""Resolved beam: a table of weighted sources and what is common to them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from distbragg.models.identity import WHERE_GIVEN
from distbragg.models.vectors import Float64Array, frozen_float64

WeightRule = Literal["sum", "count", "none"]


@dataclass(frozen=True, slots=True)
class Sources:
    """The one source table: generated grids, source files and spectra all become this.

    The divisor W is fixed once, from the whole list. Weights are all ones under rule `count`.
    Under `sum` they are scaled by a power of two so that the largest lies in [0.5, 1);
    zero-weight sources are already dropped under `sum` and `none`.
    """

    direction: Float64Array  # (sources, 3), unit, towards each source: against the incident beam
    wavelength: Float64Array  # (sources,), Å
    weight: Float64Array  # (sources,), inside the sum
    total_weight: float  # W: Σw under `sum`, the number listed under `count`, 1 under `none`
    listed: int  # sources before zero-weight ones were dropped
    rule: WeightRule
    bandwidth: float = 0.0  # σ_k/k: each source is normally distributed about its wavenumber

    @property
    def count(self) -> int:
        """Number of sources that are rendered."""
        return int(self.wavelength.shape[0])


@dataclass(frozen=True, slots=True)
class Beam:
    """The incident beam."""

    sources: Sources
    wavelength: float  # Å, nominal: of automatic oversampling and labels
    direction: Float64Array  # (3,), unit
    fluence: float  # photons/m²
    polarized: bool  # False: the polarisation factor is 1
    kahn_factor: float
    polarization_axis: Float64Array  # (3,), unit, near the E-vector
    pulse_energy: float = field(default=1.0, metadata=WHERE_GIVEN)
    """Of the frame's pulse, over the mean that `fluence` is of."""
    divergence: Float64Array = field(default_factory=lambda: frozen_float64([[0.0] * 3] * 2))
    """(2, 3), rad: vectors across `direction` and each other, horizontal and vertical, each as long
    as the standard deviation there of the normal distribution of a source's direction."""
