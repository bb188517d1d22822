"""From the photons of a finished frame to what its detector recorded: the stages and their order.

1. expected photons, times the energy of the frame's pulse: a part of `intensity_scale`;
2. pixel flicker: λ (1 + f g), a normal deviate g for each pixel of each frame;
3. photon counts: Poisson;
4. point spread of the counted photons.

A point spread of `stage: expected` stands before the flicker of pixels.

Stages work on whole panels, so that one may look at a pixel's neighbours. Where nothing stands
before the counts the kernel draws them, tile by tile (`Experiment.counted_in_kernel`); else it
renders expectations, and they are drawn here. Every random number is keyed by seed, frame and
pixel: no tiling, worker, thread or order changes a bit.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from distbragg.kernel import philox
from distbragg.kernel.finalize import draw_counts
from distbragg.kernel.point_spread import spread_frame
from distbragg.models.experiment import Experiment

_BLOCK_PIXELS: Final = 1 << 16
"""Pixels drawn at once: bounds the temporaries. No bit depends on it."""


def record_frame(
    image: NDArray[Any], experiment: Experiment, frame: int, *, threads: int = 1
) -> None:
    """Turn a finished frame into what its detector recorded, in place.

    Parameters
    ----------
    image : (panels, slow, fast) float32 or float64
        Photons of every pixel: counts where the kernel has drawn them, else expectations. Its rows
        follow one another.
    experiment : Experiment
    frame : int
        Index of the frame in its sweep; keys all that is drawn.
    threads : int
        No bit depends on it.
    """
    spread_frame(image, experiment, counted=False, threads=threads)
    if experiment.noise.photon and not experiment.counted_in_kernel:
        _count(image.reshape(-1), experiment, frame)
    spread_frame(image, experiment, counted=True, threads=threads)


def _count(pixels: NDArray[Any], experiment: Experiment, frame: int) -> None:
    """Draw the counts of flickering expectations, (pixels,)."""
    seed, response = experiment.noise.seed, experiment.response
    flicker = 0.0 if response is None else response.pixel_flicker
    for first in range(0, pixels.size, _BLOCK_PIXELS):
        means = pixels[first : first + _BLOCK_PIXELS].astype(np.float64)
        if flicker > 0.0:
            stream = philox.PIXEL_FLICKER
            drawn = philox.normals(first, means.size, seed=seed, frame=frame, stream=stream)
            means *= 1.0 + flicker * drawn
        numbers = np.arange(first, first + means.size, dtype=np.int64)
        with np.errstate(over="ignore"):
            pixels[first : first + means.size] = draw_counts(means, numbers, seed=seed, frame=frame)
