"""From the merged numerator of a tile to photons: everything that is applied once.

One set of formulas serves numpy on the host and tensors on a device, where a numerator that was
made there is finished. torch is loaded for the latter, and for photon noise without the native
library: every other frame of the native kernel starts a second sooner.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from distbragg.kernel.native import counts as native_counts
from distbragg.kernel.overlay import Overlay, overlay_of
from distbragg.kernel.tile import DeviceSum, active_positions, frame_pixel
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import Float64Array, IntArray
from distbragg.physics.arrays import Array, floats, like, whole_numbers
from distbragg.physics.factors import PixelFactors, background_start, intensity_scale
from distbragg.plan.frame import Tile, sums_are_scaled

if TYPE_CHECKING:
    from torch import Tensor

_BLOCK_PIXELS: Final = 32_768
"""Pixels finished at once where there are factors per pixel: their temporaries stay in the
processor's cache. No bit depends on it."""

_NOISE_BLOCK_PIXELS: Final = 65_536
"""Pixels whose noise is drawn at once: bounds the temporaries."""

_DEVICE_BATCH_PIXELS: Final = {"cpu": 1 << 16, "cuda": 1 << 24}
"""Pixels finished at once on a device; noise holds some twenty numbers of eight bytes for each."""


def finalize_tile(
    experiment: Experiment, panel: int, tile: Tile, numerator: Float64Array, *, frame: int
) -> Float64Array:
    """Turn the sum over all sources into expected photons, or counts where noise is on.

    Parameters
    ----------
    experiment, panel, tile
        As they were given to `render_tile`.
    numerator : (tile.pixels,) float64
        Sum of `render_tile` over every source.
    frame : int
        Index of the frame in its sweep; keys the noise.

    Returns
    -------
    (tile.pixels,) float64
        Photons per pixel; 0 where the pixel is inactive.
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

    `out` has the tile's shape (slow, fast), float32 or float64; a value too large for its type
    becomes infinite. A numerator (tile.pixels,) in device memory is finished there, and only pixels
    travel: MemoryError where the device cannot hold even a small batch.
    """
    if numerator.shape != (tile.pixels,):
        raise ValueError(f"numerator of shape {numerator.shape} for a tile of {tile.pixels} pixels")
    if isinstance(numerator, DeviceSum):
        _finish_on_device(out, experiment, panel, tile, numerator, frame=frame)
        return
    sums = numerator.reshape(tile.shape)
    with np.errstate(over="ignore"):
        for block in _row_blocks(experiment, tile):
            rows = slice(block.slow_start - tile.slow_start, block.slow_stop - tile.slow_start)
            _finish_block(out[rows], experiment, panel, block, sums[rows], frame=frame)


def _row_blocks(experiment: Experiment, tile: Tile) -> list[Tile]:
    """Cut a tile into the blocks of whole rows that are finished at once."""
    if _is_only_scaled(experiment):
        return [tile]
    pixels = _NOISE_BLOCK_PIXELS if experiment.counted_in_kernel else _BLOCK_PIXELS
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
    active = view.active[block.slow_start : block.slow_stop, block.fast_start : block.fast_stop]
    if not active.any():
        out[...] = 0.0
        return
    if _is_only_scaled(experiment):
        np.multiply(numerator, intensity_scale(experiment), out=out, casting="same_kind")
    else:
        out[...] = _values(experiment, panel, block, numerator, frame=frame)
    if not view.fully_active:
        out[~active] = 0.0


def _is_only_scaled(experiment: Experiment) -> bool:
    plain = experiment.background.image is None and experiment.detector.beam_stop is None
    return sums_are_scaled(experiment) and not experiment.counted_in_kernel and plain


def expected_photons(
    experiment: Experiment, panel: int, numerator: Array, slow: Array, fast: Array
) -> Array:
    """Return the photons that a numerator stands for, before noise: an array of its own kind.

    `slow` and `fast` are float64 indices on the panel that broadcast to the numerator's shape.
    """
    scale = intensity_scale(experiment)
    if sums_are_scaled(experiment):
        photons = numerator * scale
    else:
        factors = PixelFactors(experiment, panel, slow, fast).product()
        photons = (numerator + background_start(experiment)) * scale * factors
    overlay = overlay_of(experiment, panel)
    return photons if overlay is None else overlaid(photons, overlay, slow, fast)


