"""The sources of a beam as halos of diffuse scattering see them: few in place of many lines.

Lines move halos by Δk/k of |q|, so that pixels near the beam see fewer distributions than those far
from it: zones of |s₁ − s₀|, about the beam, have their own. Where the resolution is cut, the cut of
a pixel may lie within the spectrum. Such pixels, a rim about the zones, see the lines up to their
own cut: whole ranges of them as normal distributions, and those of the last range one by one.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections import OrderedDict
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any, Final

import numpy as np

from distbragg.models.crystal import Spectral
from distbragg.models.experiment import Experiment
from distbragg.models.halo_spread import longest_vector, most_spread
from distbragg.models.vectors import Float64Array, IntArray
from distbragg.physics.halo_lines import Normals, Spectrum, fewest, fewest_ranges

_CANDIDATES: Final = 512
_REFLECTIONS: Final = 32
"""Where |F| follows the energy halos are judged by the strongest of all reflections, and by those
that follow it most among the strongest `_CANDIDATES`."""

_ZONES: Final = (1.0, 0.85, 0.7, 0.55, 0.4, 0.25)
"""Up to which shares of the longest vector it is asked how few serve."""

_KEPT: Final = 16
_made: OrderedDict[tuple[bytes, int], tuple[weakref.ref[Any] | None, tuple[HaloSources, ...]]]
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
    chord : (sources, 2) float64
        Seen by pixels with |s₁ − s₀| beyond the first, 0 included, and up to the second.
    """

    direction: Float64Array
    wavelength: Float64Array
    weight: Float64Array
    width: Float64Array
    coefficients: Float64Array
    chord: Float64Array

    @property
    def count(self) -> int:
        """Number of sources."""
        return len(self.wavelength)

    @property
    def arrays(self) -> tuple[Float64Array, ...]:
        """All of them, in their order."""
        return tuple(getattr(self, item.name) for item in fields(self))

    def seen(self, low: float, high: float) -> HaloSources:
        """Return those that pixels of a zone see, by these alone."""
        least, most = np.maximum(self.chord[:, 0], low), np.minimum(self.chord[:, 1], high)
        cut = replace(self, chord=np.stack([least, most], axis=1))
        return HaloSources(*(part[least < most] for part in cut.arrays))


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
        What the zones see, from without, then what the rim does, where there is one.
    """
    sources, spectral = experiment.beam.sources, experiment.reflections.spectral
    if stop - start < 2 or (sources.weight[start:stop] <= 0.0).any():
        return ()
    unit, widest = _units(experiment)
    numbers = [unit, widest, sources.bandwidth, experiment.sampling.dmin]
    given = sources.direction, sources.wavelength, sources.weight
    parts = [np.array([*numbers, start, stop]), *given]
    if spectral is not None:
        parts.append(spectral.coefficients)
    tables = None if spectral is None else spectral.tables
    key = b"".join(part.tobytes() for part in parts), id(tables)
    with _lock:
        kept = _made.get(key)
        if kept is not None and (kept[0] is None or kept[0]() is tables):
            _made.move_to_end(key)
            return kept[1]
    found = _few(experiment, slice(start, stop))
    with _lock:
        # The tables are not held: their identity may have passed to others.
        _made[key] = None if tables is None else weakref.ref(tables), found
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
    zones: list[tuple[float, list[HaloSources]]] = []
    fewest = whole.count
    for share in _ZONES:
        parts = [replace(group, unit=share * group.unit).fewest() for group in groups]
        count = sum(part.count for part in parts)
        if not zones or count < fewest:
            zones.append((share, parts))
            fewest = count
    if fewest >= whole.count:
        return ()
    longest = longest_vector(experiment) / float(whole.wavenumber.max())
    inner = [share * longest for share, _ in zones[1:]] + [0.0]
    outer = [math.inf, *inner[:-1]]
    found = [
        _joined([part.seen(low, high) for part in parts])
        for (_, parts), low, high in zip(zones, inner, outer, strict=True)
    ]
    if experiment.sampling.dmin > 0.0:
        found.append(_joined([part for group in groups for part in group.in_rim()]))
    return tuple(part for part in found if part.count > 0)


def _joined(parts: list[HaloSources]) -> HaloSources:
    columns = zip(*(part.arrays for part in parts), strict=True)
    return HaloSources(*(np.concatenate(column) for column in columns))


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
    reach: float  # 1/Å, the resolution; infinite where it is not cut

    @classmethod
    def of(cls, experiment: Experiment, chosen: slice) -> _Lines:
        sources, spectral = experiment.beam.sources, experiment.reflections.spectral
        count, dmin = len(sources.wavelength[chosen]), experiment.sampling.dmin
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
            1.0 / dmin if dmin > 0.0 else math.inf,
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
        return replace(
            self,
            direction=self.direction[chosen],
            wavelength=self.wavelength[chosen],
            weight=self.weight[chosen],
            coefficients=self.coefficients[chosen],
            strength=self.strength[chosen],
        )

    def mean(self) -> float:
        """Return the mean wavenumber, 1/Å."""
        return math.fsum(self.weight * self.wavenumber) / self.total()

    def total(self) -> float:
        """Return the sum of their weights."""
        return math.fsum(self.weight)

    def spectrum(self) -> Spectrum:
        """Return them in the unit of a halo's width."""
        place = self.unit * (self.wavenumber / self.mean() - 1.0)
        own = (self.unit * self.bandwidth) ** 2
        return Spectrum(self.weight / self.total(), place, own, self.strength)

    def fewest(self) -> HaloSources:
        """Return what stands for them where all are within the resolution."""
        most = self.reach / float(self.wavenumber[-1])
        found = fewest(self.spectrum(), self.widest)
        if found is None:
            return self._as_they_are(0.0, most)
        return self._of_normals(*found, 0.0, most)

    def in_rim(self) -> list[HaloSources]:
        """Return what stands for them where some are within the resolution, and some are not."""
        spectrum, most = self.spectrum(), self.reach / self.wavenumber
        ranges = fewest_ranges(spectrum, self.widest)
        end = most[np.append(np.flatnonzero(np.diff(ranges)), self.count - 1)]
        whole = self._of_normals(spectrum.normals_of(ranges), ranges, float(most[-1]), end)
        both = whole, self._as_they_are(end[ranges], most)
        return [part.seen(0.0, math.inf) for part in both]

    def _of_normals(
        self,
        normals: Normals,
        ranges: IntArray | None,
        least: float,
        most: Float64Array | float,
    ) -> HaloSources:
        mean, count = self.mean(), len(normals.share)
        wavenumber = mean * (1.0 + normals.place / self.unit)
        square = normals.variance * (mean / self.unit / wavenumber) ** 2
        coefficients = np.repeat(self.coefficients[:1], count, axis=0)
        if ranges is not None:
            share = self.weight / self.total()
            coefficients = np.zeros_like(coefficients)
            np.add.at(coefficients, ranges, share[:, np.newaxis] * self.coefficients)
            coefficients /= normals.share[:, np.newaxis]
        return HaloSources(
            np.repeat(self.direction[:1], count, axis=0),
            1.0 / wavenumber,
            normals.share * self.total(),
            np.sqrt(square + (1.0 + square) * self.bandwidth**2),
            coefficients,
            _chords(least, most, count),
        )

    def _as_they_are(self, least: Float64Array | float, most: Float64Array | float) -> HaloSources:
        return HaloSources(
            self.direction,
            self.wavelength,
            self.weight,
            np.full(self.count, self.bandwidth),
            self.coefficients,
            _chords(least, most, self.count),
        )


