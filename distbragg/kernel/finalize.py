"""From the merged numerator of a tile to photons: everything that is applied once.

torch is loaded only for curved panels and capture per pixel, and for photon noise without a
compiler: every other frame of the native kernel starts a second sooner.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from distbragg.kernel.device_sum import DeviceSum
from distbragg.kernel.geometry import (
    Rays,
    SampleIndex,
    cosine_to_normal,
    sample_indices,
    sample_rays,
    solid_angle,
)
from distbragg.kernel.native import counts as native_counts
from distbragg.kernel.pixels import active_positions, pixel_coordinates
from distbragg.kernel.polarization import polarization_factor, polarization_frame
from distbragg.kernel.scale import background_start, intensity_scale
from distbragg.models.arrays import BoolArray, Float64Array, IntArray
from distbragg.models.detector import SensorLayers
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import Vector
from distbragg.plan.keys import Tile

_Array: TypeAlias = Any
"""A numpy array where geometry is typed for tensors: the same arithmetic, the same bits."""

_ArrayRays: TypeAlias = Any
"""`Rays` of numpy arrays."""

_BLOCK_PIXELS: Final = 32_768
"""Pixels finished at once where there are factors per pixel: their temporaries stay in the
processor's cache. No bit depends on it."""

_NOISE_BLOCK_PIXELS: Final = 65_536
"""Pixels whose noise is drawn at once: bounds the temporaries."""


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
    image = np.empty(tile.shape, dtype=np.float64)
    finalize_into(image, experiment, panel, tile, numerator, frame=frame)
    return image.reshape(-1)


def finalize_into(
    out: NDArray[Any],
    experiment: Experiment,
    panel: int,
    tile: Tile,
    numerator: Float64Array | DeviceSum,
    *,
    frame: int,
) -> None:
    """Write what `finalize_tile` returns into a part of a frame, rounded once to its type.

    Parameters
    ----------
    out : (slow, fast) float32 or float64, the tile's shape
        A value too large for its type becomes infinite, which is refused when stored.
    numerator : (tile.pixels,) float64
        On the host, or in device memory, where it is then finished.
    """
    if numerator.shape != (tile.pixels,):
        raise ValueError(f"numerator of shape {numerator.shape} for a tile of {tile.pixels} pixels")
    if isinstance(numerator, DeviceSum):
        from distbragg.kernel.finish_device import finish_into

        finish_into(out, experiment, panel, tile, numerator, frame=frame)
        return
    sums = numerator.reshape(tile.shape)
    noisy = experiment.noise.photon
    size = _NOISE_BLOCK_PIXELS if noisy else _BLOCK_PIXELS
    plain = experiment.physics == "exact" and not noisy
    with np.errstate(over="ignore"):
        for block in [tile] if plain else _row_blocks(tile, size):
            rows = slice(block.slow_start - tile.slow_start, block.slow_stop - tile.slow_start)
            _finish_block(out[rows], experiment, panel, block, sums[rows], frame=frame)


