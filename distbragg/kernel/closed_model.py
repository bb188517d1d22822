"""The model of a Gaussian crystal in closed form: the sum over its reflections in float64 torch.

As `kernel.model` does for steps, this evaluates the formulas themselves at every pixel that a
spot covers. Each source has its own spots; they are added in the order of their indices.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distbragg.kernel.model import Sample, make_sample, with_factors
from distbragg.kernel.options import KernelOptions
from distbragg.kernel.scene import Scene, make_scene
from distbragg.kernel.tile import active_positions, pixel_coordinates
from distbragg.matrices import dot3, norm3
from distbragg.models.crystal import Crystal
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import Float64Array
from distbragg.physics.amplitude import AmplitudeTable, cell_amplitude
from distbragg.physics.arrays import Triple, constant, unit
from distbragg.physics.closed_form import Incidence, Relps, mean_transform
from distbragg.physics.closed_rotation import Spindle, mean_over_rotation
from distbragg.physics.furthest import least_spacing
from distbragg.physics.near_sphere import (
    CUT,
    GaussianCrystal,
    gaussian_crystal,
    incidence_of,
    near_sphere,
)
from distbragg.physics.places import Places
from distbragg.physics.rays import Placement, distance_along, sample_indices, surface_axes
from distbragg.plan.frame import SourceChunk, Tile

_CELL: Final = 64
"""Neighbouring pixels that a spot is looked for in together."""

_SPOTS: Final = 256
"""Spots looked for at once."""

_PAIRS: Final = 1 << 16
"""Spots × pixels evaluated at once."""

WIDEST: Final = 0.7
"""Standard deviations of a spot that two points of Gauss and Legendre may share."""

_STRAIGHT: Final = 0.02
"""Of a disc, that the ends of its ridge may bend and have no intervals of their own."""

_POINTS: Final = (-0.5 / math.sqrt(3.0), 0.5 / math.sqrt(3.0))


@dataclass(frozen=True, slots=True)
class SpotList:
    """The spots of one source in one part of the rotation.

    Numbers may be tensors that carry gradients. `places` says where spots are looked for, and
    carries none.
    """

    places: Places
    relps: Relps  # (spots,)
    incidence: Incidence
    spindle: Spindle
    height: Tensor  # (spots,) |F|² of the cell and of all blocks at the lattice point

    def transform(self, chosen: Tensor, ray: Triple) -> Tensor:
        """Return the mean transform times the height of chosen spots, each at its own ray."""
        x, y, z = (part[chosen] for part in self.relps.place)
        relps = replace(self.relps, place=(x, y, z))
        if self.spindle.stop > self.spindle.start:
            mean = mean_over_rotation(relps, self.incidence, ray, self.spindle)
        else:
            mean = mean_transform(relps, self.incidence, ray)
        value: Tensor = mean * self.height[chosen]
        return value


def render_closed_model(
    experiment: Experiment, panel: int, tile: Tile, chunk: SourceChunk, options: KernelOptions
) -> Float64Array:
    """Render the un-normalised numerator of a tile; see `render_tile`."""
    numerator = np.zeros(tile.pixels, dtype=np.float64)
    positions = active_positions(experiment.detector.panels[panel], tile)
    if positions.size == 0 or chunk.count == 0:
        return numerator
    device = torch.device("cuda" if options.device == "cuda" else "cpu")
    with torch.inference_mode():
        scene = make_scene(experiment, panel, slice(chunk.start, chunk.stop), device)
        rows, columns = (
            torch.from_numpy(part).to(device) for part in pixel_coordinates(tile, positions)
        )
        spots = (
            spots_of(experiment, source, scene.table.of_source(lit.coefficients))
            for source, lit in enumerate(scene.sources, chunk.start)
        )
        numerator[positions] = sum_spots(scene, spots, rows, columns).cpu().numpy()
    return numerator


def spots_of(experiment: Experiment, source: int, table: AmplitudeTable) -> list[SpotList]:
    """Return the spots of one source, those of each part of the rotation by themselves."""
    incidence = incidence_of(experiment.beam, source)
    parts = gaussian_crystal(experiment.crystal).parts()
    return [_spots_of(experiment, part, incidence, table, 1.0 / len(parts)) for part in parts]


def _spots_of(
    experiment: Experiment,
    crystal: GaussianCrystal,
    incidence: Incidence,
    table: AmplitudeTable,
    share: float,
) -> SpotList:
    seen = least_spacing(experiment.beam, experiment.detector.panels, crystal)
    dmin = max(experiment.sampling.dmin, seen)
    places = near_sphere(crystal, incidence, cut=CUT["float64"], dmin=dmin)
    height = heights(table, places, experiment.crystal) * (share * experiment.crystal.scale)
    lit = (height > 0.0).cpu().numpy()
    places = places[lit]
    own = crystal.relps(places.relp)
    x, y, z = (torch.from_numpy(np.ascontiguousarray(part)).to(height) for part in own.place)
    relps = replace(own, place=(x, y, z))
    return SpotList(places, relps, incidence, crystal.spindle, height[torch.from_numpy(lit)])


def heights(table: AmplitudeTable, places: Places, crystal: Crystal) -> Tensor:
    """Return |F|² (det N)² of every reflection, (n,)."""
    h, k, l = (torch.from_numpy(part.astype(np.float64)) for part in places.hkl.T.copy())  # noqa: E741
    amplitude = cell_amplitude(table, (h, k, l), (h, k, l)) * crystal.unit_cells
    squared: Tensor = h * 0.0 + amplitude * amplitude
    return squared


def sum_spots(scene: Scene, spots: Iterator[list[SpotList]], slow: Tensor, fast: Tensor) -> Tensor:
    """Return Σ over sources, layers and sub-pixels of w·P·C·Ω·(spots + background), (pixels,)."""
    sampling, layers = scene.sampling, scene.placement.panel.sensor.count
    total = torch.zeros_like(slow)
    for source, parts in zip(scene.sources, spots, strict=True):
        contribution = torch.zeros_like(slow)
        for index in sample_indices(layers, sampling.oversample):
            sample = make_sample(scene, slow, fast, index)
            value = torch.zeros_like(slow)
            for lit in parts:
                if sampling.integrate:
                    value = value + _area(scene, lit, sample, slow, fast)
                else:
                    value = value + _seen(lit, sample.rays.direction)
            contribution = contribution + with_factors(scene, source, sample, value)
        total = total + contribution * source.weight
    return total


def _area(scene: Scene, spots: SpotList, sample: Sample, slow: Tensor, fast: Tensor) -> Tensor:
    """Return the mean over the area of a sample, (pixels,): two points of Gauss in each interval.

    Spots are taken together that ask for the same intervals.
    """
    placement = scene.placement
    size = placement.panel.pixel_size / scene.sampling.oversample
    axes = surface_axes(placement, sample.rays.direction)
    counts = intervals(spots.places, placement, size)
    total = torch.zeros_like(slow)
    for pair in np.unique(counts, axis=0):
        chosen = np.flatnonzero((counts == pair).all(axis=1))
        across, down = (offsets(int(count), size) for count in pair)
        for one in down:
            for two in across:
                ray = _moved(sample, (two, one), axes)
                total = total + _seen(spots, ray, chosen) / (len(down) * len(across))
    return total


def offsets(intervals: int, size: float) -> list[float]:
    """Return the points along one axis of a sample, m from its middle."""
    return [
        ((index + 0.5 + point) / intervals - 0.5) * size
        for index in range(intervals)
        for point in _POINTS
    ]


def _moved(sample: Sample, offsets: tuple[float, float], axes: tuple[Triple, Triple]) -> Triple:
    """Return the rays to points beside the middle of each sample, on the plane of the panel."""
    across, down = offsets
    x, y, z = (
        part + (across * f + down * s) / sample.rays.length
        for part, f, s in zip(sample.rays.direction, *axes, strict=True)
    )
    return unit((x, y, z))


def intervals(places: Places, placement: Placement, size: float) -> NDArray[np.int64]:
    """Return into how many intervals of fast and slow each spot wants a sample cut, (spots, 2).

    What a spot's coordinates change by across a sample is taken along its ridge.
    """
    first, second = places.disc()
    arc = np.where(abs(places.arc()) < _STRAIGHT, 0.0, places.arc())
    reach = np.maximum(places.reach, 1e-3)
    x, y, z = places.centre.T
    length = distance_along(placement, (x, y, z))
    counts = []
    for axis in surface_axes(placement, (x, y, z)):
        way = np.stack(np.broadcast_arrays(*axis, x)[:3], axis=1)
        across = way - dot3(places.centre, way)[:, np.newaxis] * places.centre
        turn = size / length[:, np.newaxis] * across
        a, b = dot3(first, turn), dot3(second, turn)
        # In the middle, and at both ends of an arc.
        away = np.max([np.hypot(a, b - 2.0 * end * arc * a) for end in (0.0, 1.0, -1.0)], axis=0)
        counts.append(np.clip(np.ceil(away * reach / WIDEST), 1, 4096).astype(np.int64))
    return np.stack(counts, axis=1)


def _seen(spots: SpotList, ray: Triple, chosen: NDArray[np.int64] | None = None) -> Tensor:
    """Return the sum over spots at rays, (pixels,); only of those chosen."""
    places = spots.places if chosen is None else spots.places[chosen]
    names = np.arange(len(spots.places)) if chosen is None else chosen
    rays = np.stack([constant(part).cpu().numpy() for part in ray], axis=1)
    total = torch.zeros_like(ray[0])
    for spot, pixel in _pairs(places, rays):
        at = torch.from_numpy(pixel).to(total.device)
        which = torch.from_numpy(names[spot]).to(total.device)
        value = spots.transform(which, (ray[0][at], ray[1][at], ray[2][at]))
        total = total.index_add(0, at, value)
    return total


def _pairs(
    places: Places, rays: Float64Array
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield spots and the pixels in their discs, in order of the spots."""
    if len(places) == 0:
        return
    starts = np.arange(0, len(rays), _CELL)
    middles = rays[np.minimum(starts + _CELL // 2, len(rays) - 1)]
    cells = np.minimum(np.arange(len(rays)) // _CELL, len(starts) - 1)
    chord = norm3(rays - middles[cells])
    radius = np.maximum.reduceat(chord, starts)
    # Tangents of angles are at most the chords of the rays, widened by the square of the angle.
    reach = places.reach * np.sqrt(places.covariance[:, 0] + places.covariance[:, 2])
    reach = reach + abs(places.bow) * places.reach**2 * places.covariance[:, 0]
    for start in range(0, len(places), _SPOTS):
        some = slice(start, min(start + _SPOTS, len(places)))
        away = norm3(middles - places.centre[some][:, np.newaxis])
        near = away <= (reach[some] * 1.01)[:, np.newaxis] + radius
        spot, cell = np.nonzero(near)
        step = _PAIRS // _CELL
        for part in range(0, len(spot), step):
            names = np.repeat(spot[part : part + step] + start, _CELL)
            pixel = (starts[cell[part : part + step]][:, np.newaxis] + np.arange(_CELL)).ravel()
            names, pixel = names[pixel < len(rays)], pixel[pixel < len(rays)]
            a, b = places[some].coordinates(names - start, rays[pixel])
            inside = a * a + b * b <= 1.0
            yield names[inside], pixel[inside]
