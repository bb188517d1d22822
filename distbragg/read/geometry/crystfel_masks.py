"""What a CrystFEL geometry takes out of its panels: edges, whole panels, bad regions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from distbragg.errors import InputError
from distbragg.read.geometry.model import PanelGeometry, Rectangle, parsed_number
from distbragg.read.text import shown

_MAXIMUM_MASKED: Final = 1 << 28
_BLOCK_PIXELS: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class BadRegion:
    """A bad region: bounds by name, and the panel it is confined to, empty for all."""

    bounds: dict[str, float]
    panel: str


def bad_region(values: dict[str, str], path: str) -> BadRegion:
    """Return a bad region from its lines.

    Raises
    ------
    InputError
        Bounds that are missing, or in the laboratory and in the data at once.
    """
    bounds = {
        name: parsed_number(values[name], path, f"a bad region's {name}")
        for side in ("x", "y", "fs", "ss")
        for name in (f"min_{side}", f"max_{side}")
        if name in values
    }
    complete = [
        {f"min_{a}", f"max_{a}", f"min_{b}", f"max_{b}"} <= set(bounds)
        for a, b in (("x", "y"), ("fs", "ss"))
    ]
    if not any(complete):
        raise InputError("a bad region lacks one of its four bounds", source=path)
    if len(bounds) > 4:
        raise InputError("a bad region has bounds in x, y and in fs, ss", source=path)
    return BadRegion(bounds, values.get("panel", ""))


def masked(
    panel: PanelGeometry,
    first: tuple[int, int],
    regions: list[BadRegion],
    values: dict[str, str],
    path: str,
) -> PanelGeometry:
    """Return a panel with what the file takes out of it.

    That is the whole panel under `no_index`, an edge of `mask_edge_pixels`, and bad regions.
    `first` is the (fast, slow) index of its first pixel in the file's images.
    """
    slow_count, fast_count = panel.shape
    if _is_set(values.get("no_index", "0"), path):
        return replace(panel, masked=(Rectangle(0, slow_count, 0, fast_count),))
    edge = parsed_number(values.get("mask_edge_pixels", "0"), path, "mask_edge_pixels")
    areas = _edges(panel.shape, int(max(0.0, edge)))
    mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] | None = None
    for region in regions:
        if region.panel not in ("", panel.name):
            continue
        bounds = region.bounds
        if "min_fs" in bounds:
            areas.append(
                Rectangle(
                    int(bounds["min_ss"]) - first[1], int(bounds["max_ss"]) - first[1] + 1,
                    int(bounds["min_fs"]) - first[0], int(bounds["max_fs"]) - first[0] + 1,
                )
            )  # fmt: skip
        elif _may_touch(panel, bounds, path):
            mask = _outside(panel, bounds) if mask is None else mask & _outside(panel, bounds)
    return replace(panel, masked=tuple(areas), mask=mask)


def _is_set(text: str, path: str) -> bool:
    """Whether a switch is on: `true`, or any number but 0."""
    word = text.strip().lower()
    if word in ("true", "false"):
        return word == "true"
    return parsed_number(text, path, "no_index") != 0.0


def _edges(shape: tuple[int, int], width: int) -> list[Rectangle]:
    """Return the border of a panel as four rectangles, or all of a panel that is all border."""
    slow, fast = shape
    if width == 0:
        return []
    if 2 * width >= min(slow, fast):
        return [Rectangle(0, slow, 0, fast)]
    return [
        Rectangle(0, width, 0, fast),
        Rectangle(slow - width, slow, 0, fast),
        Rectangle(0, slow, 0, width),
        Rectangle(0, slow, fast - width, fast),
    ]


def _may_touch(panel: PanelGeometry, bounds: dict[str, float], path: str) -> bool:
    """Whether a region of the laboratory meets the rectangle around a panel."""
    if panel.shape[0] * panel.shape[1] > _MAXIMUM_MASKED:
        raise InputError(f"panel '{shown(panel.name)}' is too large for a mask", source=path)
    corners = [
        [
            panel.origin[axis] / panel.pixel_size + f * panel.fast[axis] + s * panel.slow[axis]
            for f in (0, panel.shape[1])
            for s in (0, panel.shape[0])
        ]
        for axis in range(2)
    ]
    return all(
        min(places) < bounds[f"max_{name}"] and max(places) > bounds[f"min_{name}"]
        for places, name in zip(corners, "xy", strict=True)
    )


def _outside(
    panel: PanelGeometry, bounds: dict[str, float]
) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Pixels whose centres lie outside a region of the laboratory, bounds in pixels."""
    slow_count, fast_count = panel.shape
    inside = np.ones(panel.shape, dtype=np.bool_)
    fast = (np.arange(fast_count) + 0.5)[np.newaxis, :]
    rows = max(1, _BLOCK_PIXELS // fast_count)
    for start in range(0, slow_count, rows):
        block = inside[start : start + rows]
        slow = (np.arange(start, start + block.shape[0]) + 0.5)[:, np.newaxis]
        for axis, name in enumerate("xy"):
            place = (
                panel.origin[axis] / panel.pixel_size
                + fast * panel.fast[axis]
                + slow * panel.slow[axis]
            )
            block &= (place > bounds[f"min_{name}"]) & (place < bounds[f"max_{name}"])
    return ~inside
