"""What the detector makes of the photons that reach it; an experiment without it has None."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GainZone:
    """A gain: ADU = gain · photons + offset + readout · g, from so many photons on."""

    start: float = 0.0  # photons
    gain: float = 1.0  # ADU per photon
    offset: float = 0.0  # ADU
    readout: float = 0.0  # ADU
    code: float = 0.0  # ADU that the gain's bits add to the stored value


@dataclass(frozen=True, slots=True)
class Response:
    """Numbers of the stages that `kernel.response` lists in their order."""

    seed: int = 0  # the detector's own
    pixel_flicker: float = 0.0  # standard deviation by which expectations vary, pixel by pixel
    calibration: float = 0.0  # standard deviation of the pixels' factors
    zones: tuple[GainZone, ...] = (GainZone(),)  # by increasing start, the first from 0
    in_photons: bool = False  # offset and gain are taken out again
    rounded: bool = False  # to whole numbers
    lowest: float = -math.inf  # of the stored values
    highest: float = math.inf  # what is beyond is overloaded
    saturation: float = math.inf  # photons
    overload: float = math.inf  # what an overloaded pixel holds
    dead: tuple[int, ...] = ()  # numbers of pixels within the frame
    hot: tuple[int, ...] = ()
    dead_fraction: float = 0.0  # of all pixels, drawn
    hot_fraction: float = 0.0
    dead_value: float = 0.0
    hot_value: float = 0.0
    masked_value: float = 0.0

    @property
    def unit(self) -> str:
        """What stored values count."""
        return "photons" if self.in_photons else "ADU"

    @property
    def brightest(self) -> float:
        """Largest stored value that is a measurement."""
        last = self.zones[-1]
        top = self.saturation
        if not self.in_photons:
            top = last.gain * top + last.offset if last.gain > 0.0 else math.inf
        top = min(top, self.highest)
        return (math.floor(top) if self.rounded and math.isfinite(top) else top) + last.code

    @property
    def gain(self) -> float:
        """Stored value of one photon, above the offset, in the first gain."""
        return 1.0 if self.in_photons else self.zones[0].gain

    @property
    def offset(self) -> float:
        """Stored value of no photon."""
        return 0.0 if self.in_photons else self.zones[0].offset + self.zones[0].code
