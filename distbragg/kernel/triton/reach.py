"""A table of |F|² that holds every index a panel can reach, so that none need be clamped."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from distbragg.kernel.native.prepare import SquaredTable
from distbragg.models.vectors import Float64Array

MOST_ENTRIES: Final = 1 << 24
"""Largest table that is made for it: 64 MiB, of which pixels touch what lies near their own."""

_STEP: Final = 8
"""Reaches are rounded up to it, so that the frames of a sweep share a table."""

_KEPT_TABLES: Final = 4

Reach = tuple[int, int, int]

_tables: OrderedDict[tuple[int, Reach, Reach], tuple[SquaredTable, NDArray[Any]]] = OrderedDict()
_lock = threading.Lock()


def reach_of(vectors: Float64Array, longest: float) -> Reach:
    """Return the largest |h|, |k|, |l| of cell vectors (domains, 9) up to |q| = `longest`."""
    edges = np.sqrt((vectors.reshape(-1, 3, 3) ** 2).sum(axis=2)).max(axis=0)
    h, k, l = (  # noqa: E741
        _STEP * math.ceil((float(edge) * longest * (1.0 + 1e-9) + 1.0) / _STEP) for edge in edges
    )
    return h, k, l


def reached_table(
    table: SquaredTable, lowest: Reach, reach: Reach
) -> tuple[NDArray[Any], Reach] | None:
    """Widen or cut a table to the indices −reach … reach; None where it would be too large.

    Parameters
    ----------
    table : SquaredTable
    lowest, reach : (int, int, int)
        Index of its first entry; largest index on each axis.

    Returns
    -------
    (2 reach + 2 on each axis) float32 or float64, (int, int, int)
        The table with its border planes, kept for the last few; its lowest index.
    """
    shape = tuple(2 * most + 2 for most in reach)
    if math.prod(shape) > MOST_ENTRIES:
        return None
    key = (id(table), lowest, reach)
    with _lock:
        kept = _tables.get(key)
        if kept is None:
            # The table is held as well: its identity cannot pass to another one meanwhile.
            kept = _tables[key] = (table, _widened(table.values, lowest, reach, shape))
        _tables.move_to_end(key)
        while len(_tables) > _KEPT_TABLES:
            _tables.popitem(last=False)
    return kept[1], (-reach[0], -reach[1], -reach[2])


def _widened(
    values: NDArray[Any], lowest: Reach, reach: Reach, shape: tuple[int, ...]
) -> NDArray[Any]:
    wide = np.full(shape, values[-1, -1, -1])
    source, target = [], []
    for first, entries, most in zip(lowest, values.shape, reach, strict=True):
        start, stop = max(first, -most), min(first + entries - 1, most + 1)
        source.append(slice(start - first, max(stop, start) - first))
        target.append(slice(start + most, max(stop, start) + most))
    wide[tuple(target)] = values[tuple(source)]
    return wide
