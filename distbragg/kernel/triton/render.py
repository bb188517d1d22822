"""`render_numerator` on the GPU: from the resolved experiment to launches of the fused kernel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from distbragg.kernel.tile import DeviceSum, active_positions
from distbragg.kernel.triton.batches import in_batches
from distbragg.kernel.triton.clock import DeviceClock, on_device
from distbragg.kernel.triton.library import prepare_cache
from distbragg.kernel.triton.memory import is_out_of_memory, release_memory
from distbragg.kernel.triton.pack import Scene, make_scene
from distbragg.shapes import SHAPES

if TYPE_CHECKING:
    from torch import Tensor

    from distbragg.kernel.options import KernelOptions
    from distbragg.models.detector import Panel
    from distbragg.models.experiment import Experiment
    from distbragg.models.vectors import Float64Array
    from distbragg.plan.frame import SourceChunk, Tile


@dataclass(frozen=True, slots=True)
class LaunchForm:
    """What one program on a GPU is given: it changes speed, and no bit.

    Attributes
    ----------
    pixels, warps : int
    registers : int or None
        Most that a thread may take; None leaves it to the compiler.
    """

    pixels: int
    warps: int
    registers: int | None = None


WIDE_SPOTS: Final = LaunchForm(256, 4)
"""Two pixels for each thread."""

SHORT_STEP: Final = LaunchForm(256, 4, 80)
"""The same where 80 registers suffice without a spill: six programs a multiprocessor, not five."""

NARROW_SPOTS: Final = LaunchForm(64, 1)
"""A program passes over a domain when none of its pixels is near a spot, which one warp decides
without a barrier."""

INTERPRETED_PIXELS: Final = 4096
"""Pixels of a program in the interpreter, whose cost is per operation and not per pixel."""

MOST_STEPS: Final = 1 << 38
"""Steps of one launch, about a second: sources beyond go into the next, so that an interrupt is
heard and a display's watchdog is not woken. The sum over sources goes on where it stood."""


def render_numerator(
    experiment: Experiment, panel: int, tile: Tile, chunk: SourceChunk, options: KernelOptions
) -> Float64Array:
    """Render the un-normalised numerator of a tile; see `render_tile` for the contract.

    Parameters
    ----------
    experiment : Experiment
    panel : int
    tile : Tile
    chunk : SourceChunk
    options : KernelOptions
        `precision`, `device` and `indices` are read.

    Returns
    -------
    (tile.pixels,) float64

    Raises
    ------
    MemoryError
        The device cannot hold even a small batch.
    """
    return render_resident(experiment, panel, tile, chunk, options).to_host()


def render_resident(
    experiment: Experiment, panel: int, tile: Tile, chunk: SourceChunk, options: KernelOptions
) -> DeviceSum:
    """Render as `render_numerator` does, and leave the numerator on the device."""
    prepare_cache()
    device = torch.device(options.device)
    out = torch.zeros(tile.pixels, dtype=torch.float64, device=device)
    positions = _positions(experiment.detector.panels[panel], tile, device)
    if not (positions.numel() and chunk.count):
        return DeviceSum(out)
    split = options.indices == "split"
    scene = make_scene(experiment, panel, options.precision, options.device, split=split)
    with on_device(device), DeviceClock(device) as clock:
        _launch_all(scene, out, positions, tile, chunk)
    return DeviceSum(out, clock.seconds)


def _positions(view: Panel, tile: Tile, device: torch.device) -> Tensor:
    """Row-major places in the tile of its active pixels, int32."""
    if view.fully_active:
        return torch.arange(tile.pixels, dtype=torch.int32, device=device)
    return torch.from_numpy(active_positions(view, tile).astype(np.int32)).to(device)


def launch_form(flags: Mapping[str, Any]) -> LaunchForm:
    """Choose the form of a launch from the kernel's compile-time choices."""
    if flags["NARROW"]:
        return NARROW_SPOTS
    long = any(flags[name] for name in ("LONG", "SPLIT", "INTERPOLATE"))
    plain = all(flags[name] for name in ("SINGLE", "ONE_WAY", "INSIDE"))
    square = flags["SHAPE"] == SHAPES["square"].code
    return SHORT_STEP if square and plain and not long else WIDE_SPOTS


def _launch_all(
    scene: Scene, out: Tensor, positions: Tensor, tile: Tile, chunk: SourceChunk
) -> None:
    from distbragg.kernel.triton.device.arithmetic import INTERPRETED
    from distbragg.kernel.triton.device.fused import render_block

    form = launch_form(scene.flags)
    block = INTERPRETED_PIXELS if INTERPRETED.value else form.pixels
    total = int(positions.numel())
    together = max(1, MOST_STEPS // max(1, scene.samples * scene.domains * total))

    def launch(start: int, stop: int) -> None:
        count = stop - start
        for first in range(chunk.start, chunk.stop, together):
            last = min(first + together, chunk.stop)
            render_block[(-(-count // block),)](
                out,
                positions[start:stop],
                count,
                tile.fast_stop - tile.fast_start,
                tile.slow_start,
                tile.fast_start,
                first,
                last,
                scene.domains,
                *scene.tensors,
                **scene.flags,
                BLOCK=block,
                num_warps=form.warps,
                maxnreg=form.registers,
                enable_fp_fusion=False,
            )

    # Nothing is allocated after the first launch of a batch, so that a repeated range starts
    # from zeros.
    in_batches(
        total,
        total,
        launch,
        is_out_of_memory=is_out_of_memory,
        release=release_memory,
    )
