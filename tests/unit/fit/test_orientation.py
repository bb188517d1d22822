"""The differentiable functions equal the kernel's, with right derivatives at singular points."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from distbragg.fit.functions import interference, safe_root, sinc3, sinc_pi
from distbragg.fit.lattice import Lattice, lattice_amplitude
from distbragg.fit.orientation import (
    domain_vectors,
    misorientation_deg,
    misset_rotation,
    reciprocal_vectors,
    scaled_rotations,
    standard_vectors,
)
from distbragg.kernel import lattice as kernel
from distbragg.kernel import orientation as kernel_orientation
from distbragg.models.cell import cell_parameters, lattice, standard_reciprocal
from distbragg.models.rotations import gaussian_domains, misset_matrix
from distbragg.models.vectors import rotation_about
from tests.unit.kernel.experiments import make_experiment

OFFSETS = st.floats(-0.5, 0.5)
SHAPES = ("square", "round", "gauss", "tophat")


def tensor(*values: float, grad: bool = False) -> torch.Tensor:
    found = torch.tensor(values, dtype=torch.float64)
    return found.requires_grad_() if grad else found


def scalar(value: float, grad: bool = False) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64, requires_grad=grad)


@settings(max_examples=200, deadline=None)
@given(OFFSETS, st.integers(1, 1000))
def test_interference_equals_the_kernels(offset, cells):
    found = interference(tensor(offset), scalar(float(cells)))
    expected = kernel.interference(tensor(offset), float(cells), torch.float64)
    torch.testing.assert_close(found.abs(), expected.abs(), rtol=1e-12, atol=1e-12)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(SHAPES), st.tuples(OFFSETS, OFFSETS, OFFSETS), st.floats(0.3, 2.0))
def test_lattice_amplitude_equals_the_kernels(shape, offsets, fudge):
    crystal = make_experiment(shape=shape, cells=(3, 1, 5), fudge=fudge).crystal
    plain = kernel.lattice_shape(crystal)
    indices = tuple(tensor(offset) for offset in offsets)
    expected = kernel.lattice_amplitude(plain, indices, torch.float64)
    twin = Lattice(
        shape, "exact", fudge, torch.tensor(crystal.cells), torch.tensor(crystal.reciprocal)
    )
    found = lattice_amplitude(twin, indices)
    torch.testing.assert_close(found.abs(), expected.abs(), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("cells", [0.4, 1.0, 5.0, 7.3, 1000.0])
@pytest.mark.parametrize("offset", [0.0, 5e-324, 1e-300, 1e-20, 1e-12, 1e-9, -1e-7, 1e-6])
def test_interference_near_a_reflection_has_the_derivatives_of_its_series(offset, cells):
    delta, count = tensor(offset, grad=True), scalar(cells, grad=True)
    value = interference(delta, count)
    by_delta, by_count = torch.autograd.grad(value.sum(), (delta, count))
    # N (1 − π²(N² − 1)δ²/6)
    assert float(value.detach()) == pytest.approx(cells, rel=1e-5)
    slope = -cells * (math.pi**2) * (cells**2 - 1.0) * offset / 3.0
    assert float(by_delta) == pytest.approx(slope, rel=1e-4, abs=1e-10 * cells)
    assert float(by_count) == pytest.approx(1.0, abs=1e-4)


def test_interference_across_its_branches():
    offsets = tensor(0.0, 1e-3, 0.0099, 0.0101, 0.03, 0.2, -0.47, 0.499, grad=True)
    assert gradcheck(interference, (offsets, scalar(49.7, grad=True)), eps=1e-7, rtol=1e-5)
    assert gradcheck(interference, (offsets, scalar(3.0, grad=True)), rtol=1e-6)


def test_sinc_keeps_the_digits_of_its_derivative():
    small = tensor(0.0, 1e-15, 1e-10, 1e-6, 0.1, grad=True)
    slope = torch.autograd.grad(sinc_pi(small).sum(), small)[0].numpy()
    x = small.detach().numpy()
    expected = -(math.pi**2) * x / 3.0 * (1.0 - (math.pi * x) ** 2 / 10.0)
    np.testing.assert_allclose(slope, expected, rtol=1e-4, atol=0.0)
    assert gradcheck(sinc_pi, tensor(0.0, 0.15, 0.1592, 0.9, -2.3, grad=True), rtol=1e-7)


def test_sinc3_and_root_at_zero():
    squares = tensor(0.0, 1e-9, 0.1, 0.22, 0.24, 3.0, 90.0, grad=True)
    assert gradcheck(sinc3, tensor(1e-3, 0.1, 0.22, 0.24, 3.0, 90.0, grad=True), rtol=1e-6)
    slope = torch.autograd.grad(sinc3(squares).sum(), squares)[0]
    # 3 (sin x/x − cos x)/x² = 1 − x²/10 + …
    assert float(slope[0]) == pytest.approx(-(math.pi**2) / 10.0, rel=1e-15)
    roots = tensor(0.0, 4.0, grad=True)
    slopes = torch.autograd.grad(safe_root(roots).sum(), roots)[0]
    assert slopes.tolist() == [0.0, 0.25]


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
    np.testing.assert_allclose((reciprocal_vectors(found) @ found.T).numpy(), np.eye(3), atol=1e-11)


@settings(max_examples=30, deadline=None)
@given(st.tuples(*[st.floats(-180.0, 180.0)] * 3))
def test_misset_rotation_is_the_specifications(angles):
    x, y, z = (math.radians(angle) for angle in angles)
    found = misset_rotation(tensor(*angles)).numpy()
    np.testing.assert_allclose(found, misset_matrix((x, y, z)), atol=1e-14)


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
    expected = kernel_orientation.domain_vectors(crystal).reshape(-1, 3, 3)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-13, atol=1e-13)


def test_misorientation_is_the_angle_of_the_turn_and_no_strain():
    real = make_experiment().crystal.real_space
    turn = rotation_about((0.6, 0.0, 0.8), math.radians(0.37))
    assert misorientation_deg(real, real @ turn.T) == pytest.approx(0.37, rel=1e-10)
    assert misorientation_deg(real, 1.02 * real @ turn.T) == pytest.approx(0.37, rel=1e-10)
    assert misorientation_deg(real, real) < 1e-12
