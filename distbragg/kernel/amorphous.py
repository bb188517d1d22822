"""The background as kernels look it up, kept for the frames that share it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

from distbragg.models.experiment import Background
from distbragg.models.vectors import Float64Array
from distbragg.physics.amorphous import material_curves

_KEPT: Final = 8
_summed: OrderedDict[int, tuple[Background, tuple[Float64Array, Float64Array]]] = OrderedDict()
_lock = threading.Lock()


def summed_curve(background: Background) -> tuple[Float64Array, Float64Array]:
    """Return Σ molecules · F² of all materials: points (n,), and (n, 3) from each to the next.

    Kept for the last few backgrounds by identity; see `material_curves`.
    """
    with _lock:
        kept = _summed.get(id(background))
    if kept is not None:
        return kept[1]
    stol, curves = material_curves(background.materials)
    found = stol, curves.sum(axis=0)
    with _lock:
        # The background is held as well: its identity cannot pass to another one meanwhile.
        _summed[id(background)] = (background, found)
        while len(_summed) > _KEPT:
            _summed.popitem(last=False)
    return found