def _row_blocks(tile: Tile, pixels: int) -> list[Tile]:
    """Cut a tile into whole rows of about `pixels` pixels."""
    rows = max(1, pixels // (tile.fast_stop - tile.fast_start))
    return [
        replace(tile, slow_start=start, slow_stop=min(start + rows, tile.slow_stop))
        for start in range(tile.slow_start, tile.slow_stop, rows)
    ]


def _finish_block(
    out: NDArray[Any],
    experiment: Experiment,
    panel: int,
    block: Tile,
    numerator: Float64Array,
    *,
    frame: int,
) -> None:
    """Photons or counts of one block; all arrays (slow, fast)."""
    view = experiment.detector.panels[panel]
    whole = view.fully_active
    active = view.active[block.slow_start : block.slow_stop, block.fast_start : block.fast_stop]
    if not whole and not active.any():
        out[...] = 0.0
        return
    if experiment.physics == "exact" and not experiment.noise.photon:
        np.multiply(numerator, intensity_scale(experiment), out=out, casting="same_kind")
    else:
        out[...] = _photons(experiment, panel, block, numerator, frame=frame)
    if not whole:
        out[~active] = 0.0


def _photons(
    experiment: Experiment,
    panel: int,
    block: Tile,
    numerator: Float64Array,
    *,
    frame: int,
) -> Float64Array:
    """Photons or counts of all pixels of a block, (slow, fast); inactive ones mean nothing."""
    if experiment.physics == "exact":
        photons = numerator * intensity_scale(experiment)
    else:
        photons = (background_start(experiment) + numerator) * intensity_scale(experiment)
        # A pixel in the crystal itself has no direction: its NaN is refused when stored.
        with np.errstate(divide="ignore", invalid="ignore"):
            photons *= _pixel_factors(experiment, panel, block)
    if not experiment.noise.photon:
        return photons
    view = experiment.detector.panels[panel]
    slow, fast = view.shape
    positions = active_positions(view, block)
    rows, columns = pixel_coordinates(block, positions)
    pixels = panel * slow * fast + rows.astype(np.int64) * fast + columns.astype(np.int64)
    means = photons.reshape(-1)[positions]
    counts = np.zeros(block.pixels)
    counts[positions] = draw_counts(means, pixels, seed=experiment.noise.seed, frame=frame)
    return counts.reshape(block.shape)


def draw_counts(means: Float64Array, pixels: IntArray, *, seed: int, frame: int) -> Float64Array:
    """Draw Poisson counts natively where that can be, else with tensors: the same counts.

    Parameters and returned counts are those of `kernel.noise.poisson`.
    """
    if native_counts.available():
        return native_counts.draw_counts(means, pixels, seed=seed, frame=frame)
    # Loads torch, which takes a second and 200 MB.
    from distbragg.kernel.noise import poisson

    return poisson(means, pixels, seed=seed, frame=frame)


def _pixel_factors(experiment: Experiment, panel: int, block: Tile) -> Float64Array:
    """Product of the factors that `physics: nanobragg` applies once per pixel, (slow, fast)."""
    view, sampling = experiment.detector.panels[panel], experiment.sampling
    slow: _Array = np.arange(block.slow_start, block.slow_stop, dtype=np.float64)[:, np.newaxis]
    fast: _Array = np.arange(block.fast_start, block.fast_stop, dtype=np.float64)[np.newaxis]
    first = _rays(experiment, panel, slow, fast, SampleIndex(0, 0, 0))
    factor: _Array = np.ones(block.shape)
    if not sampling.per_sample_solid_angle:
        factor *= solid_angle(view, first)
    if not sampling.per_sample_capture and view.sensor.absorbs:
        last = view.sensor.count - 1
        rays = _rays(experiment, panel, slow, fast, SampleIndex(last, 0, 0))
        cosine: _Array = cosine_to_normal(view, rays)
        factor *= _capture(view.sensor, last, cosine)
    if experiment.beam.polarized and not sampling.per_sample_polarization:
        factor *= _first_polarization(experiment, panel, slow, fast, first)
    result: Float64Array = factor
    return result


def panel_solid_angle(experiment: Experiment, panel: int) -> float:
    """Return what the active pixels of a panel subtend, at their first sub-pixels, steradian."""
    view = experiment.detector.panels[panel]
    slow, fast = (part.astype(np.float64) for part in np.nonzero(np.asarray(view.active)))
    rays = _rays(experiment, panel, slow, fast, SampleIndex(0, 0, 0))
    return float(solid_angle(view, rays).sum())


def _rays(
    experiment: Experiment,
    panel: int,
    slow: _Array,
    fast: _Array,
    sample: SampleIndex,
) -> _ArrayRays:
    """Rays as arrays; a curved panel's turns are polynomials of torch's.

    `slow` and `fast` are broadcast against each other, so that a block of whole rows takes a
    column and a row of indices.
    """
    view = experiment.detector.panels[panel]
    oversample = experiment.sampling.oversample
    beam = _triple(experiment.beam.direction)
    if view.surface == "flat":
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
    shape = first.length.shape
    slow, fast = (np.broadcast_to(part, shape).reshape(-1) for part in (slow, fast))
    factor = np.zeros(slow.shape[0])
    open_places = np.arange(slow.shape[0])
    for sample in sample_indices(view.sensor.count, experiment.sampling.oversample):
        rays = _rays(experiment, panel, slow[open_places], fast[open_places], sample)
        for source in range(experiment.beam.sources.count):
            passed, value = _source_polarization(experiment, source, rays)
            factor[open_places[passed]] = value[passed]
            open_places = open_places[~passed]
            if open_places.size == 0:
                return factor.reshape(shape)
            x, y, z = rays.direction
            rays = Rays((x[~passed], y[~passed], z[~passed]), rays.length[~passed])
    return factor.reshape(shape)


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
