"""The spots of one source in one part of the rotation, drawn on the layers of a panel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import torch
from torch import Tensor

from distbragg.fit.spot_boxes import Ellipses, Window, ellipses_of
from distbragg.fit.spot_draw import Grid, draw
from distbragg.fit.spot_points import points_of
from distbragg.fit.spot_series import on_panel, seen_at, series_of, some
from distbragg.kernel.closed_model import SpotList, intervals, offsets
from distbragg.kernel.scene import Scene
from distbragg.models.vectors import BoolArray, Float64Array, IntArray
from distbragg.physics.rays import SampleIndex, sample_rays

_BLOCK: Final = 1 << 13
"""Points at which the formulas themselves are evaluated at once."""


@dataclass(frozen=True, slots=True)
class _Layer:
    """The ellipses of spots on one layer, and the polynomials of those that are smooth there."""

    ellipses: Ellipses
    series: Tensor  # (parts, spots, coefficients)
    smooth: BoolArray


@dataclass(frozen=True, slots=True)
class Drawing:
    """Spots that meet a window of a panel."""

    scene: Scene
    window: Window
    spots: SpotList
    layers: list[_Layer]
    counts: IntArray  # (spots, 2): how many intervals of a sample each asks for

    @classmethod
    def of(cls, scene: Scene, window: Window, spots: SpotList) -> Drawing:
        """Find the polynomials of spots that meet a window."""
        placement, sampling = scene.placement, scene.sampling
        depths = range(placement.panel.sensor.count)
        found = [ellipses_of(spots.places, placement, layer, window) for layer in depths]
        lit = np.flatnonzero(np.any([part.near(window) for part in found], axis=0))
        spots, found = some(spots, lit), [part[lit] for part in found]
        layers = []
        if len(lit):
            series, fits = series_of(spots)
            for layer, ellipses in enumerate(found):
                here, smooth = on_panel(
                    series, spots.places, ellipses, layer=layer, scene=scene, window=window
                )
                layers.append(_Layer(ellipses, here, smooth & fits & ellipses.oval))
        counts = np.zeros((len(lit), 2), dtype=np.int64)
        if sampling.integrate and len(lit):
            size = placement.panel.pixel_size / sampling.oversample
            counts = intervals(spots.places, placement.numbers(), size)[:, ::-1]
        return cls(scene, window, spots, layers, counts)

    def add(self, image: Tensor, index: SampleIndex) -> None:
        """Add the spots at one sample of each pixel to an image of the window."""
        if not self.layers:
            return
        layer, grid = self.layers[index.layer], self._grid(index)
        smooth, rough = np.flatnonzero(layer.smooth), np.flatnonzero(~layer.smooth)
        if len(smooth):
            at = torch.from_numpy(smooth).to(image.device)
            series, height = layer.series[:, at], self.spots.height[at]
            ellipses = layer.ellipses[smooth]
            draw(image, series, height, ellipses, grid=grid.only(smooth), window=self.window)
        if len(rough):
            self._add_rough(image, index, rough, grid.only(rough))

    def _grid(self, index: SampleIndex) -> Grid:
        """Return the points of a sample."""
        oversample = self.scene.sampling.oversample
        shift = [(part + 0.5) / oversample - 0.5 for part in (index.slow, index.fast)]
        down, across = (
            {int(count): _points(int(count), oversample) + part for count in np.unique(column)}
            for part, column in zip(shift, self.counts.T, strict=True)
        )
        return Grid(self.counts, down, across)

    def _add_rough(self, image: Tensor, index: SampleIndex, chosen: IntArray, grid: Grid) -> None:
        """Add spots by the formulas themselves, at every point of theirs."""
        placement, places = self.scene.placement, self.spots.places[chosen]
        layer, ellipses = index.layer, self.layers[index.layer].ellipses[chosen]
        points = points_of(placement, layer, places, ellipses, grid=grid, window=self.window)
        for start in range(0, len(points.spot), _BLOCK):
            part = points.only(np.arange(start, min(start + _BLOCK, len(points.spot))))
            spot, slow, fast, share, pixel = (
                torch.from_numpy(one).to(image.device)
                for one in (chosen[part.spot], part.slow, part.fast, part.share, part.pixel)
            )
            sample = SampleIndex(index.layer, 0, 0)
            rays = sample_rays(placement, slow, fast, sample=sample, oversample=1)
            value = seen_at(self.spots, spot, torch.stack(rays.direction, dim=-1))
            image.index_add_(0, pixel, value * share)


@lru_cache(maxsize=256)
def _points(intervals: int, oversample: int) -> Float64Array:
    """Return where along one axis of a sample it is evaluated, pixels from its middle."""
    return np.array(offsets(intervals, 1.0 / oversample) if intervals else [0.0])
