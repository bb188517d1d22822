"""The closed form of a Gaussian crystal: rotations against quasi-random sums, limits, gradients.

`test_closed_errors` compares it without a rotation, and with one of those that its page tells of.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from distbragg.physics.closed_form import Incidence, Relps, mean_transform
from distbragg.physics.closed_rotation import Spindle, mean_over_rotation
from tools.closed_form_cases import (
    Error,
    arguments,
    closed,
    grid,
    patch,
    rotated,
    scene_of,
    symmetric,
    triple,
    turn_of,
)
from tools.gaussian_crystal import mean_over_rotation as rotated_by_sampling


@pytest.mark.spec("SAM-13")
@pytest.mark.parametrize("seed", [1, 8])
@pytest.mark.parametrize(
    ("degrees", "spread", "bandwidth", "divergence"),
    [
        pytest.param(0.1, 0.5, 0.01, 1e-3, id="narrow"),
        pytest.param(1.0, 0.3, 0.005, 7e-4, id="all"),
        pytest.param(2.0, 0.2, 0.0, 0.0, id="wide"),
        pytest.param(1.0, 0.05, 0.001, 1e-4, id="sharp"),
    ],
)
def test_a_rotation_is_the_mean_of_many_steps(
    seed: int, degrees: float, spread: float, bandwidth: float, divergence: float
):
    scene = scene_of(seed, spread=spread, bandwidth=bandwidth, divergence=divergence)
    rays = patch(scene)[::2]
    turn = turn_of(seed, degrees)
    error = Error.of(rotated(scene, rays, turn), rotated_by_sampling(scene, rays, turn))
    assert error.within((3e-3, 1e-3))


def test_of_nothing_random_the_transform_itself_is_left():
    scene = scene_of(3, spread=0.0, bandwidth=0.0, divergence=0.0)
    rays = patch(scene)
    off = scene.wavenumber * (rays - scene.beam) - scene.place
    exact = np.exp(-0.5 * np.einsum("pi,ij,pj->p", off, np.linalg.inv(scene.crystal), off))
    assert np.abs(closed(scene, rays) - exact).max() <= 1e-6 * exact.max()


@pytest.mark.parametrize("what", ["spread", "bandwidth", "divergence", "rotation"])
def test_a_width_that_goes_to_nothing_changes_nothing(what: str):
    widths = {"spread": 0.3, "bandwidth": 0.004, "divergence": 5e-4}
    tiny = {"spread": 1e-7, "bandwidth": 1e-9, "divergence": 1e-9}
    if what == "rotation":
        scene = scene_of(5, **widths)
        given = arguments(scene, patch(scene))
        limit = mean_transform(*given)
        near = mean_over_rotation(*given, Spindle((0.0, 0.0, 1.0), -1e-9, 1e-9))
    else:
        rays = patch(scene_of(5, **widths))
        limit = closed(scene_of(5, **{**widths, what: 0.0}), rays)
        near = closed(scene_of(5, **{**widths, what: tiny[what]}), rays)
    assert np.abs(near - limit).max() <= 1e-6 * limit.max()


def test_far_from_a_spot_there_is_nothing():
    scene = scene_of(6, spread=0.5, bandwidth=0.01, divergence=1e-3)
    rays, _ = grid(np.array([0.6, 0.8, 0.0]), 1.2, 41)
    seen = closed(scene, rays)
    assert np.isfinite(seen).all()
    assert (seen <= 1.0).all()
    assert np.median(seen) < 1e-30


def test_torch_computes_the_same_and_its_gradients_are_right():
    scene = scene_of(2, spread=0.3, bandwidth=0.004, divergence=5e-4)
    rays = torch.from_numpy(patch(scene)[7:9])
    one, two = scene.across.T
    start = [scene.place, scene.crystal * 1e6, scene.mosaic * 1e4, scene.divergence * 1e3]
    start += [np.array(scene.wavenumber), np.array(scene.width * 1e3)]

    def image(place, crystal, mosaic, divergence, wavenumber, width):
        relps = Relps(triple(place), symmetric(crystal * 1e-6), symmetric(mosaic * 1e-4))
        axes = [torch.from_numpy(axis) for axis in (one, two)]
        spread = [triple(axis * size * 1e-3) for axis, size in zip(axes, divergence, strict=True)]
        beam = triple(torch.from_numpy(scene.beam))
        incidence = Incidence(beam, (spread[0], spread[1]), wavenumber, width * 1e-3)
        return torch.stack(
            [
                mean_transform(relps, incidence, triple(rays)),
                mean_over_rotation(
                    relps, incidence, triple(rays), Spindle((0.0, 0.6, 0.8), -0.01, 0.02)
                ),
            ]
        )

    leaves = [torch.tensor(part, dtype=torch.float64, requires_grad=True) for part in start]
    same = closed(scene, rays.numpy())
    assert image(*leaves)[0].detach().numpy() == pytest.approx(same, rel=1e-12)
    assert torch.autograd.gradcheck(image, leaves, eps=1e-7, atol=1e-6, rtol=1e-3, fast_mode=True)
