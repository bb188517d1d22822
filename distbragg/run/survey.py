"""How much the frames of a sweep cost: which is the heaviest, and what each unit takes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce
from typing import Final

import numpy as np

from distbragg.engine.context import RunContext
from distbragg.errors import DistbraggError
from distbragg.models.build import Resolved, build_experiment
from distbragg.models.crystal import NO_TABLE
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import Float64Array
from distbragg.plan.frame import FramePlan, plan_frame
from distbragg.plan.memory import precheck_spec
from distbragg.plan.spots import with_spots
from distbragg.run.machine import memory_bytes
from distbragg.spec.sweep import SweepSpec
from distbragg.store.layout import StackLayout
from distbragg.store.run_directory import RunDirectory

MAX_SAMPLES: Final = 16
"""Values of one axis that are looked at; of longer axes, evenly spread ones and both ends."""


@dataclass(frozen=True, slots=True)
class Survey:
    """The frame that a sweep is planned for, and how the others compare."""

    base: FramePlan  # of frame 0
    plan: FramePlan  # of the heaviest frame found
    heaviest: int  # its flat index
    factors: tuple[Float64Array, ...]
    """(size,) along each dimension: steps as multiples of frame 0's, interpolated on axes of more
    than `MAX_SAMPLES` values."""
    mean_share: float
    """Average steps of a frame over those of the heaviest: exact where axes act on the number of
    steps independently and none is longer than `MAX_SAMPLES`."""


def survey_sweep(sweep: SweepSpec, base: Experiment) -> tuple[Survey, Experiment]:
    """Vary one dimension at a time about frame 0 (`base`), and combine the heaviest positions.

    Returns the survey and the heaviest frame. A pure function of the specification: the plan that
    follows from it is part of a run's identity. No count of steps depends on |F|, so that frame 0's
    serves all frames.
    """
    compute = sweep.experiment.compute
    first = plan_frame(base, compute)
    plans, like, memory = {0: first}, Resolved(sweep.frame_spec(0), base), memory_bytes()
    # Of the frames looked at one is kept, the heaviest: detectors of many panels are large.
    most = 0, base

    def look(frame: int) -> FramePlan:
        nonlocal most
        if frame not in plans:
            spec = sweep.frame_spec(frame)
            precheck_spec(spec, memory)
            found = build_experiment(spec, reflections=base.reflections, frame=frame, like=like)
            plans[frame] = plan_frame(found, compute)
            if plans[frame].steps > plans[most[0]].steps:
                most = frame, found
        return plans[frame]

    sizes = [size for _, size in sweep.dims]
    heaviest, mean_share, factors = 0, 1.0, []
    for dim, size in enumerate(sizes):
        stride, positions = math.prod(sizes[dim + 1 :]), sampled(size)
        steps = [look(position * stride).steps for position in positions]
        heaviest += positions[steps.index(max(steps))] * stride
        mean_share *= math.fsum(steps) / len(steps) / max(1, *steps)
        relative = [count / max(1, first.steps) for count in steps]
        factors.append(np.interp(np.arange(size), positions, relative))
    plan = look(heaviest)
    experiment = most[1]
    if most[0] != heaviest:  # another one has as many steps
        spec = sweep.frame_spec(heaviest)
        experiment = build_experiment(spec, reflections=base.reflections, frame=heaviest)
    first, plan = with_spots(first, base), with_spots(plan, experiment)
    return Survey(first, plan, heaviest, tuple(factors), mean_share), experiment


def sampled(size: int) -> tuple[int, ...]:
    """Positions of an axis of `size` values that are looked at, both ends among them."""
    if size <= MAX_SAMPLES:
        return tuple(range(size))
    return tuple(round(i * (size - 1) / (MAX_SAMPLES - 1)) for i in range(MAX_SAMPLES))


def survey_run(run: RunDirectory) -> Survey:
    """Return the survey of a run, made once in this process, and not where it created the run."""

    def survey() -> Survey:
        base = build_experiment(run.sweep.frame_spec(0), reflections=NO_TABLE)
        return survey_sweep(run.sweep, base)[0]

    return RunContext.of(run).kept(Survey, survey)


def planned_costs(run: RunDirectory) -> Float64Array:
    """Planned cost of each unit: (units,) float64, nominal seconds on one core.

    Exact where axes act independently. Where nothing can be resolved any more all weigh alike.
    """
    layout = run.layout
    ones = [np.ones(size) for _, size in layout.dims]
    try:
        survey = survey_run(run)
    except DistbraggError:
        return _sums(layout, ones)
    fixed = survey.base.seconds_of(0)
    varying = survey.base.nominal_seconds - fixed
    return varying * _sums(layout, list(survey.factors)) + fixed * _sums(layout, ones)


def _sums(layout: StackLayout, factors: list[Float64Array]) -> Float64Array:
    """Sum a product of one factor per dimension over the frames of every unit, C order."""
    sums = [
        np.add.reduceat(factor, np.arange(0, factor.size, block))
        for factor, block in zip(factors, layout.unit_shape, strict=True)
    ]
    return reduce(np.multiply.outer, sums, np.ones(())).reshape(-1)
