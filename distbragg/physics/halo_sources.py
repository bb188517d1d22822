"""The sources of a beam as halos of diffuse scattering see them: few in place of many lines.

Where the resolution is cut, the cut of a pixel may lie within the spectrum. Such pixels, a rim
about the beam, see the lines up to their own cut: whole ranges of them as normal distributions, and
those of the last range one by one. All others see as few distributions as serve.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from distbragg.models.crystal import Spectral
from distbragg.models.experiment import Experiment
from distbragg.models.halo_spread import longest_vector, most_spread
from distbragg.models.vectors import Float64Array, IntArray
from distbragg.physics.halo_lines import Normals, Spectrum, fewest, fewest_ranges

_REFLECTIONS: Final = 64
"""The strongest ones, by which it is told what halos lose where |F| follows the energy."""

_KEPT: Final = 16
_made: OrderedDict[tuple[bytes, int], tuple[Spectral | None, tuple[HaloSources, ...]]]
_made = OrderedDict()
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class HaloSources:
    """Sources, each a normal distribution of wavenumbers.

    Attributes
    ----------
    direction : (sources, 3) float64
        Unit vectors towards each.
    wavelength : (sources,) float64, Å
        Of the mean wavenumber.
    weight : (sources,) float64
    width : (sources,) float64
        Standard deviations of the wavenumber, of its mean.
    coefficients : (sources, tables) float64
        Of |F|² by energy; no columns where it is the same of all.
    within : (sources, 2) float64, 1/Å
        Seen by pixels of whose resolution the first wavenumber is and the second is not; where the
        second is 0, whatever that is.
    rim : bool
        Whether these are seen by the pixels of the rim alone.
    """

    direction: Float64Array
    wavelength: Float64Array
    weight: Float64Array
    width: Float64Array
    coefficients: Float64Array
    within: Float64Array
    rim: bool = False

    @property
    def count(self) -> int:
        """Number of sources."""
        return len(self.wavelength)


def few_sources(experiment: Experiment, start: int, stop: int) -> tuple[HaloSources, ...]:
    """Return what stands for some sources of an experiment of halos, none where they do.

    Parameters
    ----------
    experiment : Experiment
        Of one lattice.
    start, stop : int
        Which of its sources.

    Returns
    -------
    HaloSources
        What pixels beside the rim see; then what those of the rim do, where there is one.
    """
    sources, spectral = experiment.beam.sources, experiment.reflections.spectral
    if stop - start < 2 or (sources.weight[start:stop] <= 0.0).any():
        return ()
    unit, widest = _units(experiment)
    cut = float(experiment.sampling.dmin > 0.0)
    numbers = [unit, widest, sources.bandwidth, cut]
    given = sources.direction, sources.wavelength, sources.weight
    parts = [np.array([*numbers, start, stop]), *given]
    if spectral is not None:
        parts.append(spectral.coefficients)
    key = b"".join(part.tobytes() for part in parts), id(spectral)
    with _lock:
        kept = _made.get(key)
        if kept is not None:
            _made.move_to_end(key)
            return kept[1]
    found = _few(experiment, slice(start, stop))
    with _lock:
        # The tables are held as well: their identity cannot pass to others meanwhile.
        _made[key] = spectral, found
        while len(_made) > _KEPT:
            _made.popitem(last=False)
    return found


def _units(experiment: Experiment) -> tuple[float, float]:
    """Return by how many of their widths halos are moved at most as the wavenumber doubles.

    And how wide a normal distribution may be in these widths, so that the stencil serves.
    """
    crystal = experiment.crystal
    assert crystal.diffuse is not None
    by = math.tau * float(crystal.diffuse.gamma.max())
    return by * longest_vector(experiment), by * most_spread(crystal) / float(
        crystal.cell[:3].max()
    )


def _few(experiment: Experiment, chosen: slice) -> tuple[HaloSources, ...]:
    whole = _Lines.of(experiment, chosen)
    groups = whole.by_direction()
    coarse = [group.fewest() for group in groups]
    if sum(part.count for part in coarse) >= whole.count:
        return ()
    found = [_joined(coarse, rim=False)]
    if experiment.sampling.dmin > 0.0:
        found.append(_joined([part for group in groups for part in group.in_rim()], rim=True))
    return tuple(part for part in found if part.count > 0)


def _joined(parts: list[HaloSources], *, rim: bool) -> HaloSources:
    names = "direction", "wavelength", "weight", "width", "coefficients", "within"
    one, two, three, four, five, six = (
        np.concatenate([getattr(part, name) for part in parts]) for name in names
    )
    return HaloSources(one, two, three, four, five, six, rim)


@dataclass(frozen=True, slots=True)
class _Lines:
    """Sources with what they are judged by."""

    direction: Float64Array
    wavelength: Float64Array
    weight: Float64Array
    coefficients: Float64Array  # (lines, tables)
    strength: Float64Array  # (lines, reflections)
    bandwidth: float
    unit: float  # widths of halos by which twice the wavenumber moves them
    widest: float  # in these widths, what a normal distribution may have

    @classmethod
    def of(cls, experiment: Experiment, chosen: slice) -> _Lines:
        sources, spectral = experiment.beam.sources, experiment.reflections.spectral
        count = len(sources.wavelength[chosen])
        coefficients, strength = np.zeros((count, 0)), np.ones((count, 1))
        if spectral is not None:
            coefficients = np.array(spectral.coefficients[chosen])
            strength = _strongest(spectral, coefficients, sources.weight[chosen])
        return cls(
            sources.direction[chosen],
            sources.wavelength[chosen],
            sources.weight[chosen],
            coefficients,
            strength,
            sources.bandwidth,
            *_units(experiment),
        )

    @property
    def count(self) -> int:
        return len(self.wavelength)

    @property
    def wavenumber(self) -> Float64Array:
        return 1.0 / self.wavelength

    def by_direction(self) -> list[_Lines]:
        """Return the lines of each direction by themselves, by wavenumber."""
        _, number = np.unique(self.direction, axis=0, return_inverse=True)
        number = number.reshape(-1)
        order = np.lexsort((self.wavenumber, number))
        ends = np.flatnonzero(np.diff(number[order])) + 1
        return [
            self.at(order[start:stop]) for start, stop in pairwise([0, *ends.tolist(), self.count])
        ]

    def at(self, chosen: IntArray) -> _Lines:
        """Return some lines."""
        return _Lines(
            self.direction[chosen],
            self.wavelength[chosen],
            self.weight[chosen],
            self.coefficients[chosen],
            self.strength[chosen],
            self.bandwidth,
            self.unit,
            self.widest,
        )

    def mean(self) -> float:
        """Return the mean wavenumber, 1/Å."""
        return float(self.weight @ self.wavenumber) / float(self.weight.sum())

    def spectrum(self) -> Spectrum:
        """Return them in the unit of a halo's width."""
        place = self.unit * (self.wavenumber / self.mean() - 1.0)
        own = (self.unit * self.bandwidth) ** 2
        return Spectrum(self.weight / float(self.weight.sum()), place, own, self.strength)

    def fewest(self) -> HaloSources:
        """Return what stands for them where all are within the resolution."""
        last = float(self.wavenumber[-1])
        found = fewest(self.spectrum(), self.widest)
        if found is None:
            return self._as_they_are(np.full(self.count, last), 0.0)
        normals, ranges = found
        return self._of_normals(normals, ranges, np.full(len(normals.share), last), 0.0)

    def in_rim(self) -> list[HaloSources]:
        """Return what stands for them where some are within the resolution, and some are not."""
        last = float(self.wavenumber[-1])
        spectrum = self.spectrum()
        ranges = fewest_ranges(spectrum, self.widest)
        ends = np.append(np.flatnonzero(np.diff(ranges)), self.count - 1)
        end = self.wavenumber[ends]
        whole = self._of_normals(spectrum.normals_of(ranges), ranges, end, last)
        return [_apart(whole), _apart(self._as_they_are(self.wavenumber, end[ranges]))]

    def _of_normals(
        self, normals: Normals, ranges: IntArray | None, low: Float64Array, high: float
    ) -> HaloSources:
        mean, count = self.mean(), len(normals.share)
        wavenumber = mean * (1.0 + normals.place / self.unit)
        square = normals.variance * (mean / self.unit / wavenumber) ** 2
        coefficients = np.repeat(self.coefficients[:1], count, axis=0)
        if ranges is not None:
            share = self.weight / float(self.weight.sum())
            coefficients = np.zeros_like(coefficients)
            np.add.at(coefficients, ranges, share[:, np.newaxis] * self.coefficients)
            coefficients /= normals.share[:, np.newaxis]
        return HaloSources(
            np.repeat(self.direction[:1], count, axis=0),
            1.0 / wavenumber,
            normals.share * float(self.weight.sum()),
            np.sqrt(square + (1.0 + square) * self.bandwidth**2),
            coefficients,
            np.stack([low, np.full(count, high)], axis=1),
        )

    def _as_they_are(self, low: Float64Array, high: Float64Array | float) -> HaloSources:
        return HaloSources(
            self.direction,
            self.wavelength,
            self.weight,
            np.full(self.count, self.bandwidth),
            self.coefficients,
            np.stack([low, np.broadcast_to(high, low.shape)], axis=1),
        )


def _apart(given: HaloSources) -> HaloSources:
    """Return the sources that any pixel sees."""
    seen = given.within[:, 0] < given.within[:, 1]
    return HaloSources(
        given.direction[seen],
        given.wavelength[seen],
        given.weight[seen],
        given.width[seen],
        given.coefficients[seen],
        given.within[seen],
    )


def _strongest(
    spectral: Spectral, coefficients: Float64Array, weight: Float64Array
) -> Float64Array:
    """Return |F|² of the strongest reflections at each line, (lines, reflections)."""
    tables = spectral.tables.reshape(len(spectral.tables), -1)
    mean = (weight @ coefficients) @ tables
    chosen = np.sort(np.argsort(-mean, kind="stable")[:_REFLECTIONS])
    found: Float64Array = np.maximum(coefficients @ tables[:, chosen], 0.0)
    return found
