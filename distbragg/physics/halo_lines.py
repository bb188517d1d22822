"""A few lines in place of many, for halos of diffuse scattering.

Along a scattering vector the lines of a spectrum move a halo by Δk/k of its length. A halo is
broad, so that normal distributions stand for many lines: `fewest` looks for as few as leave out no
more than `LEFT` of any halo. Halos are sums of Gaussians of x, whose means
over both spectra are known (`halos`): what differs is bounded for each by itself, for the
narrowest halos at the longest vector, and along the line through their middle. Whatever spreads
halos across that line makes it less.

Two kinds of distributions are tried. The lines' first 2n moments belong to one mixture of n normal
ones of a common width, the widest for which what is left is a distribution (Lindsay, 1989): it is
best for spectra that are not much wider than a halo, and one normal distribution for those that are
normal. Others are cut into equal ranges, each with its mean and its width.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from distbragg.models.vectors import Float64Array, IntArray
from distbragg.physics.halos import EXPONENTIALS

LEFT: Final = 5e-4
"""What is left out at most of any halo, as a share of its own maximum."""

_MIXED: Final = 6
"""Normal distributions of a common width at most: of more the moments are too alike."""

_STEP: Final = 0.125  # of a halo's width, between places at which spectra are compared
_BESIDE: Final = 3.0  # widths beyond the lines that are looked at
_HALVINGS: Final = 40


@dataclass(frozen=True, slots=True)
class Normals:
    """Normal distributions that stand for lines."""

    share: Float64Array  # (n,), of the lines' weights; 1 together
    place: Float64Array  # (n,)
    variance: Float64Array  # (n,)


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Lines in the unit of a halo's width: how far each moves it.

    Attributes
    ----------
    share : (lines,) float64
        Of their weight; 1 together.
    place : (lines,) float64
        Ascending.
    variance : float
        Of each line by itself.
    strength : (lines, reflections) float64
        |F|² of some reflections; one column of ones where it does not follow the energy.
    """

    share: Float64Array
    place: Float64Array
    variance: float
    strength: Float64Array

    @property
    def follows_energy(self) -> bool:
        """Whether |F|² differs from line to line."""
        return bool((self.strength != self.strength[0]).any())

    def ranges(self, count: int) -> IntArray:
        """Return in which of equal ranges each line lies, (lines,), those without any left out."""
        low, high = float(self.place[0]), float(self.place[-1])
        if count == 1 or high <= low:
            return np.zeros(len(self.place), dtype=np.int64)
        at = np.floor((self.place - low) / (high - low) * count).astype(np.int64)
        _, number = np.unique(np.minimum(at, count - 1), return_inverse=True)
        found: IntArray = number.astype(np.int64)
        return found

    def normals_of(self, ranges: IntArray) -> Normals:
        """Return the normal distribution of the lines of each range."""
        share = np.bincount(ranges, self.share).astype(np.float64)
        place = np.bincount(ranges, self.share * self.place) / share
        off = self.place - place[ranges]
        return Normals(share, place, np.bincount(ranges, self.share * off * off) / share)


def fewest(spectrum: Spectrum, widest: float) -> tuple[Normals, IntArray | None] | None:
    """Return the fewest normal distributions that serve; None where lines do by themselves.

    Parameters
    ----------
    spectrum : Spectrum
    widest : float
        Standard deviation that none exceeds.

    Returns
    -------
    Normals and (lines,) int64
        Which of them each line belongs to; None where they are of all lines together.
    """
    return _fewest(spectrum, widest, mixed=not spectrum.follows_energy)


def fewest_ranges(spectrum: Spectrum, widest: float) -> IntArray:
    """Return the fewest ranges of lines that serve, each line in one of its own if need be."""
    found = _fewest(spectrum, widest, mixed=False)
    if found is None or found[1] is None:
        return np.arange(len(spectrum.place), dtype=np.int64)
    return found[1]


def _fewest(
    spectrum: Spectrum, widest: float, *, mixed: bool
) -> tuple[Normals, IntArray | None] | None:
    judge = _Judge(spectrum)
    for count in _counts(len(np.unique(spectrum.place))):
        if mixed and count <= _MIXED:
            normals = _of_moments(spectrum, count)
            if normals is not None and judge.allows(normals, None, widest):
                return normals, None
        ranges = spectrum.ranges(count)
        normals = spectrum.normals_of(ranges)
        if judge.allows(normals, ranges, widest):
            return normals, ranges
    return None


