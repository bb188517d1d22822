"""The plan of one frame: its tiles, source chunks, merge tree, and exact counts of steps."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import astuple, dataclass, replace
from typing import Any, Final

import numpy as np

from distbragg.errors import AccountingError, PlanError
from distbragg.models.detector import Panel
from distbragg.models.experiment import Experiment
from distbragg.physics.halo_sources import few_sources
from distbragg.physics.lattices import halos_of, lattices_of
from distbragg.plan.cost import (
    HALO_STEPS,
    NOMINAL_FRAME_S,
    NOMINAL_NOISE_S,
    NOMINAL_PIXEL_S,
    NOMINAL_RESPONSE_S,
    NOMINAL_SPREAD_S,
    SPREAD_HALO,
    TASK_SECONDS,
    steps_per_second,
)
from distbragg.plan.merge import MERGE_ARITY
from distbragg.shapes import SHAPES
from distbragg.spec.compute import ComputeSpec


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """A rectangle of detector pixels, half-open in both directions."""

    slow_start: int
    slow_stop: int
    fast_start: int
    fast_stop: int

    @property
    def shape(self) -> tuple[int, int]:
        """Pixels (slow, fast)."""
        return self.slow_stop - self.slow_start, self.fast_stop - self.fast_start

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        slow, fast = self.shape
        return slow * fast


@dataclass(frozen=True, slots=True, order=True)
class SourceChunk:
    """A half-open slice of the source table."""

    start: int
    stop: int

    @property
    def count(self) -> int:
        """Number of sources."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True, order=True)
class TileKey:
    """Names one partial sum: frame, panel, tile and source-chunk indices of the plan."""

    frame: int
    panel: int
    tile: int
    source_chunk: int

    @property
    def place(self) -> str:
        """Name of its tile."""
        return f"f{self.frame}-p{self.panel}-t{self.tile}"

    def __str__(self) -> str:
        return f"{self.place}-s{self.source_chunk}"


MAX_TILE_PIXELS: Final = 1 << 20  # pixels of the largest automatic tile: its float64 sum is 8 MiB

MAX_GPU_TILE_PIXELS: Final = 1 << 24
"""The same on a GPU, which a smaller tile leaves idle: its sum, in the GPU's memory, is 128 MiB."""

MIN_TILE_PIXELS: Final = 1 << 14
"""Pixels of the smallest automatic tile: below, call overhead shows."""

MIN_FULL_ROWS: Final = 16  # an automatic tile spans whole rows where at least this many of them fit
MAX_CHUNK_SOURCES: Final = 256  # sources of the largest automatic chunk


GROUP_BYTES: Final = 4 << 20
"""Frames of up to this many bytes in all are rendered together, and stay in the processor's
caches until they are stored."""

MOST_FRAMES_AT_ONCE: Final = 16
"""Each brings an experiment of its own: many tiny ones would hold many of those."""


def tile_panel(shape: tuple[int, int], tile_shape: tuple[int, int]) -> tuple[Tile, ...]:
    """Cut a panel into tiles that cover every pixel once, row-major over the grid of tiles.

    Both shapes are pixels (slow, fast). A tile larger than the panel means the whole panel; the
    last tiles of a row or column are smaller where it does not divide.
    """
    if min(shape) < 1:
        raise PlanError(f"panel of {shape[0]} x {shape[1]} pixels", field="detector.pixels_fast")
    rows, columns = _cuts(shape[0], tile_shape[0]), _cuts(shape[1], tile_shape[1])
    return tuple(Tile(*row, *column) for row in rows for column in columns)


def chunk_sources(count: int, size: int) -> tuple[SourceChunk, ...]:
    """Cut a table of `count` sources into consecutive chunks of at most `size`."""
    return tuple(SourceChunk(start, stop) for start, stop in _cuts(count, size))