def _chords(least: Float64Array | float, most: Float64Array | float, count: int) -> Float64Array:
    return np.stack([np.broadcast_to(least, count), np.broadcast_to(most, count)], axis=1)


def _strongest(
    spectral: Spectral, coefficients: Float64Array, weight: Float64Array
) -> Float64Array:
    """Return |F|² of some reflections at each line, (lines, reflections)."""
    tables = spectral.tables.reshape(len(spectral.tables), -1)
    mean = (weight @ coefficients) @ tables
    strongest = np.arange(len(mean))
    if len(mean) > _CANDIDATES:
        strongest = np.sort(np.argpartition(-mean, _CANDIDATES)[:_CANDIDATES])
    strongest = strongest[np.argsort(-mean[strongest], kind="stable")]
    found: Float64Array = np.maximum(coefficients @ tables[:, strongest], 0.0)
    found = found[:, found.max(axis=0) > 0.0]
    if found.shape[1] == 0:
        return np.ones((len(weight), 1))
    changes = found.std(axis=0) / found.mean(axis=0)
    most = np.argsort(-changes, kind="stable")[:_REFLECTIONS]
    chosen = np.union1d(np.arange(min(_REFLECTIONS, found.shape[1])), most)
    return np.ascontiguousarray(found[:, chosen])
