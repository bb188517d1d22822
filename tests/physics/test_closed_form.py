"""The closed form of a Gaussian crystal against quasi-random sums over all that is random."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from distbragg.physics.closed_form import Incidence, Relps, mean_transform
from distbragg.physics.closed_rotation import Spindle, mean_over_rotation
from distbragg.physics.symmetric import Symmetric
from tests.gaussian_crystal import Scene, mean_by_sampling
from tests.gaussian_crystal import mean_over_rotation as rotated_by_sampling

DEGREE = math.pi / 180.0
OF_MAXIMUM, OF_PHOTONS = 3e-3, 1e-3
UPPER = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
EDGE = 5  # pixels of a patch about a spot


def symmetric(matrix) -> Symmetric:
    xx, xy, xz, yy, yz, zz = (matrix[place] for place in UPPER)
    return Symmetric((xx, xy, xz, yy, yz, zz))


def triple(vector):
    return vector[..., 0], vector[..., 1], vector[..., 2]


def closed(scene: Scene, rays: NDArray) -> NDArray:
    return mean_transform(*arguments(scene, rays))


def arguments(scene: Scene, rays: NDArray):
    relps = Relps(triple(scene.place), symmetric(scene.crystal), symmetric(scene.mosaic))
    one, two = (triple(column) for column in (scene.across * scene.divergence).T)
    incidence = Incidence(triple(scene.beam), (one, two), scene.wavenumber, scene.width)
    return relps, incidence, triple(rays)


def scene_of(seed: int, *, spread: float, bandwidth: float, divergence: float) -> Scene:
    """Make a reflection between 1.2 and 20 Å of a cell of 30 to 300 Å, near the Ewald sphere.

    The spread, in degrees, is isotropic where the seed is even.
    """
    rng = np.random.default_rng(seed)
    spacing = np.exp(rng.uniform(np.log(1.2), np.log(20.0)))
    edges = np.exp(rng.uniform(np.log(30.0), np.log(300.0), 3))
    cells = np.clip(rng.uniform(300.0, 3000.0, 3) / edges, 3.0, 60.0)
    beam, across = np.array([1.0, 0.0, 0.0]), np.eye(3)[:, 1:]
    opening, azimuth = 2.0 * np.arcsin(0.5 / spacing), rng.uniform(0.0, 2.0 * np.pi)
    ray = np.array([0.0, np.cos(azimuth), np.sin(azimuth)]) * np.sin(opening)
    ray[0] = np.cos(opening)
    turn = Rotation.random(random_state=seed).as_matrix()
    # exp(−2π Σ (δN)²) in index space is a covariance of 1/(4π N²).
    crystal = turn @ np.diag(1.0 / (4.0 * np.pi * (edges * cells) ** 2)) @ turn.T
    axes = Rotation.random(random_state=seed + 1).as_matrix()
    widths = np.array([1.0, 1.0, 1.0] if seed % 2 == 0 else [1.0, 0.5, 0.25]) * spread * DEGREE
    mosaic = axes @ np.diag(widths**2) @ axes.T
    place = ray - beam
    image = np.cross(np.eye(3), place)
    total = crystal + image @ mosaic @ image.T + divergence**2 * across @ across.T
    total += bandwidth**2 * np.outer(place, place)
    place = place + 0.7 * np.linalg.cholesky(total) @ rng.normal(size=3)
    width = np.array([divergence, 0.6 * divergence])
    return Scene(place, crystal, mosaic, beam, across, width, 1.0, bandwidth)


def patch(scene: Scene) -> NDArray:
    """Return rays to a grid of pixels that holds the spot to some three standard deviations."""
    centre = scene.place + scene.beam * scene.wavenumber
    half = 0.1
    for _ in range(8):
        centre = centre / np.linalg.norm(centre)
        rays, steps = grid(centre, half, 61)
        seen = closed(scene, rays)
        weight = seen / seen.sum()
        away = steps - weight @ steps
        centre = weight @ rays
        half = 3.0 * np.sqrt((weight @ away**2).max())
    return grid(centre / np.linalg.norm(centre), half, EDGE)[0]


def grid(centre: NDArray, half: float, count: int) -> tuple[NDArray, NDArray]:
    one = np.cross(centre, [0.3, 0.5, 0.81])
    one /= np.linalg.norm(one)
    two = np.cross(centre, one)
    places = np.linspace(-half, half, count)
    steps = np.stack(np.meshgrid(places, places), axis=-1).reshape(-1, 2)
    rays = centre + steps @ np.stack([one, two])
    return rays / np.linalg.norm(rays, axis=1)[:, None], steps


def compare(seen: NDArray, expected: NDArray, share: float = 1.0) -> None:
    """Hold what is seen to the bars, in terms of the spot's maximum and of its sum."""
    assert np.abs(seen - expected).max() <= share * OF_MAXIMUM * expected.max()
    assert seen.sum() == pytest.approx(expected.sum(), rel=share * OF_PHOTONS)


@pytest.mark.spec("SAM-13")
@pytest.mark.parametrize("seed", [0, 1, 4, 7, 8, 10, 11])
@pytest.mark.parametrize(
    ("spread", "bandwidth", "divergence"),
    [
        pytest.param(0.5, 0.0, 0.0, id="mosaic"),
        pytest.param(0.05, 0.01, 0.0, id="bandwidth"),
        pytest.param(0.05, 0.0, 1e-3, id="divergence"),
        pytest.param(0.5, 0.01, 1e-3, id="all"),
    ],
)
def test_the_closed_form_is_the_mean_of_many_domains_and_directions(
    seed: int, spread: float, bandwidth: float, divergence: float
):
    scene = scene_of(seed, spread=spread, bandwidth=bandwidth, divergence=divergence)
    rays = patch(scene)
    compare(closed(scene, rays), mean_by_sampling(scene, rays))


@pytest.mark.spec("SAM-13")
@pytest.mark.parametrize("seed", [2, 8])
def test_a_wide_spread_is_off_by_more(seed: int):
    scene = scene_of(seed, spread=1.5, bandwidth=0.01, divergence=1e-3)
    rays = patch(scene)
    # So wide a spread takes more points: 2^12 of them are 6e-3 off themselves.
    seen, expected = closed(scene, rays), mean_by_sampling(scene, rays, log2_points=15)
    assert np.abs(seen - expected).max() <= 1.5e-2 * expected.max()
    assert seen.sum() == pytest.approx(expected.sum(), rel=3e-3)


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
    rays = patch(scene)
    rng = np.random.default_rng(seed)
    axis = np.array([0.1, 0.1, 1.0]) * rng.normal(1.0, 0.1, 3)
    axis /= np.linalg.norm(axis)
    start = rng.uniform(-1.1, 0.1) * degrees * DEGREE
    stop = start + degrees * DEGREE
    seen = mean_over_rotation(*arguments(scene, rays), Spindle(triple(axis), start, stop))
    compare(seen, rotated_by_sampling(scene, rays, axis, start, stop))


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
    assert torch.autograd.gradcheck(image, leaves, eps=1e-7, atol=1e-6, rtol=1e-3)
