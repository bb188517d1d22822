"""Which frame of a sweep is the heaviest, and how much lighter the others are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from distbragg.models.build import build_experiment
from distbragg.models.crystal import Reflections
from distbragg.models.experiment import Experiment
from distbragg.plan.frame import FramePlan, plan_frame
from distbragg.plan.memory import precheck_spec
from distbragg.run.machine import memory_bytes
from distbragg.spec.sweep import SweepSpec

MAX_SAMPLES: Final = 16
"""Values of one axis that are looked at; of longer axes, evenly spread ones and both ends."""


@dataclass(frozen=True, slots=True)
class Survey:
    """The frame that a sweep is planned for.

    Attributes
    ----------
    experiment : Experiment
        The heaviest frame found.
    plan : FramePlan
        Its plan.
    mean_share : float
        Average steps of a frame over those of the heaviest: exact where axes act on the
        number of steps independently and none is longer than `MAX_SAMPLES`.
    heaviest : int
        Flat index of the frame.
    """

    experiment: Experiment
    plan: FramePlan
    mean_share: float
    heaviest: int = 0


def survey_sweep(sweep: SweepSpec, base: Experiment) -> Survey:
    """Vary one dimension at a time about frame 0, and combine the heaviest positions.

    A pure function of the specification: the plan that follows from it is part of a run's
    identity.

    Parameters
    ----------
    sweep : SweepSpec
    base : Experiment
        Frame 0. Its |F| serves all frames, since no count of steps depends on it.

    Raises
    ------
    InputError
        A frame that was looked at cannot be resolved.
    """
    compute = sweep.experiment.compute
    plan = plan_frame(base, compute)
    strides = _strides(tuple(size for _, size in sweep.dims))
    heaviest, mean_share = 0, 1.0
    for (_, size), stride in zip(sweep.dims, strides, strict=True):
        steps = {
            position: _steps(sweep, position * stride, base.reflections)
            for position in sampled(size)
        }
        most = max(steps, key=lambda position: steps[position])
        heaviest += most * stride
        mean_share *= math.fsum(steps.values()) / len(steps) / max(1, steps[most])
    if heaviest == 0:
        return Survey(base, plan, mean_share)
    spec = sweep.frame_spec(heaviest)
    precheck_spec(spec, memory_bytes())
    experiment = build_experiment(spec, reflections=base.reflections, frame=heaviest)
    return Survey(experiment, plan_frame(experiment, compute), mean_share, heaviest)


def sampled(size: int) -> tuple[int, ...]:
    """Positions of an axis of `size` values that are looked at, both ends among them."""
    if size <= MAX_SAMPLES:
        return tuple(range(size))
    return tuple(round(i * (size - 1) / (MAX_SAMPLES - 1)) for i in range(MAX_SAMPLES))


def _steps(sweep: SweepSpec, frame: int, reflections: Reflections) -> int:
    spec = sweep.frame_spec(frame)
    precheck_spec(spec, memory_bytes())
    experiment = build_experiment(spec, reflections=reflections, frame=frame)
    return plan_frame(experiment, spec.compute).steps


def _strides(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Distance in flat C order between neighbours along each dimension."""
    return tuple(math.prod(sizes[axis + 1 :]) for axis in range(len(sizes)))
