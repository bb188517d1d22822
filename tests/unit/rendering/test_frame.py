"""Frames finished inside the kernel are held to their plan as merged ones are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from distbragg.errors import AccountingError
from distbragg.kernel import native
from distbragg.kernel.options import KernelOptions
from distbragg.models.build import build_experiment
from distbragg.plan.frame import plan_frame
from distbragg.rendering.frame import FrameJob, render_jobs
from tests.unit.engine.test_lazy import small

pytestmark = pytest.mark.skipif(not native.available(), reason=native.reason())

OPTIONS = KernelOptions("mixed", "native", "cpu", 1)


@pytest.fixture
def job() -> FrameJob:
    spec = small()
    experiment = build_experiment(spec)
    plan = plan_frame(experiment, spec.compute)
    return FrameJob(np.full((1, 11, 13), np.nan), experiment, plan, 0)


def test_tiles_are_told_as_they_are_done_and_fill_the_frame(job):
    told = []
    render_jobs([job], OPTIONS, on_tile=lambda done, tiles: told.append((done, tiles)))
    assert told == [(done, 9) for done in range(1, 10)]
    assert np.isfinite(job.image).all()


@pytest.mark.spec("ENG-4")
def test_frames_of_several_plans_are_rendered_together_as_each_alone(job):
    """Of one lattice, of two, and one that a detector in the C program's way finishes in Python."""
    experiment = job.experiment
    two = replace(experiment, others=(replace(experiment.crystal, scale=0.5),))
    plain = replace(experiment, physics="nanobragg")
    jobs = [
        FrameJob(np.full((1, 11, 13), np.nan), one, plan_frame(one, small().compute), frame)
        for frame, one in enumerate((two, experiment, plain, two))
    ]
    assert len({one.plan.plan_hash for one in jobs}) > 1
    render_jobs(jobs, OPTIONS)
    for one in jobs:
        alone = replace(one, image=np.full((1, 11, 13), np.nan))
        render_jobs([alone], OPTIONS)
        np.testing.assert_array_equal(one.image, alone.image)
    assert not np.array_equal(jobs[0].image, jobs[1].image)


@pytest.mark.spec("ENG-4")
def test_a_plan_of_other_steps_or_weights_is_refused_before_the_kernel_runs(job):
    active = (tuple(count + 1 for count in job.plan.active[0]),)
    with pytest.raises(AccountingError, match="steps summed, expected"):
        render_jobs([replace(job, plan=replace(job.plan, active=active))], OPTIONS)
    with pytest.raises(AccountingError, match="weights sum to"):
        render_jobs([replace(job, plan=replace(job.plan, weight_sum=2.0))], OPTIONS)
    assert np.isnan(job.image).all()
