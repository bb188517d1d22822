"""Point spread of a finished frame, panel by panel: natively where that can be, else by numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from distbragg.kernel import native
from distbragg.kernel.native.spread import convolve
from distbragg.models.experiment import Experiment
from distbragg.models.point_spread import PointSpread
from distbragg.models.vectors import Float64Array
from distbragg.physics.point_spread import even_photons, spread_kernels, spread_photons


def spread_frame(
    image: NDArray[Any], experiment: Experiment, *, counted: bool, threads: int = 1
) -> None:
    """Spread the photons of each panel whose point spread acts before or after counting.

    Masked pixels have no photons to give, and what falls on them is lost.

    Parameters
    ----------
    image : (panels, slow, fast) float32 or float64
        Photons; replaced.
    experiment : Experiment
    counted : bool
        Whether the photons are counted, where noise is on.
    threads : int
        No bit depends on it.
    """
    for pixels, panel in zip(image, experiment.detector.panels, strict=True):
        if panel.point_spread is not None and panel.point_spread.counted is counted:
            slow, fast = panel.pixels
            own = pixels[:slow, :fast]
            own[...] = spread_panel(own, panel.point_spread, threads=threads)
            if not panel.fully_active:
                pixels[~panel.active] = 0.0


def spread_panel(photons: NDArray[Any], spread: PointSpread, *, threads: int = 1) -> Float64Array:
    """Return the photons of one panel where they are recorded.

    Parameters
    ----------
    photons : (slow, fast) float32 or float64
        Pixels that the panel has; masked ones are 0.
    spread : PointSpread
    threads : int

    Returns
    -------
    (slow, fast) float64
    """
    kernels = spread_kernels(spread)
    if not native.available():
        photons = photons.astype(np.float64)
        recorded: Float64Array = spread_photons(photons, kernels, edges_lost=spread.edges_lost)
        return recorded
    passed = photons
    for kernel in kernels:
        passed = convolve(passed, kernel, threads=threads)
    before, after = photons.sum(dtype=np.float64), passed.sum()
    passed += even_photons(before, after, passed.size, kernels, edges_lost=spread.edges_lost)
    return passed
