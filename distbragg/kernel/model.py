"""The model itself: the sum over sources, samples and orientations in float64 torch.

It is what the compiled kernels are compared with, what gradients are taken of and what is
traced, and it renders where no compiled kernel can. Blocks of pixels × orientations are small
enough to stay in cache; every sum is taken term by term, so that neither the blocks nor the
tile change a bit of a pixel.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from distbragg.kernel.options import KernelOptions
from distbragg.kernel.scene import Scene, Source, make_scene
from distbragg.kernel.tile import active_positions, pixel_coordinates
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import Float64Array
from distbragg.physics.amorphous import amorphous_intensity
from distbragg.physics.amplitude import cell_amplitude
from distbragg.physics.arrays import Array, Triple
from distbragg.physics.diffuse import diffuse_intensity
from distbragg.physics.factors import (
    beyond_resolution,
    capture_fraction,
    polarization_factor,
    scattering_vector,
    solid_angle,
    stol_of,
)
from distbragg.physics.halos import displaced, mean_intensity, within_pixel
from distbragg.physics.orientation import miller_indices, nearest_indices
from distbragg.physics.rays import (
    Rays,
    SampleIndex,
    cosine_to_normal,
    sample_indices,
    sample_rays,
    surface_axes,
)
from distbragg.physics.transform import lattice_amplitude
from distbragg.plan.frame import SourceChunk, Tile

_BLOCK_ELEMENTS: Final = {"cpu": 16_384, "cuda": 2_097_152}
"""Pixels × orientations held at once: about ten arrays of this length stay in a core's cache
(CPU) or fill the device (GPU). It changes speed, not bits."""

_KEPT_SAMPLES: Final = 16
"""Samples of a pixel whose rays are kept for all sources; beyond, they are computed anew."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The rays to one sample of each pixel and the factor that holds for every source."""

    rays: Rays
    factor: Array


@dataclass(frozen=True, slots=True)
class Steps:
    """Every spindle step and mosaic domain of one source and sample: (orientations, pixels)."""

    indices: Triple  # fractional h, k, l
    nearest: Triple  # the nearest lattice point
    offsets: Triple  # their difference
    cell: Array  # |F_cell|; a float where there is no table
    lattice: Array  # |F_latt|
    diffuse: Array | None  # electrons²; None where there is no diffuse scattering

    @property
    def intensity(self) -> Array:
        """|F_cell|² |F_latt|² and the diffuse scattering, electrons²."""
        amplitude = self.lattice * self.cell
        coherent = amplitude * amplitude
        return coherent if self.diffuse is None else coherent + self.diffuse


def render_model(
    experiment: Experiment, panel: int, tile: Tile, chunk: SourceChunk, options: KernelOptions
) -> Float64Array:
    """Render the un-normalised numerator of a tile; see `render_tile`."""
    view = experiment.detector.panels[panel]
    numerator = np.zeros(tile.pixels, dtype=np.float64)
    positions = active_positions(view, tile)
    if positions.size == 0 or chunk.count == 0:
        return numerator
    if torch.get_num_threads() != 1:
        torch.set_num_threads(1)
    device = torch.device(options.device)
    scene = make_scene(experiment, panel, slice(chunk.start, chunk.stop), device)
    slow, fast = pixel_coordinates(tile, positions)
    block = _BLOCK_ELEMENTS[device.type]
    bounds = [slice(start, start + block) for start in range(0, positions.size, block)]

    def render(span: slice) -> Float64Array:
        with torch.inference_mode():
            rows, columns = (torch.from_numpy(part[span]).to(device) for part in (slow, fast))
            result: Float64Array = _block_numerator(scene, rows, columns, block).cpu().numpy()
            return result

    workers = min(options.threads, len(bounds)) if device.type == "cpu" else 1
    if workers > 1:
        with ThreadPoolExecutor(workers) as pool:
            parts = list(pool.map(render, bounds))
    else:
        parts = [render(span) for span in bounds]
    numerator[positions] = np.concatenate(parts)
    return numerator


def _block_numerator(scene: Scene, slow: Tensor, fast: Tensor, block: int) -> Tensor:
    """Sum over sources and samples of one block of pixels, (pixels,)."""

    def samples() -> Iterator[Sample]:
        for index in sample_indices(scene.placement.panel.sensor.count, scene.sampling.oversample):
            yield make_sample(scene, slow, fast, index)

    each = scene.placement.panel.sensor.count * scene.sampling.oversample**2
    kept = tuple(samples()) if each <= _KEPT_SAMPLES and len(scene.sources) > 1 else None
    total = torch.zeros_like(slow)
    for source in scene.sources:
        contribution = torch.zeros_like(slow)
        for sample in samples() if kept is None else kept:
            contribution += sample_intensity(scene, source, sample, block)
        total += contribution * source.weight
    return total


