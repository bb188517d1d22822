"""Cell vectors of spindle steps and domains, and indices, by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from distbragg.models.crystal import Crystal
from distbragg.models.vectors import frozen_float64, rotation_about
from distbragg.physics.orientation import (
    domain_turns,
    domain_vectors,
    miller_indices,
    nearest_indices,
    turned_rows,
)
from tests.unit.kernel.experiments import make_experiment
from tests.unit.physics.kit import BOTH, Make

QUARTER = math.pi / 2.0


def crystal() -> Crystal:
    """Axes along x, y, z; spindle z at 0° and 90°; domains at rest and turned 90° about x."""
    return replace(
        make_experiment(phi=(0.0, QUARTER)).crystal,
        real_space=frozen_float64(np.diag([10.0, 20.0, 30.0])),
        spindle_axis=frozen_float64((0.0, 0.0, 1.0)),
        mosaic_rotations=frozen_float64([np.eye(3), rotation_about((1.0, 0.0, 0.0), QUARTER)]),
    )


def test_spindle_first_then_domain_by_hand() -> None:
    a, b, c = 10.0, 20.0, 30.0
    expected = [
        [a, 0, 0, 0, b, 0, 0, 0, c],
        [a, 0, 0, 0, 0, b, 0, -c, 0],
        [0, a, 0, -b, 0, 0, 0, 0, c],
        [0, 0, a, -b, 0, 0, 0, -c, 0],
    ]
    np.testing.assert_allclose(domain_vectors(crystal()), expected, atol=1e-14)


def test_rotations_turn_the_vectors_at_rest() -> None:
    chosen = make_experiment(domains=4, phi=(0.0, 0.3, -1.2)).crystal
    turned = np.einsum("pdij,vj->pdvi", domain_turns(chosen), chosen.real_space)
    np.testing.assert_allclose(
        turned.reshape(-1, 9), domain_vectors(chosen), rtol=1e-13, atol=1e-13
    )


def test_tensors_give_the_bits_of_arrays() -> None:
    chosen = make_experiment(domains=4, phi=(0.0, 0.3, -1.2)).crystal
    rows, domains = torch.tensor(chosen.real_space), torch.tensor(chosen.mosaic_rotations)
    found = turned_rows(chosen, rows, domains).reshape(-1, 9)
    assert np.array_equal(found.numpy(), domain_vectors(chosen))


@pytest.mark.spec("SAM-5")
def test_zero_rotation_is_no_rotation() -> None:
    chosen = make_experiment(phi=(0.4, 0.0)).crystal
    still = make_experiment(phi=(0.0,)).crystal
    assert np.array_equal(domain_vectors(chosen)[1], still.real_space.ravel())
    assert not np.array_equal(domain_vectors(chosen)[0], still.real_space.ravel())


@pytest.mark.spec("CRY-7")
@BOTH
def test_indices_are_scalar_products_and_a_half_belongs_to_the_lower(make: Make) -> None:
    vectors = make([[10.0, 0, 0, 0, 20.0, 0, 0, 0, 30.0], [0, 10.0, 0, 20.0, 0, 0, 1.0, 2.0, 2.0]])
    scattering = (make([0.25]), make([0.125]), make([-0.05]))
    indices = miller_indices(vectors, scattering)
    assert [part.ravel().tolist() for part in indices] == [[2.5, 1.25], [2.5, 5.0], [-1.5, 0.4]]
    nearest = nearest_indices(indices)
    assert [part.ravel().tolist() for part in nearest] == [[2.0, 1.0], [2.0, 5.0], [-2.0, 0.0]]
