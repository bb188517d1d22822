"""Counting the steps a kernel is asked for, from what it is given and not from the plan."""

from __future__ import annotations

import numpy as np

from distbragg.models.experiment import Experiment
from distbragg.plan.keys import SourceChunk, Tile


def count_terms(experiment: Experiment, panel: int, tile: Tile, chunk: SourceChunk) -> int:
    """Count the steps of one tile × source chunk, those a kernel may skip included.

    Counted anew from the arrays the kernel loops over. What this is compared with is the plan's
    count: that guards how a frame is cut and merged, not what the kernel adds up.

    Returns
    -------
    int
        Active pixels × sources × spindle steps × domains × sub-pixels × layers.
    """
    place = experiment.detector.panels[panel]
    rows = slice(tile.slow_start, tile.slow_stop)
    active = (
        tile.pixels
        if place.fully_active
        else int(np.count_nonzero(place.active[rows, tile.fast_start : tile.fast_stop]))
    )
    sources = len(experiment.beam.sources.wavelength[chunk.start : chunk.stop])
    orientations = len(experiment.crystal.phi) * len(experiment.crystal.mosaic_rotations)
    samples = experiment.sampling.oversample**2 * len(place.sensor.position)
    return active * sources * orientations * samples
