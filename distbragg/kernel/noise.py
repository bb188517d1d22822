"""Photon noise from a counter-based generator: every pixel's count stands alone.

The generator is that of `kernel.philox`, keyed by seed, pixel, frame and draw: tiles, workers and
retries cannot change a count. Logarithms and exponentials are the package's own polynomials for
the same reason.

This is the form for tensors, on any device and without compiled code. The native library does the
same operations in the same order, pixel by pixel, or fewer digits where those cannot change a count
(`native/src/noise.hpp`): the counts are equal.
Divisors are tensors: on CUDA, torch multiplies by the rounded reciprocal of a bare number instead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from distbragg.kernel.native.counts import FACTORIALS
from distbragg.kernel.philox import random_words
from distbragg.models.vectors import Float64Array, IntArray
from distbragg.physics.elementary import exp, log, sine_cosine

_SMALL_MEAN: Final = 10.0
"""Below it by inversion, from it on by transformed rejection (valid from 10)."""

_NORMAL_MEAN: Final = 1.0e6
"""Above it a rounded normal deviate, as the C program does; the skewness is then below 1e-3."""


@dataclass(frozen=True, slots=True)
class _Stream:
    """Random bits of some pixels of one frame."""

    seed: int
    frame: int
    pixels: Tensor

    def uniforms(self, draw: int) -> tuple[Tensor, Tensor]:
        """Two deviates in (0, 1) with 53 bits per pixel, for draw number `draw`."""
        words = random_words(self.pixels, seed=self.seed, frame=self.frame, draw=draw)
        return _to_unit(words[0], words[1]), _to_unit(words[2], words[3])

    def select(self, chosen: Tensor) -> _Stream:
        return _Stream(self.seed, self.frame, self.pixels[chosen])


def _to_unit(high: Tensor, low: Tensor) -> Tensor:
    """53 of 64 random bits to the middles of 2⁵³ equal parts of (0, 1)."""
    whole = (high << 21) | (low >> 11)
    return (whole.to(torch.float64) + 0.5) * 2.0**-53


def poisson(mean: Float64Array, pixels: IntArray, *, seed: int, frame: int) -> Float64Array:
    """Draw a Poisson count for every mean, (n,) float64 of whole numbers.

    Exact for means up to 10⁶ (inversion of the cumulative sum below 10, Hörmann's transformed
    rejection PTRS above); beyond, a normal deviate of that mean and variance, rounded. A mean that
    is not positive gives 0. `pixels` (n,) int64 are the global indices within the frame, panels
    included; `seed` and `frame` are not negative.
    """
    with torch.inference_mode():
        expected = torch.from_numpy(np.ascontiguousarray(mean, dtype=np.float64))
        places = torch.from_numpy(np.ascontiguousarray(pixels, np.int64))
        counts = poisson_counts(expected, places, seed=seed, frame=frame)
        result: Float64Array = counts.numpy()
        return result


def poisson_counts(mean: Tensor, pixels: Tensor, *, seed: int, frame: int) -> Tensor:
    """Draw as `poisson` does, where the tensors are: the same counts on every device."""
    stream = _Stream(seed, frame, pixels)
    counts = torch.zeros_like(mean)
    small = (mean > 0.0) & (mean < _SMALL_MEAN)
    large = mean > _NORMAL_MEAN
    middle = (mean >= _SMALL_MEAN) & ~large
    counts[small] = _by_inversion(mean[small], stream.select(small))
    counts[middle] = _by_rejection(mean[middle], stream.select(middle))
    counts[large] = _by_normal(mean[large], stream.select(large))
    return counts


def _square_root(value: Tensor) -> Tensor:
    """Correctly rounded square root: torch's own is not on a CPU, so GPU and CPU would differ."""
    if value.device.type == "cpu":
        return torch.from_numpy(np.sqrt(value.numpy()))
    return torch.sqrt(value)


def _by_inversion(mean: Tensor, stream: _Stream) -> Tensor:
    """Find the smallest k whose cumulative probability reaches one uniform deviate."""
    rest, _ = stream.uniforms(0)
    counts = torch.zeros_like(mean)
    probability = exp(-mean)
    open_places = torch.arange(mean.shape[0], device=mean.device)
    beyond = rest > probability
    # Rounding can leave the cumulative sum a little below 1: past 200 nothing is left to find.
    for step in range(1, 201):
        kept = beyond.nonzero().squeeze(1)
        if kept.numel() == 0:
            break
        open_places, mean = open_places[kept], mean[kept]
        rest = rest[kept] - probability[kept]
        probability = probability[kept] * mean / torch.full_like(mean[:1], float(step))
        counts[open_places] = float(step)
        beyond = rest > probability
    return counts


def _by_rejection(mean: Tensor, stream: _Stream) -> Tensor:
    """PTRS: transformed rejection with squeeze (Hörmann, 1993), for means from 10."""
    counts = torch.zeros_like(mean)
    open_places = torch.arange(mean.shape[0], device=mean.device)
    draw = 0
    while open_places.numel() > 0:
        expected = mean[open_places]
        candidate, accepted = _propose(expected, stream.select(open_places), draw)
        counts[open_places[accepted]] = candidate[accepted]
        open_places = open_places[~accepted]
        draw += 1
    return counts


def _propose(mean: Tensor, stream: _Stream, draw: int) -> tuple[Tensor, Tensor]:
    """One candidate per pixel, and whether it is accepted."""
    first, second = stream.uniforms(draw)
    spread = _square_root(mean) * 2.53 + 0.931
    shape = spread * 0.02483 - 0.059
    height = 1.1239 + 1.1328 / (spread - 3.4)
    squeeze = 0.9277 - 3.6224 / (spread - 2.0)
    offset = first - 0.5
    tail = 0.5 - offset.abs()
    candidate = torch.floor((2.0 * shape / tail + spread) * offset + mean + 0.43)
    quick = (tail >= 0.07) & (second <= squeeze)
    refused = (candidate < 0.0) | ((tail < 0.013) & (second > tail))
    safe = candidate.clamp(min=0.0)
    left = log(second * height / (shape / (tail * tail) + spread))
    right = safe * log(mean) - mean - log_factorial(safe)
    return candidate, quick | (~refused & (left <= right))


def _by_normal(mean: Tensor, stream: _Stream) -> Tensor:
    """Mean plus √mean times a normal deviate (Box and Muller), rounded to a whole number."""
    first, second = stream.uniforms(0)
    _, cosine = sine_cosine((second - 0.5) * (2.0 * math.pi))
    deviate = _square_root(log(first) * -2.0) * cosine
    return torch.floor(mean + _square_root(mean) * deviate + 0.5).clamp(min=0.0)


def log_factorial(count: Tensor) -> Tensor:
    """ln(k!) of whole k ≥ 0: a table below 16, Stirling's series above (error < 1e-15 relative)."""
    table = torch.tensor(FACTORIALS, dtype=torch.float64, device=count.device)
    known = torch.take(table, count.clamp(max=15.0).to(torch.int64))
    large = count.clamp(min=15.0)
    inverse = 1.0 / large
    square = inverse * inverse
    last = square / torch.full_like(square[:1], 1680.0)
    series = (1.0 / 12.0 - square * (1.0 / 360.0 - square * (1.0 / 1260.0 - last))) * inverse
    stirling = (large + 0.5) * log(large) - large + 0.5 * math.log(2.0 * math.pi) + series
    return torch.where(count < 16.0, known, stirling)
