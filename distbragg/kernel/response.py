"""From the photons of a finished frame to what its detector recorded: the stages and their order.

1. expected photons, times the energy of the frame's pulse: a part of `intensity_scale`;
2. pixel flicker: λ (1 + f g), a normal deviate g for each pixel of each frame;
3. photon counts: Poisson;
4. calibration: n (1 + c g), a deviate g for each pixel of the detector, the same in every frame;
5. point spread of the counted photons;
6. gain, offset and readout noise by the photons of the pixel;
7. rounding, saturation, the range of the stored type; dead, hot and masked pixels.

A point spread of `stage: expected` stands before the flicker of pixels.

Stages work on whole panels, so that one may look at a pixel's neighbours. Where nothing stands
before the counts the kernel draws them, tile by tile (`Experiment.counted_in_kernel`); else it
renders expectations, and they are drawn here. Every random number is keyed by seed, frame and
pixel: no tiling, worker, thread or order changes a bit.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from distbragg.kernel import philox
from distbragg.kernel.finalize import draw_counts
from distbragg.kernel.native import response as native
from distbragg.kernel.point_spread import spread_frame
from distbragg.models.detector import Detector
from distbragg.models.experiment import Experiment
from distbragg.models.response import Response
from distbragg.models.vectors import Float64Array, IntArray
from distbragg.physics.response import recorded, varied

_BLOCK_PIXELS: Final = 1 << 16
"""Pixels recorded at once: bounds the temporaries, and is shared out to threads. No bit depends on
it."""

_MAPS_KEPT: Final = 2


def record_frame(
    image: NDArray[Any], experiment: Experiment, frame: int, *, threads: int = 1
) -> int:
    """Turn a finished frame into what its detector recorded, in place.

    Parameters
    ----------
    image : (panels, slow, fast) float32 or float64
        Photons of every pixel: counts where the kernel has drawn them, else expectations. Pixels
        are side by side in memory.
    experiment : Experiment
    frame : int
        Index of the frame in its sweep; keys all that is drawn.
    threads : int
        They share out the pixels.

    Returns
    -------
    int
        Pixels that are overloaded: beyond what the detector, or the stored type, can hold.
    """
    pixels, response = image.reshape(-1), experiment.response
    spread_frame(image, experiment, counted=False, threads=threads)
    flickers = response is not None and response.pixel_flicker > 0.0
    if flickers or (experiment.noise.photon and not experiment.counted_in_kernel):
        _in_blocks(partial(_count, pixels, experiment, frame), pixels.size, threads)
    factors = None
    if response is not None and response.calibration > 0.0:
        factors = calibration_map(response.seed, response.calibration, pixels.size)
        if experiment.detector.spreads(counted=True):
            pixels *= factors
            factors = None
    spread_frame(image, experiment, counted=True, threads=threads)
    if response is None:
        return 0
    dead, hot = bad_pixels(response, pixels.size)
    masked = _masked_pixels(experiment.detector)
    for blind in (dead, hot, masked):
        pixels[blind] = 0.0
    key = experiment.noise.seed, experiment.noise.key(frame)
    read_out = partial(_read_out, pixels, factors, response, key)
    overloads = _in_blocks(read_out, pixels.size, threads)
    held = response.dead_value, response.hot_value, response.masked_value
    for blind, value in zip((dead, hot, masked), held, strict=True):
        pixels[blind] = value
    return overloads


def record_again(
    image: NDArray[Any],
    means: NDArray[Any],
    experiment: Experiment,
    frame: int,
    *,
    threads: int = 1,
) -> int:
    """Write to `image` what a detector records of the expected photons of a frame.

    `means` (panels, slow, fast) float32 or float64 are side by side in memory; for the rest see
    `record_frame`. Where the kernel draws the counts they are drawn of the means as they are, as
    it would have.
    """
    if experiment.counted_in_kernel:
        pixels, expected = image.reshape(-1), np.ascontiguousarray(means).reshape(-1)
        count = partial(_count, pixels, experiment, frame, expected=expected)
        _in_blocks(count, pixels.size, threads)
    else:
        image[...] = means
    return record_frame(image, experiment, frame, threads=threads)


def _in_blocks(work: Callable[[slice], int], size: int, threads: int) -> int:
    """Do the work of all blocks of pixels, by several threads where there are; add up."""
    blocks = [slice(at, min(at + _BLOCK_PIXELS, size)) for at in range(0, size, _BLOCK_PIXELS)]
    if threads < 2 or len(blocks) < 2:
        return sum(map(work, blocks))
    with ThreadPoolExecutor(min(threads, len(blocks)), "record") as pool:
        return sum(pool.map(work, blocks))


def _count(
    pixels: NDArray[Any],
    experiment: Experiment,
    frame: int,
    block: slice,
    *,
    expected: NDArray[Any] | None = None,
) -> int:
    """Draw the counts of what is `expected`, by default of the pixels themselves.

    Without photon noise it varies by the flicker of pixels alone.
    """
    seed, response = experiment.noise.seed, experiment.response
    frame = experiment.noise.key(frame)
    means = (pixels if expected is None else expected)[block].astype(np.float64)
    if response is not None and response.pixel_flicker > 0.0:
        drawn = draw_normals(block, seed=seed, frame=frame, stream=philox.PIXEL_FLICKER)
        means = varied(means, response.pixel_flicker, drawn)
    numbers = np.arange(block.start, block.stop, dtype=np.int64)
    with np.errstate(over="ignore"):
        if experiment.noise.photon:
            pixels[block] = draw_counts(means, numbers, seed=seed, frame=frame)
        else:
            pixels[block] = means.clip(min=0.0)
    return 0


def _read_out(
    pixels: NDArray[Any],
    factors: NDArray[np.float32] | None,
    response: Response,
    key: tuple[int, int],
    block: slice,
) -> int:
    """Calibrate, where that is left to do, and read out a block; `key` is seed and frame."""
    seed, frame = key
    own, chosen = None if factors is None else factors[block], pixels[block]
    if native.available():
        return native.record(
            chosen, own, response, first=block.start, seed=seed, frame=frame, stream=philox.READOUT
        )
    photons = chosen.astype(np.float64)
    if own is not None:
        photons = photons * own.astype(np.float64)
    drawn = draw_normals(block, seed=seed, frame=frame, stream=philox.READOUT)
    values, over = recorded(photons, drawn, response)
    with np.errstate(over="ignore"):
        chosen[...] = values
    return int(np.count_nonzero(over))


def draw_normals(pixels: slice, *, seed: int, frame: int, stream: int) -> Float64Array:
    """Draw a normal deviate for each of a range of pixels, natively where that can be."""
    first, count = pixels.start, pixels.stop - pixels.start
    draw = native.draw_normals if native.available() else philox.normals
    return draw(first, count, seed=seed, frame=frame, stream=stream)


@lru_cache(maxsize=_MAPS_KEPT)
def calibration_map(seed: int, fraction: float, size: int) -> NDArray[np.float32]:
    """Return the factor of every pixel of a detector, (size,) read-only: 1 + c g, or 0."""
    factors = np.empty(size, dtype=np.float32)
    for start in range(0, size, _BLOCK_PIXELS):
        block = slice(start, min(start + _BLOCK_PIXELS, size))
        drawn = draw_normals(block, seed=seed, frame=0, stream=philox.CALIBRATION)
        factors[block] = varied(np.ones_like(drawn), fraction, drawn).clip(min=0.0)
    factors.setflags(write=False)
    return factors


def bad_pixels(response: Response, size: int) -> tuple[IntArray, IntArray]:
    """Return the numbers of dead and of hot pixels of a frame of `size` pixels, named or drawn."""
    shares = response.dead_fraction, response.hot_fraction
    return _bad_pixels(response.seed, shares, response.dead, response.hot, size)


@lru_cache(maxsize=_MAPS_KEPT)
def _bad_pixels(
    seed: int,
    shares: tuple[float, float],
    dead: tuple[int, ...],
    hot: tuple[int, ...],
    size: int,
) -> tuple[IntArray, IntArray]:
    """Draw one deviate a pixel: the lowest are dead, the next hot; those named are besides."""
    dead_fraction, hot_fraction = shares
    found = [np.array(dead, dtype=np.int64)], [np.array(hot, dtype=np.int64)]
    if dead_fraction + hot_fraction > 0.0:
        for first in range(0, size, _BLOCK_PIXELS):
            count = min(_BLOCK_PIXELS, size - first)
            drawn = philox.uniforms(first, count, seed=seed, frame=0, stream=philox.BAD_PIXELS)
            dies = drawn < dead_fraction
            shines = ~dies & (drawn < dead_fraction + hot_fraction)
            for kept, chosen in zip(found, (dies, shines), strict=True):
                kept.append(first + np.flatnonzero(chosen))
    all_dead, all_hot = (np.unique(np.concatenate(kept)) for kept in found)
    return all_dead, np.setdiff1d(all_hot, all_dead)


_last_masked: tuple[Detector, IntArray] | None = None


def _masked_pixels(detector: Detector) -> IntArray:
    """Return the numbers of pixels that are not active; those of the last detector are kept."""
    global _last_masked
    kept = _last_masked
    if kept is None or kept[0] is not detector:
        size = detector.panels[0].active.size
        numbers = [
            index * size + np.flatnonzero(~panel.active)
            for index, panel in enumerate(detector.panels)
            if not panel.fully_active
        ]
        found = np.concatenate(numbers) if numbers else np.empty(0, dtype=np.int64)
        kept = _last_masked = detector, found.astype(np.int64)
    return kept[1]
