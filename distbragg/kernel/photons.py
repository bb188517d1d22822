"""Tiles whose sums need nothing but one multiplication to be photons: rendered in one go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from distbragg.kernel.options import KernelOptions
from distbragg.models.experiment import Experiment
from distbragg.plan.keys import SourceChunk, Tile


@dataclass(frozen=True, slots=True)
class TilePhotons:
    """A tile of a frame, to be rendered over all sources and finished at once.

    Attributes
    ----------
    experiment : Experiment
    panel : int
    tile : Tile
    chunk : SourceChunk
        All sources.
    out : (slow, fast) float32 or float64
        The tile's place in its frame. Every pixel is written; a value too large for its type
        becomes infinite, which is refused when stored.
    """

    experiment: Experiment
    panel: int
    tile: Tile
    chunk: SourceChunk
    out: NDArray[Any]


def finishes_in_kernel(experiment: Experiment, options: KernelOptions) -> bool:
    """Whether `render_photons` can make the photons of a frame."""
    plain = experiment.physics == "exact" and not experiment.noise.photon
    return plain and options.kernel == "native"


def render_photons(tiles: Sequence[TilePhotons], options: KernelOptions) -> list[float]:
    """Do what `sum_tile` and `finalize_into` do to each tile, to the bit, in one call.

    Parameters
    ----------
    tiles : sequence of TilePhotons
        Of experiments that `finishes_in_kernel`.
    options : KernelOptions

    Returns
    -------
    list of float
        For each tile, the photons left out of any pixel within the tolerance at most.
    """
    from distbragg.kernel import native

    return native.render_photons(tiles, options)
