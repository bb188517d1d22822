"""What the closed form is given: the covariance of mosaicity, and records that no kernel sums."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from distbragg.models.build import build_experiment
from distbragg.models.experiment import physics_hash
from distbragg.models.vectors import frozen_float64
from distbragg.plan.frame import shares_plan
from distbragg.spec.experiment import ExperimentSpec
from tests.beams import beam_of


def build(**crystal):
    return build_experiment(
        ExperimentSpec(
            beam=beam_of(None),
            crystal={"cell": (25, 31, 35, 80, 85, 75), "block_cells": (6, 6, 6), **crystal},
            structure_factors={"default_f_electrons": 10},
            detector={"pixels_fast": 9, "pixels_slow": 7},
        )
    )


def changed(experiment):
    """The experiment with each number of the closed form changed in turn."""
    beam, crystal = experiment.beam, experiment.crystal
    return [
        replace(experiment, sampling=replace(experiment.sampling, method="closed_form")),
        replace(experiment, beam=replace(beam, sources=replace(beam.sources, bandwidth=0.01))),
        replace(experiment, beam=replace(beam, divergence=frozen_float64([[0, 1, 0], [0, 0, 1]]))),
        replace(experiment, crystal=replace(crystal, mosaic_covariance=frozen_float64(np.eye(3)))),
        replace(experiment, crystal=replace(crystal, oscillation=(0.0, 0.1))),
    ]


def test_one_spread_is_one_variance_on_every_axis():
    mosaic = {"spread_deg": 0.3, "domains": 2, "distribution": "gaussian"}
    expected = np.radians(0.3) ** 2 * np.eye(3)
    crystal = build(mosaic=mosaic, misset_deg=(10, 20, 30)).crystal
    np.testing.assert_allclose(crystal.mosaic_covariance, expected, rtol=1e-15)


@pytest.mark.parametrize("mosaic", [{}, {"spread_deg": 0.3}, {"distribution": "gaussian"}])
def test_without_a_normal_spread_there_is_no_covariance(mosaic):
    assert not build(mosaic=mosaic).crystal.mosaic_covariance.any()


@pytest.mark.spec("ENG-9")
def test_the_hash_sees_every_number_of_the_closed_form():
    base = build()
    hashes = {physics_hash(one) for one in (base, *changed(base))}
    assert len(hashes) == 6


def test_frames_share_no_plan_where_method_or_beam_differ():
    base = build()
    shared = [shares_plan(base, one) for one in changed(base)]
    assert shared == [False, False, False, True, True]
