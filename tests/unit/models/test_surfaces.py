"""Where the pixels of curved panels lie, worked out by hand in every convention."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from distbragg.errors import InputError
from distbragg.models.build import build_experiment
from distbragg.models.detector import Panel
from distbragg.physics.factors import solid_angle
from distbragg.physics.rays import SampleIndex, cosine_to_normal, placement_of, sample_rays
from distbragg.spec.load import parse_spec

AXES = {
    "mosflm": ((0, 0, 1), (0, -1, 0), (1, 0, 0)),
    "denzo": ((0, 0, 1), (0, -1, 0), (1, 0, 0)),
    "adxv": ((1, 0, 0), (0, -1, 0), (0, 0, 1)),
    "xds": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "dials": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "custom": ((0, 0, 1), (0, -1, 0), (1, 0, 0)),
}
"""Fast, slow and normal of each convention, from the C program."""

RADIUS = 0.1


def panel_of(convention: str, curved: bool | str, physics: str = "exact", **detector: Any) -> Panel:
    """A panel of 41 × 41 pixels of 1 mm at 100 mm, whose foot is the middle of pixel (20, 20)."""
    given = {
        "convention": convention,
        "pixels_fast": 41,
        "pixels_slow": 41,
        "pixel_size_mm": 1.0,
        "distance_mm": 100.0,
        "curved": curved,
        **detector,
    }
    spec = {
        "physics": physics,
        "crystal": {"cell": [40, 40, 40, 90, 90, 90]},
        "structure_factors": {"default_f_electrons": 1.0},
        "detector": given,
        "beam": {"wavelength_angstrom": 1.0},
    }
    return build_experiment(parse_spec(spec)).detector.panels[0]


def place(panel: Panel, slow: float, fast: float) -> tuple[np.ndarray, float, float]:
    """Position of a pixel's centre (m), its solid angle and the cosine to the surface."""
    placement = placement_of(panel, np.array([1.0, 0.0, 0.0]))
    pixel = np.array([slow]), np.array([fast])
    rays = sample_rays(placement, *pixel, sample=SampleIndex(0, 0, 0), oversample=1)
    direction = np.array([float(part[0]) for part in rays.direction])
    length = float(rays.length[0])
    omega = float(solid_angle(placement, rays)[0])
    return direction * length, omega, float(cosine_to_normal(placement, rays)[0])


@pytest.mark.spec("GEO-7")
@pytest.mark.spec("GEO-8")
@pytest.mark.parametrize("convention", AXES)
def test_pixels_of_a_curved_panel_lie_where_hand_and_ruler_put_them(convention: str) -> None:
    fast, slow, normal = (np.array(axis, dtype=float) for axis in AXES[convention])
    # Pixel slow 35, fast 10 of a panel whose foot is found from its own numbers.
    for curved in (True, "sphere", "cylinder_slow", "cylinder_fast"):
        panel = panel_of(convention, curved)
        u = 1e-3 * 10.5 + float(panel.origin @ fast)
        v = 1e-3 * 35.5 + float(panel.origin @ slow)
        # The beam's centre of every convention is within two pixels of the panel's.
        assert -0.012 < u < -0.008
        assert 0.013 < v < 0.017
        a, b = u / RADIUS, v / RADIUS
        found, omega, cosine = place(panel, 35.0, 10.0)
        if curved in {True, "sphere"}:
            expected = RADIUS * (
                math.sin(a) * fast + math.cos(a) * (math.cos(b) * normal + math.sin(b) * slow)
            )
            slope = 1.0
            assert np.linalg.norm(found) == pytest.approx(RADIUS, rel=1e-14)
        elif curved == "cylinder_slow":
            expected = RADIUS * (math.cos(a) * normal + math.sin(a) * fast) + v * slow
            slope = RADIUS / math.hypot(RADIUS, v)
        else:
            expected = RADIUS * (math.cos(b) * normal + math.sin(b) * slow) + u * fast
            slope = RADIUS / math.hypot(RADIUS, u)
        np.testing.assert_allclose(found, expected, atol=1e-16)
        assert cosine == pytest.approx(slope, rel=1e-14)
        square = float(expected @ expected)
        assert omega == pytest.approx(1e-6 / square * slope, rel=1e-13)


@pytest.mark.spec("GEO-7")
@pytest.mark.parametrize("convention", AXES)
@pytest.mark.parametrize("curved", ["sphere", "cylinder_slow", "cylinder_fast"])
def test_near_its_foot_a_curved_panel_is_flat(convention: str, curved: str) -> None:
    for step in (1, 2):
        flat = place(panel_of(convention, False), 20.0 + step, 20.0 - step)
        bent = place(panel_of(convention, curved), 20.0 + step, 20.0 - step)
        # Off the plane by u²/2R at most; the solid angles agree to second order too.
        far = (2.5e-3) ** 2
        assert np.abs(bent[0] - flat[0]).max() < far / RADIUS
        assert bent[1] == pytest.approx(flat[1], rel=4.0 * far / RADIUS**2)


@pytest.mark.spec("GEO-7")
@pytest.mark.parametrize("curved", ["sphere", "cylinder_slow"])
def test_a_tilted_curved_panel_touches_its_plane_at_the_foot(curved: str) -> None:
    panel = panel_of("dials", curved, rotation_deg=[3.0, -4.0, 2.0])
    foot = panel.close_distance * panel.normal
    where = (foot - panel.origin) / 1e-3
    fast, slow = float(where @ panel.fast) - 0.5, float(where @ panel.slow) - 0.5
    found, _, cosine = place(panel, slow, fast)
    np.testing.assert_allclose(found, foot, atol=1e-15)
    assert cosine == pytest.approx(1.0, abs=1e-14)


@pytest.mark.spec("GEO-7")
def test_the_program_bends_no_cylinder() -> None:
    for curved in (True, "sphere"):
        assert panel_of("mosflm", curved, "nanobragg").surface == "nanobragg"
    with pytest.raises(InputError, match="bends no panel to a cylinder_fast"):
        panel_of("mosflm", "cylinder_fast", "nanobragg")


@pytest.mark.spec("GEO-7")
@pytest.mark.parametrize(
    ("curved", "along", "across", "where"),
    [
        ("cylinder_slow", "fast", "slow", "past half a turn (180°)"),
        ("cylinder_fast", "slow", "fast", "past half a turn (180°)"),
        ("sphere", "slow", "fast", "past half a turn (180°)"),
        (True, "fast", "slow", "past the poles of its sphere (90°)"),
    ],
)
def test_a_panel_that_would_meet_itself_is_refused(
    curved: bool | str, along: str, across: str, where: str
) -> None:
    """Of two pixels that see one direction a spot would light, and be told of, only one."""
    centre = {"fast": "xbeam_mm", "slow": "ybeam_mm"}
    limit = 180.0 if "half" in where else 90.0
    for bent, refused in ((limit - 1.0, False), (limit + 1.0, True)):
        pixels = round(RADIUS * 1e3 * math.radians(bent))
        for middle in (0.0, float(pixels)):  # the foot: the last or the first pixel is farthest
            given = {f"pixels_{along}": pixels, centre[along]: middle, centre[across]: 20.0}
            if not refused:
                assert panel_of("xds", curved, **given).surface != "flat"
                continue
            with pytest.raises(InputError) as caught:
                panel_of("xds", curved, **given)
            assert caught.value.field == "detector.curved"
            assert f"° along {along}, {where}" in str(caught.value)
    assert panel_of("xds", False, pixels_fast=600, pixels_slow=600).surface == "flat"
