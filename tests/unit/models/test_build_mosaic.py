"""Normal mosaicity: its covariance in the laboratory, and the domains drawn from it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from distbragg.errors import InputError
from distbragg.models.build import build_experiment
from distbragg.models.rotations import fold_seed, gaussian_domains
from distbragg.spec.experiment import ExperimentSpec
from tests.beams import beam_of

CELL = (25, 31, 35, 80, 85, 75)
TRIPLE = (0.3, 0.05, 0.1)
MATRIX = ((0.09, 0.01, -0.02), (0.01, 0.04, 0.0), (-0.02, 0.0, 0.01))


def crystal_of(spread, *, frame=0, goniometer=None, physics="exact", mosaic=None, **changes):
    mosaic = {"spread_deg": spread, "distribution": "gaussian", **(mosaic or {})}
    crystal = {"cell": CELL, "block_cells": (6, 6, 6), "mosaic": mosaic, **changes}
    spec = ExperimentSpec(
        physics=physics,
        beam=beam_of(None),
        crystal=crystal,
        structure_factors={"default_f_electrons": 10},
        detector={"pixels_fast": 9, "pixels_slow": 7},
        goniometer=goniometer or {},
        sampling={"method": "sampled"},
    )
    return build_experiment(spec, frame=frame).crystal


def axes_of(crystal):
    """Columns x along a, y, z along c*, by numpy."""
    a, b, _ = crystal.real_space
    x, z = a / np.linalg.norm(a), np.cross(a, b) / np.linalg.norm(np.cross(a, b))
    return np.stack([x, np.cross(z, x), z], axis=1)


def sample_covariance(crystal):
    vectors = Rotation.from_matrix(crystal.mosaic_rotations[1:]).as_rotvec()
    return vectors.T @ vectors / len(vectors)


def assert_drawn_from(crystal, covariance):
    """Compare with the covariance of a sample, each element within five standard errors."""
    scale = np.sqrt(np.diag(covariance))
    error = 5.0 * scale[:, None] * scale * math.sqrt(2.0 / len(crystal.mosaic_rotations))
    assert (np.abs(sample_covariance(crystal) - covariance) < error + 1e-18).all()


@pytest.mark.spec("CRY-25")
def test_the_covariance_of_a_monoclinic_cell_by_hand():
    # a = 10 at 60 degrees to b, which runs along y; c and c* along z: a is 30 degrees from x.
    crystal = crystal_of((1, 2, 3), cell=(10, 20, 30, 90, 90, 60))
    np.testing.assert_allclose(crystal.real_space[0], [5 * math.sqrt(3), 5, 0], atol=1e-12)
    mixed = -3 * math.sqrt(3) / 4
    expected = np.radians(1) ** 2 * np.array([[1.75, mixed, 0], [mixed, 3.25, 0], [0, 0, 9]])
    np.testing.assert_allclose(crystal.mosaic_covariance, expected, atol=1e-16)


@pytest.mark.spec("CRY-25")
def test_the_covariance_of_a_triclinic_cell_by_hand():
    # a* runs along x and c along z: with b in the y-z plane, a·b and a·c give the direction of a.
    alpha, beta, gamma = np.radians(CELL[3:])
    y = (math.cos(gamma) - math.cos(alpha) * math.cos(beta)) / math.sin(alpha)
    a = np.array([0.0, y, math.cos(beta)])
    a[0] = math.sqrt(1.0 - a @ a)
    normal = np.cross(a, [0.0, math.sin(alpha), math.cos(alpha)])
    z = normal / np.linalg.norm(normal)
    across = np.cross(z, a)
    expected = sum(
        math.radians(spread) ** 2 * np.outer(axis, axis)
        for spread, axis in zip(TRIPLE, (a, across, z), strict=True)
    )
    np.testing.assert_allclose(crystal_of(TRIPLE).mosaic_covariance, expected, atol=1e-19)


@pytest.mark.spec("CRY-25")
@pytest.mark.parametrize("physics", ["exact", "nanobragg"])
def test_the_covariance_turns_with_the_crystal_at_phi_0(physics):
    kappa = {"phi_deg": 77, "kappa": {"kappa_deg": 40, "fixed_deg": 10}}
    crystal = crystal_of(MATRIX, misset_deg=(10, 20, 30), goniometer=kappa, physics=physics)
    axes = axes_of(crystal)
    expected = np.radians(1) ** 2 * axes @ np.array(MATRIX) @ axes.T
    np.testing.assert_allclose(crystal.mosaic_covariance, expected, atol=1e-17)
    np.testing.assert_array_equal(crystal.mosaic_covariance, crystal.mosaic_covariance.T)


@pytest.mark.spec("CRY-25")
def test_the_same_spread_three_times_is_one():
    three, one = crystal_of((0.2,) * 3), crystal_of(0.2)
    matrix = crystal_of(tuple(map(tuple, 0.04 * np.eye(3))))
    for other in (three, matrix):
        assert other.mosaic_spread == pytest.approx(one.mosaic_spread, rel=1e-14)
        np.testing.assert_allclose(other.mosaic_covariance, one.mosaic_covariance, atol=1e-19)


@pytest.mark.parametrize(
    ("spread", "largest"),
    [(TRIPLE, 0.3), (MATRIX, math.sqrt(np.linalg.eigvalsh(MATRIX)[-1])), ((0, 0, 0), 0.0)],
)
def test_the_spread_of_a_crystal_is_the_largest(spread, largest):
    crystal = crystal_of(spread)
    assert math.degrees(crystal.mosaic_spread) == pytest.approx(largest, rel=1e-13)
    assert len(crystal.mosaic_rotations) == (10 if largest else 1)


@pytest.mark.parametrize("spread", [(1, 361, 1), ((361**2 + 1, 0, 0), (0, 1, 0), (0, 0, 1))])
def test_a_spread_beyond_a_turn_is_refused(spread):
    with pytest.raises(InputError, match="more than a whole turn"):
        crystal_of(spread)


@pytest.mark.spec("CRY-25")
@pytest.mark.parametrize("spread", [TRIPLE, MATRIX, (0.3, 0.0, 0.1)])
def test_domains_are_drawn_from_the_covariance(spread):
    crystal = crystal_of(spread, mosaic={"domains": 4001}, misset_deg=(10, 20, 30))
    np.testing.assert_array_equal(crystal.mosaic_rotations[0], np.eye(3))
    assert_drawn_from(crystal, crystal.mosaic_covariance)


@pytest.mark.spec("CRY-25")
def test_domains_turn_with_the_spindle():
    turn = {"phi_deg": 60, "oscillation_deg": 60, "steps": 2}
    crystal = crystal_of(TRIPLE, mosaic={"domains": 4001}, goniometer=turn)
    middle = Rotation.from_rotvec(math.radians(90) * crystal.spindle_axis).as_matrix()
    assert_drawn_from(crystal, middle @ crystal.mosaic_covariance @ middle.T)
    assert np.abs(sample_covariance(crystal) - crystal.mosaic_covariance).max() > 1e-6


@pytest.mark.spec("CRY-13")
@pytest.mark.parametrize("phi", [0, 60])
def test_one_spread_draws_the_same_domains_however_the_crystal_stands(phi):
    mosaic = {"domains": 5, "seed": 3}
    crystal = crystal_of(0.3, mosaic=mosaic, goniometer={"phi_deg": phi}, misset_deg=(10, 0, 0))
    expected = gaussian_domains(math.radians(0.3), 5, fold_seed(3, 0))
    np.testing.assert_array_equal(crystal.mosaic_rotations, expected)


@pytest.mark.spec("CRY-25")
def test_domains_are_drawn_anew_for_each_frame_where_asked():
    shared = [crystal_of(TRIPLE, frame=frame) for frame in (0, 1)]
    own = [crystal_of(TRIPLE, frame=frame, mosaic={"per_frame": True}) for frame in (0, 1)]
    np.testing.assert_array_equal(shared[0].mosaic_rotations, shared[1].mosaic_rotations)
    assert (own[0].mosaic_rotations != own[1].mosaic_rotations).any()
