"""Geometry, polarisation, capture and background of single rays."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from distbragg.kernel.absorption import capture_fraction
from distbragg.kernel.background import background_intensity, background_table
from distbragg.kernel.geometry import (
    SampleIndex,
    active_positions,
    cosine_to_normal,
    pixel_coordinates,
    sample_indices,
    sample_rays,
    solid_angle,
)
from distbragg.kernel.polarization import (
    polarization_factor,
    polarization_frame,
    polarization_of_ray,
)
from distbragg.models.experiment import Experiment
from distbragg.plan.keys import Tile
from tests.unit.kernel.experiments import make_experiment

BEAM = (1.0, 0.0, 0.0)


def rays_of(experiment: Experiment, pixels: list[tuple[int, int]], sample: SampleIndex, n: int):
    slow = torch.tensor([float(s) for s, _ in pixels], dtype=torch.float64)
    fast = torch.tensor([float(f) for _, f in pixels], dtype=torch.float64)
    panel = experiment.detector.panels[0]
    return sample_rays(panel, BEAM, slow, fast, sample=sample, oversample=n)


@pytest.mark.spec("GEO-1")
def test_subpixel_centres_and_layers() -> None:
    experiment = make_experiment(layers=3, tilt=(0.1, 0.2, 0.3))
    panel = experiment.detector.panels[0]
    rays = rays_of(experiment, [(4, 11)], SampleIndex(2, 1, 0), 3)
    expected = (
        panel.origin
        + panel.fast * panel.pixel_size * (11 + 0.5 / 3)
        + panel.slow * panel.pixel_size * (4 + 1.5 / 3)
        + panel.normal * panel.sensor.position[2]
    )
    found = np.array([part.item() for part in rays.direction]) * rays.length.item()
    assert np.allclose(found, expected, rtol=0, atol=1e-15)


def test_samples_come_layer_first_then_slow_then_fast() -> None:
    order = [(s.layer, s.slow, s.fast) for s in sample_indices(2, 2)]
    assert order == sorted(order)
    assert len(order) == 8


@pytest.mark.parametrize("surface", ["nanobragg", "sphere"])
def test_curved_panels_keep_their_distance(surface: str) -> None:
    experiment = make_experiment(surface=surface, pixel_size=1e-2)
    rays = rays_of(experiment, [(0, 0), (12, 16), (5, 3)], SampleIndex(0, 0, 0), 1)
    assert np.allclose(rays.length.numpy(), 0.08, rtol=1e-14)


@pytest.mark.spec("GEO-7")
def test_the_programs_panel_turns_by_the_arc() -> None:
    experiment = make_experiment(surface="nanobragg", pixel_size=1e-2)
    flat = make_experiment(pixel_size=1e-2)
    pixel = [(3, 14)]
    bent = rays_of(experiment, pixel, SampleIndex(0, 0, 0), 1)
    plain = rays_of(flat, pixel, SampleIndex(0, 0, 0), 1)
    y, z = (plain.direction[axis].item() * plain.length.item() for axis in (1, 2))
    about_slow, about_fast = y / 0.08, z / 0.08
    # slow is −y and fast is z: the beam end point (1, 0, 0) turned about them in turn.
    x1, z1 = math.cos(about_slow), math.sin(about_slow)
    expected = (x1 * math.cos(about_fast), x1 * math.sin(about_fast), z1)
    found = tuple(part.item() for part in bent.direction)
    assert found == pytest.approx(expected, abs=1e-14)


@pytest.mark.spec("GEO-8")
def test_solid_angle_is_area_over_square_times_obliquity() -> None:
    experiment = make_experiment(tilt=(0.0, 0.3, 0.0))
    panel = experiment.detector.panels[0]
    rays = rays_of(experiment, [(2, 15)], SampleIndex(0, 0, 0), 1)
    length = rays.length.item()
    expected = panel.pixel_size**2 / length**2 * cosine_to_normal(panel, rays).item()
    assert solid_angle(panel, rays).item() == pytest.approx(expected, rel=1e-14)
    point = make_experiment(tilt=(0.0, 0.3, 0.0), point_pixel=True).detector.panels[0]
    assert solid_angle(point, rays).item() == pytest.approx(1.0 / length**2, rel=1e-15)


def test_sum_of_solid_angles_is_that_of_the_rectangle() -> None:
    experiment = make_experiment(pixels=(40, 50), pixel_size=1e-3, distance=0.05)
    panel = experiment.detector.panels[0]
    pixels = [(s, f) for s in range(40) for f in range(50)]
    total = solid_angle(panel, rays_of(experiment, pixels, SampleIndex(0, 0, 0), 1)).sum().item()
    corner = panel.origin - panel.normal * 0.05
    low, high = corner @ panel.fast, corner @ panel.fast + 0.05
    bottom, top = corner @ panel.slow, corner @ panel.slow + 0.04

    def quadrant(x: float, y: float) -> float:
        return math.atan(x * y / (0.05 * math.sqrt(0.05**2 + x * x + y * y)))

    exact = (
        quadrant(high, top) - quadrant(low, top) - quadrant(high, bottom) + quadrant(low, bottom)
    )
    assert total == pytest.approx(exact, rel=1e-4)


@pytest.mark.spec("GEO-9")
def test_inactive_pixels_are_left_out_and_indices_are_global() -> None:
    panel = make_experiment(masked=0.4).detector.panels[0]
    tile = Tile(3, 9, 5, 16)
    positions = active_positions(panel, tile)
    slow, fast = pixel_coordinates(tile, positions)
    assert panel.active[slow.astype(int), fast.astype(int)].all()
    assert positions.size == np.count_nonzero(panel.active[3:9, 5:16])
    assert slow.min() >= 3
    assert fast.max() < 16


@pytest.mark.spec("SCL-5")
@pytest.mark.parametrize("kahn", [0.0, 1.0, -0.4])
def test_polarisation_without_angles_equals_the_formula_with_them(kahn: float) -> None:
    generator = np.random.default_rng(8)
    rays = generator.standard_normal((200, 3))
    rays /= np.linalg.norm(rays, axis=1)[:, None]
    incident = (0.96, -0.28, 0.0)
    frame = polarization_frame(incident, (0.1, 0.2, 0.97))
    columns = torch.from_numpy(rays)
    found = polarization_factor(frame, (columns[:, 0], columns[:, 1], columns[:, 2]), kahn)
    exact = [polarization_of_ray(frame, (x, y, z), kahn) for x, y, z in rays.tolist()]
    assert np.abs(found.numpy() - exact).max() < 1e-15


@pytest.mark.spec("SCL-5")
def test_a_polarisation_axis_along_the_beam_gives_what_the_formula_with_angles_gives() -> None:
    generator = np.random.default_rng(9)
    rays = generator.standard_normal((50, 3))
    rays /= np.linalg.norm(rays, axis=1)[:, None]
    frame = polarization_frame((1.0, 0.0, 0.0), (1.0, 0.0, 0.0))
    columns = torch.from_numpy(rays)
    found = polarization_factor(frame, (columns[:, 0], columns[:, 1], columns[:, 2]), 0.7)
    exact = [polarization_of_ray(frame, (x, y, z), 0.7) for x, y, z in rays.tolist()]
    assert np.abs(found.numpy() - exact).max() < 1e-15


@pytest.mark.spec("SCL-5")
def test_linear_polarisation_kills_scattering_along_the_electric_vector() -> None:
    frame = polarization_frame(BEAM, (0.0, 0.0, 1.0))
    along, across = (0.0, 0.0, 1.0), (0.0, 1.0, 0.0)
    for direction, expected in ((along, 0.0), (across, 1.0), (BEAM, 1.0)):
        ray = tuple(torch.tensor([part], dtype=torch.float64) for part in direction)
        assert polarization_factor(frame, ray, 1.0).item() == pytest.approx(expected, abs=1e-15)  # type: ignore[arg-type]


@pytest.mark.spec("GEO-10")
def test_layers_together_capture_what_the_whole_sensor_stops() -> None:
    sensor = make_experiment(layers=5).detector.panels[0].sensor
    cosine = torch.tensor([1.0, 0.7, 0.2], dtype=torch.float64)
    total = sum(capture_fraction(sensor, layer, cosine) for layer in range(5))
    exact = [1.0 - math.exp(-1.0 / rho) for rho in (1.0, 0.7, 0.2)]
    assert np.allclose(total.numpy(), exact, rtol=1e-14)  # type: ignore[union-attr]


def test_sensor_that_does_not_absorb_captures_everything() -> None:
    sensor = make_experiment().detector.panels[0].sensor
    cosine = torch.tensor([1.0, 0.0], dtype=torch.float64)
    assert capture_fraction(sensor, 0, cosine).tolist() == [1.0, 1.0]


@pytest.mark.spec("SCL-8")
def test_background_table_is_linear_and_held_beyond_its_ends() -> None:
    stol, amplitude = (0.1, 0.3, 0.7), (2.0, 8.0, 4.0)
    background = make_experiment(molecules=3.0, stol=stol, background=amplitude).background
    table = background_table(background, 4, torch.device("cpu"))
    assert table is not None
    points = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.7, 9.0])
    found = background_intensity(table, torch.from_numpy(points)).numpy()
    assert np.allclose(found, 12.0 * np.interp(points, stol, amplitude) ** 2, rtol=1e-14)
