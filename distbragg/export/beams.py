"""The beam of each frame of a series: wavelengths with weights, bandwidth, divergence.

NXmx gives `incident_wavelength` its meaning by its shape and by what stands beside it: (channels,)
of a spectrum all frames share, (frames, channels) of one a frame, with weights of the same name and
`_weights`. Readers that know one wavelength a frame find the mean; its attribute `variant` names
the spectrum.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import h5py
import numpy as np
from numpy.typing import NDArray

from distbragg.matrices import dot3
from distbragg.models.beam import Beam
from distbragg.models.vectors import Float64Array

WAVELENGTH: Final = "incident_wavelength"
SPECTRUM: Final = "incident_wavelength_1Dspectrum"
FWHM: Final = 2.0 * math.sqrt(2.0 * math.log(2.0))
"""Full width at half maximum of a normal distribution, in standard deviations."""

_PADDED: Final = "a frame of fewer channels is filled up by channels of weight 0"
_ROUNDING: Final = 1e-12
_MOST_IN_COMMON: Final = 2
"""Channels that all frames share may be this many times those of the longest spectrum."""


@dataclass(frozen=True, slots=True, eq=False)
class FrameBeam:
    """What files say of the beam of a frame."""

    wavelength: float  # Å: the mean, weights taken into account
    channels: Float64Array  # (channels,) Å, increasing
    weights: Float64Array  # (channels,), their sum is 1
    bandwidth: float  # standard deviation of the wavenumber of every channel, a fraction of it
    divergence: float  # rad, full angle: FWHM of a normal one, range of a grid of directions

    @property
    def spread(self) -> float:
        """Standard deviation of the wavenumber, of the mean: of all channels together."""
        numbers = 1.0 / self.channels
        mean = float(self.weights @ numbers)
        among = float(self.weights @ (numbers - mean) ** 2) / mean**2
        return math.sqrt(among + self.bandwidth**2)


def frame_beam(beam: Beam) -> FrameBeam:
    """Return what files say of a resolved beam: its sources joined by wavelength.

    The mean wavelength is the nominal one where they differ by rounding alone.
    """
    sources = beam.sources
    channels, place = np.unique(sources.wavelength, return_inverse=True)
    weights = np.bincount(place.reshape(-1), weights=sources.weight)
    weights = weights / weights.sum()
    mean = float(weights @ channels)
    same = abs(mean - beam.wavelength) <= _ROUNDING * beam.wavelength
    along = np.clip(-dot3(sources.direction, beam.direction), -1.0, 1.0)
    grid = 2.0 * float(np.arccos(along).max())
    normal = FWHM * float(np.sqrt((beam.divergence**2).sum(axis=1)).max())
    return FrameBeam(
        wavelength=beam.wavelength if same else mean,
        channels=channels,
        weights=weights,
        bandwidth=sources.bandwidth,
        divergence=math.hypot(normal, grid),
    )


def write_beams(group: h5py.Group, beams: Callable[[], Iterator[FrameBeam]]) -> None:
    """Write wavelengths and spectra of a series into an NXbeam; `beams` yields those of its frames.

    It is called once, and again where spectra differ: one frame's stands in memory at a time.
    """
    found = _survey(beams())
    single = _shared(found.means)
    group[WAVELENGTH] = single
    group[WAVELENGTH].attrs["units"] = "angstrom"
    if max(found.bandwidths) > 0.0:
        widths = FWHM * np.array(found.bandwidths) * np.array(found.means)
        group[f"{WAVELENGTH}_spread"] = _shared(widths.tolist())
        group[f"{WAVELENGTH}_spread"].attrs["units"] = "angstrom"
    if found.longest == 1:
        return
    group[WAVELENGTH].attrs["variant"] = SPECTRUM
    weights = f"{SPECTRUM}_weights"
    if found.alike:
        group[SPECTRUM], group[weights] = found.first.channels, found.first.weights
    else:
        _write_each(group, weights, found, beams())
    group[SPECTRUM].attrs["units"] = "angstrom"
    # Before 2021 the definition said `weight`, and DIALS' reader still does.
    group[weights.removesuffix("s")] = h5py.SoftLink(weights)


@dataclass(slots=True)
class _Survey:
    first: FrameBeam
    means: list[float]
    bandwidths: list[float]
    longest: int = 1
    alike: bool = True
    union: Float64Array | None = None  # channels of all frames; None where they are too many


def _survey(beams: Iterator[FrameBeam]) -> _Survey:
    found: _Survey | None = None
    for beam in beams:
        if found is None:
            found = _Survey(beam, [], [], union=beam.channels)
        found.means.append(beam.wavelength)
        found.bandwidths.append(beam.bandwidth)
        found.longest = max(found.longest, len(beam.channels))
        first = found.first
        found.alike &= np.array_equal(beam.channels, first.channels) and np.array_equal(
            beam.weights, first.weights
        )
        if found.union is not None and not found.alike:
            found.union = np.union1d(found.union, beam.channels)
            if len(found.union) > _MOST_IN_COMMON * found.longest:
                found.union = None
    if found is None:
        raise ValueError("a series of no frames")
    return found


def _write_each(
    group: h5py.Group, weights: str, found: _Survey, beams: Iterator[FrameBeam]
) -> None:
    """Write weights (frames, channels), and channels of all frames or (frames, channels)."""
    columns = found.longest if found.union is None else len(found.union)
    shape, chunk = (len(found.means), columns), (1, columns)
    table = group.create_dataset(weights, shape, "f8", chunks=chunk)
    if found.union is not None:
        group[SPECTRUM] = found.union
        for row, beam in enumerate(beams):
            line = np.zeros(columns)
            line[np.searchsorted(found.union, beam.channels)] = beam.weights
            table[row] = line
        return
    own = group.create_dataset(SPECTRUM, shape, "f8", chunks=chunk)
    own.attrs["padding"] = _PADDED
    for row, beam in enumerate(beams):
        missing = (0, columns - len(beam.channels))
        own[row] = np.pad(beam.channels, missing, mode="edge")
        table[row] = np.pad(beam.weights, missing)


def _shared(values: list[float]) -> NDArray[np.float64]:
    """Return one number where all frames have the same, else (frames,)."""
    array = np.array(values)
    return array[0] if (array == array[0]).all() else array
