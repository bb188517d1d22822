"""Cells, orientations and domains as functions of parameters equal the specification's."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distbragg.fit.orientation import (
    domain_vectors,
    misorientation_deg,
    misset_rotation,
    scaled_rotations,
    standard_vectors,
)
from distbragg.models.rotations import gaussian_domains
from distbragg.models.vectors import (
    cell_parameters,
    lattice,
    rotate_xyz,
    rotation_about,
    standard_reciprocal,
)
from distbragg.physics import orientation
from tests.unit.kernel.experiments import make_experiment


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def scalar(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(*[st.floats(5.0, 200.0)] * 3),
    st.tuples(*[st.floats(60.0, 118.0)] * 3),
)
def test_standard_vectors_are_the_dual_of_the_specifications(lengths, angles):
    parameters = cell_parameters((*lengths, *angles))
    expected, _ = lattice(standard_reciprocal(parameters, "exact"), parameters, "exact", "")
    found = standard_vectors(tensor(*lengths, *angles))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-11, atol=1e-11 * max(lengths))


@settings(max_examples=30, deadline=None)
@given(st.tuples(*[st.floats(-180.0, 180.0)] * 3))
def test_misset_rotation_is_the_specifications(angles):
    x, y, z = (math.radians(angle) for angle in angles)
    found = misset_rotation(tensor(*angles)).numpy()
    np.testing.assert_allclose(
        found, np.transpose([rotate_xyz(tuple(b), (x, y, z)) for b in np.eye(3)]), atol=1e-14
    )


def test_domains_scale_with_the_spread():
    rotations = gaussian_domains(0.03, 5, 11)
    same = scaled_rotations(rotations, scalar(1.0)).numpy()
    np.testing.assert_allclose(same, rotations, atol=1e-15)
    half = scaled_rotations(rotations, scalar(0.5)).numpy()
    np.testing.assert_allclose(half @ half, rotations, atol=1e-15)
    still = scaled_rotations(rotations, scalar(0.0)).numpy()
    np.testing.assert_array_equal(still, np.broadcast_to(np.eye(3), still.shape))


def test_domain_vectors_equal_the_kernels():
    crystal = make_experiment(domains=4, phi=(0.0, 0.3, -1.2)).crystal
    found = domain_vectors(crystal, torch.tensor(crystal.real_space), None)
    assert np.array_equal(found.numpy(), orientation.domain_vectors(crystal))


def test_misorientation_is_the_angle_of_the_turn_and_no_strain():
    real = make_experiment().crystal.real_space
    turn = rotation_about((0.6, 0.0, 0.8), math.radians(0.37))
    assert misorientation_deg(real, real @ turn.T) == pytest.approx(0.37, rel=1e-10)
    assert misorientation_deg(real, 1.02 * real @ turn.T) == pytest.approx(0.37, rel=1e-10)
    assert misorientation_deg(real, real) < 1e-12
