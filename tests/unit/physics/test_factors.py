"""Polarisation, capture, resolution and scale, against numbers worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from distbragg.physics.factors import (
    beyond_resolution,
    capture_fraction,
    polarization_factor,
    polarization_frame,
    scattering_vector,
    stol_of,
)
from tests.unit.kernel.experiments import make_experiment
from tests.unit.physics.kit import BOTH, Make, torch_tensor

BEAM = (1.0, 0.0, 0.0)


def columns(rays: np.ndarray, make: Make) -> tuple[Any, Any, Any]:
    return make(rays[:, 0]), make(rays[:, 1]), make(rays[:, 2])


def random_rays(count: int, seed: int) -> np.ndarray:
    rays = np.random.default_rng(seed).standard_normal((count, 3))
    return rays / np.linalg.norm(rays, axis=1)[:, None]


def with_angles(
    incident: tuple[float, ...], axis: tuple[float, ...], rays: np.ndarray, kahn: float
) -> np.ndarray:
    """½ (1 + cos²2θ − K cos 2ψ sin²2θ) with the angles themselves."""
    across = np.cross(axis, incident)
    size = np.linalg.norm(across)
    across = across / (size if size > 0.0 else 1.0)
    electric = np.cross(incident, across)
    cosine = rays @ np.array(incident)
    psi = -np.arctan2(rays @ across, rays @ electric)
    return np.asarray(0.5 * (1 + cosine**2 - kahn * np.cos(2 * psi) * (1 - cosine**2)))


@pytest.mark.spec("SCL-5")
@BOTH
@pytest.mark.parametrize("kahn", [0.0, 1.0, -0.4])
def test_polarisation_without_angles_equals_the_formula_with_them(kahn: float, make: Make) -> None:
    rays, incident, axis = random_rays(200, 8), (0.96, -0.28, 0.0), (0.1, 0.2, 0.97)
    frame = polarization_frame(incident, axis)
    found = polarization_factor(frame, columns(rays, make), kahn)
    exact = with_angles(incident, axis, rays, kahn)
    assert np.abs(np.asarray(found) - exact).max() < 1e-15


@pytest.mark.spec("SCL-5")
@BOTH
def test_a_polarisation_axis_along_the_beam_gives_what_the_formula_with_angles_gives(
    make: Make,
) -> None:
    rays = random_rays(50, 9)
    frame = polarization_frame(BEAM, BEAM)
    found = polarization_factor(frame, columns(rays, make), 0.7)
    exact = with_angles(BEAM, BEAM, rays, 0.7)
    assert np.abs(np.asarray(found) - exact).max() < 1e-15


@pytest.mark.spec("SCL-5")
@BOTH
def test_linear_polarisation_kills_scattering_along_the_electric_vector(make: Make) -> None:
    frame = polarization_frame(BEAM, (0.0, 0.0, 1.0))
    rays = np.array([(0.0, 0.0, 1.0), (0.0, 1.0, 0.0), BEAM])
    found = polarization_factor(frame, columns(rays, make), 1.0)
    assert found.tolist() == pytest.approx([0.0, 1.0, 1.0], abs=1e-15)


@pytest.mark.spec("SCL-5")
@BOTH
def test_polarisation_at_sixty_degrees_by_hand(make: Make) -> None:
    # cos²2θ = ¼, K = 0.9: ½(1 + ¼ ∓ 0.9·¾) along and across the E-vector, ½(1 + ¼) between.
    frame = polarization_frame((0.0, 0.0, 1.0), (1.0, 0.0, 0.0))
    sine, half = math.sqrt(0.75), math.sqrt(0.375)
    rays = np.array([(sine, 0.0, 0.5), (0.0, sine, 0.5), (half, half, 0.5)])
    found = polarization_factor(frame, columns(rays, make), 0.9)
    assert found.tolist() == pytest.approx([0.2875, 0.9625, 0.625], rel=1e-14)


@BOTH
def test_each_ray_may_have_a_beam_of_its_own(make: Make) -> None:
    incident, rays, axis = random_rays(40, 1), random_rays(40, 2), (0.0, 0.6, 0.8)
    incident[7] = axis
    frame = polarization_frame(columns(incident, make), axis)
    found = np.asarray(polarization_factor(frame, columns(rays, make), 0.8))
    for beam, ray, value in zip(incident, rays, found, strict=True):
        assert value == pytest.approx(with_angles(tuple(beam), axis, ray[None], 0.8)[0], abs=1e-15)


@pytest.mark.spec("GEO-10")
@BOTH
def test_layers_capture_by_hand(make: Make) -> None:
    # One attenuation length in two layers, met under 60°: e⁰ − e⁻¹ and e⁻¹ − e⁻².
    sensor = make_experiment(layers=2).detector.panels[0].sensor
    cosine = make([0.5])
    assert capture_fraction(sensor, 0, cosine).tolist() == pytest.approx([0.63212055882856], 1e-13)
    assert capture_fraction(sensor, 1, cosine).tolist() == pytest.approx([0.23254415793483], 1e-13)


@pytest.mark.spec("GEO-10")
@BOTH
def test_layers_together_capture_what_the_whole_sensor_stops(make: Make) -> None:
    sensor = make_experiment(layers=5).detector.panels[0].sensor
    total = sum(capture_fraction(sensor, layer, make([1.0, 0.7, 0.2])) for layer in range(5))
    exact = [1.0 - math.exp(-1.0 / rho) for rho in (1.0, 0.7, 0.2)]
    assert np.allclose(np.asarray(total), exact, rtol=1e-14)


@BOTH
def test_sensor_that_does_not_absorb_captures_everything(make: Make) -> None:
    sensor = make_experiment().detector.panels[0].sensor
    assert capture_fraction(sensor, 0, make([1.0, 0.0])).tolist() == [1.0, 1.0]


@pytest.mark.spec("SAM-8")
@BOTH
def test_spacing_at_sixty_degrees_by_hand(make: Make) -> None:
    # 2θ = 60°, λ = 1.5 Å: sin θ/λ = 1/3 Å⁻¹, d = 1.5 Å, which a cut at 1.5 Å leaves in.
    direction = (make([0.5]), make([0.0]), make([math.sqrt(0.75)]))
    scattering = scattering_vector(direction, BEAM, 1.5)
    stol = stol_of(scattering)
    assert [part.item() for part in scattering] == pytest.approx(
        [-1.0 / 3.0, 0.0, math.sqrt(1.0 / 3.0)], rel=1e-14
    )
    assert stol.tolist() == pytest.approx([1.0 / 3.0], rel=1e-14)
    assert [bool(beyond_resolution(stol, d)) for d in (1.499, 1.501)] == [False, True]


def test_gradients_are_finite_in_the_direct_beam() -> None:
    ray = torch_tensor([BEAM, (0.0, 0.6, 0.8)]).requires_grad_()
    direction = ray.unbind(1)
    frame = polarization_frame(BEAM, (0.0, 0.0, 1.0))
    stol = stol_of(scattering_vector(direction, BEAM, 1.0))  # type: ignore[arg-type]
    value = polarization_factor(frame, direction, 1.0) + stol  # type: ignore[arg-type]
    (slope,) = torch.autograd.grad(value.sum(), ray)
    assert bool(torch.isfinite(slope).all())
