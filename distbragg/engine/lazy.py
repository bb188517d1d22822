"""The frames of a sweep as a dask array, rendered when they are asked for, as a run renders them.

The array is named by a hash of all that its pixels depend on, and no model and no large array
enters its graph: a block's task carries the specification as text, once for the whole graph.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any, Final

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from distbragg.engine.context import SWEEPS_KEPT, ProcessCache, SweepFrames
from distbragg.errors import RefusedError
from distbragg.kernel.options import KernelOptions, resolve_options
from distbragg.models.build import build_reflections
from distbragg.plan.frame import grid_edges
from distbragg.plan.sweep import SweepPlan, block_shape
from distbragg.rendering.frame import FrameJob, finish_tile, render_groups, render_whole_tile
from distbragg.spec.canonical import canonical_json, to_plain
from distbragg.spec.load import parse_sweep
from distbragg.spec.sweep import SweepSpec
from distbragg.store.inputs import identify_input
from distbragg.store.write import check_overloads

BLOCK_SECONDS: Final = 1.0
"""Planned cost that the frames of one block stay within: enough that Dask's own cost of a block
does not show, little enough to look at a single frame. A frame beyond it is cut into tiles."""

BLOCK_BYTES: Final = 1 << 26  # bytes of pixels that the frames of one block stay within


@dataclass(frozen=True, slots=True)
class LazyWork:
    """What every block of a lazy array knows."""

    sweep: str  # as canonical JSON
    physics_hash: str  # of the base experiment
    inputs: tuple[tuple[str, str], ...]  # path and SHA-256 of files, when the array was made
    block: tuple[int, ...]  # frames of a full block along each dimension of the sweep
    tile: tuple[int, int] | None  # pixels (slow, fast), where a block is a tile of one frame
    dtype: str
    threads: int


class _OpenSweep:
    """A lazy array's sweep as this process has opened it, while its input files are the same."""

    def __init__(self, work: LazyWork) -> None:
        for path, digest in work.inputs:
            if identify_input(path).sha256 != digest:
                raise RefusedError(
                    f"{path}: changed since the lazy array was made; make the array again"
                )
        sweep = parse_sweep(json.loads(work.sweep))
        compute = sweep.experiment.compute
        self.overflow = sweep.experiment.output.overflow
        if work.tile is not None:
            compute = compute.model_copy(update={"tile": work.tile})
        self.options: KernelOptions = resolve_options(compute, work.threads)
        self.frames = SweepFrames(sweep, compute, lambda _, spec: build_reflections(spec))


_sweeps: Final[ProcessCache[LazyWork, _OpenSweep]] = ProcessCache(SWEEPS_KEPT)


def lazy_frames(
    plan: SweepPlan,
    sweep: SweepSpec,
    physics_hash: str,
    inputs: Mapping[str, str],
    *,
    threads: int = 1,
) -> da.Array:
    """Return all frames as a dask array (sweep dims…, panels, slow, fast).

    A block holds whole frames, as many as are worth a task; or a tile of one frame that is worth
    several. Meant for some 10^5 blocks at most; a run streams any number. Another process reads
    the `inputs` (SHA-256 by path) itself, and refuses others; `threads` are those of its kernel.
    """
    frame, precise = plan.frame, sweep.experiment.compute.precision == "float64"
    rows, columns = grid_edges(frame.tiles)
    cut = frame.nominal_seconds > BLOCK_SECONDS and frame.panels * len(frame.tiles) > 1
    wished = min(
        plan.frames_per_unit,
        int(BLOCK_SECONDS / frame.nominal_seconds),
        BLOCK_BYTES // (frame.pixels * (8 if precise else 4)),
    )
    work = LazyWork(
        sweep=canonical_json(to_plain(sweep)),
        physics_hash=physics_hash,
        inputs=tuple(sorted(inputs.items())),
        block=block_shape(tuple(size for _, size in plan.dims), 1 if cut else wished),
        tile=(rows[0], columns[0]) if cut else None,
        dtype="float64" if precise else "float32",
        threads=threads,
    )
    blocks = tuple(
        tuple(min(block, size - start) for start in range(0, size, block))
        for (_, size), block in zip(plan.dims, work.block, strict=True)
    )
    pixels = ((1,) * frame.panels, rows, columns)
    whole = tuple((sum(edges),) for edges in pixels)
    array: da.Array = da.map_blocks(
        _render_block,
        work=work,
        sizes=tuple(size for _, size in plan.dims),
        chunks=(*blocks, *(pixels if cut else whole)),
        dtype=work.dtype,
        meta=np.empty((0,) * (len(blocks) + 3), dtype=work.dtype),
        name=f"distbragg-frames-{_identity(work, sweep, plan)}",
    )
    return array


def _identity(work: LazyWork, sweep: SweepSpec, plan: SweepPlan) -> str:
    """Hash of everything the pixels and the blocks depend on: 32 hex digits."""
    compute = sweep.experiment.compute
    content = {**asdict(work), "threads": 0, "sweep": to_plain(sweep)}
    content["sweep"]["experiment"].pop("compute", None)
    content["numerics"] = [compute.precision, compute.kernel, compute.device, plan.frame.plan_hash]
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()[:32]


def _render_block(
    *, work: LazyWork, sizes: tuple[int, ...], block_id: tuple[int, ...]
) -> NDArray[Any]:
    """Render a block; `block_id` is (sweep index…, panel, row, column)."""
    opened = _sweeps.get(work, lambda: _OpenSweep(work))
    spans = [
        range(index * block, min((index + 1) * block, size))
        for index, block, size in zip(block_id, work.block, sizes, strict=False)
    ]
    frames = [int(np.ravel_multi_index(at, sizes)) if sizes else 0 for at in product(*spans)]
    pixels = (
        _frames(opened, work.dtype, frames)
        if work.tile is None
        else _tile(opened, work.dtype, frames[0], block_id[-3:])
    )
    return pixels.reshape((*map(len, spans), *pixels.shape[1:]))


def _frames(opened: _OpenSweep, dtype: str, frames: list[int]) -> NDArray[Any]:
    """Render whole frames: (frames, panels, slow, fast)."""
    plan = opened.frames.frame(frames[0]).plan
    shape = plan.panels, *plan.shape
    images = np.empty((len(frames), *shape), dtype=dtype)
    jobs = (
        FrameJob(image, ready.experiment, ready.plan, frame)
        for frame, image in zip(frames, images, strict=True)
        for ready in [opened.frames.frame(frame)]
    )
    for job, facts in render_groups(jobs, opened.options):
        check_overloads(facts.overloads, job.image.size, opened.overflow)
    return images


def _tile(opened: _OpenSweep, dtype: str, frame: int, place: tuple[int, ...]) -> NDArray[Any]:
    """Render the tile at (panel, row, column) of one frame: (1, 1, slow, fast)."""
    panel, row, column = place
    ready = opened.frames.frame(frame)
    plan = ready.plan
    index = row * len(grid_edges(plan.tiles)[1]) + column
    tile, keys = plan.tiles[index], plan.tile_keys(frame, panel, index)
    if ready.experiment.recorded:
        # What the detector does looks at whole panels: the tile is cut from the finished frame.
        rows = slice(tile.slow_start, tile.slow_stop)
        columns = slice(tile.fast_start, tile.fast_stop)
        return _frames(opened, dtype, [frame])[:, panel : panel + 1, rows, columns]
    pixels = np.empty(tile.shape, dtype=dtype)
    partial = render_whole_tile(ready.experiment, plan, opened.options, keys)
    finish_tile(pixels, ready.experiment, plan, partial)
    return pixels[np.newaxis, np.newaxis]
