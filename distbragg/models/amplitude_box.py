"""|F| in a box of Miller indices."""

from __future__ import annotations

import numpy as np

from distbragg.models.crystal import Reflections
from distbragg.models.vectors import Float64Array, IntArray


def empty_reflections(default_amplitude: float) -> Reflections:
    """Return a table without entries: every reflection has the default amplitude."""
    amplitude = np.zeros((0, 0, 0), dtype=np.float64)
    amplitude.setflags(write=False)
    return Reflections(amplitude, (0, 0, 0), default_amplitude, interpolate=False)


def reflections_from_list(
    indices: IntArray, amplitude: Float64Array, default_amplitude: float, *, unique: bool = False
) -> Reflections:
    """Put listed reflections into their bounding box; the last of a repeated index counts.

    `indices`: (n, 3) int. `amplitude`: (n,) float, electrons. `default_amplitude`: fills the
    points that are not listed. `unique`: no index is repeated: nothing is sorted to find out.
    """
    if indices.shape[0] == 0:
        return empty_reflections(default_amplitude)
    low = indices.min(axis=0)
    shape = tuple(int(extent) for extent in indices.max(axis=0) - low + 1)
    flat = np.ravel_multi_index(tuple((indices - low).T), shape)
    box = np.full(shape, default_amplitude, dtype=np.float64)
    if unique:
        box.reshape(-1)[flat] = amplitude
    else:
        # The last entry of each value: numpy promises no order of assignment.
        _, first_reversed = np.unique(flat[::-1], return_index=True)
        last = flat.shape[0] - 1 - first_reversed
        box.reshape(-1)[flat[last]] = amplitude[last]
    box.setflags(write=False)
    origin = (int(low[0]), int(low[1]), int(low[2]))
    return Reflections(box, origin, default_amplitude, interpolate=False)
