"""The factors common to all pixels of a frame, applied once."""

from __future__ import annotations

import math

from distbragg.constants import CLASSICAL_ELECTRON_RADIUS_SQUARED_M2
from distbragg.models.experiment import Experiment


def intensity_scale(experiment: Experiment) -> float:
    """Return r_e² Φ / (n_phi n_mosaic n_sub² W)."""
    crystal = experiment.crystal
    orientations = int(crystal.phi.shape[0]) * int(crystal.mosaic_rotations.shape[0])
    steps = orientations * experiment.sampling.oversample**2
    fluence = CLASSICAL_ELECTRON_RADIUS_SQUARED_M2 * experiment.beam.fluence
    return fluence / steps / experiment.beam.sources.total_weight


def background_start(experiment: Experiment) -> float:
    """Return the value the C program's sum starts at: F² r_e² Φ times the molecules.

    Under rule `count` it is later divided by the number of sources, as in the program. Under
    `sum` and `none` it is taken Σw times instead: a weighted mean knows no such number, and
    the unit of the weights must cancel.
    """
    background = experiment.background
    if background.molecules == 0.0 or background.amplitude.shape[0] == 0:
        return 0.0
    amplitude = float(background.amplitude[0])
    fluence = CLASSICAL_ELECTRON_RADIUS_SQUARED_M2 * experiment.beam.fluence
    sources = experiment.beam.sources
    share = 1.0 if sources.rule == "count" else math.fsum(sources.weight.tolist())
    return amplitude * amplitude * fluence * background.molecules * share
