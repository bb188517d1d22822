"""Random generators and rotations; printed angles of the C program for known seeds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from distbragg.models.rotations import (
    NANOBRAGG_RANDOM_CAP,
    Ran1,
    cap_domains,
    cap_rotation,
    fold_seed,
    gaussian_domains,
    misset_angles,
    quaternion_matrix,
    uniform_rotation,
)
from distbragg.models.vectors import rotate_xyz


@pytest.mark.spec("CRY-5")
def test_random_misset_gives_the_angles_that_nanobragg_prints_for_seed_77():
    angles = misset_angles(cap_rotation(NANOBRAGG_RANDOM_CAP, Ran1(-77)))
    printed = (-50.433049, 15.844024, 15.618692)
    np.testing.assert_allclose(np.degrees(angles), printed, rtol=0, atol=5e-7)


def test_a_negative_seed_starts_afresh_and_a_positive_one_goes_on():
    first = Ran1(-5)
    values = [first.uniform() for _ in range(40)]
    first.reseed(-5)
    assert [first.uniform() for _ in range(40)] == values
    first.reseed(5)
    assert [first.uniform() for _ in range(40)] != values
    assert all(0.0 < value < 1.0 for value in values)
    assert all(value == float(np.float32(value)) for value in values)


def test_a_zero_seed_is_seed_one():
    zero, one = Ran1(0), Ran1(-1)
    assert [zero.uniform() for _ in range(5)] == [one.uniform() for _ in range(5)]


@pytest.mark.spec("CRY-12")
def test_cap_domains_are_rotations_within_the_spread_and_the_first_is_aligned():
    spread = math.radians(1.5)
    domains = cap_domains(spread, 37, Ran1(-12345678))
    np.testing.assert_array_equal(domains[0], np.eye(3))
    angles = Rotation.from_matrix(domains).magnitude()
    assert angles.max() <= spread * (1 + 1e-6)
    assert angles[1:].min() > 0
    products = np.einsum("nij,nkj->nik", domains, domains)
    np.testing.assert_allclose(products, np.broadcast_to(np.eye(3), products.shape), atol=1e-14)
    np.testing.assert_allclose(np.linalg.det(domains), 1.0, rtol=1e-14)


@pytest.mark.spec("CRY-12")
def test_more_domains_continue_the_same_sequence():
    few = cap_domains(0.02, 5, Ran1(-9))
    many = cap_domains(0.02, 9, Ran1(-9))
    np.testing.assert_array_equal(many[:5], few)
    assert not np.array_equal(cap_domains(0.02, 5, Ran1(-10))[1:], few[1:])


@pytest.mark.spec("CRY-13")
def test_gaussian_domains_have_the_spread_on_every_axis():
    spread = 0.01
    domains = gaussian_domains(spread, 4001, 3)
    np.testing.assert_array_equal(domains[0], np.eye(3))
    vectors = Rotation.from_matrix(domains[1:]).as_rotvec()
    np.testing.assert_allclose(vectors.std(axis=0), spread, rtol=0.05)
    np.testing.assert_allclose(vectors.mean(axis=0), 0.0, atol=4 * spread / math.sqrt(4000))


@pytest.mark.spec("CRY-4")
def test_missets_turn_about_x_then_y_then_z():
    angles = (0.3, -0.2, 0.5)
    expected = Rotation.from_euler("xyz", angles).as_matrix()
    columns = [rotate_xyz(tuple(basis), angles) for basis in np.eye(3)]
    np.testing.assert_allclose(np.transpose(columns), expected, atol=1e-15)
    np.testing.assert_allclose(misset_angles(expected), angles, atol=1e-14)


def test_quaternion_is_in_scipy_order_and_needs_no_norm():
    quaternion = np.array([0.1, -0.4, 0.2, 0.8])
    expected = Rotation.from_quat(quaternion).as_matrix()
    np.testing.assert_allclose(quaternion_matrix(*(3 * quaternion)), expected, atol=1e-15)


@pytest.mark.spec("CRY-5")
def test_uniform_rotations_fill_so3():
    rotations = np.array([uniform_rotation(seed) for seed in range(2000)])
    # Mean matrix of SO(3) is zero; each entry has variance 1/3.
    assert np.abs(rotations.mean(axis=0)).max() < 5 * math.sqrt(1 / 3 / 2000)
    angles = Rotation.from_matrix(rotations).magnitude()
    # Density (1 − cos θ)/π: mean π/2 + 2/π.
    assert angles.mean() == pytest.approx(math.pi / 2 + 2 / math.pi, abs=0.06)


def test_folded_seeds_differ_by_frame_and_repeat():
    seeds = [fold_seed(12345678, frame) for frame in range(200)]
    assert len(set(seeds)) == 200
    assert seeds == [fold_seed(12345678, frame) for frame in range(200)]
    assert all(0 < seed < 2**31 for seed in seeds)
    assert fold_seed(-5, 1) != fold_seed(5, 1)
