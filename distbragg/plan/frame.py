"""The plan of one frame: its tiles, source chunks, merge tree, and exact counts of steps."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from distbragg.errors import PlanError
from distbragg.models.detector import Panel
from distbragg.models.experiment import Experiment
from distbragg.plan.cost import frame_seconds, pixels_per_task
from distbragg.plan.keys import SourceChunk, Tile, TileKey
from distbragg.plan.merge import MERGE_ARITY
from distbragg.plan.tiling import (
    MAX_GPU_TILE_PIXELS,
    MAX_TILE_PIXELS,
    automatic_chunk,
    automatic_tile,
    chunk_sources,
    tile_panel,
)
from distbragg.spec.compute import ComputeSpec


@dataclass(frozen=True, slots=True)
class FramePlan:
    """How one frame is cut, and what its parts must add up to.

    Attributes
    ----------
    panels : int
    shape : (int, int)
        Pixels (slow, fast) of every panel.
    tiles : tuple of Tile
        The same for every panel.
    chunks : tuple of SourceChunk
    merge_arity : int
    active : tuple of tuple of int
        Active pixels by panel and tile.
    samples : tuple of int
        Steps per pixel and source by panel: phi × domains × sub-pixels × layers.
    steps : int
        Steps of the whole frame, those a kernel may skip included.
    weight_sum : float
        Sum (`math.fsum`) of the weights of all sources.
    precision : str
        The precision whose nominal rate the cost is counted in.
    plan_hash : str
        SHA-256 over all of the above, hex.
    photon_noise : bool
        Counts are drawn, which costs time and memory of its own.
    needs_torch : bool
        A process that renders the frame loads torch, for its kernel or for what follows it.
    on_gpu : bool
        The nominal rate is that of a GPU.
    keeps_no_sums : bool
        In the unit form the native kernel writes photons; no float64 sums are held.
    """

    panels: int
    shape: tuple[int, int]
    tiles: tuple[Tile, ...]
    chunks: tuple[SourceChunk, ...]
    merge_arity: int
    active: tuple[tuple[int, ...], ...]
    samples: tuple[int, ...]
    steps: int
    weight_sum: float
    precision: str
    plan_hash: str
    photon_noise: bool = False
    needs_torch: bool = False
    on_gpu: bool = False
    keeps_no_sums: bool = False

    @property
    def pixels(self) -> int:
        """Pixels of the frame, over all panels."""
        return self.panels * self.shape[0] * self.shape[1]

    @property
    def sources(self) -> int:
        """Number of sources."""
        return self.chunks[-1].stop

    @property
    def nominal_seconds(self) -> float:
        """Planned cost on one core or GPU, s."""
        return self.seconds_of(self.steps)

    def seconds_of(self, steps: int) -> float:
        """Planned cost of a frame of this size with another number of steps, s."""
        noisy = self.pixels if self.photon_noise else 0
        return frame_seconds(
            steps, self.pixels, self.precision, noisy_pixels=noisy, on_gpu=self.on_gpu
        )

    @property
    def largest_tile(self) -> int:
        """Pixels of the largest tile."""
        return max(tile.pixels for tile in self.tiles)

    def terms(self, panel: int, tile: int, chunk: int) -> int:
        """Return the steps that the partial of this panel, tile and chunk must report."""
        return self.active[panel][tile] * self.chunks[chunk].count * self.samples[panel]

    def tile_terms(self, panel: int, tile: int) -> int:
        """Return the steps of a tile over all source chunks."""
        return self.active[panel][tile] * self.sources * self.samples[panel]

    def tile_keys(self, frame: int, panel: int, tile: int) -> tuple[TileKey, ...]:
        """Keys of all partials of a tile, in merge order."""
        return tuple(TileKey(frame, panel, tile, chunk) for chunk in range(len(self.chunks)))

    def to_plain(self) -> dict[str, Any]:
        """Return as JSON-able data."""
        return {**_content(self), "plan_hash": self.plan_hash}


def plan_frame(experiment: Experiment, compute: ComputeSpec) -> FramePlan:
    """Cut the frame of `experiment`: a pure function of its arguments.

    Raises
    ------
    PlanError
        Panels of different shapes, or a size below 1.
    """
    panels = experiment.detector.panels
    shape = panels[0].shape
    if any(panel.shape != shape for panel in panels):
        raise PlanError("all panels must have one shape", field="detector")
    on_gpu = compute.device != "cpu"
    samples = tuple(_samples(experiment, panel) for panel in range(len(panels)))
    sources = experiment.beam.sources
    size = (
        automatic_chunk(sources.count)
        if compute.source_chunk == "auto"
        else int(compute.source_chunk)
    )
    chunks = chunk_sources(sources.count, size)
    if compute.tile == "auto":
        wished = pixels_per_task(max(samples), chunks[0].count, compute.precision, on_gpu=on_gpu)
        largest = MAX_GPU_TILE_PIXELS if on_gpu else MAX_TILE_PIXELS
        tile_shape = automatic_tile(shape, wished, largest)
    else:
        tile_shape = compute.tile
    tiles = tile_panel(shape, tile_shape)
    active = tuple(tuple(_count_active(panel, tile) for tile in tiles) for panel in panels)
    steps = sum(
        sum(counts) * sources.count * per_pixel
        for counts, per_pixel in zip(active, samples, strict=True)
    )
    unhashed = FramePlan(
        panels=len(panels),
        shape=shape,
        tiles=tiles,
        chunks=chunks,
        merge_arity=MERGE_ARITY,
        active=active,
        samples=samples,
        steps=steps,
        weight_sum=math.fsum(sources.weight.tolist()),
        precision=compute.precision,
        plan_hash="",
        photon_noise=experiment.noise.photon,
        needs_torch=_needs_torch(compute),
        on_gpu=on_gpu,
        keeps_no_sums=_keeps_no_sums(experiment, compute, len(chunks)),
    )
    text = json.dumps(_content(unhashed), sort_keys=True, separators=(",", ":"))
    return replace(unhashed, plan_hash=hashlib.sha256(text.encode()).hexdigest())


def shares_plan(experiment: Experiment, other: Experiment) -> bool:
    """Whether `plan_frame` gives both frames one plan, as far as that shows at once.

    Parameters
    ----------
    experiment, other : Experiment
        Frames of one sweep, whose beam and detector are the same objects where no axis
        touches them.
    """
    crystal, their = experiment.crystal, other.crystal
    return (
        experiment.detector is other.detector
        and experiment.beam is other.beam
        and experiment.physics == other.physics
        and experiment.sampling == other.sampling
        and experiment.noise.photon == other.noise.photon
        and crystal.phi.shape == their.phi.shape
        and crystal.mosaic_rotations.shape == their.mosaic_rotations.shape
    )


def _needs_torch(compute: ComputeSpec) -> bool:
    """Whether rendering loads torch, where the native kernel is there for `auto`."""
    return compute.kernel not in {"auto", "native"} or compute.device != "cpu"


def _keeps_no_sums(experiment: Experiment, compute: ComputeSpec, chunks: int) -> bool:
    """Whether nothing is merged or corrected, where the native kernel is there for `auto`."""
    plain = experiment.physics == "exact" and not experiment.noise.photon and chunks == 1
    return plain and compute.device == "cpu" and compute.kernel in {"auto", "native"}


def _samples(experiment: Experiment, panel: int) -> int:
    crystal, oversample = experiment.crystal, experiment.sampling.oversample
    layers = experiment.detector.panels[panel].sensor.count
    phi, domains = crystal.phi.shape[0], crystal.mosaic_rotations.shape[0]
    return int(phi) * int(domains) * oversample * oversample * layers


def _count_active(panel: Panel, tile: Tile) -> int:
    if panel.fully_active:
        return tile.pixels
    rows = slice(tile.slow_start, tile.slow_stop)
    return int(np.count_nonzero(panel.active[rows, tile.fast_start : tile.fast_stop]))


def _content(plan: FramePlan) -> dict[str, Any]:
    return {
        "panels": plan.panels,
        "shape": list(plan.shape),
        "tiles": [
            [tile.slow_start, tile.slow_stop, tile.fast_start, tile.fast_stop]
            for tile in plan.tiles
        ],
        "chunks": [[chunk.start, chunk.stop] for chunk in plan.chunks],
        "merge_arity": plan.merge_arity,
        "active": [list(counts) for counts in plan.active],
        "samples": list(plan.samples),
        "steps": plan.steps,
        "weight_sum": plan.weight_sum,
        "precision": plan.precision,
    }
