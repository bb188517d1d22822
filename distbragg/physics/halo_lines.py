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
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
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
_HALVINGS: Final = 48


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
    """What halos are under lines, and how far off they are under others.

    Its sums decide, and enter no image: that they are rounded by processor does no harm.
    """

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
    """Return the mixture of normal distributions of one width that has the lines' moments.

    In plain sums of a fixed order, so that it is the same on every processor.
    """
    share, place = spectrum.share, spectrum.place
    mean = math.fsum(share * place)
    deviation = math.sqrt(math.fsum(share * (place - mean) ** 2))
    if deviation == 0.0:
        return None
    scaled, power, moments = (place - mean) / deviation, share, [1.0]
    for _ in range(2 * count):
        power = power * scaled
        moments.append(math.fsum(power))
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        whole = _root_of(_narrowed(moments, middle), count + 1) is not None
        low, high = (middle, high) if whole else (low, middle)
    left = _narrowed(moments, low)
    root = _root_of(left, count)
    if root is None:
        return None
    nodes = _nodes_of(root, left)
    return Normals(
        np.array([weight for _, weight in nodes]),
        np.array([mean + deviation * node for node, _ in nodes]),
        np.full(count, low * deviation * deviation),
    )


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


def _root_of(moments: list[float], size: int) -> list[list[float]] | None:
    """Return Cholesky's root of the moments' matrix m(i + j), by rows; None where it has none."""
    rows: list[list[float]] = []
    for i in range(size):
        row: list[float] = []
        for j in range(i):
            row.append((moments[i + j] - _along(row, rows[j], j)) / rows[j][j])
        square = moments[2 * i] - _along(row, row, i)
        if square <= 0.0:
            return None
        rows.append([*row, math.sqrt(square)])
    return rows


def _along(one: list[float], other: list[float], count: int) -> float:
    total = 0.0
    for n in range(count):
        total += one[n] * other[n]
    return total


def _nodes_of(root: list[list[float]], moments: list[float]) -> list[tuple[float, float]]:
    """Return nodes and weights of the quadrature with these moments.

    The nodes are the zeros of an orthogonal polynomial, which lie between those of the one before.
    """
    count = len(root)
    beyond: list[float] = []  # the row after the last, without its end
    for j in range(count):
        beyond.append((moments[count + j] - _along(beyond, root[j], j)) / root[j][j])
    rows = [*root, [*beyond, 1.0]]
    below = [rows[n + 1][n] / rows[n][n] for n in range(count)]
    middle = [below[n] - (below[n - 1] if n else 0.0) for n in range(count)]
    beside = [root[n + 1][n + 1] / root[n][n] for n in range(count - 1)]

    def polynomials(degree: int, at: float) -> list[float]:
        """Return the orthonormal ones up to a degree, that of `count` of any height."""
        values = [1.0]
        for n in range(degree):
            before = beside[n - 1] * values[n - 1] if n else 0.0
            height = beside[n] if n < count - 1 else 1.0
            values.append(((at - middle[n]) * values[n] - before) / height)
        return values

    reach = max(abs(number) for number in middle) + 2.0 * max(beside, default=0.0)
    zeros: list[float] = []
    for degree in range(1, count + 1):
        ends = [-reach, *zeros, reach]
        zeros = [_zero(partial(polynomials, degree), low, high) for low, high in pairwise(ends)]
    return [
        (at, 1.0 / math.fsum(value * value for value in polynomials(count - 1, at))) for at in zeros
    ]


def _zero(function: Callable[[float], list[float]], low: float, high: float) -> float:
    """Return where the last of some functions changes its sign."""
    rises = function(high)[-1] > 0.0
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if (function(middle)[-1] > 0.0) is rises else (middle, high)
    return 0.5 * (low + high)
