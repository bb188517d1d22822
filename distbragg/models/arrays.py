"""Array aliases and the one place that freezes arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float64Array = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


def frozen_float64(values: object) -> Float64Array:
    """Return `values` as a C-contiguous, read-only float64 array."""
    array = np.array(values, dtype=np.float64, order="C", copy=True)
    array.setflags(write=False)
    return array
