"""`render_sum` and `render_photons`: from resolved experiments to one call of the C++ kernel."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from distbragg.kernel.native.abi import Parameters
from distbragg.kernel.native.call import Call
from distbragg.kernel.native.library import library
from distbragg.kernel.tile import TileSum
from distbragg.physics.factors import intensity_scale
from distbragg.plan.frame import is_one_sum, sums_are_scaled

if TYPE_CHECKING:
    from distbragg.kernel.options import KernelOptions
    from distbragg.kernel.render_tile import TilePhotons
    from distbragg.models.experiment import Experiment
    from distbragg.models.vectors import Float64Array
    from distbragg.plan.frame import SourceChunk, Tile


LONG_STEPS: Final = 10**8
"""Steps from which on a call can be interrupted: a tenth of a second and more."""

_NO_MEMORY: Final = 1
_BEGIN_S: Final = 1.0
"""Longest wait for a thread that may have been started to begin, s."""


def finishes_in_kernel(experiment: Experiment, options: KernelOptions) -> bool:
    """Whether `render_photons` can make the photons, or counts, of a frame."""
    whole = is_one_sum(experiment) and sums_are_scaled(experiment)
    return whole and options.kernel == "native"


def render_numerator(
    experiment: Experiment,
    panel: int,
    tile: Tile,
    chunk: SourceChunk,
    options: KernelOptions,
) -> Float64Array:
    """Return the numerator of `render_sum` alone, (tile.pixels,) float64."""
    return render_sum(experiment, panel, tile, chunk, options).on_host()


def render_sum(
    experiment: Experiment,
    panel: int,
    tile: Tile,
    chunk: SourceChunk,
    options: KernelOptions,
) -> TileSum:
    """Sum the weighted intensities of one tile over one source chunk.

    Parameters
    ----------
    experiment : Experiment
    panel : int
        Index into `experiment.detector.panels`.
    tile : Tile
        Pixels rendered, global indices of the panel.
    chunk : SourceChunk
        Sources rendered, global indices of the source table.
    options : KernelOptions
        `precision` ("mixed" or "float64") and `threads` are read; threads share out the
        pixels and change no bit.

    Returns
    -------
    TileSum
        Un-normalised numerator, row-major (slow, fast); inactive pixels are exactly 0. With a
        bound of what the experiment's tolerance left out.

    Raises
    ------
    RuntimeError
        If the kernel is not available here.
    MemoryError
    """
    blocks = (Parameters * 1)()
    call = Call.of(blocks[0], experiment, (panel, tile, chunk), options)
    # The kernel writes every pixel.
    out = np.empty(tile.pixels, dtype=np.float64)
    call.write_numerators(out)
    _run(blocks)
    return TileSum(out, call.skipped, call.evaluated)


def find_strongest(
    experiment: Experiment,
    panel: int,
    tile: Tile,
    chunk: SourceChunk,
    options: KernelOptions,
) -> Float64Array:
    """Return which reflection gives each pixel most, in closed form without a background.

    Returns
    -------
    (tile.pixels, 4) float64
        Place of the lattice among those that scatter, h, k and l, row-major (slow, fast); a pixel
        that nothing lights has no numbers.
    """
    blocks = (Parameters * 1)()
    call = Call.of(blocks[0], experiment, (panel, tile, chunk), options)
    out = np.full((tile.pixels, 4), np.nan)
    call.write_strongest(out)
    _run(blocks)
    return out


def render_photons(tiles: Sequence[TilePhotons], options: KernelOptions) -> list[float]:
    """Render tiles over all their sources, noise included, each into its place, in one call.

    The same bits as `render_sum` and `finalize_tile` give one after the other.

    Parameters
    ----------
    tiles : sequence of TilePhotons
        Of one frame or of several; those that share detector, beam and |F| take less time.
    options : KernelOptions

    Returns
    -------
    list of float
        For each tile, the photons left out of any pixel within the tolerance at most.

    Raises
    ------
    RuntimeError, MemoryError
        See `render_sum`.
    """
    blocks = (Parameters * len(tiles))()
    calls: list[Call] = []
    for block, tile in zip(blocks, tiles, strict=True):
        before = calls[-1] if calls else None
        place = tile.panel, tile.tile, tile.chunk
        call = Call.of(block, tile.experiment, place, options, like=before)
        call.write_photons(tile.out, intensity_scale(tile.experiment), tile.frame)
        calls.append(call)
    _run(blocks)
    # Where nothing was left out the scale does not matter, even where it is not a number.
    return [call.skipped * call.photon_scale if call.skipped else 0.0 for call in calls]


def _run(blocks: ctypes.Array[Parameters]) -> None:
    """Call the kernel, in the main thread so that a signal ends a long call too."""
    main = threading.current_thread() is threading.main_thread()
    beside = main and _is_long(blocks)
    render = partial(library().distbragg_render, blocks, len(blocks))
    status = _run_beside(blocks, render) if beside else render()
    if status == _NO_MEMORY:
        raise MemoryError("the native kernel could not allocate its workspace")


def _run_beside(blocks: ctypes.Array[Parameters], render: Callable[[], int]) -> int:
    """Call the kernel in a thread of its own, and have it stop where this one is interrupted.

    Signals are handled between two steps of the interpreter, never inside a call of C++.
    """
    stop, begun, ended = ctypes.c_uint8(0), threading.Event(), threading.Event()
    status: list[int] = []
    for block in blocks:
        block.stop = ctypes.addressof(stop)

    def work() -> None:
        begun.set()
        try:
            status.append(render())
        finally:
            ended.set()

    thread = threading.Thread(target=work, name="kernel", daemon=True)
    try:
        thread.start()
        ended.wait()
    except BaseException:
        stop.value = 1
        # The kernel writes to what this thread holds until it has ended. An interrupt may come
        # while the thread starts, too: then it is not known whether it will begin.
        if begun.wait(_BEGIN_S):
            ended.wait()
        raise
    return status[0]


def _is_long(blocks: ctypes.Array[Parameters]) -> bool:
    """Whether the kernel may take longer than a tenth of a second, were every step taken."""
    steps: int = sum(
        (block.slow_stop - block.slow_start)
        * (block.fast_stop - block.fast_start)
        * (block.source_stop - block.source_start)
        * block.oversample**2
        * block.layers
        * block.domains
        * (1 + block.others)
        for block in blocks
    )
    return steps > LONG_STEPS
