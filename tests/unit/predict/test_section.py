"""Plane sections of the transform against numerical integration of the transform itself."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from distbragg.kernel.scene import spot_of
from distbragg.models.build import build_experiment
from distbragg.models.crystal import Crystal
from distbragg.physics.transform import lattice_amplitude
from distbragg.predict.section import Section, cosine_moments
from distbragg.spec.load import parse_spec
from tests.tolerances import PLANE_SECTION_RELATIVE, SECTION_TAIL_RELATIVE


def crystal_of(shape: str) -> Crystal:
    spec = {
        "crystal": {
            "cell": [40, 50, 60, 80, 95, 105],
            "block_cells": [44, 36, 28],
            "misset_deg": [10, 20, 30],
            "shape": shape,
            "fudge": 1.0 if shape == "square" else 1.1,
        },
        "beam": {"wavelength_angstrom": 1.0},
        "structure_factors": {"default_f_electrons": 1.0},
    }
    return build_experiment(parse_spec(spec)).crystal


def plane_integral(crystal: Crystal, normal: np.ndarray, distance: float) -> float:
    """∫ |F_latt|² over a plane, by summing on a fine square grid."""
    across = np.cross(normal, [0.3, -0.5, 0.8])
    across /= np.linalg.norm(across)
    other = np.cross(normal, across)
    # Half of the shortest spacing of lattice points: beyond it their neighbours' peaks begin.
    # Shapes without fringes lie within a fifth of that.
    step = 2.5e-5 if crystal.shape in {"square", "round"} else 5e-6
    steps = (np.arange(-400, 401)) * step
    u, v = np.meshgrid(steps, steps)
    q = distance * normal + u[..., None] * across + v[..., None] * other
    h, k, l = ((q @ row).ravel() for row in crystal.real_space)  # noqa: E741 - Miller indices
    inside = (np.abs([h, k, l]) < 0.5).all(axis=0)
    # A transform beyond half an index is that of another lattice point.
    amplitude = lattice_amplitude(
        spot_of(crystal), tuple(np.where(inside, offset, 0.0) for offset in (h, k, l))
    )
    return float(((amplitude**2) * inside).sum()) * step**2


@pytest.mark.spec("LAB-2")
@pytest.mark.parametrize("shape", ["square", "round", "gauss", "gauss_star", "tophat"])
@pytest.mark.parametrize("widths", [0.0, 0.6])
def test_section_is_the_integral_of_the_transform_over_a_plane(shape: str, widths: float) -> None:
    crystal = crystal_of(shape)
    section = Section(crystal)
    normal = np.array([0.9, 0.3, -0.2]) / np.linalg.norm([0.9, 0.3, -0.2])
    slopes = (crystal.reciprocal @ normal)[np.newaxis]
    distance = widths * float(section.width(slopes)[0])
    found = float(section.value(np.array([distance]), slopes)[0])
    scale = float(section.value(np.zeros(1), slopes)[0])
    expected = plane_integral(crystal, normal, distance)
    assert found == pytest.approx(expected, abs=PLANE_SECTION_RELATIVE[shape] * scale)
    assert found > 0.05 * scale


@pytest.mark.parametrize("shape", ["square", "round", "gauss", "gauss_star", "tophat"])
def test_sections_add_up_to_the_whole_peak(shape: str) -> None:
    crystal = crystal_of(shape)
    section = Section(crystal)
    slopes = (crystal.reciprocal @ np.array([0.6, 0.0, 0.8]))[np.newaxis]
    width = float(section.width(slopes)[0])
    distance = np.linspace(-60 * width, 60 * width, 60_001)
    values = section.value(distance, np.broadcast_to(slopes, (distance.size, 3)))
    total = float(np.trapezoid(values, distance))
    # A fringe falls as 1/distance²: half a hundredth lies beyond sixty widths.
    assert total == pytest.approx(section.area, rel=SECTION_TAIL_RELATIVE)


@pytest.mark.parametrize("phase", [0.0, 1e-3, 0.499, 0.501, 3.0, -40.0])
def test_moments_are_the_integrals_they_stand_for(phase: float) -> None:
    found = cosine_moments(np.array([phase]))
    for power in range(4):
        expected = quad(lambda u, n=power: u**n * np.cos(phase * u), 0, 1, limit=200)[0]
        assert float(found[power][0]) == pytest.approx(expected, abs=1e-13)