def grid_edges(tiles: tuple[Tile, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Sizes of the tile rows and of the tile columns, pixels."""
    rows = sorted({(tile.slow_start, tile.slow_stop) for tile in tiles})
    columns = sorted({(tile.fast_start, tile.fast_stop) for tile in tiles})
    return tuple(b - a for a, b in rows), tuple(b - a for a, b in columns)


def balanced(size: int, most: int) -> int:
    """Part size that cuts `size` into the fewest near-equal parts of at most `most`."""
    return math.ceil(size / math.ceil(size / max(1, most)))


def automatic_tile(
    shape: tuple[int, int], pixels: int, largest: int = MAX_TILE_PIXELS
) -> tuple[int, int]:
    """Tile (slow, fast) of about `pixels` pixels, within bounds: whole rows, or a squarish one."""
    budget = min(max(pixels, MIN_TILE_PIXELS), largest)
    slow, fast = shape
    if slow * fast <= budget:
        return shape
    if budget // fast >= MIN_FULL_ROWS:
        return balanced(slow, budget // fast), fast
    columns = balanced(fast, max(1, math.isqrt(budget)))
    return balanced(slow, max(1, budget // columns)), columns


def _cuts(size: int, step: int) -> list[tuple[int, int]]:
    return [(start, min(start + step, size)) for start in range(0, size, step)]


WEIGHT_RELATIVE = 1e-9
"""Agreement asked of the summed weights: their own order of addition differs from the plan's."""


@dataclass(frozen=True, slots=True)
class FramePlan:
    """How one frame is cut, and what its parts must add up to; `kernel: auto` counts as native."""

    panels: int
    shape: tuple[int, int]  # pixels (slow, fast) of every panel
    tiles: tuple[Tile, ...]  # the same for every panel
    chunks: tuple[SourceChunk, ...]
    merge_arity: int
    active: tuple[tuple[int, ...], ...]  # active pixels by panel and tile
    samples: tuple[int, ...]
    """By panel: steps per pixel and source (lattice, phi, domain, sub-pixel, layer)."""

    steps: int  # of the whole frame, those a kernel may skip included
    weight_sum: float  # `math.fsum` of the weights of all sources
    precision: str
    plan_hash: str  # SHA-256 over all of the above, hex
    photon_noise: bool = False
    needs_torch: bool = False  # whoever renders the frame loads torch
    on_gpu: bool = False
    draws_spots: bool = False  # whole, in closed form: no steps are taken one by one
    spot_seconds: float = 0.0  # planned cost of those, s: of the frame that a sweep is planned for
    adds_sums: bool = False  # those of lattices
    keeps_no_sums: bool = False  # in the unit form the kernel writes photons, nothing is merged
    responds: bool = False  # the response of the detector is recorded
    calibrates: bool = False  # by a map of the detector, which is kept
    overlays: int = 0  # arrays of a number a pixel: an image that is added, a shadow
    spread_terms: int = 0  # shares of point spreads that are added up, over all pixels
    halos: int = 0  # of diffuse scattering, that each step sees

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
        after = self.pixels * NOMINAL_PIXEL_S + noisy * NOMINAL_NOISE_S
        after += self.spread_terms * NOMINAL_SPREAD_S
        after += self.responds * self.pixels * NOMINAL_RESPONSE_S
        summing = self.summing_seconds(steps, self.nominal_rate) + self.spot_seconds
        return summing + after + NOMINAL_FRAME_S

    def summing_seconds(self, steps: int, rate: float) -> float:
        """Seconds that steps take at a rate of those without diffuse scattering.

        Where spots are drawn whole, their diffuse scattering alone takes steps.
        """
        own = 0.0 if self.draws_spots else 1.0
        return steps * (own + HALO_STEPS * self.halos) / rate

    @property
    def nominal_rate(self) -> float:
        """Nominal steps per second of one core or GPU."""
        return steps_per_second(self.precision, on_gpu=self.on_gpu)

    @property
    def largest_tile(self) -> int:
        """Pixels of the largest tile."""
        return max(tile.pixels for tile in self.tiles)

    def tile_terms(self, panel: int, tile: int) -> int:
        """Return the steps of a tile over all source chunks."""
        return self.active[panel][tile] * self.sources * self.samples[panel]

    def check_counts(self, key: TileKey, terms: int, weight: float) -> None:
        """Prove that the sum of a tile, named by its first key, has its plan's steps and weight."""
        expected = self.tile_terms(key.panel, key.tile)
        if terms != expected:
            raise AccountingError(f"tile {key.place}: {terms} steps summed, expected {expected}")
        if not math.isclose(weight, self.weight_sum, rel_tol=WEIGHT_RELATIVE):
            raise AccountingError(
                f"tile {key.place}: weights sum to {weight}, not {self.weight_sum}"
            )

    def tile_keys(self, frame: int, panel: int, tile: int) -> tuple[TileKey, ...]:
        """Keys of all partials of a tile, in merge order."""
        return tuple(TileKey(frame, panel, tile, chunk) for chunk in range(len(self.chunks)))

    def to_plain(self) -> dict[str, Any]:
        """Return as JSON-able data."""
        return {**_content(self), "plan_hash": self.plan_hash}


def sums_are_scaled(experiment: Experiment) -> bool:
    """Whether a sum times one number is the expected photons of every pixel: no correction."""
    return experiment.physics == "exact"


def is_one_sum(experiment: Experiment) -> bool:
    """Whether the native kernel makes the whole sum in one call.

    Sampled, all sources have one table of |F|, and of several lattices no step is left out.
    """
    sampling = experiment.sampling
    if sampling.method == "closed_form":
        return True
    endless = math.isinf(SHAPES[experiment.crystal.shape].zero_radius)
    together = len(experiment.summed) == 1 or (sampling.tolerance <= 0.0 and endless)
    return together and experiment.reflections.spectral is None


def held_bytes(dtype: str) -> int:
    """Bytes of a pixel until its frame is stored as `dtype`.

    Frames are rendered as float32, but those of 32-bit integers as float64: float32 would round
    counts beyond 2²⁴.
    """
    return 8 if dtype in {"float64", "uint32", "int32"} else 4


def frames_at_once(frame_bytes: int) -> int:
    """Return how many frames of that size before storing a worker renders together."""
    return max(1, min(MOST_FRAMES_AT_ONCE, GROUP_BYTES // frame_bytes))


def plan_frame(experiment: Experiment, compute: ComputeSpec) -> FramePlan:
    """Cut the frame of `experiment`: a pure function of its arguments."""
    panels = experiment.detector.panels
    shape = panels[0].shape
    if any(panel.shape != shape for panel in panels):
        raise PlanError("all panels must have one shape", field="detector")
    on_gpu = compute.device != "cpu"
    samples = tuple(_samples(experiment, panel) for panel in range(len(panels)))
    sources = experiment.beam.sources
    closed_form = experiment.sampling.method == "closed_form"
    if closed_form:
        size = sources.count  # lines of a spectrum are summed together
    elif compute.source_chunk == "auto":
        size = balanced(max(1, sources.count), MAX_CHUNK_SOURCES)
    else:
        size = int(compute.source_chunk)
    chunks = chunk_sources(sources.count, size)
    native = compute.kernel in {"auto", "native"}
    draws_spots = native and not on_gpu and closed_form and compute.precision == "mixed"
    halos = _halos(experiment)[draws_spots]
    keeps_no_sums = (
        native
        and not on_gpu
        and len(chunks) == 1
        and is_one_sum(experiment)
        and sums_are_scaled(experiment)
    )
    if compute.tile == "auto" and draws_spots:
        # Its cost does not follow from steps, and a spot on a border of tiles is fitted twice.
        tile_shape = automatic_tile(shape, MAX_TILE_PIXELS)
    elif compute.tile == "auto":
        per_pixel = max(1, max(samples) * chunks[0].count)
        rate = steps_per_second(compute.precision, on_gpu=on_gpu)
        wished = int(TASK_SECONDS * rate / (per_pixel * (1.0 + HALO_STEPS * halos)))
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
        needs_torch=on_gpu or not native,
        on_gpu=on_gpu,
        draws_spots=draws_spots,
        adds_sums=not (native and is_one_sum(experiment)) and len(experiment.summed) > 1,
        keeps_no_sums=keeps_no_sums,
        responds=experiment.response is not None,
        calibrates=experiment.response is not None and experiment.response.calibration > 0.0,
        overlays=(experiment.background.image is not None)
        + (experiment.detector.beam_stop is not None),
        spread_terms=sum(
            math.prod(panel.pixels) * panel.point_spread.terms
            for panel in panels
            if panel.point_spread is not None
        ),
        halos=halos,
    )
    text = json.dumps(_content(unhashed), sort_keys=True, separators=(",", ":"))
    return replace(unhashed, plan_hash=hashlib.sha256(text.encode()).hexdigest())


def _halos(experiment: Experiment) -> tuple[int, int]:
    """Return the halos that a step sees, of each source by itself and where few stand for many."""
    diffuse = experiment.crystal.diffuse
    if diffuse is None:
        return 0, 0
    if experiment.sampling.method == "sampled":
        return diffuse.halos, diffuse.halos
    found = halos_of(experiment)
    parts = len(found) // len(lattices_of(experiment))
    finer = found[0].experiment.sampling.oversample // experiment.sampling.oversample
    each, count = SPREAD_HALO * diffuse.halos * parts * finer**2, experiment.beam.sources.count
    few = few_sources(found[0].experiment, 0, count)
    return each, math.ceil(each * few[0].count / count) if few else each


def shares_plan(experiment: Experiment, other: Experiment) -> bool:
    """Whether `plan_frame` gives both frames one plan, as far as that shows at once.

    Frames of one sweep have the same objects as beam and detector where no axis touches them.
    """
    return (
        experiment.detector is other.detector
        and experiment.beam is other.beam
        and experiment.physics == other.physics
        and experiment.sampling == other.sampling
        and experiment.noise.photon == other.noise.photon
        and experiment.response is other.response
        and _orientations(experiment) == _orientations(other)
        and _halos(experiment) == _halos(other)
    )


def _orientations(experiment: Experiment) -> tuple[int, ...]:
    """Spindle steps times domains of each lattice."""
    return tuple(
        int(crystal.phi.shape[0]) * int(crystal.mosaic_rotations.shape[0])
        for crystal in experiment.summed
    )


def _samples(experiment: Experiment, panel: int) -> int:
    oversample = experiment.sampling.oversample
    layers = experiment.detector.panels[panel].sensor.count
    return sum(_orientations(experiment)) * oversample * oversample * layers


def _count_active(panel: Panel, tile: Tile) -> int:
    if panel.fully_active:
        return tile.pixels
    rows = slice(tile.slow_start, tile.slow_stop)
    return int(np.count_nonzero(panel.active[rows, tile.fast_start : tile.fast_stop]))


def _content(plan: FramePlan) -> dict[str, Any]:
    return {
        "panels": plan.panels,
        "shape": list(plan.shape),
        "tiles": [list(astuple(tile)) for tile in plan.tiles],
        "chunks": [list(astuple(chunk)) for chunk in plan.chunks],
        "merge_arity": plan.merge_arity,
        "active": [list(counts) for counts in plan.active],
        "samples": list(plan.samples),
        "steps": plan.steps,
        "weight_sum": plan.weight_sum,
        "precision": plan.precision,
    }
