"""Which reflection gives each pixel most of its Bragg intensity.

In closed form the native kernel draws each reflection by itself. Of steps the model's own are told
apart by the lattice point that each is nearest to, in float64: no faster kernel keeps them apart.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import EnvironmentFailure
from distbragg.kernel import native
from distbragg.kernel.options import KernelOptions, require_torch
from distbragg.kernel.tile import active_positions, pixel_coordinates
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import Float64Array, IntArray
from distbragg.physics.lattices import Lattice, lattices_of
from distbragg.plan.frame import SourceChunk, Tile
from distbragg.plan.maps import NO_LATTICE, NO_REFLECTION

if TYPE_CHECKING:
    from distbragg.kernel.scene import Scene

_PIXELS: Final = 2048  # pixels whose steps are told apart together
_ORIENTATIONS: Final = 64  # of each, at a time; neither changes a sum
_BITS: Final = 16  # of an index in a code
_MIDDLE: Final = 1 << (_BITS - 1)


def find_strongest(
    experiment: Experiment, panel: int, tile: Tile, options: KernelOptions
) -> NDArray[np.int16]:
    """Return lattice, h, k and l of what gives each pixel most, (tile.pixels, 4) int16.

    `experiment` has no background. What a reflection gives is Σ w P C Ω I over all sources,
    samples and steps; of those that give the same the lowest lattice, h, k, l counts.
    """
    lattices = lattices_of(experiment)
    every = SourceChunk(0, experiment.beam.sources.count)
    if experiment.sampling.method == "closed_form":
        if not native.available():
            raise EnvironmentFailure(
                f"output.maps: hkl and lattice in closed form need the native kernel: "
                f"{native.reason()}"
            )
        found = native.find_strongest(experiment, panel, tile, every, options)
    else:
        require_torch("output.maps, hkl or lattice of steps,")
        found = _of_steps(lattices, panel, tile, every, options.threads)
    lit = ~np.isnan(found[:, 0])
    told = np.full(found.shape, NO_REFLECTION, dtype=np.int16)
    told[:, 0] = NO_LATTICE
    told[lit] = found[lit]
    numbers = np.array([lattice.number for lattice in lattices], dtype=np.int16)
    told[lit, 0] = numbers[told[lit, 0]]
    return told


def _of_steps(
    lattices: list[Lattice], panel: int, tile: Tile, chunk: SourceChunk, threads: int
) -> Float64Array:
    """Return the same with places of lattices, as float64; no numbers where nothing is."""
    import torch

    from distbragg.kernel.scene import make_scene

    positions = active_positions(lattices[0].experiment.detector.panels[panel], tile)
    slow, fast = pixel_coordinates(tile, positions)
    sources = slice(chunk.start, chunk.stop)
    scenes = [make_scene(one.experiment, panel, sources, torch.device("cpu")) for one in lattices]
    if torch.get_num_threads() != 1:
        torch.set_num_threads(1)

    def find(start: int) -> Float64Array:
        span = slice(start, start + _PIXELS)
        found = np.full((len(slow[span]), 4), np.nan)
        most = np.zeros(len(found))
        with torch.inference_mode():
            rows, columns = torch.from_numpy(slow[span]), torch.from_numpy(fast[span])
            for place, (lattice, scene) in enumerate(zip(lattices, scenes, strict=True)):
                codes, sums = _sums(scene, rows, columns, lattice.share)
                _take_greater(place, codes, sums, most, found)
        return found

    starts = range(0, len(slow), _PIXELS)
    with ThreadPoolExecutor(max(1, threads)) as pool:
        parts = list(pool.map(find, starts))
    whole = np.full((tile.pixels, 4), np.nan)
    if parts:
        whole[positions] = np.concatenate(parts)
    return whole


def _sums(scene: Scene, slow: Any, fast: Any, share: float) -> tuple[IntArray, Float64Array]:  # noqa: ANN401 tensors
    """Return what each reflection gives each pixel, by codes of both in increasing order."""
    import torch

    from distbragg.kernel.model import evaluate_steps, make_sample, with_factors
    from distbragg.physics.factors import beyond_resolution, scattering_vector, stol_of
    from distbragg.physics.rays import sample_indices

    codes: IntArray = np.zeros(0, np.int64)
    sums: Float64Array = np.zeros(0)
    pixel = torch.arange(len(slow), dtype=torch.int64)
    for source in scene.sources:
        for index in sample_indices(scene.placement.panel.sensor.count, scene.sampling.oversample):
            sample = make_sample(scene, slow, fast, index)
            direction = sample.rays.direction
            scattering = scattering_vector(direction, source.incident, source.wavelength)
            for vectors in torch.split(scene.vectors, _ORIENTATIONS):
                steps = evaluate_steps(scene, source, vectors, scattering)
                value = steps.intensity * (scene.blocks * share * source.weight)
                if scene.sampling.dmin > 0.0:
                    beyond = beyond_resolution(stol_of(scattering), scene.sampling.dmin)
                    value = torch.where(beyond, 0.0, value)
                value = with_factors(scene, source, sample, value)
                code = pixel
                for part in steps.nearest:
                    code = (code << _BITS) + (part.to(torch.int64) + _MIDDLE)
                lit = value > 0.0
                # Sums are taken term by term, in the order of the steps.
                codes = np.concatenate([codes, code[lit].numpy()])
                weights = np.concatenate([sums, value[lit].numpy()])
                codes, places = np.unique(codes, return_inverse=True)
                sums = np.bincount(places, weights=weights, minlength=len(codes)).astype(float)
    return codes, sums


def _take_greater(
    place: int, codes: IntArray, sums: Float64Array, most: Float64Array, found: Float64Array
) -> None:
    """Take over what gives pixels more than what was `found` for them gives."""
    order = np.lexsort((-sums, codes >> (3 * _BITS)))  # stable: of equals the lowest code is first
    pixels, first = np.unique(codes[order] >> (3 * _BITS), return_index=True)
    best = order[first]
    greater = sums[best] > most[pixels]
    pixels, best = pixels[greater], best[greater]
    most[pixels] = sums[best]
    found[pixels, 0] = place
    for column, shift in enumerate((2 * _BITS, _BITS, 0), start=1):
        found[pixels, column] = (codes[best] >> shift & (2 * _MIDDLE - 1)) - _MIDDLE
