"""The dry run: numbers a user can check by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from distbragg.models.build import build_experiment
from distbragg.plan.cost import (
    CLUSTER_START_S,
    EXPECTED_INTEGRAL_S,
    EXPECTED_LABEL_S,
    HALO_STEPS,
    NUMPY_INTEGRALS,
    PROCESS_START_S,
    SPREAD_HALO,
)
from distbragg.plan.frame import plan_frame
from distbragg.plan.spots import expected_spot_seconds
from distbragg.plan.summary import (
    count_tasks,
    expected_frame_seconds,
    expected_label_seconds,
    summarize,
)
from distbragg.plan.sweep import plan_sweep
from distbragg.predict.spots import integrals_of_spots, predict_spots
from distbragg.spec.compute import OutputSpec
from distbragg.spec.experiment import ExperimentSpec
from distbragg.spec.load import parse_spec

from .test_frame_plan import small_spec


def test_summary_counts_frames_tasks_steps_and_bytes():
    spec = small_spec(tile=[4, 5], source_chunk=2, frames_per_unit=2)
    experiment = build_experiment(spec)
    plan = plan_sweep((("n", 5),), plan_frame(experiment, spec.compute), spec.compute, spec.output)
    summary = summarize(plan, experiment, spec)
    assert (summary.frames, summary.units, summary.frames_per_unit) == (5, 3, 2)
    assert (summary.tiles, summary.source_chunks, summary.sources) == (9, 3, 5)
    assert summary.tasks == summary.units
    assert summary.oversample == 2
    assert summary.steps == 5 * plan.frame.steps
    assert (summary.blocks, summary.fluence_photons_per_m2) == (1.0, experiment.beam.fluence)
    assert summary.bytes_on_disk == 5 * 11 * 13 * 4
    assert summary.nominal_seconds == pytest.approx(5 * plan.frame.nominal_seconds)
    assert summary.memory_per_worker == summary.memory.total
    json.dumps(summary.to_plain())


def test_graph_form_counts_tiles_chunks_merges_and_writers():
    spec = small_spec(tile=[4, 5], source_chunk=1, frames_per_unit=1, form="graph")
    experiment = build_experiment(spec)
    frame = plan_frame(experiment, spec.compute)
    plan = plan_sweep((("n", 4),), frame, spec.compute, OutputSpec())
    assert summarize(plan, experiment, spec).form == "graph"
    assert count_tasks(plan, "graph") == 4 * 9 * (5 + 1) + 4


@pytest.mark.spec("CLI-9")
def test_wall_time_is_that_of_whole_units_on_the_busiest_worker():
    spec = small_spec(frames_per_unit=2)
    experiment = build_experiment(spec)
    plan = plan_sweep((("n", 5),), plan_frame(experiment, spec.compute), spec.compute, spec.output)
    seconds = expected_frame_seconds(plan.frame, plan.frame.steps)

    def told(workers, **changes):
        changed = spec.model_copy(update=changes)
        summary = summarize(plan, experiment, changed, workers=workers)
        return summary.wall_seconds, summary.part_seconds

    assert told(1) == pytest.approx([PROCESS_START_S + 5 * seconds] * 2)
    # Three units: one of two workers has two of them.
    assert told(2) == pytest.approx([CLUSTER_START_S + 4 * seconds, PROCESS_START_S + 4 * seconds])
    assert told(9) == told(3)
    labelled = told(1, output=OutputSpec(labels=True))[0] - told(1)[0]
    points = experiment.reflections.amplitude.size
    assert labelled == pytest.approx(5 * points * EXPECTED_LABEL_S)


@pytest.mark.spec("CLI-9")
@pytest.mark.parametrize("oscillation", [0.0, 0.5, -0.5])
@pytest.mark.parametrize("bandwidth", [0.0, 0.3])
def test_labels_in_closed_form_take_what_their_integrals_do(oscillation, bandwidth):
    spec = small_spec()
    crystal = {"shape": "gauss", "mosaic": {"distribution": "gaussian", "spread_deg": 0.2}}
    beam = {"wavelength_angstrom": 1.0, "bandwidth_percent": bandwidth}
    plain = spec.model_dump(mode="json", exclude_unset=True)
    plain |= {
        "beam": beam,
        "crystal": {**plain["crystal"], **crystal},
        "goniometer": {"oscillation_deg": oscillation},
        "sampling": {"method": "closed_form"},
    }
    experiment = build_experiment(ExperimentSpec.model_validate(plain))
    count = integrals_of_spots(experiment, 0.0, None)
    each = EXPECTED_INTEGRAL_S[oscillation != 0.0, bandwidth > 0.0]
    assert count >= len(predict_spots(experiment)) > 0
    compiled = expected_label_seconds(experiment, count, eager=False)
    assert compiled == pytest.approx(count * each)
    by_numpy = expected_label_seconds(experiment, count, eager=True)
    assert by_numpy == pytest.approx(NUMPY_INTEGRALS * count * each)


def test_expected_times_follow_noise_precision_and_kernel():
    spec = small_spec()
    frame = plan_frame(build_experiment(spec), spec.compute)
    mixed, double = (replace(frame, precision=name) for name in ("mixed", "float64"))
    plain = expected_frame_seconds(mixed, 10**8)
    noisy = expected_frame_seconds(replace(mixed, photon_noise=True), 10**8)
    assert noisy == pytest.approx(plain + frame.pixels * 6.0e-9)
    assert expected_frame_seconds(double, 10**8) > plain
    assert expected_frame_seconds(mixed, 10**8, eager=True) > 10 * plain


def test_spots_drawn_whole_are_not_expected_to_take_a_time_for_each_line():
    gaussian = {"shape": "gauss", "mosaic": {"distribution": "gaussian", "spread_deg": 0.3}}
    spec = small_spec()
    drawn = spec.model_validate(
        spec.model_dump(exclude_unset=True)
        | {"crystal": spec.crystal.model_dump(exclude_unset=True) | gaussian}
    )
    closed = plan_frame(build_experiment(drawn), drawn.compute)
    sampled = plan_frame(build_experiment(spec), spec.compute)
    assert (closed.draws_spots, sampled.draws_spots) == (True, False)
    assert expected_frame_seconds(closed, 10**12) == expected_frame_seconds(closed, 0)
    assert expected_frame_seconds(sampled, 10**12) > 10**12 / 1e9


def test_halos_count_in_what_steps_are_expected_to_take():
    spec = small_spec()
    halo = {"gamma_angstrom": 30, "sigma_angstrom": 0.3, "laue_group": "4/mmm"}

    def frame_of(**changes):
        crystal = spec.crystal.model_dump(exclude_unset=True) | {"diffuse": halo | changes}
        changed = spec.model_validate(spec.model_dump(exclude_unset=True) | {"crystal": crystal})
        return plan_frame(build_experiment(changed), changed.compute)

    plain = plan_frame(build_experiment(spec), spec.compute)
    # The same along all axes, the eight rotations make one halo about each of 27 points.
    assert [plain.halos, frame_of().halos, frame_of(stencil=0).halos] == [0, 27, 1]
    assert frame_of(sigma_angstrom=[0.3, 0.3, 0.1], stencil=2).halos == 8 * 125
    assert frame_of().steps == plain.steps
    summing = frame_of().summing_seconds(1000, 100.0)
    assert summing == pytest.approx(10.0 * (1 + 27 * HALO_STEPS))


@pytest.mark.spec("DIF-10")
def test_lines_that_halos_see_as_few_are_expected_to_take_as_little():
    def halos(precision: str, lines: int) -> int:
        spec = parse_spec(
            {
                "beam": {
                    "wavelength_angstrom": 1.0,
                    "dispersion": {"range_percent": 0.5, "steps": lines},
                },
                "crystal": {
                    "cell": [50, 60, 70, 90, 90, 90],
                    "block_cells": [20, 20, 20],
                    "shape": "gauss",
                    "diffuse": {"gamma_angstrom": 10, "sigma_angstrom": 0.3, "laue_group": "-1"},
                },
                "structure_factors": {"default_f_electrons": 10.0},
                "sampling": {"method": "closed_form"},
                "compute": {"precision": precision},
            }
        )
        return plan_frame(build_experiment(spec), spec.compute).halos

    each = 27 * SPREAD_HALO
    assert [halos("float64", 40), halos("mixed", 40), halos("mixed", 2)] == [each, 2, each // 2]


def test_halos_in_closed_form_count_where_spots_do_not():
    halo = {"gamma_angstrom": 30, "sigma_angstrom": 0.3, "laue_group": "-1"}
    spec = small_spec()
    mosaic = {"distribution": "gaussian", "spread_deg": 0.1}
    crystal = spec.crystal.model_dump(exclude_unset=True) | {"shape": "gauss", "mosaic": mosaic}

    def frame_of(**changes):
        plain = spec.model_dump(exclude_unset=True)
        given = {
            "beam": {"wavelength_angstrom": 1.0},
            "crystal": crystal | changes,
            "sampling": {"method": "closed_form", "oversample": 1},
        }
        changed = spec.model_validate(plain | given)
        return plan_frame(build_experiment(changed), changed.compute)

    plain, with_halos = frame_of(), frame_of(diffuse=halo)
    assert [plain.halos, with_halos.halos] == [0, 27 * SPREAD_HALO]
    longer = expected_frame_seconds(with_halos, 10**6) - expected_frame_seconds(plain, 10**6)
    assert longer == pytest.approx(10**6 * 27 * SPREAD_HALO * HALO_STEPS / 3.0e8)


def test_arcs_of_a_wide_spread_are_expected_to_take_longer():
    """15,010 spots of a spread of 1° took 1.2 s, 28,676 of 2° took 5.1 s."""
    one = build_experiment(small_spec())
    for spread, spots, taken in ((1.0, 15_010, 1.2), (2.0, 28_676, 5.1)):
        covariance = np.eye(3) * np.radians(spread) ** 2
        crystal = replace(one.crystal, mosaic_covariance=covariance)
        by_lines = spots * one.beam.sources.count
        expected = expected_spot_seconds(replace(one, crystal=crystal), by_lines)
        assert taken / 2 < expected < taken * 2
