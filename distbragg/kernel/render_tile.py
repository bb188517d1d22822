"""One tile × one source chunk → its un-normalised sum: the kernel the graph calls."""

from __future__ import annotations

from distbragg.kernel.device_sum import DeviceSum
from distbragg.kernel.options import KernelOptions
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
    if options.kernel == "native":
        from distbragg.kernel import native

        return native.render_numerator(experiment, panel, tile, chunk, options)
    if options.kernel == "triton":
        from distbragg.kernel.triton.render import render_numerator

        return render_numerator(experiment, panel, tile, chunk, options)
    if options.kernel == "reference":
        from distbragg.kernel.reference import render_reference

        return render_reference(experiment, panel, tile, chunk)
    from distbragg.kernel.eager import render_eager

    return render_eager(experiment, panel, tile, chunk, options)


def render_tile_in_place(
    experiment: Experiment, panel: int, tile: Tile, chunk: SourceChunk, options: KernelOptions
) -> Float64Array | DeviceSum:
    """Render as `render_tile` does, but leave the sum on a GPU where the kernel has made it there.

    Such a sum is merged and finished on the device; it does not leave the process.
    """
    if options.kernel != "triton":
        return render_tile(experiment, panel, tile, chunk, options)
    from distbragg.kernel.triton.render import render_resident

    return render_resident(experiment, panel, tile, chunk, options)
