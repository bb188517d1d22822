"""From a numerator in device memory to photons or counts: what `finalize` does, on the device.

The same float64 operations in the same order, so that the values are those of the host; only the
finished pixels travel. Ranges of pixels are halved when memory runs out.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distbragg.kernel.absorption import capture_fraction
from distbragg.kernel.device_sum import DeviceSum
from distbragg.kernel.geometry import (
    Rays,
    SampleIndex,
    cosine_to_normal,
    sample_indices,
    sample_rays,
    solid_angle,
)
from distbragg.kernel.noise import poisson_counts
from distbragg.kernel.pixels import active_positions
from distbragg.kernel.polarization import polarization_factor, polarization_frame
from distbragg.kernel.scale import background_start, intensity_scale
from distbragg.kernel.triton.batches import in_batches
from distbragg.kernel.triton.memory import is_out_of_memory, release_memory
from distbragg.models.arrays import Float64Array
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import Vector
from distbragg.plan.keys import Tile

_BATCH_PIXELS: Final = {"cpu": 1 << 16, "cuda": 1 << 24}
"""Pixels finished at once; noise holds some twenty numbers of eight bytes for each."""


def finish_into(
    out: NDArray[Any],
    experiment: Experiment,
    panel: int,
    tile: Tile,
    numerator: DeviceSum,
    *,
    frame: int,
) -> None:
    """Write the photons or counts of a tile into a part of a frame; see `finalize_into`.

    Parameters
    ----------
    out : (slow, fast) float32 or float64, the tile's shape
    numerator : DeviceSum of tile.pixels

    Raises
    ------
    MemoryError
        The device cannot hold even a small batch.
    """
    device = numerator.values.device
    view = experiment.detector.panels[panel]
    dtype = torch.float32 if out.dtype == np.float32 else torch.float64
    positions = None if view.fully_active else active_positions(view, tile)
    total = tile.pixels if positions is None else int(positions.size)
    with torch.inference_mode():
        finished = torch.zeros(tile.pixels, dtype=dtype, device=device)

        def work(start: int, stop: int) -> None:
            if positions is None:
                places = torch.arange(start, stop, device=device)
                chosen: Tensor | slice = slice(start, stop)
            else:
                places = chosen = torch.from_numpy(positions[start:stop]).to(device)
            values = _photons(experiment, panel, tile, places, numerator.values[chosen])
            if experiment.noise.photon:
                pixels = _panel_pixels(experiment, panel, tile, places)
                seed = experiment.noise.seed
                values = poisson_counts(values, pixels, seed=seed, frame=frame)
            finished[chosen] = values.to(dtype)

        in_batches(
            total,
            _BATCH_PIXELS[device.type],
            work,
            is_out_of_memory=is_out_of_memory,
            release=release_memory,
        )
        out[...] = _to_host(finished).reshape(tile.shape)


def _to_host(values: Tensor) -> NDArray[Any]:
    """Copy through page-locked memory, which the device writes at its own pace."""
    if values.device.type == "cpu":
        array: NDArray[Any] = values.numpy()
        return array
    host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    host.copy_(values, non_blocking=True)
    torch.cuda.current_stream(values.device).synchronize()
    copied: NDArray[Any] = host.numpy()
    return copied


def _coordinates(tile: Tile, places: Tensor) -> tuple[Tensor, Tensor]:
    """Slow and fast index on the panel of row-major places in a tile, int64."""
    width = tile.fast_stop - tile.fast_start
    rows = torch.div(places, width, rounding_mode="floor")
    return rows + tile.slow_start, places - rows * width + tile.fast_start


def _panel_pixels(experiment: Experiment, panel: int, tile: Tile, places: Tensor) -> Tensor:
    """Index of each pixel within the frame, panels included."""
    slow, fast = experiment.detector.panels[panel].shape
    rows, columns = _coordinates(tile, places)
    return rows * fast + columns + panel * slow * fast


def _photons(
    experiment: Experiment, panel: int, tile: Tile, places: Tensor, numerator: Tensor
) -> Tensor:
    """Return the expected photons of the pixels at `places`."""
    scale = intensity_scale(experiment)
    if experiment.physics == "exact":
        return numerator * scale
    rows, columns = _coordinates(tile, places)
    factors = _Factors(experiment, panel, rows.to(torch.float64), columns.to(torch.float64))
    return (numerator + background_start(experiment)) * scale * factors.product()


class _Factors:
    """The factors that `physics: nanobragg` applies once per pixel.

    Parameters
    ----------
    experiment : Experiment
    panel : int
    slow, fast : (pixels,) float64
        Indices on the panel.
    """

    def __init__(self, experiment: Experiment, panel: int, slow: Tensor, fast: Tensor) -> None:
        self._experiment = experiment
        self._view = experiment.detector.panels[panel]
        self._slow, self._fast = slow, fast

    def product(self) -> Tensor:
        """Solid angle × capture × polarisation, as far as they are per pixel, (pixels,)."""
        view, sampling = self._view, self._experiment.sampling
        first = self._rays(SampleIndex(0, 0, 0))
        factor = torch.ones_like(self._slow)
        if not sampling.per_sample_solid_angle:
            factor = factor * solid_angle(view, first)
        if not sampling.per_sample_capture and view.sensor.absorbs:
            last = view.sensor.count - 1
            cosine = cosine_to_normal(view, self._rays(SampleIndex(last, 0, 0)))
            factor = factor * capture_fraction(view.sensor, last, cosine)
        if self._experiment.beam.polarized and not sampling.per_sample_polarization:
            factor = factor * self._first_polarization(first)
        return factor

    def _rays(self, sample: SampleIndex, chosen: Tensor | None = None) -> Rays:
        slow = self._slow if chosen is None else self._slow[chosen]
        fast = self._fast if chosen is None else self._fast[chosen]
        oversample = self._experiment.sampling.oversample
        beam = _triple(self._experiment.beam.direction)
        return sample_rays(self._view, beam, slow, fast, sample=sample, oversample=oversample)

    def _first_polarization(self, first: Rays) -> Tensor:
        """Polarisation of the first sample that passes the resolution cut, else 0."""
        if self._experiment.sampling.dmin <= 0.0:
            return self._polarization(0, first)
        factor = torch.zeros_like(self._slow)
        waiting = torch.arange(self._slow.shape[0], device=factor.device)
        oversample = self._experiment.sampling.oversample
        for sample in sample_indices(self._view.sensor.count, oversample):
            rays = self._rays(sample, waiting)
            for source in range(self._experiment.beam.sources.count):
                passed = self._passes(source, rays)
                factor[waiting[passed]] = self._polarization(source, rays)[passed]
                waiting = waiting[~passed]
                if waiting.numel() == 0:
                    return factor
                x, y, z = rays.direction
                rays = Rays((x[~passed], y[~passed], z[~passed]), rays.length[~passed])
        return factor

    def _passes(self, source: int, rays: Rays) -> Tensor:
        """Whether rays pass the resolution cut with a source."""
        sources = self._experiment.beam.sources
        wavelength = float(sources.wavelength[source])
        x, y, z = (
            (part - along) / wavelength
            for part, along in zip(rays.direction, self._incident(source), strict=True)
        )
        stol = torch.sqrt(x * x + y * y + z * z) * 0.5
        return ~(0.5 / stol < self._experiment.sampling.dmin)

    def _polarization(self, source: int, rays: Rays) -> Tensor:
        beam = self._experiment.beam
        frame = polarization_frame(self._incident(source), _triple(beam.polarization_axis))
        return polarization_factor(frame, rays.direction, beam.kahn_factor)

    def _incident(self, source: int) -> Vector:
        x, y, z = _triple(self._experiment.beam.sources.direction[source])
        return -x, -y, -z


def _triple(vector: Float64Array) -> Vector:
    return float(vector[0]), float(vector[1]), float(vector[2])
