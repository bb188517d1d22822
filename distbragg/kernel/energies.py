"""Sources one by one for a kernel that looks |F| up in one table, where |F| follows the energy."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Final

import numpy as np

from distbragg.models.build_spectral import combined
from distbragg.models.crystal import Reflections, Spectral
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import Float64Array
from distbragg.plan.frame import SourceChunk

_KEPT_BYTES: Final = 1 << 28
"""Of tables that are kept from tile to tile; more are made again."""

_made: OrderedDict[tuple[int, bytes], tuple[Spectral, Float64Array]] = OrderedDict()
_lock = threading.Lock()


def channels(
    experiment: Experiment, chunk: SourceChunk
) -> Iterator[tuple[Experiment, SourceChunk]]:
    """Yield a chunk in runs of sources of one |F|, each with that in its experiment.

    The runs are in the order of the sources: their sums, added up in float64, are that of the
    chunk to rounding.
    """
    spectral = experiment.reflections.spectral
    if spectral is None:
        yield experiment, chunk
        return
    shares = spectral.coefficients[chunk.start : chunk.stop]
    ends = np.flatnonzero((shares[1:] != shares[:-1]).any(axis=1)) + 1
    bounds = [0, *ends.tolist(), len(shares)]
    for start, stop in pairwise(bounds):
        plain = replace(experiment, reflections=_plain(experiment.reflections, shares[start]))
        yield plain, SourceChunk(chunk.start + start, chunk.start + stop)


def _plain(reflections: Reflections, share: Float64Array) -> Reflections:
    """Return |F| of one source as a table of its own, kept for the last few."""
    spectral = reflections.spectral
    assert spectral is not None
    key = (id(spectral), share.tobytes())
    with _lock:
        kept = _made.get(key)
        if kept is not None and kept[0] is spectral:
            _made.move_to_end(key)
            return replace(reflections, amplitude=kept[1], spectral=None)
    amplitude = np.sqrt(combined(spectral, share))
    amplitude.setflags(write=False)
    with _lock:
        # The tables are held as well: their identity cannot pass to others meanwhile.
        _made[key] = (spectral, amplitude)
        while len(_made) > 1 and amplitude.nbytes * len(_made) > _KEPT_BYTES:
            _made.popitem(last=False)
    return replace(reflections, amplitude=amplitude, spectral=None)
