"""Clauses of `specs/geometry.md`: where samples lie, and what they see of their pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.clauses.scene import PIXEL, SOLID_ANGLE, beam, dark, panel, scene, sensor

RADIUS = 0.1
SIZE = 4e-3


def rising(view, **changes):
    """A background whose F is sin θ/λ itself: a pixel over Ω is (|q|/2)²."""
    return dark(scene(view=view, molecules=1.0, stol=(0.0, 1.0), background=(0.0, 1.0), **changes))


@pytest.mark.spec("GEO-1")
def test_a_sample_lies_in_the_middle_of_its_sub_pixel(kernel) -> None:
    # One pixel of 8 mm, 5 mm away: with n = 2, samples at ±2 mm, and R² = 33 mm² for all four.
    view = panel(origin=(-4e-3, -4e-3, 5e-3), pixel_size=8e-3)
    found = kernel.pixel(scene(view=view, oversample=2))
    assert found == pytest.approx(4 * 64.0 / 33.0 * 5.0 / math.sqrt(33.0), rel=kernel.relative)


@pytest.mark.spec("GEO-1")
def test_pixels_count_along_fast_and_slow(kernel) -> None:
    # The pixel (slow 1, fast 2) of 2 × 3: its middle lies (2.5, 1.5) pixels from the corner.
    view = panel(shape=(2, 3), origin=(0.001, -0.002, 0.005), pixel_size=1e-3)
    found = kernel.numerator(scene(view=view))[1, 2]
    square = 3.5**2 + 0.5**2 + 5.0**2
    assert found == pytest.approx(1.0 / square * 5.0 / math.sqrt(square), rel=kernel.relative)


@pytest.mark.spec("GEO-1", "GEO-10")
def test_a_layer_lies_at_its_depth_along_the_normal(kernel) -> None:
    # One layer from 0 to 2 mm in a panel 3 mm away, sampled at 1 mm: R = 4 mm on the normal.
    view = panel(
        origin=(-0.5e-3, -0.5e-3, 3e-3),
        pixel_size=1e-3,
        sensor=sensor(0.0, 2e-3, attenuation=500.0),
    )
    found = kernel.pixel(scene(view=view))
    assert found == pytest.approx((1 - math.exp(-1.0)) / 16 * 3.0 / 4.0, rel=kernel.relative)


@pytest.mark.spec("GEO-7")
@pytest.mark.parametrize("surface", ["sphere", "cylinder_slow", "cylinder_fast"])
def test_a_curved_panel_is_bent_about_the_sample(kernel, surface: str) -> None:
    # Radius 100 mm; the pixel's middle lies π/6 · 100 mm along fast and π/4 · 100 mm along slow
    # from the foot. Sphere: d = (sin 30°, cos 30° sin 45°, cos 30° cos 45°).
    u, v = math.pi / 6, math.pi / 4
    origin = (u * RADIUS - SIZE / 2, v * RADIUS - SIZE / 2, RADIUS)
    view = panel(origin=origin, pixel_size=SIZE, surface=surface)
    forward, length, cosine = {
        "sphere": (math.cos(u) * math.cos(v), 1.0, 1.0),
        "cylinder_slow": (math.cos(u), math.hypot(1.0, v), 1 / math.hypot(1.0, v)),
        "cylinder_fast": (math.cos(v), math.hypot(1.0, u), 1 / math.hypot(1.0, u)),
    }[surface]
    # |q|²/4 = (1 − d·i)/2 at λ = 1 Å.
    squared = (1.0 - forward / length) / 2.0
    omega = SIZE**2 / (RADIUS * length) ** 2 * cosine
    found = kernel.pixel(rising(view))
    assert found == pytest.approx(omega * squared, rel=kernel.relative)


@pytest.mark.spec("GEO-7")
@pytest.mark.parametrize("surface", ["sphere", "cylinder_slow", "cylinder_fast"])
@pytest.mark.parametrize("turn", [0, 1, 3])
def test_near_the_foot_a_curved_panel_sees_what_a_flat_one_does(kernel, surface, turn) -> None:
    # Whichever way fast and slow point in the laboratory: 1 mm off the foot of a panel 1 m away the
    # two differ by some 1e-6, while a transposed or misplaced panel differs at once.
    axes = [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (-1.0, 0.0, 0.0), (0.0, -1.0, 0.0)]
    fast, slow = np.array(axes[turn]), np.array(axes[(turn + 1) % 4])
    corner = np.array([0.0, 0.0, 1.0]) + 1e-3 * fast + 4e-3 * slow
    polarized = beam(polarized=True, kahn=1.0)
    both = []
    for bent in ("flat", surface):
        view = panel(
            shape=(2, 3), origin=corner, fast=fast, slow=slow, pixel_size=1e-3, surface=bent
        )
        both.append(kernel.numerator(rising(view, beam_of=polarized)))
    assert both[1] == pytest.approx(both[0], rel=1e-4)
    assert not np.allclose(both[1], both[0][::-1], rtol=1e-2, atol=0.0)


@pytest.mark.spec("GEO-7")
def test_every_pixel_of_a_sphere_has_the_same_solid_angle(kernel) -> None:
    view = panel(shape=(5, 4), origin=(-0.05, -0.07, RADIUS), pixel_size=0.02, surface="sphere")
    found = kernel.numerator(scene(view=view))
    assert found == pytest.approx(np.full((5, 4), 0.04), rel=kernel.relative)


@pytest.mark.spec("GEO-7", "GEO-10")
def test_layers_of_a_curved_panel_are_shells(kernel) -> None:
    # Normal incidence everywhere on a sphere: 1 − 1/e of one attenuation length, at R + ½ mm.
    view = panel(
        origin=(0.03, 0.05, RADIUS),
        pixel_size=SIZE,
        surface="sphere",
        sensor=sensor(0.0, 1e-3, attenuation=1000.0),
    )
    found = kernel.pixel(scene(view=view))
    assert found == pytest.approx((1 - math.exp(-1.0)) * (SIZE / 0.1005) ** 2, rel=kernel.relative)


@pytest.mark.spec("GEO-7")
def test_the_c_programs_curved_panel_turns_by_laboratory_coordinates(kernel) -> None:
    # The point 100 mm down the beam (z), turned about slow (y) by y/R and about fast (x) by z/R.
    y, z = 0.02, RADIUS
    view = panel(origin=(0.01, y - SIZE / 2, z), pixel_size=SIZE, surface="nanobragg")
    found = kernel.pixel(rising(view))
    # About y by 0.2: (sin 0.2, 0, cos 0.2); about x by 1 rad: z becomes cos 0.2 · cos 1.
    squared = (1.0 - math.cos(0.2) * math.cos(1.0)) / 2.0
    assert found == pytest.approx((SIZE / RADIUS) ** 2 * squared, rel=kernel.relative)


@pytest.mark.spec("GEO-8")
def test_solid_angle_is_area_over_square_times_obliquity(kernel) -> None:
    # R = 130 mm and 120/130 at the default pixel: 1e-12/0.0169 · 12/13 = 5.4619e-11 sr.
    assert kernel.pixel(scene()) == pytest.approx(5.461993e-11, rel=max(kernel.relative, 1e-6))
    assert kernel.pixel(scene()) == pytest.approx(SOLID_ANGLE, rel=kernel.relative)


@pytest.mark.spec("GEO-8")
def test_a_point_pixel_has_one_over_the_square(kernel) -> None:
    found = kernel.pixel(scene(view=panel(point_pixel=True)))
    assert found == pytest.approx(1 / 0.0169, rel=kernel.relative)


@pytest.mark.spec("GEO-9")
def test_inactive_pixels_are_exactly_zero_and_the_others_do_not_notice(kernel) -> None:
    active = np.ones((3, 4), bool)
    active[0, 1] = active[2, 3] = False
    whole = kernel.numerator(scene(view=panel(shape=(3, 4)), molecules=3.0))
    found = kernel.numerator(scene(view=panel(shape=(3, 4), active=active), molecules=3.0))
    assert (found[~active] == 0.0).all()
    assert (found[active] == whole[active]).all()


@pytest.mark.spec("GEO-10")
def test_a_layer_captures_between_its_faces_along_the_slanted_ray(kernel) -> None:
    # ρ = 12/13; layers from 0 to 12 and from 12 to 36 µm, μ = 1/12 µm⁻¹: e⁰ − e^(−13/12), and
    # e^(−13/12) − e^(−39/12). The layers are too thin to move the sample.
    view = panel(sensor=sensor(0.0, 12e-9, 36e-9, attenuation=1 / 12e-9))
    found = kernel.pixel(scene(view=view)) / SOLID_ANGLE
    first, second = 1 - math.exp(-13 / 12), math.exp(-13 / 12) - math.exp(-39 / 12)
    assert found == pytest.approx(first + second, rel=max(kernel.relative, 1e-6))


@pytest.mark.spec("GEO-10")
def test_a_sensor_that_does_not_absorb_captures_everything(kernel) -> None:
    assert kernel.pixel(scene(view=panel(sensor=sensor()))) == kernel.pixel(scene())


@pytest.mark.spec("GEO-12")
def test_a_panel_cut_from_another_gives_its_pixels(kernel) -> None:
    whole = kernel.numerator(
        scene(view=panel(shape=(4, 6)), index=(1.3, 2.2, 0.7), cells=(3, 4, 5))
    )
    origin = (0.03 - PIXEL / 2 + 2 * PIXEL, 0.04 - PIXEL / 2 + PIXEL, 0.12)
    part = panel(shape=(2, 3), origin=origin)
    found = kernel.numerator(scene(view=part, index=(1.3, 2.2, 0.7), cells=(3, 4, 5)))
    assert found == pytest.approx(whole[1:3, 2:5], rel=kernel.relative)
