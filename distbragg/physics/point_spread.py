"""Point spread: the photons of one pixel, recorded by the pixels around it.

Kernels are integrated over pixels and hold shares of one photon by its displacement. What they do
not hold, because it goes farther than their radius, is spread evenly over the panel.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from distbragg.models.point_spread import PointSpread
from distbragg.physics.arrays import Array, module_of

FIBRE_LENGTH: Final = 0.5 / math.sqrt(2.0 ** (2.0 / 3.0) - 1.0)
"""Length g of `fibre_shares` over the full width at half maximum: (1 + (w/2g)²)^(3/2) = 2."""

Kernels = tuple[Array, ...]
"""Kernels (odd, odd), slow and fast, that photons pass through one after another."""


def gauss_shares(width: Array, radius: int) -> Array:
    """Shares of a Gaussian line of full width at half maximum `width` in 2·radius + 1 pixels.

    (erf(c·(x + ½)) − erf(c·(x − ½)))/2 with c = 2√ln 2/w. Width in pixels.
    """
    edges = _edges(width, radius) * (2.0 * math.sqrt(math.log(2.0))) / width
    below = _error_function(edges)
    return (below[1:] - below[:-1]) * 0.5


def fibre_shares(width: Array, radius: int) -> Array:
    """Share of g/2π·(g² + r²)^(−3/2), the light of a fibre taper, in each pixel of a square.

    The integral from the middle to the corner (x, y) is atan(xy/(g·√(g² + x² + y²)))/2π. Pixels
    whose middle is farther from the middle than `radius` have none.

    Parameters
    ----------
    width : scalar
        Full width at half maximum, pixels.
    radius : int

    Returns
    -------
    (2·radius + 1, 2·radius + 1) float64
    """
    length = width * FIBRE_LENGTH
    x = _edges(width, radius)
    y = x[:, None]
    xp = module_of(x)
    corner = xp.arctan(y * x / (length * xp.sqrt(length * length + x * x + y * y)))
    pixels = corner[1:, 1:] - corner[1:, :-1] - (corner[:-1, 1:] - corner[:-1, :-1])
    middle = 0.5 * (x[1:] + x[:-1])
    inside = middle * middle + middle[:, None] * middle[:, None] <= float(radius * radius)
    return pixels * inside / (2.0 * math.pi)


def spread_kernels(spread: PointSpread, width: Array | None = None) -> Kernels:
    """Return the kernels of a point spread; `width` (pixels) stands in for its own."""
    if spread.kind == "file":
        return (spread.shares,)
    own = np.float64(spread.width) if width is None else width
    if spread.kind == "fibre":
        return (fibre_shares(own, spread.radius),)
    line = gauss_shares(own, spread.radius)
    return line[None, :], line[:, None]


def spread_photons(photons: Array, kernels: Kernels, *, edges_lost: bool) -> Array:
    """Return the photons of a panel where they are recorded, (slow, fast) float64.

    The shifted images are added in the order of the kernel's shares, as the native kernel does.
    """
    spread = photons
    for kernel in kernels:
        spread = _convolve(spread, kernel)
    pixels = math.prod(photons.shape)
    before, after = photons.sum(), spread.sum()
    return spread + even_photons(before, after, pixels, kernels, edges_lost=edges_lost)


def even_photons(
    before: Array, after: Array, pixels: int, kernels: Kernels, *, edges_lost: bool
) -> Array:
    """Return what every pixel gets of the photons that went farther than the kernels reach.

    Unless `edges_lost`, photons that passed an edge of the panel are among them.

    Parameters
    ----------
    before, after : scalar
        Photons of the panel before the kernels and behind them.
    pixels : int
    kernels : tuple of (odd, odd)
    edges_lost : bool
    """
    if not edges_lost:
        rest = before - after
        # Rounding alone is no light, and never makes a dark pixel negative.
        return rest * (abs(rest) > abs(before) * 1e-13) / pixels
    kept: Array = 1.0
    for kernel in kernels:
        kept = kept * kernel.sum()
    return (1.0 - kept) * before / pixels


def _convolve(photons: Array, kernel: Array) -> Array:
    """Σ kernel(r, c) · photons(slow − r, fast − c) about the kernel's middle; 0 off the panel."""
    out = photons * 0.0
    (slow, fast), (rows, columns) = photons.shape, kernel.shape
    for row in range(rows):
        for column in range(columns):
            share, r, c = kernel[row, column], row - rows // 2, column - columns // 2
            if abs(r) < slow and abs(c) < fast:
                moved = photons[max(-r, 0) : slow - max(r, 0), max(-c, 0) : fast - max(c, 0)]
                out[max(r, 0) : slow + min(r, 0), max(c, 0) : fast + min(c, 0)] += share * moved
    return out


def _edges(width: Array, radius: int) -> Array:
    """Edges of 2·radius + 1 pixels from the middle of the middle one, in arrays like `width`."""
    edges = np.arange(2 * radius + 2) - (radius + 0.5)
    xp = module_of(width)
    return edges if xp is np else xp.from_numpy(edges).to(width.device)


def _error_function(x: Array) -> Array:
    xp = module_of(x)
    return np.array([math.erf(one) for one in x.tolist()]) if xp is np else xp.erf(x)
