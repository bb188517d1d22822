"""What spots that are drawn whole, in closed form, take on one core."""

from __future__ import annotations

import math

import numpy as np

from distbragg.models.experiment import Experiment
from distbragg.physics.lattices import lattices_of
from distbragg.physics.lit_density import count_lit
from distbragg.plan.cost import EXPECTED_ARC_S, EXPECTED_SPOT_S, NOMINAL_ARC_S, NOMINAL_SPOT_S


def nominal_spot_seconds(experiment: Experiment) -> float:
    """Planned cost of the spots of a frame, s: how many there are is estimated without |F|."""
    lattices = [lattice.experiment for lattice in lattices_of(experiment)]
    return sum(
        count_lit(each) * (NOMINAL_SPOT_S + NOMINAL_ARC_S * _spread(each)) for each in lattices
    )


def expected_spot_seconds(experiment: Experiment, spots: int) -> float:
    """Seconds that drawing spots, counted by lines, is expected to take on a core of today."""
    each = EXPECTED_SPOT_S + EXPECTED_ARC_S * _spread(experiment)
    return spots / experiment.beam.sources.count * each


def _spread(experiment: Experiment) -> float:
    """Return the standard deviation of a crystal's mosaicity, rad, about the mean axis."""
    return math.sqrt(float(np.trace(experiment.crystal.mosaic_covariance)) / 3.0)