def overlaid(photons: Array, overlay: Overlay, slow: Array, fast: Array) -> Array:
    """Add the image, and take away what the beam stop does, at float64 indices on the panel."""
    places = whole_numbers(slow), whole_numbers(fast)
    if overlay.added is not None:
        photons = photons + like(photons, overlay.added)[places] * overlay.scale
    if overlay.transmission is not None:
        photons = photons * like(photons, overlay.transmission)[places]
    return photons


def _values(
    experiment: Experiment,
    panel: int,
    block: Tile,
    numerator: Float64Array,
    *,
    frame: int,
) -> Float64Array:
    """Photons or counts of all pixels of a block, (slow, fast); inactive ones mean nothing."""
    rows = np.arange(block.slow_start, block.slow_stop, dtype=np.float64)[:, np.newaxis]
    columns = np.arange(block.fast_start, block.fast_stop, dtype=np.float64)[np.newaxis]
    # A pixel in the crystal itself has no direction: its NaN is refused when stored.
    with np.errstate(divide="ignore", invalid="ignore"):
        photons: Float64Array = expected_photons(experiment, panel, numerator, rows, columns)
    if not experiment.counted_in_kernel:
        return photons
    shape = experiment.detector.panels[panel].shape
    pixels = frame_pixel(panel, shape, rows.astype(np.int64), columns.astype(np.int64)).reshape(-1)
    drawn = experiment.noise
    counts = draw_counts(photons.reshape(-1), pixels, seed=drawn.seed, frame=drawn.key(frame))
    return counts.reshape(block.shape)


def draw_counts(means: Float64Array, pixels: IntArray, *, seed: int, frame: int) -> Float64Array:
    """Draw the counts of `noise.poisson`, natively where that can be, else with tensors."""
    if native_counts.available():
        return native_counts.draw_counts(means, pixels, seed=seed, frame=frame)
    # Loads torch, which takes a second and 200 MB.
    from distbragg.kernel.noise import poisson

    return poisson(means, pixels, seed=seed, frame=frame)


def _finish_on_device(
    out: NDArray[Any],
    experiment: Experiment,
    panel: int,
    tile: Tile,
    numerator: DeviceSum,
    *,
    frame: int,
) -> None:
    """Finish a tile where its sum is, in batches that are halved when memory runs out."""
    import torch

    from distbragg.kernel import noise
    from distbragg.kernel.triton.batches import in_batches
    from distbragg.kernel.triton.memory import is_out_of_memory, release_memory

    device = numerator.values.device
    view = experiment.detector.panels[panel]
    dtype = torch.float32 if out.dtype == np.float32 else torch.float64
    positions = None if view.fully_active else active_positions(view, tile)
    total = tile.pixels if positions is None else int(positions.size)
    width = tile.fast_stop - tile.fast_start
    with torch.inference_mode():
        finished = torch.zeros(tile.pixels, dtype=dtype, device=device)

        def work(start: int, stop: int) -> None:
            if positions is None:
                places = torch.arange(start, stop, device=device)
                chosen: Tensor | slice = slice(start, stop)
            else:
                places = chosen = torch.from_numpy(positions[start:stop]).to(device)
            rows = torch.div(places, width, rounding_mode="floor")
            slow, fast = rows + tile.slow_start, places - rows * width + tile.fast_start
            sums = numerator.values[chosen]
            values = expected_photons(experiment, panel, sums, floats(slow), floats(fast))
            if experiment.counted_in_kernel:
                pixels = frame_pixel(panel, view.shape, slow, fast)
                seed, number = experiment.noise.seed, experiment.noise.key(frame)
                values = noise.poisson_counts(values, pixels, seed=seed, frame=number)
            finished[chosen] = values.to(dtype)

        in_batches(
            total,
            _DEVICE_BATCH_PIXELS[device.type],
            work,
            is_out_of_memory=is_out_of_memory,
            release=release_memory,
        )
        out[...] = _to_host(finished).reshape(tile.shape)


def _to_host(values: Tensor) -> NDArray[Any]:
    """Copy through page-locked memory, which the device writes at its own pace."""
    import torch

    if values.device.type == "cpu":
        array: NDArray[Any] = values.numpy()
        return array
    host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    host.copy_(values, non_blocking=True)
    torch.cuda.current_stream(values.device).synchronize()
    copied: NDArray[Any] = host.numpy()
    return copied
