"""One tile × one source chunk → its un-normalised sum: the kernel the graph calls."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any

from numpy.typing import NDArray

from distbragg.kernel import native
from distbragg.kernel.energies import channels
from distbragg.kernel.options import KernelOptions
from distbragg.kernel.tile import TileSum
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import Float64Array
from distbragg.physics.lattices import Lattice, summed_lattices
from distbragg.plan.frame import SourceChunk, Tile, is_one_sum


@dataclass(frozen=True, slots=True)
class TilePhotons:
    """A tile of a frame, to be rendered over all sources and finished at once."""

    experiment: Experiment
    panel: int
    tile: Tile
    chunk: SourceChunk  # all sources
    out: NDArray[Any]
    """(slow, fast) float32 or float64, the tile's place in its frame. Every pixel is written; a
    value too large for its type becomes infinite."""
    frame: int = 0
    """Index of the frame in its sweep; keys the noise."""


def render_tile(
    experiment: Experiment, panel: int, tile: Tile, chunk: SourceChunk, options: KernelOptions
) -> Float64Array:
    """Sum w·I over the sources of `chunk`, spindle steps, domains, sub-pixels and layers.

    Pure: the same arguments give the same bits within one numeric class, and a pixel's sum
    over one source does not depend on the tile, the chunk or the number of threads. Indices of
    `tile` and `chunk` are global.

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

    Lattices are added one after another, in their order; where |F| follows the energy and the
    kernel knows one table, so are sources of one |F| each. Only the native kernel leaves anything
    out. `in_place` leaves the sum on a GPU where the kernel has made it there: it is then merged
    and finished on the device, and does not leave the process.
    """
    if options.kernel == "native" and is_one_sum(experiment):
        return native.render_sum(experiment, panel, tile, chunk, options)
    # Each sum is added before the next one is made: there may be as many as lines of a spectrum.
    return reduce(
        TileSum.plus,
        (
            _sum_lattice(lattice, panel, tile, chunk, options, in_place=in_place)
            for lattice in summed_lattices(experiment)
        ),
    )


def _sum_lattice(
    lattice: Lattice,
    panel: int,
    tile: Tile,
    chunk: SourceChunk,
    options: KernelOptions,
    *,
    in_place: bool,
) -> TileSum:
    """Return the sum of one lattice, in the unit of its frame's."""
    summed = _sum_alone(lattice.experiment, panel, tile, chunk, options, in_place=in_place)
    return summed if lattice.share == 1.0 else summed.scaled(lattice.share)


def _sum_alone(
    experiment: Experiment,
    panel: int,
    tile: Tile,
    chunk: SourceChunk,
    options: KernelOptions,
    *,
    in_place: bool,
) -> TileSum:
    """Return the sum of the sources of a chunk."""
    if options.kernel == "model" or is_one_sum(experiment):
        return _sum_at_once(experiment, panel, tile, chunk, options, in_place=in_place)
    return reduce(
        TileSum.plus,
        (
            _sum_at_once(one, panel, tile, part, options, in_place=in_place)
            for one, part in channels(experiment, chunk)
        ),
    )


def _sum_at_once(
    experiment: Experiment,
    panel: int,
    tile: Tile,
    chunk: SourceChunk,
    options: KernelOptions,
    *,
    in_place: bool,
) -> TileSum:
    if options.kernel == "native":
        return native.render_sum(experiment, panel, tile, chunk, options)
    if experiment.sampling.method == "closed_form":
        from distbragg.kernel.closed_model import render_closed_model

        return TileSum(render_closed_model(experiment, panel, tile, chunk, options))
    if options.kernel == "triton" and experiment.crystal.diffuse is None:
        from distbragg.kernel.triton.render import render_numerator, render_resident

        render = render_resident if in_place else render_numerator
        return TileSum(render(experiment, panel, tile, chunk, options))
    from distbragg.kernel.model import render_model

    return TileSum(render_model(experiment, panel, tile, chunk, options))
