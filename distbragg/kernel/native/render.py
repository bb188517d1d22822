"""`render_sum` and `render_photons`: from resolved experiments to one call of the C++ kernel."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from distbragg.kernel.native.abi import Parameters
from distbragg.kernel.native.call import Call
from distbragg.kernel.native.library import library
from distbragg.kernel.tile_sum import TileSum
from distbragg.physics.factors import intensity_scale

if TYPE_CHECKING:
    from distbragg.kernel.options import KernelOptions
    from distbragg.kernel.photons import TilePhotons
    from distbragg.models.arrays import Float64Array
    from distbragg.models.experiment import Experiment
    from distbragg.plan.keys import SourceChunk, Tile


def render_numerator(
    experiment: Experiment,
    panel: int,
    tile: Tile,
    chunk: SourceChunk,
    options: KernelOptions,
) -> Float64Array:
    """Return the numerator of `render_sum` alone, (tile.pixels,) float64."""
    return render_sum(experiment, panel, tile, chunk, options).on_host()


def render_sum(
    experiment: Experiment,
    panel: int,
    tile: Tile,
    chunk: SourceChunk,
    options: KernelOptions,
) -> TileSum:
    """Sum the weighted intensities of one tile over one source chunk.

    Parameters
    ----------
    experiment : Experiment
    panel : int
        Index into `experiment.detector.panels`.
    tile : Tile
        Pixels rendered, global indices of the panel.
    chunk : SourceChunk
        Sources rendered, global indices of the source table.
    options : KernelOptions
        `precision` ("mixed" or "float64") and `threads` are read; threads share out the
        pixels and change no bit.

    Returns
    -------
    TileSum
        Un-normalised numerator, row-major (slow, fast); inactive pixels are exactly 0. With a
        bound of what the experiment's tolerance left out.

    Raises
    ------
    RuntimeError
        If the kernel is not available here.
    MemoryError
    """
    blocks = (Parameters * 1)()
    call = Call.of(blocks[0], experiment, (panel, tile, chunk), options)
    # The kernel writes every pixel.
    out = np.empty(tile.pixels, dtype=np.float64)
    call.write_numerators(out)
    _run(blocks)
    return TileSum(out, call.skipped, call.evaluated)


def render_photons(tiles: Sequence[TilePhotons], options: KernelOptions) -> list[float]:
    """Render tiles over all their sources, each into its place in a frame, in one call.

    The same bits as `render_sum` and `finalize_tile` give one after the other.

    Parameters
    ----------
    tiles : sequence of TilePhotons
        Of one frame or of several; those that share detector, beam and |F| take less time.
    options : KernelOptions

    Returns
    -------
    list of float
        For each tile, the photons left out of any pixel within the tolerance at most.

    Raises
    ------
    RuntimeError, MemoryError
        See `render_sum`.
    """
    blocks = (Parameters * len(tiles))()
    calls: list[Call] = []
    for block, tile in zip(blocks, tiles, strict=True):
        before = calls[-1] if calls else None
        place = tile.panel, tile.tile, tile.chunk
        call = Call.of(block, tile.experiment, place, options, like=before)
        call.write_photons(tile.out, intensity_scale(tile.experiment))
        calls.append(call)
    _run(blocks)
    # Where nothing was left out the scale does not matter, even where it is no number.
    return [call.skipped * call.photon_scale if call.skipped else 0.0 for call in calls]


def _run(blocks: ctypes.Array[Parameters]) -> None:
    if library().distbragg_render(blocks, len(blocks)) != 0:
        raise MemoryError("the native kernel could not allocate its workspace")
