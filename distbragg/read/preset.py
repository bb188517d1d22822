"""Common detectors, each a data file beside this package that names its source."""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any, Final

import numpy as np

from distbragg.errors import InputError

_FOLDER: Final = "presets"
_SUFFIX: Final = ".toml"

Pair = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Grid:
    """Equal modules in rows and columns; all pairs are (fast, slow), in pixels."""

    modules: tuple[int, int]
    module: tuple[int, int]
    gap: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int]:
        """Pixels (slow, fast) of the whole detector, gaps included."""
        fast, slow = (
            count * size + (count - 1) * gap
            for count, size, gap in zip(self.modules, self.module, self.gap, strict=True)
        )
        return slow, fast

    def corners(self) -> tuple[tuple[int, int], ...]:
        """First pixel (slow, fast) of every module, row by row."""
        step = [size + gap for size, gap in zip(self.module, self.gap, strict=True)]
        return tuple(
            (row * step[1], column * step[0])
            for row in range(self.modules[1])
            for column in range(self.modules[0])
        )


@dataclass(frozen=True, slots=True)
class Segment:
    """A panel in the detector's plane: outer corner of its first pixel, its directions.

    They count in pixels from the beam, x to the left looking along the beam, y upwards.
    """

    name: str
    corner: Pair
    fast: Pair
    slow: Pair


@dataclass(frozen=True, slots=True)
class Preset:
    """A detector of a maker: a grid of modules, or segments."""

    name: str
    title: str
    source: str
    pixel_mm: float
    material: str
    thickness_um: float
    grid: Grid | None
    segments: tuple[Segment, ...]
    pixels: tuple[int, int]  # (slow, fast) of the whole grid, or of each segment

    @property
    def extent(self) -> tuple[int, int]:
        """Pixels (slow, fast) of a panel that holds the whole detector, the beam in its middle."""
        if self.grid is not None:
            return self.grid.shape
        slow, fast = self.pixels
        corners = np.array(
            [
                segment.corner + f * np.array(segment.fast) + s * np.array(segment.slow)
                for segment in self.segments
                for f in (0, fast)
                for s in (0, slow)
            ]
        )
        across, up = np.ceil(np.abs(corners).max(axis=0)).astype(int).tolist()
        return 2 * up, 2 * across


@lru_cache(maxsize=1)
def preset_names() -> tuple[str, ...]:
    """Names of all presets, in order."""
    folder = resources.files("distbragg.read").joinpath(_FOLDER)
    found = (entry.name for entry in folder.iterdir())
    return tuple(sorted(name.removesuffix(_SUFFIX) for name in found if name.endswith(_SUFFIX)))


@lru_cache(maxsize=64)
def read_preset(name: str) -> Preset:
    """Return a preset; where there is none of that name, the refusal gives the nearest."""
    if name not in preset_names():
        near = difflib.get_close_matches(name.lower(), preset_names(), n=1, cutoff=0.4)
        raise InputError(
            f"no preset '{name[:40]}'",
            field="detector.preset",
            remedy=f"did you mean {near[0]}?" if near else "`distbragg presets` lists them",
        )
    file = resources.files("distbragg.read").joinpath(_FOLDER, name + _SUFFIX)
    data: dict[str, Any] = tomllib.loads(file.read_text("utf-8"))
    grid: Grid | None = None
    segments: tuple[Segment, ...] = ()
    if "grid" in data:
        pairs = (data["grid"][key] for key in ("modules", "module_px", "gap_px"))
        grid = Grid(*((int(fast), int(slow)) for fast, slow in pairs))
        pixels = grid.shape
    else:
        fast, slow = data["segments"]["pixels"]
        pixels, segments = (int(slow), int(fast)), _segments(data["segments"]["blocks"])
    return Preset(
        name=name,
        title=str(data["title"]),
        source=str(data["source"]),
        pixel_mm=float(data["pixel_mm"]),
        material=str(data["material"]),
        thickness_um=float(data["thickness_um"]),
        grid=grid,
        segments=segments,
        pixels=pixels,
    )


def _segments(blocks: list[dict[str, Any]]) -> tuple[Segment, ...]:
    """Lay out blocks of tiles that follow one another at equal steps."""
    return tuple(
        Segment(
            name=block["name"] if block["tiles"] == 1 else f"{block['name']}a{tile}",
            corner=(
                block["corner_px"][0] + tile * block["step_px"][0],
                block["corner_px"][1] + tile * block["step_px"][1],
            ),
            fast=(float(block["fast"][0]), float(block["fast"][1])),
            slow=(float(block["slow"][0]), float(block["slow"][1])),
        )
        for block in blocks
        for tile in range(block["tiles"])
    )
