"""What the native kernel needs to leave out steps within a tolerance.

A step is left out where a bound of it is below the tolerance: the photons of a pixel are a mean
over its steps, so the sum of all that is left out stays below the tolerance too. The bounds
themselves are those of `src/bounds.hpp`, from the numbers of `bounds`.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from distbragg.kernel.native.prepare import SquaredTable
from distbragg.matrices import dot3
from distbragg.models.detector import Panel
from distbragg.models.experiment import Experiment
from distbragg.physics.factors import intensity_scale
from distbragg.shapes import SHAPES

_TRICUBIC_OVERSHOOT: Final = 1.25**6
"""Four-point Lagrange weights add up to at most 1.25 in size along an axis: |F| may exceed the
grid by the third power of that, |F|² by the sixth."""


_ONLY_ZERO: Final = 1e-30
"""A limit that nothing but 0 is below: steps are counted in units of the greatest |F|²."""


def most_squared(table: SquaredTable, *, interpolate: bool) -> float:
    """Greatest |F|² a look-up can give, in units of the table's scale."""
    return table.largest * (_TRICUBIC_OVERSHOOT if interpolate else 1.0)


def most_of_a_step(experiment: Experiment, panel: Panel) -> float:
    """Greatest product of the factors of one sample: solid angle, polarisation, capture."""
    if panel.surface == "flat":
        planes = [
            abs(float(dot3(panel.origin, panel.normal)) + float(depth))
            for depth in panel.sensor.position
        ]
        nearest = min(planes)
    else:
        nearest = abs(panel.distance if panel.surface == "nanobragg" else panel.close_distance)
    if nearest == 0.0:
        return math.inf
    close = 1.0 if panel.point_pixel else panel.pixel_size**2 * abs(panel.close_distance) / nearest
    kahn = abs(experiment.beam.kahn_factor) if experiment.beam.polarized else 0.0
    return close / nearest**2 * max(1.0, 0.5 * (1.0 + kahn))


def samples_per_source(experiment: Experiment, panel: Panel) -> int:
    """Sub-pixels × sensor layers."""
    return experiment.sampling.oversample**2 * panel.sensor.count


def skip_limit(experiment: Experiment, panel: Panel, scale: float, *, sought: bool) -> float:
    """Bound below which a step may be left out, in units of the scaled table; 0: no step.

    Every step of a pixel at this limit would add up to the tolerance exactly. A shape with an edge,
    as TOPHAT has, is bounded by exactly 0 beyond it: looking for its steps this way loses nothing,
    and is done for narrow spots, whether a tolerance is set or not.

    Parameters
    ----------
    experiment : Experiment
    panel : Panel
    scale : float
        `spot_scale · table_scale` of the kernel.
    sought : bool
        Spots are small beside the distance between them.
    """
    tolerance = experiment.sampling.tolerance
    only_zero = tolerance <= 0.0
    # The bounds know flat panels only.
    ends = SHAPES[experiment.crystal.shape].zero_radius < math.inf
    if panel.surface != "flat" or (not sought if ends else only_zero):
        return 0.0
    weights = float(np.abs(experiment.beam.sources.weight).sum())
    domains = len(experiment.crystal.phi) * len(experiment.crystal.mosaic_rotations)
    steps = weights * domains * samples_per_source(experiment, panel)
    photons = intensity_scale(experiment) * most_of_a_step(experiment, panel) * scale * steps
    if not 0.0 < photons < math.inf:
        return 0.0  # a step of 0 may still be no number
    # Below: the product and the sums over steps round too.
    return _ONLY_ZERO if only_zero else tolerance / photons * (1.0 - 1e-4)
