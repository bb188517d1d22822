"""One tile × one source chunk → its un-normalised sum: the kernel the graph calls."""

from __future__ import annotations

from distbragg.kernel.options import KernelOptions
from distbragg.kernel.tile_sum import TileSum
from distbragg.models.arrays import Float64Array
from distbragg.models.experiment import Experiment
from distbragg.plan.keys import SourceChunk, Tile


def render_tile(
    experiment: Experiment, panel: int, tile: Tile, chunk: SourceChunk, options: KernelOptions
) -> Float64Array:
    """Sum w·I over the sources of `chunk`, spindle steps, domains, sub-pixels and layers.

    Pure: the same arguments give the same bits within one numeric class, and a pixel's sum
    over one source does not depend on the tile, the chunk or the number of threads.

    Parameters
    ----------
    experiment : Experiment
    panel : int
        Index of the panel.
    tile : Tile
        Pixels to render, global indices.
    chunk : SourceChunk
        Slice of the source table, global indices.
    options : KernelOptions

    Returns
    -------
    (tile.pixels,) float64
        Row-major (slow, fast) numerator before r_e², fluence, Σw and step counts, which
        `finalize_tile` applies once. Inactive pixels are exactly 0.
    """
    return sum_tile(experiment, panel, tile, chunk, options).on_host()


def sum_tile(
    experiment: Experiment,
    panel: int,
    tile: Tile,
    chunk: SourceChunk,
    options: KernelOptions,
    *,
    in_place: bool = False,
) -> TileSum:
    """Return what `render_tile` does, with a bound of what was left out within the tolerance.

    Only the native kernel leaves anything out.

    Parameters
    ----------
    in_place : bool
        Leave the sum on a GPU where the kernel has made it there: it is then merged and
        finished on the device, and does not leave the process.
    """
    if options.kernel == "native":
        from distbragg.kernel import native

        return native.render_sum(experiment, panel, tile, chunk, options)
    if options.kernel == "triton":
        from distbragg.kernel.triton.render import render_numerator, render_resident

        render = render_resident if in_place else render_numerator
        return TileSum(render(experiment, panel, tile, chunk, options))
    from distbragg.kernel.model import render_model

    return TileSum(render_model(experiment, panel, tile, chunk, options))
