"""|F| of the unit cell: nearest grid point, or a tricubic polynomial through 4×4×4 points."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from distbragg.models.crystal import Reflections

_KEPT_TABLES: Final = 4
_tables: OrderedDict[tuple[int, torch.dtype, str, float], tuple[weakref.ref[Any], Tensor]] = (
    OrderedDict()
)
_tables_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class AmplitudeTable:
    """|F| as one flat tensor on the device.

    Attributes
    ----------
    values : (nh·nk·nl + 1,) working dtype
        Row-major over (h, k, l); the last entry is the default amplitude.
    shape : (int, int, int)
    origin : (int, int, int)
        Lowest h, k, l.
    interpolate : bool
    """

    values: Tensor
    shape: tuple[int, int, int]
    origin: tuple[int, int, int]
    interpolate: bool


def amplitude_table(
    reflections: Reflections, dtype: torch.dtype, device: torch.device
) -> AmplitudeTable:
    """Return the table of `reflections`; the last few made are kept, by array identity."""
    amplitude = reflections.amplitude
    shape = (int(amplitude.shape[0]), int(amplitude.shape[1]), int(amplitude.shape[2]))
    key = (id(amplitude), dtype, str(device), reflections.default_amplitude)
    with _tables_lock:
        kept = _tables.get(key)
    if kept is not None and kept[0]() is amplitude:
        values = kept[1]
    else:
        flat = np.append(amplitude.ravel(), reflections.default_amplitude)
        values = torch.from_numpy(flat).to(device=device, dtype=dtype)
        with _tables_lock:
            for stale in [name for name, (owner, _) in _tables.items() if owner() is None]:
                del _tables[stale]
            _tables[key] = (weakref.ref(amplitude), values)
            while len(_tables) > _KEPT_TABLES:
                _tables.popitem(last=False)
    interpolate = reflections.interpolate and amplitude.size > 0
    return AmplitudeTable(values, shape, reflections.origin, interpolate)


def cell_amplitude(
    table: AmplitudeTable,
    indices: tuple[Tensor, Tensor, Tensor],
    nearest: tuple[Tensor, Tensor, Tensor],
) -> Tensor | float:
    """Return |F| at every evaluation.

    Parameters
    ----------
    table : AmplitudeTable
    indices : three (...,) float64
        Fractional h, k, l.
    nearest : three (...,) float64
        ceil(h − ½) and so on.

    Returns
    -------
    (...,) working dtype, or float
        A number where there is no table: the default amplitude.
    """
    if 0 in table.shape:
        return float(table.values[-1])
    value = _nearest(table, nearest)
    if table.interpolate:
        inside = _support_inside(table, indices)
        if bool(inside.any()):
            value = torch.where(inside, _tricubic(table, indices, inside), value)
    return value


def _nearest(table: AmplitudeTable, nearest: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    (h, k, l), (low_h, low_k, low_l) = nearest, table.origin  # noqa: E741 - Miller indices
    size_h, size_k, size_l = table.shape
    # Distances from the box centre test both bounds at once; all of it is exact in float64.
    inside = (h - (low_h + (size_h - 1) / 2.0)).abs_() <= (size_h - 1) / 2.0
    inside &= (k - (low_k + (size_k - 1) / 2.0)).abs_() <= (size_k - 1) / 2.0
    inside &= (l - (low_l + (size_l - 1) / 2.0)).abs_() <= (size_l - 1) / 2.0
    position = (h * float(size_k)).add_(k).mul_(float(size_l)).add_(l)
    position -= float((low_h * size_k + low_k) * size_l + low_l)
    position.masked_fill_(~inside, float(table.values.shape[0] - 1))
    return torch.take(table.values, position.to(torch.int64))


def _support_inside(table: AmplitudeTable, indices: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Tell where the 4×4×4 points lie in the box, by the C program's test on the real index."""
    inside = torch.ones_like(indices[0], dtype=torch.bool)
    for index, size, lowest in zip(indices, table.shape, table.origin, strict=True):
        outside = (index - float(lowest) + 3.0 > float(size)) | (index - 2.0 < float(lowest))
        inside &= ~outside
    return inside


def _cubic_weights(fraction: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Lagrange weights of the nodes −1, 0, 1, 2 at `fraction` in [0, 1]."""
    before, after, beyond = fraction + 1.0, fraction - 1.0, fraction - 2.0
    return (
        fraction * after * beyond * (-1.0 / 6.0),
        before * after * beyond * 0.5,
        before * fraction * beyond * -0.5,
        before * fraction * after * (1.0 / 6.0),
    )


def _tricubic(
    table: AmplitudeTable, indices: tuple[Tensor, Tensor, Tensor], inside: Tensor
) -> Tensor:
    """Polynomial of degree 3 on each axis through the surrounding 4×4×4 points.

    The value of nested one-dimensional Lagrange polynomials; the fraction of the index is
    taken in float64 before the weights are formed.
    """
    weights: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    start = torch.zeros_like(indices[0], dtype=torch.int64)
    for index, size, lowest in zip(indices, table.shape, table.origin, strict=True):
        floor = torch.floor(index)
        weights.append(_cubic_weights((index - floor).to(table.values.dtype)))
        first = torch.where(inside, floor - float(lowest) - 1.0, torch.zeros_like(floor))
        start = start * size + first.to(torch.int64)
    _, size_k, size_l = table.shape
    total = torch.zeros_like(weights[0][0])
    for i in range(4):
        plane = torch.zeros_like(total)
        for j in range(4):
            offset = (i * size_k + j) * size_l
            line = torch.take(table.values, start + offset) * weights[2][0]
            for m in range(1, 4):
                line += torch.take(table.values, start + (offset + m)) * weights[2][m]
            plane += line * weights[1][j]
        total += plane * weights[0][i]
    return total