def make_sample(scene: Scene, slow: Array, fast: Array, index: SampleIndex) -> Sample:
    """Return the rays to a sample of each pixel, with the factors that are inside the sum.

    `slow` and `fast` are (pixels,) float64, global indices.
    """
    sampling, panel = scene.sampling, scene.placement.panel
    rays = sample_rays(scene.placement, slow, fast, sample=index, oversample=sampling.oversample)
    factor: Array = 1.0
    if sampling.per_sample_solid_angle:
        factor = solid_angle(scene.placement, rays)
    if sampling.per_sample_capture and panel.sensor.absorbs:
        cosine = cosine_to_normal(scene.placement, rays)
        factor = capture_fraction(panel.sensor, index.layer, cosine) * factor
    return Sample(rays, factor)


def sample_intensity(scene: Scene, source: Source, sample: Sample, block: int) -> Tensor:
    """Return P·C·Ω [Σ_φ Σ_mosaic F² + background] of one source and sample, (pixels,) float64.

    `block` is how many pixels × orientations are evaluated at once.
    """
    scattering = scattering_vector(sample.rays.direction, source.incident, source.wavelength)
    if scene.spread is None:
        value = bragg_sum(scene, source, scattering, block)
    else:
        value = halo_sum(scene, source, sample, scattering)
    if scene.sampling.dmin > 0.0:
        beyond = beyond_resolution(stol_of(scattering), scene.sampling.dmin)
        value = torch.where(beyond, 0.0, value)
    return with_factors(scene, source, sample, value)


def with_factors(scene: Scene, source: Source, sample: Sample, value: Tensor) -> Tensor:
    """Return P·C·Ω [value + background] of one source and sample, (pixels,) float64.

    `value` is Σ_φ Σ_mosaic F², to which the background is added for each of the steps.
    """
    direction = sample.rays.direction
    if scene.background is not None:
        scattering = scattering_vector(direction, source.incident, source.wavelength)
        orientations = int(scene.vectors.shape[0])
        amorphous = amorphous_intensity(scene.background, stol_of(scattering))
        value = value + amorphous * orientations
    if scene.kahn_factor is not None:
        value = value * polarization_factor(source.frame, direction, scene.kahn_factor)
    product: Tensor = value * sample.factor
    return product


def bragg_sum(scene: Scene, source: Source, scattering: Triple, block: int) -> Tensor:
    """Return n Σ_φ Σ_mosaic (F_cell² F_latt² + diffuse) at vectors in 1/Å, (pixels,) float64.

    n: blocks of the crystal that the beam illuminates.
    """
    total = torch.zeros_like(scattering[0])
    together = max(1, block // max(1, int(total.shape[0])))
    for vectors in torch.split(scene.vectors, together):
        steps = evaluate_steps(scene, source, vectors, scattering)
        for row in steps.intensity.unbind(0):
            total = total + row
    product: Tensor = total * scene.blocks
    return product


def halo_sum(scene: Scene, source: Source, sample: Sample, scattering: Triple) -> Tensor:
    """Return the mean diffuse scattering of all blocks at vectors in 1/Å, (pixels,) float64."""
    assert scene.spread is not None
    assert scene.diffuse is not None
    assert source.incidence is not None
    moved, covariance = displaced(scene.spread, source.incidence, scattering)
    if scene.sampling.integrate:
        ray, size = sample.rays.direction, scene.placement.panel.pixel_size
        width = source.incidence.wavenumber * size / scene.sampling.oversample / sample.rays.length
        ways = surface_axes(scene.placement, ray)
        covariance = covariance + within_pixel(ways, ray, width)
    x, y, z = (part + further for part, further in zip(scattering, moved, strict=True))
    h, k, l = (index[0] for index in miller_indices(scene.vectors, (x, y, z)))  # noqa: E741
    nearest = nearest_indices((h, k, l))
    offsets = h - nearest[0], k - nearest[1], l - nearest[2]
    numbers = scene.vectors[0].unbind()
    a, b, c = ((numbers[at], numbers[at + 1], numbers[at + 2]) for at in (0, 3, 6))
    table = scene.table.of_source(source.coefficients)
    value = mean_intensity(scene.diffuse, table, offsets, nearest, covariance.within((a, b, c)))
    total: Tensor = value * scene.blocks
    return total


def evaluate_steps(scene: Scene, source: Source, vectors: Tensor, scattering: Triple) -> Steps:
    """Evaluate both amplitudes of orientations (n, 9), Å, at scattering vectors in 1/Å."""
    indices = miller_indices(vectors, scattering)
    nearest = nearest_indices(indices)
    h, k, l = (index - whole for index, whole in zip(indices, nearest, strict=True))  # noqa: E741
    table = scene.table.of_source(source.coefficients)
    return Steps(
        indices,
        nearest,
        (h, k, l),
        cell_amplitude(table, indices, nearest),
        lattice_amplitude(scene.spot, (h, k, l)),
        None
        if scene.diffuse is None
        else diffuse_intensity(scene.diffuse, table, (h, k, l), nearest),
    )
