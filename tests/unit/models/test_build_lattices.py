"""Lattices of a frame, as listed and as drawn."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from distbragg.errors import InputError
from distbragg.models.build import Resolved, build_experiment, resolve
from distbragg.models.experiment import Experiment, physics_hash
from distbragg.plan.frame import plan_frame, shares_plan
from distbragg.spec.compute import ComputeSpec
from distbragg.spec.experiment import ExperimentSpec
from distbragg.spec.load import parse_spec
from distbragg.spec.sweep import SweepSpec

CELL = (40, 50, 60, 80, 95, 105)
SEED = 3
PATH = "crystal.drawn_lattices.count"


def plain(**crystal: Any) -> dict[str, Any]:
    base = {"cell": CELL, "block_cells": (9, 8, 7), "misset_deg": (10, 20, 30)}
    return {
        "beam": {"wavelength_angstrom": 1.0},
        "crystal": {**base, **crystal},
        "structure_factors": {"default_f_electrons": 10},
        "detector": {"pixels_fast": 9, "pixels_slow": 7, "distance_mm": 100},
    }


def spec(**crystal: Any) -> ExperimentSpec:
    return ExperimentSpec.model_validate(plain(**crystal))


def build(frame: int = 0, **crystal: Any) -> Experiment:
    return build_experiment(spec(**crystal), frame=frame)


def turn_between(one: Any, other: Any) -> np.ndarray:
    """The rotation that takes one lattice to another of the same cell."""
    return np.linalg.solve(one.real_space, other.real_space).T


def angle_deg(turn: np.ndarray) -> float:
    return math.degrees(math.acos(max(-1.0, min(1.0, 0.5 * (np.trace(turn) - 1.0)))))


@pytest.mark.spec("LAT-4")
def test_blocks_of_a_lattice_stand_in_place_of_the_crystals_size():
    # A cube of 1 µm holds 1e12 Å³ / 504 / V blocks of 9 x 8 x 7 cells.
    first, second, third = build(
        specimen={"volume_um3": 1.0},
        lattices=[{"illuminated_blocks": 7}, {"block_cells": (18, 8, 7)}],
    ).lattices
    volume = abs(np.linalg.det(first.real_space))
    assert first.scale == pytest.approx(1e12 / 504 / volume, rel=1e-12)
    assert (second.scale, third.scale) == (7.0, pytest.approx(0.5 * first.scale, rel=1e-12))


@pytest.mark.spec("LAT-4")
def test_what_a_lattice_does_not_give_is_the_crystals():
    first, second, third = build(
        illuminated_blocks=5,
        lattices=[
            {"quaternion_xyzw": (0, 0, 1, 1), "illuminated_blocks": 7},
            {"cell": (41, 50, 60, 80, 95, 105), "block_cells": (3, 3, 3), "turned_deg": (0, 0, 90)},
        ],
    ).lattices
    alone = build(misset_deg=None, quaternion_xyzw=(0, 0, 1, 1))
    np.testing.assert_array_equal(second.real_space, alone.crystal.real_space)
    assert (first.scale, second.scale, third.scale) == (5.0, 7.0, 5.0)
    assert second.cells.tolist() == first.cells.tolist() != third.cells.tolist() == [3, 3, 3]
    a, _, _ = build(cell=(41, 50, 60, 80, 95, 105)).crystal.real_space
    np.testing.assert_allclose(third.real_space[0], (-a[1], a[0], a[2]), rtol=0, atol=1e-13)
    np.testing.assert_allclose(third.real_space @ third.reciprocal.T, np.eye(3), atol=1e-13)


@pytest.mark.spec("LAT-4")
def test_an_experiment_of_one_lattice_is_that_without_lattices():
    one = physics_hash(build())
    assert physics_hash(build(drawn_lattices={"count": 1})) == one
    assert physics_hash(build(lattices=[])) == one
    others = [build(lattices=[{}]), build(lattices=[{}, {}]), build(present=False)]
    assert len({one, *map(physics_hash, others)}) == 4


@pytest.mark.spec("LAT-4")
@pytest.mark.parametrize(
    ("crystal", "said"),
    [
        ({"lattices": [{}], "drawn_lattices": {"count": 2}}, "together with lattices"),
        ({"lattices": [{"turned_deg": (1, 0, 0), "misset_deg": (1, 0, 0)}]}, "turned_deg"),
        ({"lattices": [{"mosaic": {"distribution": "gaussian"}}]}, "crystal's is cap"),
        ({"drawn_lattices": {"orientation": "split"}}, "split_deg"),
        ({"drawn_lattices": {"split_deg": 1}}, "orientation: independent"),
        ({"drawn_lattices": {"relative_scale": (2, 1)}}, "relative_scale"),
    ],
)
def test_what_contradicts_itself_is_refused(crystal, said):
    with pytest.raises(InputError, match=said):
        parse_spec(plain(**crystal))


@pytest.mark.spec("LAT-5")
def test_draws_hang_on_seed_frame_and_place_alone():
    three = build(2, drawn_lattices={"count": 3, "seed": SEED}).lattices
    five = build(2, drawn_lattices={"count": 5, "seed": SEED}).lattices
    for one, other in zip(three, five, strict=False):
        np.testing.assert_array_equal(one.real_space, other.real_space)
    turns = [angle_deg(turn_between(five[0], other)) for other in five[1:]]
    assert len({round(turn, 6) for turn in turns}) == 4
    other = build(3, drawn_lattices={"count": 3, "seed": SEED}).lattices
    assert not np.array_equal(other[1].real_space, three[1].real_space)
    np.testing.assert_array_equal(other[0].real_space, three[0].real_space)
    fixed = {"count": 2, "seed": SEED, "per_frame": False}
    one, two = (build(frame, drawn_lattices=fixed).lattices[1] for frame in (2, 3))
    np.testing.assert_array_equal(one.real_space, two.real_space)


@pytest.mark.spec("LAT-5")
def test_split_lattices_lie_as_far_apart_as_asked():
    # Components of standard deviation σ: the mean square of the angle is 3 σ².
    drawn = {"count": 401, "orientation": "split", "split_deg": 0.5, "relative_scale": (1, 3)}
    first, *others = build(drawn_lattices=drawn, illuminated_blocks=10).lattices
    turns = np.array([turn_between(first, other) for other in others])
    square = np.mean([angle_deg(turn) ** 2 for turn in turns])
    assert square == pytest.approx(3 * 0.25, rel=4 * math.sqrt(2 / 3 / 400))
    scales = np.array([other.scale for other in others])
    assert scales.min() >= 10.0
    assert scales.max() <= 30.0
    assert scales.mean() == pytest.approx(20.0, abs=4 * 20.0 / math.sqrt(12 * 400))


@pytest.mark.spec("LAT-5")
def test_independent_lattices_point_anywhere():
    # The mean cosine of a uniform direction with any other is 0, its standard deviation 1/√3.
    first, *others = build(drawn_lattices={"count": 401, "seed": SEED}).lattices
    x, y, z = (np.array([turn_between(first, one)[:, k] for one in others]) for k in range(3))
    means = np.concatenate([axis.mean(axis=0) for axis in (x, y, z)])
    assert np.abs(means).max() < 4.5 / math.sqrt(3 * 400)


@pytest.mark.spec("LAT-2")
@pytest.mark.parametrize("crystal", [{"present": False}, {"drawn_lattices": {"count": 0}}])
def test_a_miss_is_one_step_of_a_crystal_of_no_scale(crystal):
    missed = build(mosaic={"spread_deg": 0.1, "domains": 50}, **crystal)
    assert [one.scale for one in missed.lattices] == [0.0]
    assert missed.crystal.mosaic_rotations.shape[0] == 1


@pytest.mark.spec("LAT-6")
def test_frames_of_a_sweep_over_the_number_are_those_alone():
    counts = [1, 0, 3, 2, 0, 2]
    mosaic = {"spread_deg": 0.2, "domains": 4}
    sweep = SweepSpec.model_validate(
        {
            "experiment": plain(mosaic=mosaic, drawn_lattices={"seed": SEED}),
            "axes": [{"name": "lattices", "path": PATH, "values": counts}],
        }
    )
    like: Resolved | None = None
    for frame, count in enumerate(counts):
        like = resolve(sweep.frame_spec(frame), frame=frame, like=like)
        alone = build(frame, mosaic=mosaic, drawn_lattices={"count": count, "seed": SEED})
        assert len(like.experiment.lattices) == max(1, count)
        assert physics_hash(like.experiment) == physics_hash(alone)


@pytest.mark.spec("LAT-6")
def test_the_plan_counts_the_steps_of_every_lattice():
    mosaic = {"spread_deg": 0.2, "domains": 4}
    one, three, none = (
        build(mosaic=mosaic, drawn_lattices={"count": count}) for count in (1, 3, 0)
    )
    samples = [plan_frame(view, ComputeSpec()).samples[0] for view in (one, three, none)]
    square = one.sampling.oversample**2
    assert samples == [4 * square, 12 * square, square]
    others = build(mosaic=mosaic, drawn_lattices={"count": 3, "seed": 9}).others
    assert shares_plan(three, replace(three, others=others))
    assert not shares_plan(three, replace(three, others=others[:1]))
    assert not shares_plan(one, replace(one, crystal=none.crystal))
