"""What spots that are drawn whole, in closed form, take on one core."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from distbragg.models.experiment import Experiment
from distbragg.physics.lattices import lattices_of
from distbragg.physics.lit_density import count_lit
from distbragg.plan.cost import EXPECTED_ARC_S, EXPECTED_SPOT_S, NOMINAL_ARC_S, NOMINAL_SPOT_S
from distbragg.plan.frame import FramePlan


def with_spots(plan: FramePlan, experiment: Experiment) -> FramePlan:
    """Add what the spots of a frame in closed form are planned to take.

    How many there are is estimated, without |F|.
    """
    if not plan.draws_spots:
        return plan
    lattices = [lattice.experiment for lattice in lattices_of(experiment)]
    seconds = sum(
        count_lit(each) * (NOMINAL_SPOT_S + NOMINAL_ARC_S * _spread(each)) for each in lattices
    )
    return replace(plan, spot_seconds=seconds)


def expected_spot_seconds(experiment: Experiment, spots: int) -> float:
    """Seconds that drawing spots, counted by lines, is expected to take on a core of today."""
    each = EXPECTED_SPOT_S + EXPECTED_ARC_S * _spread(experiment)
    return spots / experiment.beam.sources.count * each


def _spread(experiment: Experiment) -> float:
    """Return the standard deviation of a crystal's mosaicity, rad, about the mean axis."""
    return math.sqrt(float(np.trace(experiment.crystal.mosaic_covariance)) / 3.0)
