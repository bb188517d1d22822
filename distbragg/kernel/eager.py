"""The torch kernel: blocks of pixels × orientations, small enough to stay in cache.

Loops run over sources, samples of the pixel (layer, sub-pixel) and orientations (spindle
step × mosaic domain), in that order; every sum over them is taken term by term in float64,
so that neither the blocks nor the tile change a bit of a pixel.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from distbragg.kernel.absorption import capture_fraction
from distbragg.kernel.background import BackgroundTable, background_intensity, background_table
from distbragg.kernel.geometry import (
    Rays,
    SampleIndex,
    active_positions,
    cosine_to_normal,
    pixel_coordinates,
    sample_indices,
    sample_rays,
    solid_angle,
)
from distbragg.kernel.lattice import LatticeShape, lattice_amplitude, lattice_shape
from distbragg.kernel.lookup import AmplitudeTable, amplitude_table, cell_amplitude
from distbragg.kernel.options import KernelOptions
from distbragg.kernel.orientation import domain_vectors
from distbragg.kernel.polarization import (
    PolarizationFrame,
    polarization_factor,
    polarization_frame,
)
from distbragg.models.arrays import Float64Array
from distbragg.models.beam import Beam
from distbragg.models.detector import Panel
from distbragg.models.experiment import Experiment, Sampling
from distbragg.models.vectors import Vector
from distbragg.plan.keys import SourceChunk, Tile

_BLOCK_ELEMENTS: Final = {"cpu": 16_384, "cuda": 2_097_152}
"""Pixels × orientations held at once: about ten arrays of this length stay in a core's cache
(CPU) or fill the device (GPU). It changes speed, not bits."""

_KEPT_SAMPLES: Final = {"cpu": 16, "cuda": 16}
"""Samples of a pixel whose rays are kept for all sources; beyond, they are computed anew."""


@dataclass(frozen=True, slots=True)
class _Scene:
    """The experiment as the loops want it."""

    panel: Panel
    beam: Beam
    sampling: Sampling
    shape: LatticeShape
    table: AmplitudeTable
    orientations: Tensor
    background: BackgroundTable | None
    dtype: torch.dtype
    device: torch.device
    block: int
    kept_samples: int


@dataclass(frozen=True, slots=True)
class _Source:
    """One source: incident direction, wavelength, weight, polarisation frame."""

    incident: Vector
    wavelength: float
    weight: float
    frame: PolarizationFrame


@dataclass(frozen=True, slots=True)
class _Sample:
    """The rays to one sample of each pixel and the factors that hold for every source."""

    rays: Rays
    factor: Tensor | None


def render_eager(
    experiment: Experiment, panel: int, tile: Tile, chunk: SourceChunk, options: KernelOptions
) -> Float64Array:
    """Render the un-normalised numerator of a tile with torch; see `render_tile`."""
    view = experiment.detector.panels[panel]
    numerator = np.zeros(tile.pixels, dtype=np.float64)
    positions = active_positions(view, tile)
    if positions.size == 0 or chunk.count == 0:
        return numerator
    if torch.get_num_threads() != 1:
        torch.set_num_threads(1)
    scene = _make_scene(experiment, view, options)
    sources = _sources(experiment.beam, chunk)
    slow, fast = pixel_coordinates(tile, positions)
    bounds = [
        (start, min(start + scene.block, positions.size))
        for start in range(0, positions.size, scene.block)
    ]

    def render(span: tuple[int, int]) -> Float64Array:
        return _render_block(scene, sources, slow[slice(*span)], fast[slice(*span)])

    workers = min(options.threads, len(bounds)) if scene.device.type == "cpu" else 1
    if workers > 1:
        with ThreadPoolExecutor(workers) as pool:
            parts = list(pool.map(render, bounds))
    else:
        parts = [render(span) for span in bounds]
    numerator[positions] = np.concatenate(parts)
    return numerator


def _make_scene(experiment: Experiment, panel: Panel, options: KernelOptions) -> _Scene:
    device = torch.device(options.device)
    dtype = torch.float64 if options.precision == "float64" else torch.float32
    crystal = experiment.crystal
    orientations = torch.from_numpy(domain_vectors(crystal)).to(device)
    background = (
        background_table(experiment.background, int(orientations.shape[0]), device)
        if experiment.physics == "exact"
        else None
    )
    return _Scene(
        panel=panel,
        beam=experiment.beam,
        sampling=experiment.sampling,
        shape=lattice_shape(crystal),
        table=amplitude_table(experiment.reflections, dtype, device),
        orientations=orientations,
        background=background,
        dtype=dtype,
        device=device,
        block=_BLOCK_ELEMENTS[device.type],
        kept_samples=_KEPT_SAMPLES[device.type],
    )


def _sources(beam: Beam, chunk: SourceChunk) -> list[_Source]:
    axis = _triple(beam.polarization_axis)
    found: list[_Source] = []
    for index in range(chunk.start, chunk.stop):
        x, y, z = _triple(beam.sources.direction[index])
        incident = (-x, -y, -z)
        found.append(
            _Source(
                incident,
                float(beam.sources.wavelength[index]),
                float(beam.sources.weight[index]),
                polarization_frame(incident, axis),
            )
        )
    return found


def _triple(vector: Float64Array) -> Vector:
    return float(vector[0]), float(vector[1]), float(vector[2])


def _render_block(
    scene: _Scene, sources: list[_Source], slow: Float64Array, fast: Float64Array
) -> Float64Array:
    """Numerators of one block of pixels, (pixels,) float64."""
    with torch.inference_mode():
        rows = torch.from_numpy(slow).to(scene.device)
        columns = torch.from_numpy(fast).to(scene.device)
        total = torch.zeros_like(rows)
        samples = scene.panel.sensor.count * scene.sampling.oversample**2
        kept = (
            tuple(_samples(scene, rows, columns))
            if samples <= scene.kept_samples and len(sources) > 1
            else None
        )
        for source in sources:
            contribution = torch.zeros_like(rows)
            for sample in kept if kept is not None else _samples(scene, rows, columns):
                contribution += _sample_intensity(scene, source, sample)
            total += contribution * source.weight
        result: Float64Array = total.cpu().numpy()
        return result


def _samples(scene: _Scene, slow: Tensor, fast: Tensor) -> Iterator[_Sample]:
    oversample = scene.sampling.oversample
    beam = _triple(scene.beam.direction)
    for index in sample_indices(scene.panel.sensor.count, oversample):
        rays = sample_rays(scene.panel, beam, slow, fast, sample=index, oversample=oversample)
        yield _Sample(rays, _sample_factor(scene, rays, index))


def _sample_factor(scene: _Scene, rays: Rays, index: SampleIndex) -> Tensor | None:
    """Solid angle and capture fraction of a sample, where they vary inside the sum."""
    factor: Tensor | None = None
    if scene.sampling.per_sample_solid_angle:
        factor = solid_angle(scene.panel, rays)
    if scene.sampling.per_sample_capture and scene.panel.sensor.absorbs:
        cosine = cosine_to_normal(scene.panel, rays)
        capture = capture_fraction(scene.panel.sensor, index.layer, cosine)
        factor = capture if factor is None else factor * capture
    return factor


def _sample_intensity(scene: _Scene, source: _Source, sample: _Sample) -> Tensor:
    """P·C·Ω [Σ_φ Σ_mosaic F² + background] of one source and sample, (pixels,) float64."""
    direction = sample.rays.direction
    x = (direction[0] - source.incident[0]) / source.wavelength
    y = (direction[1] - source.incident[1]) / source.wavelength
    z = (direction[2] - source.incident[2]) / source.wavelength
    value = _bragg_sum(scene, x, y, z)
    if scene.sampling.dmin > 0.0 or scene.background is not None:
        stol = torch.sqrt(x * x + y * y + z * z) * 0.5
        if scene.sampling.dmin > 0.0:
            cut = 0.5 / stol < scene.sampling.dmin
            value = torch.where(cut, torch.zeros_like(value), value)
        if scene.background is not None:
            value = value + background_intensity(scene.background, stol)
    if scene.beam.polarized and scene.sampling.per_sample_polarization:
        value = value * polarization_factor(source.frame, direction, scene.beam.kahn_factor)
    return value if sample.factor is None else value * sample.factor


def _bragg_sum(scene: _Scene, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Σ_φ Σ_mosaic F_cell² F_latt² at scattering vectors (x, y, z) in 1/Å, (pixels,) float64."""
    total = torch.zeros_like(x)
    count = int(scene.orientations.shape[0])
    together = max(1, scene.block // max(1, int(x.shape[0])))
    for start in range(0, count, together):
        vectors = scene.orientations[start : start + together]
        columns = [vectors[:, part : part + 1] for part in range(9)]
        h = columns[0] * x + columns[1] * y + columns[2] * z
        k = columns[3] * x + columns[4] * y + columns[5] * z
        l = columns[6] * x + columns[7] * y + columns[8] * z  # noqa: E741 - a Miller index
        indices = (h, k, l)
        nearest = (torch.ceil(h - 0.5), torch.ceil(k - 0.5), torch.ceil(l - 0.5))
        offsets = (h - nearest[0], k - nearest[1], l - nearest[2])
        amplitude = lattice_amplitude(scene.shape, offsets, scene.dtype)
        amplitude *= cell_amplitude(scene.table, indices, nearest)
        # Squared in float64: |F_latt|² of a large crystal overflows float32.
        wide = amplitude.to(torch.float64)
        wide = wide * wide
        for row in range(int(wide.shape[0])):
            total += wide[row]
    return total
