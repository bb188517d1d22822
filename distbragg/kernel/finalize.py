"""From the merged numerator of a tile to photons: everything that is applied once.

torch is loaded only for photon noise, curved panels and capture per pixel: every other frame
of the native kernel starts a second sooner.
"""

from __future__ import annotations

import math
from typing import Any, Final, TypeAlias

import numpy as np

from distbragg.constants import CLASSICAL_ELECTRON_RADIUS_SQUARED_M2
from distbragg.kernel.geometry import (
    Rays,
    SampleIndex,
    cosine_to_normal,
    sample_indices,
    sample_rays,
    solid_angle,
)
from distbragg.kernel.pixels import active_positions, pixel_coordinates
from distbragg.kernel.polarization import polarization_factor, polarization_frame
from distbragg.models.arrays import BoolArray, Float64Array, IntArray
from distbragg.models.detector import SensorLayers
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import Vector
from distbragg.plan.keys import Tile

_Array: TypeAlias = Any
"""A numpy array where geometry is typed for tensors: the same arithmetic, the same bits."""

_ArrayRays: TypeAlias = Any
"""`Rays` of numpy arrays."""

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
    if experiment.physics == "exact" and not experiment.noise.photon:
        return _scaled(experiment, panel, tile, numerator)
    positions = active_positions(experiment.detector.panels[panel], tile)
    image = np.zeros(tile.pixels, dtype=np.float64)
    for start in range(0, positions.size, _BLOCK_PIXELS):
        block = positions[start : start + _BLOCK_PIXELS]
        image[block] = _photons(experiment, panel, tile, block, numerator[block], frame=frame)
    return image


def _scaled(
    experiment: Experiment, panel: int, tile: Tile, numerator: Float64Array
) -> Float64Array:
    """Photons where one factor serves all pixels: no list of positions is made."""
    rows, columns = (
        slice(tile.slow_start, tile.slow_stop),
        slice(tile.fast_start, tile.fast_stop),
    )
    active = experiment.detector.panels[panel].active[rows, columns].reshape(-1)
    image = numerator * intensity_scale(experiment)
    if not active.all():
        image[~active] = 0.0
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
        # A pixel in the crystal itself has no direction: its NaN is refused when stored.
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            photons = photons * _pixel_factors(experiment, panel, tile, positions)
    if not experiment.noise.photon:
        return photons
    from distbragg.kernel.noise import poisson

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
    """Return the value the C program's sum starts at: F² r_e² Φ times the molecules.

    Under rule `count` it is later divided by the number of sources, as in the program. Under
    `sum` and `none` it is taken Σw times instead: a weighted mean knows no such number, and
    the unit of the weights must cancel.
    """
    background = experiment.background
    if background.molecules == 0.0 or background.amplitude.shape[0] == 0:
        return 0.0
    amplitude = float(background.amplitude[0])
    fluence = CLASSICAL_ELECTRON_RADIUS_SQUARED_M2 * experiment.beam.fluence
    sources = experiment.beam.sources
    share = 1.0 if sources.rule == "count" else math.fsum(sources.weight.tolist())
    return amplitude * amplitude * fluence * background.molecules * share


def _pixel_factors(
    experiment: Experiment, panel: int, tile: Tile, positions: IntArray
) -> Float64Array:
    """Product of the factors that `physics: nanobragg` applies once per pixel, (active,)."""
    view, sampling = experiment.detector.panels[panel], experiment.sampling
    slow, fast = pixel_coordinates(tile, positions)
    first = _rays(experiment, panel, slow, fast, SampleIndex(0, 0, 0))
    factor: _Array = np.ones_like(slow)
    if not sampling.per_sample_solid_angle:
        factor = factor * solid_angle(view, first)
    if not sampling.per_sample_capture and view.sensor.absorbs:
        last = view.sensor.count - 1
        rays = _rays(experiment, panel, slow, fast, SampleIndex(last, 0, 0))
        cosine: _Array = cosine_to_normal(view, rays)
        factor = factor * _capture(view.sensor, last, cosine)
    if experiment.beam.polarized and not sampling.per_sample_polarization:
        factor = factor * _first_polarization(experiment, panel, slow, fast, first)
    result: Float64Array = factor
    return result


def _rays(
    experiment: Experiment,
    panel: int,
    slow: _Array,
    fast: _Array,
    sample: SampleIndex,
) -> _ArrayRays:
    """Rays as arrays; a curved panel's turns are polynomials of torch's."""
    view = experiment.detector.panels[panel]
    oversample = experiment.sampling.oversample
    beam = _triple(experiment.beam.direction)
    if not view.curved:
        return sample_rays(view, beam, slow, fast, sample=sample, oversample=oversample)
    import torch

    with torch.inference_mode():
        places = torch.from_numpy(slow), torch.from_numpy(fast)
        rays = sample_rays(view, beam, *places, sample=sample, oversample=oversample)
    arrays: list[_Array] = [part.numpy() for part in (*rays.direction, rays.length)]
    return Rays((arrays[0], arrays[1], arrays[2]), arrays[3])


def _capture(sensor: SensorLayers, layer: int, cosine: Float64Array) -> Float64Array:
    import torch

    from distbragg.kernel.absorption import capture_fraction

    with torch.inference_mode():
        share: Float64Array = capture_fraction(sensor, layer, torch.from_numpy(cosine)).numpy()
    return share


def _first_polarization(
    experiment: Experiment,
    panel: int,
    slow: Float64Array,
    fast: Float64Array,
    first: _ArrayRays,
) -> Float64Array:
    """Polarisation of the first sample (layer, sub-pixel, source) that passes the cut, else 0."""
    if experiment.sampling.dmin <= 0.0:
        return _source_polarization(experiment, 0, first)[1]
    view = experiment.detector.panels[panel]
    factor = np.zeros_like(slow)
    open_places = np.arange(slow.shape[0])
    for sample in sample_indices(view.sensor.count, experiment.sampling.oversample):
        rays = _rays(experiment, panel, slow[open_places], fast[open_places], sample)
        for source in range(experiment.beam.sources.count):
            passed, value = _source_polarization(experiment, source, rays)
            factor[open_places[passed]] = value[passed]
            open_places = open_places[~passed]
            if open_places.size == 0:
                return factor
            x, y, z = rays.direction
            rays = Rays((x[~passed], y[~passed], z[~passed]), rays.length[~passed])
    return factor


def _source_polarization(
    experiment: Experiment, source: int, rays: _ArrayRays
) -> tuple[BoolArray, Float64Array]:
    """Whether the rays pass the resolution cut with this source, and their polarisation."""
    beam = experiment.beam
    x, y, z = _triple(beam.sources.direction[source])
    incident = (-x, -y, -z)
    passed = np.ones(rays.length.shape, dtype=np.bool_)
    if experiment.sampling.dmin > 0.0:
        wavelength = float(beam.sources.wavelength[source])
        scattering = [
            (part - along) / wavelength
            for part, along in zip(rays.direction, incident, strict=True)
        ]
        square = scattering[0] * scattering[0] + scattering[1] * scattering[1]
        stol = np.sqrt(square + scattering[2] * scattering[2]) * 0.5
        passed = ~(0.5 / stol < experiment.sampling.dmin)
    frame = polarization_frame(incident, _triple(beam.polarization_axis))
    factor: _Array = polarization_factor(frame, rays.direction, beam.kahn_factor)
    return passed, factor


def _triple(vector: Float64Array) -> Vector:
    return float(vector[0]), float(vector[1]), float(vector[2])
