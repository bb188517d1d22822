"""Compare the kernels with the C program's images: one row per case, precision and kernel."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np

from distbragg.errors import InputError
from distbragg.kernel.finalize import finalize_tile
from distbragg.kernel.options import KernelOptions
from distbragg.kernel.render_tile import render_tile
from distbragg.models.build import build_experiment
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import Float64Array
from distbragg.plan.frame import SourceChunk, Tile
from distbragg.run.selftest import BRIGHT_FLOOR, RELATIVE_FLOOR, Agreement, agreement
from distbragg.shapes import SHAPES
from distbragg.spec.nanobragg import parse_nanobragg
from tools.pixel_trace import trace_pixel

EDGE_DISTANCE: Final = 1e-9
"""A step this near a half-integer index or the top-hat edge may fall on either side."""

WHOLE: Final = slice(None)
"""All rows of an image."""


@dataclass(frozen=True, slots=True)
class GoldenCase:
    """One command line and the image that the C program made of it.

    Attributes
    ----------
    name, arguments, covers : str
    folder : Path
        Holds `<name>.npy` and the folder `inputs` the arguments refer to.
    """

    name: str
    arguments: str
    covers: str
    folder: Path

    def expected(self) -> Float64Array:
        """Return the C program's image, (slow, fast)."""
        image: Float64Array = np.load(self.folder / f"{self.name}.npy").astype(np.float64)
        return image

    def experiment(self) -> Experiment:
        """Resolve the command line through the same path as `distbragg nanobragg`."""
        command = parse_nanobragg(self.arguments.split(), base_dir=self.folder / "inputs")
        return build_experiment(command.spec)


@dataclass(frozen=True, slots=True)
class GoldenRow(Agreement):
    """How far one rendered image is from the C program's, pixels with an edge step left out.

    Attributes
    ----------
    case, kernel, precision : str
    edge_pixels : int
        Pixels beyond the float64 bar that hold a step within `EDGE_DISTANCE` of an edge.
    pixels : int
    seconds : float
    """

    case: str
    kernel: str
    precision: str
    edge_pixels: int
    pixels: int
    seconds: float


def golden_cases(folder: Path) -> tuple[GoldenCase, ...]:
    """Return all cases of a folder, in the order of its `cases.json`.

    Raises
    ------
    InputError
        The folder holds no readable list of cases.
    """
    path = folder / "cases.json"
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))["cases"]
    except (OSError, ValueError, KeyError):
        raise InputError(
            "no list of golden cases",
            source=str(path),
            remedy="name the folder of the golden images with --data",
        ) from None
    return tuple(GoldenCase(case["id"], case["args"], case["covers"], folder) for case in listed)


def render_panel(
    experiment: Experiment, options: KernelOptions, panel: int = 0, rows: slice = WHOLE
) -> Float64Array:
    """Render one panel, or some rows of it, as a single tile and chunk, (slow, fast)."""
    slow, fast = experiment.detector.panels[panel].shape
    start, stop, _ = rows.indices(slow)
    tile = Tile(start, stop, 0, fast)
    chunk = SourceChunk(0, experiment.beam.sources.count)
    numerator = render_tile(experiment, panel, tile, chunk, options)
    return finalize_tile(experiment, panel, tile, numerator, frame=0).reshape(tile.shape)


def compare(case: GoldenCase, options: KernelOptions, bar: float, rows: slice = WHOLE) -> GoldenRow:
    """Render a case and measure its distance from the C program's image.

    Parameters
    ----------
    case : GoldenCase
    options : KernelOptions
    bar : float
        Relative error above which a pixel is looked at for steps on an edge.
    rows : slice
        Rows of the image that are rendered and compared.
    """
    experiment = case.experiment()
    began = time.perf_counter()
    image = render_panel(experiment, options, rows=rows)
    seconds = time.perf_counter() - began
    expected = case.expected()[rows]
    maximum = float(expected.max())
    relative = np.abs(image - expected) / np.where(expected > 0.0, expected, np.inf)
    floor = RELATIVE_FLOOR if options.precision == "float64" else BRIGHT_FLOOR
    suspects = np.argwhere((relative > bar) & (expected > floor * maximum))
    first = rows.start or 0
    edges = [(s, f) for s, f in suspects.tolist() if holds_edge_step(experiment, first + s, f)]
    for slow, fast in edges:
        image[slow, fast] = expected[slow, fast]
    return GoldenRow(
        **asdict(agreement(image, expected)),
        case=case.name,
        kernel=options.kernel,
        precision=options.precision,
        edge_pixels=len(edges),
        pixels=int(expected.size),
        seconds=seconds,
    )


def holds_edge_step(experiment: Experiment, slow: int, fast: int) -> bool:
    """Tell whether any step of a pixel lies on a half-integer index or the top-hat edge."""
    chunk = SourceChunk(0, experiment.beam.sources.count)
    tophat = experiment.crystal.shape == "tophat"
    for sample in trace_pixel(experiment, 0, slow, fast, chunk):
        for step in sample.steps:
            halves = (abs(abs(h - n) - 0.5) for h, n in zip(step.index, step.nearest, strict=True))
            if min(halves) < EDGE_DISTANCE:
                return True
            if (
                tophat
                and abs(step.radius / SHAPES["tophat"].zero_radius ** 2 - 1.0) < EDGE_DISTANCE
            ):
                return True
    return False


def markdown_table(rows: list[GoldenRow]) -> str:
    """Lay rows out as a Markdown table."""
    head = (
        "| case | kernel | precision | worst relative, > 1e-9 max | worst relative, > 1e-4 max "
        "| worst of maximum | total | edge pixels | s |\n|---|---|---|---|---|---|---|---|---|"
    )
    lines = [
        f"| {row.case} | {row.kernel} | {row.precision} | {row.relative:.1e} "
        f"| {row.bright:.1e} | {row.of_maximum:.1e} "
        f"| {row.total:.1e} "
        f"| {row.edge_pixels} | {row.seconds:.2f} |"
        for row in rows
    ]
    return "\n".join([head, *lines])
