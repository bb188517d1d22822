"""How many reflections are lit, by volumes: beside a number worked out by hand, and a count."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from distbragg.models.build import build_experiment
from distbragg.physics.closed_form import Incidence
from distbragg.physics.closed_rotation import Spindle
from distbragg.physics.lit_density import count_lit, lit_per_steradian
from distbragg.physics.near_sphere import (
    GaussianCrystal,
    gaussian_crystal,
    incidence_of,
    near_sphere,
)
from distbragg.plan.cost import NOMINAL_ARC_S, NOMINAL_SPOT_S
from distbragg.plan.frame import plan_frame
from distbragg.plan.spots import with_spots
from distbragg.spec.load import parse_spec

CUT = 4.55
FORWARD = (0.0, 0.0, 1.0)


def cubic(*, turned: float = 0.0) -> GaussianCrystal:
    """100 Å along each edge, lattice points of a standard deviation of 1e-4/Å."""
    spindle = Spindle((1.0, 0.0, 0.0), -0.5 * turned, 0.5 * turned)
    return GaussianCrystal(1e-2 * np.eye(3), 1e-8 * np.eye(3), np.zeros((3, 3)), spindle)


def light(*, width: float = 0.0, spread: float = 0.0) -> Incidence:
    divergence = ((spread, 0.0, 0.0), (0.0, spread, 0.0))
    return Incidence(FORWARD, divergence, 1.0, width)


def test_a_shell_holds_one_reflection_for_each_cell():
    rays = np.array([FORWARD, (1.0, 0.0, 0.0)])
    plain = lit_per_steradian(cubic(), light(), rays, cut=CUT)
    assert plain == pytest.approx([2 * CUT * 1e-4 * 1e6] * 2)
    # Towards (1, 0, 0), 90° from the beam: k from 0.99 to 1.01 moves the sphere by 0.02 (1 − 0).
    lines = lit_per_steradian(cubic(), light(), rays, cut=CUT, range_k=0.02)
    assert lines - plain == pytest.approx([0.0, 0.02 * 1e6])
    # About x, g = (1, 0, −1) moves along y, across the ray: towards (0, 1, 0) it moves along it.
    rays = np.array([(1.0, 0.0, 0.0), (0.0, 1.0, 0.0)])
    turned = lit_per_steradian(cubic(turned=0.01), light(), rays, cut=CUT)
    assert turned - plain[0] == pytest.approx([0.0, 0.01 * 1e6])


@pytest.mark.parametrize("turned", [0.0, 0.02])
def test_density_over_all_directions_is_what_is_found_one_by_one(turned: float):
    cell = np.array([[0.021, 0.002, 0.0], [0.0, 0.017, 0.003], [0.001, 0.0, 0.024]])
    mosaic = np.diag([1e-5, 4e-5, 2e-5])
    spindle = Spindle((0.6, 0.8, 0.0), -0.5 * turned, 0.5 * turned)
    crystal = GaussianCrystal(cell, 4e-8 * np.eye(3), mosaic, spindle)
    incidence = light(width=2e-3, spread=5e-4)
    found = len(near_sphere(crystal, incidence, cut=CUT).centre)
    height = np.linspace(-1.0, 1.0, 401)[:-1] + 1.0 / 400
    angle = np.arange(60) * (2.0 * math.pi / 60)
    z, about = (part.ravel() for part in np.meshgrid(height, angle))
    across = np.sqrt(1.0 - z * z)
    rays = np.stack([across * np.cos(about), across * np.sin(about), z], axis=1)
    density = lit_per_steradian(crystal, incidence, rays, cut=CUT)
    assert found > 10_000
    assert float(density.mean()) * 4.0 * math.pi == pytest.approx(found, rel=0.02)


SCENE = {
    "beam": {"wavelength_angstrom": 1.0, "fluence_photons_per_m2": 1e24},
    "crystal": {
        "cell": [79, 79, 38, 90, 90, 90],
        "shape": "gauss",
        "block_cells": 30,
        "mosaic": {"distribution": "gaussian", "spread_deg": 0.6},
        "misset_deg": [11, 22, 33],
    },
    "structure_factors": {"default_f_electrons": 100},
    "detector": {"distance_mm": 60, "pixel_size_mm": 0.4, "pixels_fast": 150, "pixels_slow": 200},
    "sampling": {"dmin_angstrom": 1.6},
}


def scene(**beam: object):
    spec = parse_spec({**SCENE, "beam": {**SCENE["beam"], **beam}})
    return build_experiment(spec), spec.compute


def test_a_detector_counts_what_reaches_it():
    experiment, _ = scene()
    crystal = gaussian_crystal(experiment.crystal)
    found = near_sphere(crystal, incidence_of(experiment.beam, 0), cut=CUT, dmin=1.6)
    panel = experiment.detector.panels[0]
    rays = found.centre[found.centre @ panel.normal > 0.0]
    place = rays * (panel.close_distance / (rays @ panel.normal))[:, None] - panel.origin
    fast, slow = place @ panel.fast, place @ panel.slow
    height, width = (size * panel.pixel_size for size in panel.shape)
    on = (fast > 0) & (fast < width) & (slow > 0) & (slow < height)
    assert on.sum() > 1000
    assert count_lit(experiment) == pytest.approx(on.sum(), rel=0.1)


def test_lines_of_a_spectrum_are_planned_together_and_directions_apart():
    one, compute = scene()
    wavelengths = np.linspace(0.995, 1.005, 100).tolist()
    spectrum = {"wavelengths_angstrom": wavelengths, "weights": [1.0] * 100}
    many, _ = scene(wavelength_angstrom=None, spectrum=spectrum)
    grid = {"range_mrad": 1.0, "steps": 3}
    divergence = {"divergence": {"horizontal": grid, "vertical": grid}}
    apart, _ = scene(**divergence)
    assert apart.beam.sources.count == 9
    assert count_lit(one) < count_lit(many) < 3 * count_lit(one)
    assert count_lit(apart) == pytest.approx(9 * count_lit(one), rel=0.01)
    spread = math.radians(0.6)
    expected = count_lit(one) * (NOMINAL_SPOT_S + NOMINAL_ARC_S * spread)
    plans = [with_spots(plan_frame(scene, compute), scene) for scene in (one, many)]
    assert plans[0].spot_seconds == pytest.approx(expected)
    assert with_spots(replace(plans[0], draws_spots=False, spot_seconds=0.0), one).spot_seconds == 0
    assert plans[1].steps == 100 * plans[0].steps
    pixels = [plan.nominal_seconds - plan.spot_seconds for plan in plans]
    assert pixels[0] == pixels[1]
