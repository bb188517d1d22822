"""Where samples lie and under which angle they are seen, against numbers worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from distbragg.kernel.tile import active_positions, pixel_coordinates
from distbragg.models.build import build_experiment
from distbragg.models.detector import Panel
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import frozen_float64
from distbragg.physics.factors import solid_angle
from distbragg.physics.rays import (
    Placement,
    Rays,
    SampleIndex,
    cosine_to_normal,
    placement_of,
    sample_indices,
    sample_positions,
    sample_rays,
)
from distbragg.plan.frame import Tile
from distbragg.spec.load import parse_spec
from tests.unit.kernel.experiments import make_experiment
from tests.unit.physics.kit import BOTH, Make, numpy_array

FIRST = SampleIndex(0, 0, 0)
BENT = ("sphere", "cylinder_fast", "cylinder_slow")


def placed(experiment: Experiment) -> Placement:
    return placement_of(experiment.detector.panels[0], experiment.beam.direction)


def rays_of(
    experiment: Experiment,
    pixels: list[tuple[int, int]],
    sample: SampleIndex = FIRST,
    *,
    oversample: int = 1,
    make: Make = numpy_array,
) -> Rays:
    slow, fast = (make([float(part) for part in row]) for row in zip(*pixels, strict=True))
    return sample_rays(placed(experiment), slow, fast, sample=sample, oversample=oversample)


def vectors(place: Any) -> np.ndarray:
    return np.stack([np.asarray(part) for part in place], axis=-1)


@pytest.mark.spec("GEO-1")
@BOTH
def test_subpixel_centres_and_layers(make: Make) -> None:
    experiment = make_experiment(layers=3, tilt=(0.1, 0.2, 0.3))
    panel = experiment.detector.panels[0]
    rays = rays_of(experiment, [(4, 11)], SampleIndex(2, 1, 0), oversample=3, make=make)
    expected = (
        panel.origin
        + panel.fast * panel.pixel_size * (11 + 0.5 / 3)
        + panel.slow * panel.pixel_size * (4 + 1.5 / 3)
        + panel.normal * panel.sensor.position[2]
    )
    found = vectors(rays.direction)[0] * rays.length.item()
    assert np.allclose(found, expected, rtol=0, atol=1e-15)


def test_samples_come_layer_first_then_slow_then_fast() -> None:
    order = [(s.layer, s.slow, s.fast) for s in sample_indices(2, 2)]
    assert order == sorted(order)
    assert len(order) == 8


@pytest.mark.spec("GEO-8")
@BOTH
def test_solid_angle_by_hand(make: Make) -> None:
    # A pixel of 0.1 mm, 75 mm off the foot of a panel 100 mm away: R = 125 mm, obliquity 0.8.
    panel = replace(
        make_experiment(pixels=(1, 1), pixel_size=1e-4, distance=0.1).detector.panels[0],
        origin=frozen_float64((0.1, 5e-5, 0.075 - 5e-5)),
    )
    place = placement_of(panel, frozen_float64((1.0, 0.0, 0.0)))
    zero = make([0.0])
    rays = sample_rays(place, zero, zero, sample=FIRST, oversample=1)
    assert rays.length.tolist() == pytest.approx([0.125], rel=1e-14)
    assert cosine_to_normal(place, rays).tolist() == pytest.approx([0.8], rel=1e-14)
    assert solid_angle(place, rays).tolist() == pytest.approx([5.12e-7], rel=1e-13)
    point = replace(place, panel=replace(panel, point_pixel=True))
    assert solid_angle(point, rays).tolist() == pytest.approx([64.0], rel=1e-13)


@pytest.mark.spec("GEO-8")
@BOTH
def test_solid_angle_is_area_over_square_times_obliquity(make: Make) -> None:
    experiment = make_experiment(tilt=(0.0, 0.3, 0.0))
    panel = experiment.detector.panels[0]
    rays = rays_of(experiment, [(2, 15)], make=make)
    length = rays.length.item()
    expected = panel.pixel_size**2 / length**2 * cosine_to_normal(placed(experiment), rays).item()
    assert solid_angle(placed(experiment), rays).item() == pytest.approx(expected, rel=1e-14)
    point = make_experiment(tilt=(0.0, 0.3, 0.0), point_pixel=True)
    assert solid_angle(placed(point), rays).item() == pytest.approx(1.0 / length**2, rel=1e-15)


def test_sum_of_solid_angles_is_that_of_the_rectangle() -> None:
    experiment = make_experiment(pixels=(40, 50), pixel_size=1e-3, distance=0.05)
    panel = experiment.detector.panels[0]
    pixels = [(s, f) for s in range(40) for f in range(50)]
    total = solid_angle(placed(experiment), rays_of(experiment, pixels)).sum().item()
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


@BOTH
def test_the_programs_curved_panel_keeps_every_pixel_at_its_distance(make: Make) -> None:
    experiment = make_experiment(surface="nanobragg", pixel_size=1e-2)
    rays = rays_of(experiment, [(0, 0), (12, 16), (5, 3)], make=make)
    assert np.allclose(np.asarray(rays.length), 0.08, rtol=1e-14)


@pytest.mark.spec("GEO-7")
def test_the_programs_curved_panel_turns_by_the_arcs_of_the_laboratory() -> None:
    bent = rays_of(make_experiment(surface="nanobragg", pixel_size=1e-2), [(3, 14)])
    plain = rays_of(make_experiment(pixel_size=1e-2), [(3, 14)])
    y, z = (plain.direction[axis].item() * plain.length.item() for axis in (1, 2))
    about_slow, about_fast = y / 0.08, z / 0.08
    # slow is −y and fast is z: the beam end point (1, 0, 0) turned about them in turn.
    x1, z1 = math.cos(about_slow), math.sin(about_slow)
    expected = (x1 * math.cos(about_fast), x1 * math.sin(about_fast), z1)
    assert vectors(bent.direction)[0] == pytest.approx(expected, abs=1e-14)


def panel_in(convention: str, curved: str | bool) -> Placement:
    """A panel of 200² pixels of 1 mm, 100 mm from the sample, bent about it."""
    spec = parse_spec(
        {
            "beam": {"wavelength_angstrom": 1.0},
            "crystal": {"cell": [50, 50, 50, 90, 90, 90], "block_cells": [5, 5, 5]},
            "structure_factors": {"default_f_electrons": 1.0},
            "detector": {
                "convention": convention, "distance_mm": 100.0, "pixel_size_mm": 1.0,
                "pixels_fast": 200, "pixels_slow": 200, "curved": curved,
            },
        }
    )  # fmt: skip
    return placed(build_experiment(spec))


def at_arcs(place: Placement, along_fast: float, along_slow: float) -> np.ndarray:
    """Where the sample lies whose flat coordinates from the foot are these, m."""
    panel = place.panel
    fast = (along_fast - panel.origin @ panel.fast) / panel.pixel_size - 0.5
    slow = (along_slow - panel.origin @ panel.slow) / panel.pixel_size - 0.5
    found = sample_positions(
        place, numpy_array([slow]), numpy_array([fast]), sample=FIRST, oversample=1
    )
    return vectors(found)[0]


CONVENTIONS = {
    # Where a pixel lies whose arc from the foot is R·30° along fast, and along slow.
    "mosflm": ((math.sqrt(0.75), 0.0, 0.5), (math.sqrt(0.75), -0.5, 0.0)),
    "denzo": ((math.sqrt(0.75), 0.0, 0.5), (math.sqrt(0.75), -0.5, 0.0)),
    "xds": ((0.5, 0.0, math.sqrt(0.75)), (0.0, 0.5, math.sqrt(0.75))),
    "adxv": ((0.5, 0.0, math.sqrt(0.75)), (0.0, -0.5, math.sqrt(0.75))),
    "dials": ((0.5, 0.0, math.sqrt(0.75)), (0.0, 0.5, math.sqrt(0.75))),
}
"""Unit vectors. MOSFLM, DENZO: beam x, fast z, slow −y. XDS, DIALS: beam z, fast x, slow y. ADXV:
the same with slow −y."""

ARC = 0.1 * math.pi / 6.0


@pytest.mark.spec("GEO-7")
@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("surface", BENT)
def test_a_bent_panel_lies_on_its_surface_in_every_convention(
    surface: str, convention: str
) -> None:
    place = panel_in(convention, surface)
    panel = place.panel
    along_fast, along_slow = (np.array(row) * 0.1 for row in CONVENTIONS[convention])
    flat_fast = 0.1 * panel.normal + ARC * panel.fast
    flat_slow = 0.1 * panel.normal + ARC * panel.slow
    bent_fast = surface in ("sphere", "cylinder_slow")
    bent_slow = surface in ("sphere", "cylinder_fast")
    np.testing.assert_allclose(
        at_arcs(place, ARC, 0.0), along_fast if bent_fast else flat_fast, atol=1e-12
    )
    np.testing.assert_allclose(
        at_arcs(place, 0.0, ARC), along_slow if bent_slow else flat_slow, atol=1e-12
    )


@pytest.mark.spec("GEO-7")
def test_the_corner_of_a_sphere_by_hand() -> None:
    # XDS, both arcs R·30°: sin 30 along fast, cos 30 · sin 30 along slow, cos² 30 along the beam.
    found = at_arcs(panel_in("xds", "sphere"), ARC, ARC)
    expected = 0.1 * np.array([0.5, 0.5 * math.sqrt(0.75), 0.75])
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.spec("GEO-7")
@BOTH
def test_every_sample_of_a_sphere_is_at_its_radius_and_seen_face_on(make: Make) -> None:
    experiment = make_experiment(surface="sphere", layers=2, pixel_size=1e-2)
    panel = experiment.detector.panels[0]
    for layer in (0, 1):
        rays = rays_of(experiment, [(0, 0), (12, 16), (5, 3)], SampleIndex(layer, 0, 0), make=make)
        radius = 0.08 + panel.sensor.position[layer]
        np.testing.assert_allclose(np.asarray(rays.length), radius, rtol=1e-14)
        assert cosine_to_normal(placed(experiment), rays).tolist() == [1.0, 1.0, 1.0]
        omega = np.asarray(solid_angle(placed(experiment), rays))
        np.testing.assert_allclose(omega, 1e-4 / radius**2, rtol=1e-13)


@pytest.mark.spec("GEO-7")
@pytest.mark.spec("GEO-8")
@pytest.mark.parametrize("surface", ["cylinder_fast", "cylinder_slow"])
def test_solid_angle_of_a_cylinder_by_hand(surface: str) -> None:
    # 75 mm along the axis of a cylinder of 100 mm: R = 125 mm, cosine 0.8, wherever around it.
    panel: Panel = make_experiment(surface=surface, pixel_size=1e-4, distance=0.1).detector.panels[
        0
    ]
    place = placement_of(panel, frozen_float64((1.0, 0.0, 0.0)))
    for arc in (0.0, 0.03, -0.12):
        along = (0.075, arc) if surface == "cylinder_fast" else (arc, 0.075)
        x, y, z = at_arcs(place, *along)
        length = math.sqrt(x * x + y * y + z * z)
        rays = Rays((x / length, y / length, z / length), np.float64(length))
        assert length == pytest.approx(0.125, rel=1e-12)
        assert cosine_to_normal(place, rays) == pytest.approx(0.8, rel=1e-12)
        assert solid_angle(place, rays) == pytest.approx(5.12e-7, rel=1e-12)
