"""Rendering one frame in this process: tiles, source chunks, ordered merge, finalize."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distbragg.graph.partial import OrderedMerge, PartialImage, check_complete
from distbragg.kernel.finalize import finalize_tile
from distbragg.kernel.options import KernelOptions
from distbragg.kernel.render_tile import render_tile
from distbragg.kernel.terms import count_terms
from distbragg.models.arrays import Float64Array
from distbragg.models.experiment import Experiment
from distbragg.plan.frame import FramePlan
from distbragg.plan.keys import Tile, TileKey

TileCallback = Callable[[int, int], None]
"""Called after each tile with (tiles done, tiles of the frame)."""


@dataclass(frozen=True, slots=True)
class RenderedFrame:
    """A finished frame: photons per pixel (panels, slow, fast), and the kernel's time, s."""

    image: Float64Array
    kernel_seconds: float


def render_frame(
    experiment: Experiment,
    plan: FramePlan,
    options: KernelOptions,
    frame: int = 0,
    on_tile: TileCallback | None = None,
) -> Float64Array:
    """Render one frame.

    Parameters
    ----------
    experiment : Experiment
    plan : FramePlan
        `plan_frame(experiment, …)`.
    options : KernelOptions
    frame : int
        Flat index of the frame in its sweep; keys the noise.
    on_tile : callable, optional
        Called with (tiles done, tiles of the frame).

    Returns
    -------
    (panels, slow, fast) float64
        Photons per pixel; inactive pixels are 0.

    Raises
    ------
    AccountingError
        The partial sums do not add up to the plan.
    """
    return render_timed(experiment, plan, options, frame, on_tile).image


def render_timed(
    experiment: Experiment,
    plan: FramePlan,
    options: KernelOptions,
    frame: int,
    on_tile: TileCallback | None = None,
) -> RenderedFrame:
    """Render one frame and measure the kernel; see `render_frame`."""
    image = np.zeros((plan.panels, *plan.shape))
    seconds = 0.0
    total = plan.panels * len(plan.tiles)
    for panel in range(plan.panels):
        for index, tile in enumerate(plan.tiles):
            keys = plan.tile_keys(frame, panel, index)
            partial = render_whole_tile(experiment, plan, options, keys)
            seconds += partial.kernel_seconds
            place(image, panel, tile, finish_tile(experiment, plan, partial, panel, index))
            if on_tile is not None:
                on_tile(panel * len(plan.tiles) + index + 1, total)
    return RenderedFrame(image, seconds)


def render_whole_tile(
    experiment: Experiment, plan: FramePlan, options: KernelOptions, keys: Sequence[TileKey]
) -> PartialImage:
    """Sum a tile over the source chunks of `keys`, by the plan's merge tree."""
    tree = OrderedMerge(plan.merge_arity)
    for key in keys:
        tree.push(render_part(experiment, plan, options, key))
    return tree.result()


def render_part(
    experiment: Experiment, plan: FramePlan, options: KernelOptions, key: TileKey
) -> PartialImage:
    """Render one tile × source chunk.

    Raises
    ------
    TypeError
        The kernel returned anything but a float64 numpy array.
    """
    tile, chunk = plan.tiles[key.tile], plan.chunks[key.source_chunk]
    terms = count_terms(experiment, key.panel, tile, chunk)
    started = time.perf_counter()
    if terms:
        numerator = render_tile(experiment, key.panel, tile, chunk, options)
    else:
        # Every pixel is masked: the sum is exactly 0, and no kernel needs to say so.
        numerator = np.zeros(tile.pixels)
    weights = experiment.beam.sources.weight[chunk.start : chunk.stop]
    return PartialImage(
        numerator=numerator,
        weight=math.fsum(weights.tolist()),
        n_terms=terms,
        plan_hash=plan.plan_hash,
        keys=(key,),
        kernel_seconds=time.perf_counter() - started,
    )


def finish_tile(
    experiment: Experiment, plan: FramePlan, partial: PartialImage, panel: int, tile: int
) -> Float64Array:
    """Check a tile's sum against the plan, then scale it to photons per pixel, (slow, fast)."""
    check_complete(partial, plan, panel, tile)
    piece = plan.tiles[tile]
    photons = finalize_tile(
        experiment, panel, piece, partial.numerator, frame=partial.keys[0].frame
    )
    return photons.reshape(piece.shape)


def place(image: NDArray[Any], panel: int, tile: Tile, pixels: Float64Array) -> None:
    """Write a finished tile into its frame (panels, slow, fast), of any float type."""
    # A value too large for the frame's type becomes infinite and is refused when stored.
    with np.errstate(over="ignore"):
        image[panel, tile.slow_start : tile.slow_stop, tile.fast_start : tile.fast_stop] = pixels
