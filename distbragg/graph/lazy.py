"""Frames as dask arrays: one block per tile, rendered when it is asked for.

The arrays' names come from the experiment's own hash: two equal spec models tokenize
differently in Dask, so no model, and no large array, ever enters the graph. A block's task
carries the specification as text, once for the whole graph.
"""

# dask has no type hints on most of its functions.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from distbragg.errors import RefusedError
from distbragg.graph.frame import render_whole_tile
from distbragg.graph.partial import check_complete
from distbragg.graph.worker import PreparedFrame, ProcessCache
from distbragg.kernel.finalize import finalize_into
from distbragg.kernel.options import resolve_options
from distbragg.models.build import build_experiment
from distbragg.models.hashing import physics_hash
from distbragg.plan.frame import FramePlan, plan_frame
from distbragg.plan.tiling import grid_edges
from distbragg.spec.canonical import canonical_json, to_plain
from distbragg.spec.compute import ComputeSpec
from distbragg.spec.experiment import ExperimentSpec
from distbragg.spec.load import parse_sweep
from distbragg.spec.sweep import SweepSpec

Dtype = Literal["float32", "float64"]

_KEPT = 4


@dataclass(frozen=True, slots=True)
class LazyWork:
    """What every block of a lazy array knows.

    Attributes
    ----------
    sweep : str
        The sweep as canonical JSON.
    physics_hash : str
        Of the base experiment when the array was made.
    tile : (int, int)
        Tile (slow, fast) common to all frames.
    dtype : {"float32", "float64"}
    threads : int
    """

    sweep: str
    physics_hash: str
    tile: tuple[int, int]
    dtype: Dtype
    threads: int


_sweeps: ProcessCache[str, SweepSpec] = ProcessCache(_KEPT)
_frames: ProcessCache[tuple[LazyWork, int], PreparedFrame] = ProcessCache(_KEPT)


def lazy_frame(spec: ExperimentSpec, *, dtype: Dtype | None = None, threads: int = 1) -> da.Array:
    """Return one frame as a dask array (panels, slow, fast), one block per tile.

    Parameters
    ----------
    spec : ExperimentSpec
    dtype : {"float32", "float64"}, optional
        By default float64 under `compute.precision: float64`, else float32.
    threads : int
        Threads of the kernel within one block.
    """
    return lazy_sweep(SweepSpec(experiment=spec, axes=()), dtype=dtype, threads=threads)


def lazy_sweep(sweep: SweepSpec, *, dtype: Dtype | None = None, threads: int = 1) -> da.Array:
    """Return all frames as a dask array (sweep dims…, panels, slow, fast), one block per tile.

    Meant for interactive use, up to some 10^4 blocks; a run streams any number.
    """
    spec = sweep.frame_spec(0)
    experiment = build_experiment(spec, frame=0)
    plan = plan_frame(experiment, spec.compute)
    rows, columns = grid_edges(plan.tiles)
    precise = spec.compute.precision == "float64"
    work = LazyWork(
        sweep=canonical_json(to_plain(sweep)),
        physics_hash=physics_hash(experiment),
        tile=(rows[0], columns[0]),
        dtype=dtype or ("float64" if precise else "float32"),
        threads=threads,
    )
    ones = tuple((1,) * size for _, size in sweep.dims)
    chunks = (*ones, (1,) * plan.panels, rows, columns)
    array: da.Array = da.map_blocks(
        _render_block,
        work=work,
        sizes=tuple(size for _, size in sweep.dims),
        chunks=chunks,
        dtype=work.dtype,
        meta=np.empty((0,) * len(chunks), dtype=work.dtype),
        name=f"distbragg-frame-{_identity(work, sweep, plan)}",
    )
    return array


def _identity(work: LazyWork, sweep: SweepSpec, plan: FramePlan) -> str:
    """Hash of everything the pixels and the blocks depend on: 32 hex digits."""
    content = to_plain(sweep)
    compute = content["experiment"].pop("compute")
    content["numerics"] = [compute["precision"], compute["kernel"], compute["device"]]
    content["work"] = [work.physics_hash, plan.plan_hash, list(work.tile), work.dtype]
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()[:32]


def _render_block(
    *, work: LazyWork, sizes: Sequence[int], block_id: tuple[int, ...]
) -> NDArray[Any]:
    """Render one tile of one frame; `block_id` is (sweep index…, panel, row, column)."""
    *position, panel, row, column = block_id
    frame = 0
    for index, size in zip(position, sizes, strict=True):
        frame = frame * size + index
    ready = _frames.get((work, frame), lambda: _prepare(work, frame))
    plan = ready.plan
    tile = row * len(grid_edges(plan.tiles)[1]) + column
    options = resolve_options(_compute(work), work.threads)
    keys = plan.tile_keys(frame, panel, tile)
    partial = render_whole_tile(ready.experiment, plan, options, keys)
    check_complete(partial, plan, panel, tile)
    pixels = np.empty(plan.tiles[tile].shape, dtype=work.dtype)
    finalize_into(pixels, ready.experiment, panel, plan.tiles[tile], partial.numerator, frame=frame)
    return pixels.reshape((*(1 for _ in position), 1, *pixels.shape))


def _prepare(work: LazyWork, frame: int) -> PreparedFrame:
    spec = _sweep(work).frame_spec(frame)
    experiment = build_experiment(spec, frame=frame)
    if frame == 0 and physics_hash(experiment) != work.physics_hash:
        raise RefusedError(
            "an input file changed since the lazy array was made; make the array again"
        )
    return PreparedFrame(spec, experiment, plan_frame(experiment, _compute(work)))


def _sweep(work: LazyWork) -> SweepSpec:
    return _sweeps.get(work.sweep, lambda: parse_sweep(json.loads(work.sweep)))


def _compute(work: LazyWork) -> ComputeSpec:
    return _sweep(work).experiment.compute.model_copy(update={"tile": work.tile})
