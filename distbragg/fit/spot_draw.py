"""Drawing spots whose logarithms are polynomials into the pixels that they cover.

The compiled twin draws them where there is one. Here boxes of one size are drawn together: along a
row of pixels a polynomial is one of a single variable, so that all of them are one product of
matrices.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from distbragg.fit.recomputed import recomputed
from distbragg.fit.spot_boxes import Boxes, Ellipses, Window, boxes_of
from distbragg.fit.spot_fit import DEGREE, constant, in_rows, monomials
from distbragg.kernel.native import series as compiled
from distbragg.models.vectors import Float64Array, IntArray
from distbragg.physics.arrays import Array, module_of
from distbragg.physics.closed_rotation import Passage

_BLOCK: Final = 1 << 17
"""Points evaluated at once."""

_KEPT: Final = 30_000_000
"""Points of an image up to which their values are kept for its gradient."""


def seen(parts: Array) -> Array:
    """Return spots by their logarithm, (1, ...), or by the parts of a passage, (3, ...)."""
    # What is far beside a passage is too much for its top, which is not taken then.
    with np.errstate(over="ignore", invalid="ignore"):
        return module_of(parts).exp(parts[0]) if len(parts) == 1 else Passage(*parts).mean()


@dataclass(frozen=True, slots=True)
class Grid:
    """At which points of each pixel spots are evaluated, by the intervals that they ask for."""

    counts: IntArray  # (spots, 2): intervals along slow and fast
    down: dict[int, Float64Array]  # by intervals: points, pixels from the middle
    across: dict[int, Float64Array]

    def only(self, chosen: IntArray) -> Grid:
        """Return those of some spots."""
        return Grid(self.counts[chosen], self.down, self.across)

    def of(self, spot: int) -> tuple[Float64Array, Float64Array]:
        """Return the points of one spot along slow and fast."""
        slow, fast = self.counts[spot].tolist()
        return self.down[slow], self.across[fast]

    def points(self) -> IntArray:
        """Return how many points of a pixel each spot has, (spots,)."""
        sizes = [
            np.array([len(points[int(count)]) for count in column], dtype=np.int64)
            for points, column in zip((self.down, self.across), self.counts.T, strict=True)
        ]
        return np.asarray(sizes[0] * sizes[1])

    def laid_out(self) -> tuple[IntArray, Float64Array]:
        """Return the points one after another, and where in them those of each spot are."""
        ways, points, start = [], [], 0
        for own, column in zip((self.down, self.across), self.counts.T, strict=True):
            place = {}
            for intervals, some in own.items():
                place[intervals] = start, len(some)
                points.append(some)
                start += len(some)
            ways.append(np.array([place[count] for count in column.tolist()], dtype=np.int64))
        return np.concatenate(ways, axis=1), np.concatenate(points)


def draw(
    image: Tensor,
    series: Tensor,
    height: Tensor,
    ellipses: Ellipses,
    *,
    grid: Grid,
    window: Window,
) -> None:
    """Add spots to an image.

    Parameters
    ----------
    image : (pixels,) tensor
        The window, row by row. No view, whose gradient would be copied each time.
    series : (1 or 3, spots, coefficients) tensor
        Polynomials in the ellipses; see `seen`.
    height : (spots,) tensor
        What they are multiplied by.
    ellipses : Ellipses
    grid : Grid
    window : Window
    """
    if image.device.type == "cpu" and compiled.available():
        edges = np.concatenate([ellipses.middle, ellipses.root], axis=1)
        spots = compiled.DrawnSpots(window.shape, edges, *grid.laid_out())
        image += _Compiled.apply(series, height, spots)  # type: ignore[no-untyped-call]
        return
    boxes, width = boxes_of(ellipses, window), window.shape[1]
    each = boxes.rows * boxes.columns * grid.points()
    kept = int(each.sum()) <= _KEPT
    alike = list(_alike(boxes, grid, each))
    if not alike:
        return
    order = torch.from_numpy(np.concatenate(alike)).to(image.device)
    sizes = [len(chosen) for chosen in alike]
    columns = torch.arange(width, device=image.device)
    for chosen, some, high in zip(
        alike,
        torch.split(series[:, order], sizes, dim=1),
        torch.split(height[order], sizes),
        strict=True,
    ):
        at = _Rows.of(ellipses[chosen], boxes.only(chosen), grid.of(int(chosen[0])), some, width)
        value = at.draw(some, high) if kept else recomputed(at.draw, some, high)
        place = (at.row * width + at.start).to(torch.int64)[..., None] + columns[: at.columns]
        image.index_add_(0, place.flatten(), value.flatten())


class _Compiled(torch.autograd.Function):
    """What the compiled twin draws."""

    @staticmethod
    def forward(ctx: Any, series: Tensor, height: Tensor, spots: compiled.DrawnSpots) -> Tensor:  # noqa: ANN401 - of torch
        ctx.save_for_backward(series, height)
        ctx.spots = spots
        return torch.from_numpy(spots.draw(series.numpy(), height.numpy())).flatten()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor, None]:  # noqa: ANN401
        series, height = (one.detach().numpy() for one in ctx.saved_tensors)
        by_series, by_height = ctx.spots.differentiate(series, height, slope.numpy())
        return torch.from_numpy(by_series), torch.from_numpy(by_height), None


def _alike(boxes: Boxes, grid: Grid, each: IntArray) -> Iterator[IntArray]:
    """Yield spots whose boxes have one size, so many as are evaluated at once."""
    lit = np.flatnonzero(each > 0)
    sizes = np.column_stack([boxes.rows, boxes.columns, grid.counts])[lit]
    order = np.lexsort(sizes.T)
    changes = np.flatnonzero((sizes[order][1:] != sizes[order][:-1]).any(axis=1)) + 1
    for group in np.split(lit[order], changes):
        if len(group):
            step = max(1, _BLOCK // int(each[group[0]]))
            yield from (group[at : at + step] for at in range(0, len(group), step))


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of boxes of one size, and the points of each of their pixels."""

    row: Tensor  # (spots, rows)
    start: Tensor  # (spots, rows): the first column
    columns: int
    a: Tensor  # (down, spots, rows): the first coordinate in the ellipse of a row of points
    t: Tensor  # (down, spots, rows): the second, of the middle of a row
    y: Tensor  # (across, columns): from there, of `scale`
    scale: Tensor  # (spots, 1)

    @classmethod
    def of(
        cls,
        ellipses: Ellipses,
        boxes: Boxes,
        points: tuple[Float64Array, Float64Array],
        like: Tensor,
        width: int,
    ) -> _Rows:
        """Place the rows of boxes in their ellipses."""
        down, across = (constant(part, like)[:, None] for part in points)
        l11, l21, l22 = constant(ellipses.root.T[..., np.newaxis], like)
        slow, fast = constant(ellipses.middle.T[..., np.newaxis], like)
        rows, columns = int(boxes.rows[0]), int(boxes.columns[0])
        row = constant(boxes.first.astype(np.float64), like)[:, None] + torch.arange(
            rows, device=like.device
        )
        half = 0.5 * columns
        centre = fast + l21 * ((row - slow) / l11).clamp(-1.0, 1.0)
        start = (centre - (half - 0.5)).round().clamp(0, width - columns)
        a = (row + down[..., None] - slow) / l11
        t = (start + (half - 0.5) - fast - l21 * a) / l22
        y = (torch.arange(columns, device=like.device) - (half - 0.5) + across) / half
        return cls(row, start, columns, a, t, y, half / l22)

    def draw(self, series: Tensor, height: Tensor) -> Tensor:
        """Return the mean of spots over the points of each pixel, (spots, rows, columns)."""
        a, t, scale = self.a, self.t, self.scale
        orders = torch.arange(DEGREE + 1, device=a.device)
        powers = self.y[:, None, :] ** orders[:, None]
        square = torch.stack([a * a + t * t, 2.0 * t * scale, (scale * scale).expand_as(t)], dim=-1)
        beyond = _points(square, powers[:, :3]) > 1.0
        rows = monomials(a, t).movedim(0, 1).flatten(1, 2) @ in_rows(series, scale[:, 0])
        rows = rows.reshape(*rows.shape[:2], len(a), -1, DEGREE + 1).movedim(2, 1)
        log, *others = (_points(part, powers) for part in rows)
        log = log.masked_fill(beyond, -torch.inf)
        # Polynomials mean nothing there: a passage may seem to end long before it begins.
        others = [part.masked_fill(beyond, 0.0) for part in others]
        value = seen(torch.stack([log, *others]) if others else log[None])
        mean: Tensor = value.mean((0, 1)) * height[:, None, None]
        return mean


def _points(rows: Tensor, powers: Tensor) -> Tensor:
    """Evaluate polynomials of rows at points, (down, across, spots, rows, columns)."""
    found = rows.flatten(1, 2)[:, None] @ powers
    return found.reshape(len(rows), len(powers), *rows.shape[1:3], -1)