def _counts(lines: int) -> Iterator[int]:
    """Yield how many distributions are tried, fewer than the lines."""
    count = 1
    while count < lines:
        yield count
        count = max(count + 1, count * 5 // 4)


class _Judge:
    """What halos are under lines, and how far off they are under others."""

    def __init__(self, spectrum: Spectrum) -> None:
        self._spectrum = spectrum
        low, high = spectrum.place[0] - _BESIDE, spectrum.place[-1] + _BESIDE
        self._at = np.linspace(low, high, math.ceil((high - low) / _STEP) + 1)
        lit = spectrum.share[:, np.newaxis] * spectrum.strength
        still = np.full(len(spectrum.place), spectrum.variance)
        self._means = [
            self._seen(exponent, spectrum.place, still) @ lit for exponent, _ in EXPONENTIALS
        ]
        whole = sum(
            weight * mean for (_, weight), mean in zip(EXPONENTIALS, self._means, strict=True)
        )
        self._greatest: Float64Array = np.max(whole, axis=0)  # of each reflection

    def _seen(self, exponent: float, place: Float64Array, variance: Float64Array) -> Float64Array:
        """Return the mean of exp(−t x) under distributions about some places, (at, places)."""
        wide = 1.0 + 2.0 * exponent * variance
        off = self._at[:, np.newaxis] - place
        seen: Float64Array = np.exp(-exponent * off * off / wide) / np.sqrt(wide)
        return seen

    def allows(self, normals: Normals, ranges: IntArray | None, widest: float) -> bool:
        """Whether distributions, of ranges of the lines or of all of them, serve."""
        spectrum = self._spectrum
        if float(normals.variance.max()) > widest * widest:
            return False
        lit = normals.share[:, np.newaxis] * np.ones((1, spectrum.strength.shape[1]))
        if ranges is None:
            lit = lit * spectrum.strength[0]
        else:
            lit = np.zeros((len(normals.share), spectrum.strength.shape[1]))
            np.add.at(lit, ranges, spectrum.share[:, np.newaxis] * spectrum.strength)
        off = np.zeros(lit.shape[1])
        variance = normals.variance + spectrum.variance
        for (exponent, weight), mean in zip(EXPONENTIALS, self._means, strict=True):
            away = mean - self._seen(exponent, normals.place, variance) @ lit
            off += weight * np.abs(away).max(axis=0)
        return bool((off <= LEFT * self._greatest).all())


def _of_moments(spectrum: Spectrum, count: int) -> Normals | None:
    """Return the mixture of normal distributions of one width that has the lines' moments."""
    share, place = spectrum.share, spectrum.place
    mean = float(share @ place)
    deviation = math.sqrt(float(share @ (place - mean) ** 2))
    if deviation == 0.0:
        return None
    moments = [float(share @ ((place - mean) / deviation) ** n) for n in range(2 * count + 1)]
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        form = _hankel(_narrowed(moments, middle), count + 1)
        low, high = (middle, high) if np.linalg.eigvalsh(form)[0] > 0.0 else (low, middle)
    left = _narrowed(moments, low)
    try:
        upper = np.linalg.cholesky(_hankel(left, count)).T
    except np.linalg.LinAlgError:
        return None
    # Golub and Welsch: the nodes of the quadrature that has these moments.
    beyond = np.linalg.solve(upper.T, np.array(left[count : 2 * count]))
    ahead = np.array([*np.diag(upper, 1), beyond[-1]]) / np.diag(upper)
    matrix = np.diag(ahead - np.concatenate([[0.0], ahead[:-1]]))
    beside = np.diag(upper)[1:] / np.diag(upper)[:-1]
    nodes, vectors = np.linalg.eigh(matrix + np.diag(beside, 1) + np.diag(beside, -1))
    variance = np.full(count, low * deviation * deviation)
    return Normals(vectors[0] ** 2, mean + deviation * nodes, variance)


def _narrowed(moments: list[float], variance: float) -> list[float]:
    """Return the moments of what a normal distribution of some variance was added to."""
    found = []
    for n in range(len(moments)):
        total, factor = moments[n], 1.0
        for pair in range(1, n // 2 + 1):
            factor *= -(2 * pair - 1) * variance
            total += math.comb(n, 2 * pair) * factor * moments[n - 2 * pair]
        found.append(total)
    return found


def _hankel(moments: list[float], size: int) -> Float64Array:
    return np.array([moments[row : row + size] for row in range(size)])
