"""Planned cost of every unit of a run, cheaply, from its specification alone."""

from __future__ import annotations

from functools import reduce

import numpy as np

from distbragg.errors import DistbraggError
from distbragg.models.arrays import Float64Array, frozen_float64
from distbragg.models.build import build_experiment
from distbragg.models.crystal import Reflections
from distbragg.plan.frame import FramePlan, plan_frame
from distbragg.run.survey import sampled
from distbragg.store.layout import StackLayout
from distbragg.store.run_directory import RunDirectory


def planned_costs(run: RunDirectory) -> Float64Array:
    """Planned cost of each unit, nominal seconds on one core.

    One dimension at a time is varied about the first frame, and the counts of steps are taken
    as the product of what each does, interpolated on axes of more than 16 values: exact where
    axes act independently. A specification that cannot be resolved any more, say because an
    input file is gone, gives every frame the same weight.

    Returns
    -------
    (units,) float64
    """
    layout = run.layout
    try:
        base = _plan(run, 0)
        factors = [_relative_steps(run, base, dim) for dim in range(len(layout.dims))]
    except DistbraggError:
        return _sums(layout, [np.ones(size) for _, size in layout.dims])
    fixed = base.seconds_of(0)
    varying = base.nominal_seconds - fixed
    frames = _sums(layout, [np.ones(size) for _, size in layout.dims])
    return varying * _sums(layout, factors) + fixed * frames


def _relative_steps(run: RunDirectory, base: FramePlan, dim: int) -> Float64Array:
    """Count steps along one dimension, as multiples of the first frame's."""
    sizes = [size for _, size in run.layout.dims]
    stride = int(np.prod(sizes[dim + 1 :], dtype=np.int64))
    positions = sampled(sizes[dim])
    steps = [_plan(run, position * stride).steps / max(1, base.steps) for position in positions]
    return np.interp(np.arange(sizes[dim]), positions, steps)


def _plan(run: RunDirectory, frame: int) -> FramePlan:
    spec = run.frame_spec(frame)
    return plan_frame(build_experiment(spec, reflections=_NO_TABLE, frame=frame), spec.compute)


def _sums(layout: StackLayout, factors: list[Float64Array]) -> Float64Array:
    """Sum a product of one factor per dimension over the frames of every unit, C order."""
    sums = [
        np.add.reduceat(factor, np.arange(0, factor.size, block))
        for factor, block in zip(factors, layout.unit_shape, strict=True)
    ]
    return reduce(np.multiply.outer, sums, np.ones(())).reshape(-1)


_NO_TABLE = Reflections(
    amplitude=frozen_float64(np.zeros((0, 0, 0))),
    origin=(0, 0, 0),
    default_amplitude=0.0,
    interpolate=False,
)
"""Stands for |F|, on which no count of steps depends, so that no table is read."""
