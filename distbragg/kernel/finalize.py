"""From the merged numerator of a tile to photons: everything that is applied once."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor

from distbragg.constants import CLASSICAL_ELECTRON_RADIUS_SQUARED_M2
from distbragg.kernel.absorption import capture_fraction
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
from distbragg.kernel.noise import poisson
from distbragg.kernel.polarization import polarization_factor, polarization_frame
from distbragg.models.arrays import Float64Array, IntArray
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import Vector
from distbragg.plan.keys import Tile

_BLOCK_PIXELS: Final = 65_536
"""Pixels finished at once: bounds the temporaries, changes no bit."""


def finalize_tile(
    experiment: Experiment, panel: int, tile: Tile, numerator: Float64Array, *, frame: int
) -> Float64Array:
    """Turn the sum over all sources into expected photons, or counts where noise is on.

    Parameters
    ----------
    experiment : Experiment
    panel : int
        Index of the panel.
    tile : Tile
        Global pixel indices of the tile.
    numerator : (tile.pixels,) float64
        Sum of `render_tile` over every source.
    frame : int
        Index of the frame in its sweep; keys the noise.

    Returns
    -------
    (tile.pixels,) float64
        Photons per pixel; 0 where the pixel is inactive.

    Raises
    ------
    ValueError
        A numerator of another length than the tile.
    """
    if numerator.shape != (tile.pixels,):
        raise ValueError(f"numerator of shape {numerator.shape} for a tile of {tile.pixels} pixels")
    positions = active_positions(experiment.detector.panels[panel], tile)
    image = np.zeros(tile.pixels, dtype=np.float64)
    for start in range(0, positions.size, _BLOCK_PIXELS):
        block = positions[start : start + _BLOCK_PIXELS]
        image[block] = _photons(experiment, panel, tile, block, numerator[block], frame=frame)
    return image


def _photons(
    experiment: Experiment,
    panel: int,
    tile: Tile,
    positions: IntArray,
    numerator: Float64Array,
    *,
    frame: int,
) -> Float64Array:
    """Photons of the active pixels at `positions` of the tile."""
    if experiment.physics == "exact":
        photons = numerator * intensity_scale(experiment)
    else:
        photons = (background_start(experiment) + numerator) * intensity_scale(experiment)
        photons = photons * _pixel_factors(experiment, panel, tile, positions)
    if not experiment.noise.photon:
        return photons
    slow, fast = experiment.detector.panels[panel].shape
    rows, columns = pixel_coordinates(tile, positions)
    pixels = panel * slow * fast + rows.astype(np.int64) * fast + columns.astype(np.int64)
    return poisson(photons, pixels, seed=experiment.noise.seed, frame=frame)


def intensity_scale(experiment: Experiment) -> float:
    """Return r_e² Φ / (n_phi n_mosaic n_sub² W)."""
    crystal = experiment.crystal
    orientations = int(crystal.phi.shape[0]) * int(crystal.mosaic_rotations.shape[0])
    steps = orientations * experiment.sampling.oversample**2
    fluence = CLASSICAL_ELECTRON_RADIUS_SQUARED_M2 * experiment.beam.fluence
    return fluence / steps / experiment.beam.sources.total_weight


def background_start(experiment: Experiment) -> float:
    """Return the value the C program's sum starts at: F² r_e² Φ times the molecules."""
    background = experiment.background
    if background.molecules == 0.0 or background.amplitude.shape[0] == 0:
        return 0.0
    amplitude = float(background.amplitude[0])
    fluence = CLASSICAL_ELECTRON_RADIUS_SQUARED_M2 * experiment.beam.fluence
    return amplitude * amplitude * fluence * background.molecules


def _pixel_factors(
    experiment: Experiment, panel: int, tile: Tile, positions: IntArray
) -> Float64Array:
    """Product of the factors that `physics: nanobragg` applies once per pixel, (active,)."""
    view, sampling = experiment.detector.panels[panel], experiment.sampling
    rows, columns = pixel_coordinates(tile, positions)
    with torch.inference_mode():
        slow, fast = torch.from_numpy(rows), torch.from_numpy(columns)
        factor = torch.ones_like(slow)
        if not sampling.per_sample_solid_angle:
            first = _rays(experiment, panel, slow, fast, SampleIndex(0, 0, 0))
            factor = factor * solid_angle(view, first)
        if not sampling.per_sample_capture and view.sensor.absorbs:
            last = view.sensor.count - 1
            rays = _rays(experiment, panel, slow, fast, SampleIndex(last, 0, 0))
            cosine = cosine_to_normal(view, rays)
            factor = factor * capture_fraction(view.sensor, last, cosine)
        if experiment.beam.polarized and not sampling.per_sample_polarization:
            factor = factor * _first_polarization(experiment, panel, slow, fast)
        result: Float64Array = factor.numpy()
        return result


def _rays(
    experiment: Experiment, panel: int, slow: Tensor, fast: Tensor, sample: SampleIndex
) -> Rays:
    view = experiment.detector.panels[panel]
    oversample = experiment.sampling.oversample
    beam = _triple(experiment.beam.direction)
    return sample_rays(view, beam, slow, fast, sample=sample, oversample=oversample)


def _first_polarization(experiment: Experiment, panel: int, slow: Tensor, fast: Tensor) -> Tensor:
    """Polarisation of the first sample (layer, sub-pixel, source) that passes the cut, else 0."""
    view = experiment.detector.panels[panel]
    factor = torch.zeros_like(slow)
    open_places = torch.arange(slow.shape[0])
    for sample in sample_indices(view.sensor.count, experiment.sampling.oversample):
        rays = _rays(experiment, panel, slow[open_places], fast[open_places], sample)
        for source in range(experiment.beam.sources.count):
            passed, value = _source_polarization(experiment, source, rays)
            factor[open_places[passed]] = value[passed]
            open_places = open_places[~passed]
            if open_places.numel() == 0:
                return factor
            x, y, z = rays.direction
            rays = Rays((x[~passed], y[~passed], z[~passed]), rays.length[~passed])
    return factor


def _source_polarization(experiment: Experiment, source: int, rays: Rays) -> tuple[Tensor, Tensor]:
    """Whether the rays pass the resolution cut with this source, and their polarisation."""
    beam = experiment.beam
    x, y, z = _triple(beam.sources.direction[source])
    incident = (-x, -y, -z)
    passed = torch.ones_like(rays.length, dtype=torch.bool)
    if experiment.sampling.dmin > 0.0:
        wavelength = float(beam.sources.wavelength[source])
        scattering = [
            (part - along) / wavelength
            for part, along in zip(rays.direction, incident, strict=True)
        ]
        square = scattering[0] * scattering[0] + scattering[1] * scattering[1]
        stol = torch.sqrt(square + scattering[2] * scattering[2]) * 0.5
        passed = ~(0.5 / stol < experiment.sampling.dmin)
    frame = polarization_frame(incident, _triple(beam.polarization_axis))
    return passed, polarization_factor(frame, rays.direction, beam.kahn_factor)


def _triple(vector: Float64Array) -> Vector:
    return float(vector[0]), float(vector[1]), float(vector[2])
