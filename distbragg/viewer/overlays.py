"""What is drawn over a frame: resolution rings and beam centre; and what a point looks at."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, cast

import contourpy
import numpy as np

from distbragg.models.beam_spot import spot_in_plane
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import Float64Array, components
from distbragg.physics.pixels import PixelCoordinates, coordinates_of_pixels
from distbragg.predict.landing import meet
from distbragg.viewer.plane import Plane

_RINGS: Final = 6
_GRID: Final = 129  # most points along an edge of a panel between which rings are interpolated
# fmt: off
_FIGURES: Final = (
    1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.8, 2.0, 2.2, 2.5, 2.8, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0,
    7.0, 8.0, 9.0,
)
# fmt: on
"""Resolutions that rings are drawn at, and their multiples by powers of ten, Å."""


@dataclass(frozen=True, slots=True)
class Ring:
    """A ring of one resolution: its lines on the plane, and where its label stands."""

    resolution: float  # Å
    lines: tuple[Float64Array, ...]  # each (points, 2)
    label: tuple[float, float]


def rings(experiment: Experiment, plane: Plane) -> list[Ring]:
    """Return rings evenly spaced over the detector, at round resolutions."""
    grids = [_grid(experiment, panel) for panel in range(len(plane.sizes))]
    widest = max(float(np.nanmax(angle)) for _, _, angle in grids)
    contours = [
        contourpy.contour_generator(fast + 0.5, slow + 0.5, angle**2) for slow, fast, angle in grids
    ]
    found = []
    for resolution in _round_resolutions(experiment.beam.wavelength, widest):
        level = _angle(experiment.beam.wavelength, resolution) ** 2
        lines = tuple(
            np.stack(plane.place(panel, points[:, 1], points[:, 0]), axis=1)
            for panel, contour in enumerate(contours)
            for points in cast(list[Float64Array], contour.lines(level))
        )
        if lines:
            top = max(lines, key=lambda line: len(line))
            highest = top[np.argmin(top[:, 1]) if plane.in_pixels else np.argmax(top[:, 1])]
            found.append(Ring(resolution, lines, (float(highest[0]), float(highest[1]))))
    return found


def _grid(experiment: Experiment, panel: int) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Return slow and fast of a grid over a panel, from edge to edge, and 2θ there, degrees."""
    slow, fast = (
        np.linspace(-0.5, size - 0.5, min(_GRID, size + 1))
        for size in experiment.detector.panels[panel].pixels
    )
    seen = coordinates_of_pixels(experiment, panel, slow[:, np.newaxis], fast)
    return slow, fast, seen.two_theta


def _angle(wavelength: float, resolution: float) -> float:
    """Return 2θ of a resolution, degrees."""
    return math.degrees(2.0 * math.asin(wavelength / (2.0 * resolution)))


def _round_resolutions(wavelength: float, widest: float) -> list[float]:
    """Choose resolutions whose 2θ is spread evenly up to `widest`, degrees."""
    table = [figure * 10.0**power for power in range(-1, 4) for figure in _FIGURES]
    table = [d for d in table if d > wavelength / 2.0]
    angles = [_angle(wavelength, d) for d in table]
    chosen = {
        min(zip(angles, table, strict=True), key=lambda pair: abs(pair[0] - wished))[1]
        for wished in np.linspace(0.0, 0.97 * widest, _RINGS + 1)[1:]
    }
    return sorted(chosen, reverse=True)


def beam_places(experiment: Experiment, plane: Plane) -> Iterator[tuple[float, float]]:
    """Yield x and y where the beam meets the detector: on a panel, or the plane of a lone one."""
    beam = components(experiment.beam.direction)
    panels = experiment.detector.panels
    for index, panel in enumerate(panels):
        if panel.surface not in ("flat", "nanobragg"):
            slow, fast, _ = meet(panel, experiment.beam.direction, 0.0)
            x, y = plane.place(index, slow, fast)
            yield float(x), float(y)
            return
        spot = spot_in_plane(panel, panel.pixels, beam, index)
        if spot is not None and (spot.on_panel or len(panels) == 1):
            size = panel.pixel_size
            x, y = plane.place(index, spot.slow / size, spot.fast / size)
            yield float(x), float(y)
            return


def looker(experiment: Experiment) -> Callable[[int, float, float], PixelCoordinates]:
    """Return what tells where a place of a panel, from its outer corner in pixels, looks."""

    def look(panel: int, slow: float, fast: float) -> PixelCoordinates:
        return coordinates_of_pixels(experiment, panel, slow - 0.5, fast - 0.5)

    return look
