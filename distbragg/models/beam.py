"""Resolved beam: a table of weighted sources and what is common to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from distbragg.models.arrays import Float64Array

WeightRule = Literal["sum", "count", "none"]


@dataclass(frozen=True, slots=True)
class Sources:
    """The one source table: generated grids, source files and spectra all become this.

    Attributes
    ----------
    direction : (sources, 3) float64
        Unit vectors from the sample towards each source; the incident direction is its negative.
    wavelength : (sources,) float64, Å
    weight : (sources,) float64
        Weight inside the sum. All ones under rule `count`. Under `sum`, scaled by a power of
        two so that the largest lies in [0.5, 1); zero-weight sources are already dropped
        under `sum` and `none`.
    total_weight : float
        The divisor W, fixed once from the whole list: Σw under `sum` (scaled as `weight`),
        the number of listed sources under `count`, 1 under `none`.
    listed : int
        Sources in the list before zero-weight ones were dropped.
    rule : {"sum", "count", "none"}
    """

    direction: Float64Array
    wavelength: Float64Array
    weight: Float64Array
    total_weight: float
    listed: int
    rule: WeightRule

    @property
    def count(self) -> int:
        """Number of sources that are rendered."""
        return int(self.wavelength.shape[0])


@dataclass(frozen=True, slots=True)
class Beam:
    """The incident beam.

    Attributes
    ----------
    sources : Sources
    wavelength : float
        Nominal wavelength, Å (used by automatic oversampling and for labels).
    direction : (3,) float64
        Unit vector along the nominal beam.
    fluence : float
        photons/m².
    polarized : bool
        False turns the polarisation factor off (it is then 1).
    kahn_factor : float
    polarization_axis : (3,) float64
        Unit vector near the E-vector.
    """

    sources: Sources
    wavelength: float
    direction: Float64Array
    fluence: float
    polarized: bool
    kahn_factor: float
    polarization_axis: Float64Array
