"""Where pixels lie on the screen, and what a window shows of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from distbragg.models.build import build_experiment
from distbragg.models.experiment import Experiment
from distbragg.spec.load import parse_spec
from distbragg.viewer.levels import (
    COLOURS,
    MASKED,
    NOTHING,
    Limits,
    difference_limits,
    find_limits,
    to_levels,
)
from distbragg.viewer.overlays import beam_places, looker, rings
from distbragg.viewer.plane import Plane, Pyramid, Window


def experiment_of(detector: dict[str, Any], wavelength: float = 1.0) -> Experiment:
    plain = {
        "beam": {"wavelength_angstrom": wavelength},
        "structure_factors": {"default_f_electrons": 10},
        "crystal": {"cell": [40, 40, 40, 90, 90, 90]},
        "sampling": {"oversample": 1},
        "detector": detector,
    }
    return build_experiment(parse_spec(plain))


def one_panel(slow: int = 17, fast: int = 23, **more: Any) -> Experiment:
    sizes = {"pixels_slow": slow, "pixels_fast": fast, "pixel_size_mm": 1.0, "distance_mm": 50.0}
    return experiment_of({**sizes, **more})


def two_panels() -> Experiment:
    """With the beam along x and y upwards, z lies to the right: 3 x 2 pixels beside 2 x 3."""
    upright = {"fast": [0, 0, 1], "slow": [0, -1, 0], "pixels_fast": 3, "pixels_slow": 2}
    turned = {"fast": [0, 1, 0], "slow": [0, 0, 1], "pixels_fast": 2, "pixels_slow": 3}
    panels = [{**upright, "origin_mm": [50, 2, -4]}, {**turned, "origin_mm": [50, 0, 0]}]
    return experiment_of({"pixel_size_mm": 1.0, "panels": panels})


@pytest.mark.spec("VIE-4")
def test_a_picture_of_all_pixels_is_the_frame():
    frame = np.arange(17.0 * 23.0, dtype=np.float32).reshape(1, 17, 23)
    plane = Plane(one_panel())
    assert plane.bounds == Window(0.0, 23.0, 0.0, 17.0)
    picture = plane.picture(Pyramid(frame), plane.bounds, (23, 17))
    np.testing.assert_array_equal(picture.values, frame[0])
    assert picture.window == plane.bounds


@pytest.mark.spec("VIE-4")
@pytest.mark.parametrize("points", [(8, 8), (5, 9), (3, 2)])
def test_no_bright_pixel_is_lost_however_small_the_screen(points):
    plane = Plane(one_panel())
    for slow, fast in ((0, 0), (16, 22), (9, 13), (16, 0)):
        frame = np.zeros((1, 17, 23), dtype=np.float32)
        frame[0, slow, fast] = 7.0
        picture = plane.picture(Pyramid(frame), plane.bounds, points)
        rows, columns = picture.values.shape
        assert columns <= points[0]
        assert rows <= points[1]
        row, column = np.argwhere(picture.values == 7.0)[0]
        # A block covers the pixel it stands for.
        size = picture.window.width / columns
        assert column * size <= fast < (column + 1) * size
        assert row * size <= slow < (row + 1) * size


@pytest.mark.spec("VIE-4")
def test_a_mean_over_a_block_counts_its_pixels_alone():
    frame = np.array([[[1.0, 2.0, 3.0], [4.0, np.nan, 6.0], [7.0, 8.0, 9.0]]], dtype=np.float32)
    plane = Plane(one_panel(3, 3))
    picture = plane.picture(Pyramid(frame), plane.bounds, (2, 2), "mean")
    np.testing.assert_allclose(picture.values, [[7.0 / 3.0, 4.5], [7.5, 9.0]])


@pytest.mark.spec("VIE-7")
def test_a_difference_keeps_the_value_farthest_from_nothing():
    frame = np.array([[[1.0, -5.0, 2.0], [0.0, 3.0, -1.0]]], dtype=np.float32)
    plane = Plane(one_panel(2, 3))
    picture = plane.picture(Pyramid(frame), plane.bounds, (2, 1), "extreme")
    np.testing.assert_array_equal(picture.values, [[-5.0, 2.0]])


@pytest.mark.spec("VIE-4")
def test_a_window_shows_its_pixels_at_full_resolution():
    frame = np.arange(17.0 * 23.0, dtype=np.float32).reshape(1, 17, 23)
    plane = Plane(one_panel())
    picture = plane.picture(Pyramid(frame), Window(4.5, 8.5, 10.2, 40.0), (400, 300))
    np.testing.assert_array_equal(picture.values, frame[0, 10:17, 4:9])
    assert picture.window == Window(4.0, 9.0, 10.0, 17.0)
    assert plane.picture(Pyramid(frame), Window(30.0, 40.0, 0.0, 5.0), (4, 4)) is None
    found = plane.pixels_in(Window(4.5, 6.5, 10.2, 11.5), 100)
    assert [(p, s.tolist(), f.tolist()) for p, s, f in found] == [
        (0, [10, 10, 10, 11, 11, 11], [4, 5, 6, 4, 5, 6])
    ]
    assert plane.pixels_in(plane.bounds, 100) == []


@pytest.mark.spec("VIE-5")
def test_panels_are_shown_where_they_stand():
    image = np.zeros((2, 3, 3), dtype=np.float32)
    image[0, :2, :3] = [[1, 2, 3], [4, 5, 6]]
    image[1, :3, :2] = [[7, 8], [9, 10], [11, 12]]
    plane = Plane(two_panels())
    assert plane.unit == "mm"
    picture = plane.picture(Pyramid(image), plane.bounds, (7, 2))
    # The first row is the lowest.
    nan = np.nan
    np.testing.assert_array_equal(
        picture.values, [[4, 5, 6, nan, 7, 9, 11], [1, 2, 3, nan, 8, 10, 12]]
    )
    # A window of the right half shows the same pixels.
    part = plane.picture(Pyramid(image), Window(0.0, 3.0, 0.0, 2.0), (3, 2))
    np.testing.assert_array_equal(part.values, [[7, 9, 11], [8, 10, 12]])


@pytest.mark.spec("VIE-5")
def test_a_place_on_the_screen_and_its_pixel_are_told_from_each_other():
    plane = Plane(two_panels())
    for panel, slow, fast in ((0, 0.25, 2.5), (1, 2.75, 1.5)):
        x, y = plane.place(panel, slow, fast)
        assert plane.locate(float(x), float(y)) == (panel, pytest.approx(slow), pytest.approx(fast))
    assert plane.locate(-0.5, 1.0) is None, "the gap between the panels"
    assert Plane(one_panel()).locate(22.5, 16.5) == (0, 16.5, 22.5)
    assert Plane(one_panel()).locate(22.5, 17.5) is None


@pytest.mark.spec("VIE-5")
def test_rings_lie_at_their_resolution():
    experiment = one_panel(201, 203, pixel_size_mm=0.5, distance_mm=40.0)
    plane = Plane(experiment)
    ((x0, y0),) = beam_places(experiment, plane)
    found = rings(experiment, plane)
    assert len(found) >= 4
    assert [ring.resolution for ring in found] == sorted(
        (ring.resolution for ring in found), reverse=True
    )
    for ring in found:
        x, y = np.concatenate(ring.lines).T
        radius = 80.0 * math.tan(2.0 * math.asin(1.0 / (2.0 * ring.resolution)))
        np.testing.assert_allclose(np.hypot(x - x0, y - y0), radius, atol=0.1)  # pixels


@pytest.mark.spec("VIE-5")
def test_the_beam_centre_is_where_nothing_is_deflected():
    experiment = one_panel()
    ((x, y),) = beam_places(experiment, Plane(experiment))
    assert float(looker(experiment)(0, y, x).two_theta) == pytest.approx(0.0, abs=1e-6)
    assert list(beam_places(two_panels(), Plane(two_panels()))) == [(0.0, 0.0)]
    for surface in ("sphere", "cylinder_slow", "cylinder_fast"):
        bent = one_panel(41, 41, curved=surface, twotheta_deg=20.0)
        ((x, y),) = beam_places(bent, Plane(bent))
        assert float(looker(bent)(0, y, x).two_theta) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.spec("VIE-4")
def test_levels_are_even_in_the_scale_and_tell_what_is_not_a_value():
    values = np.array([[1.0, 10.0, 100.0, 0.0, np.nan, 1e9]])
    masked = np.array([[False, False, False, False, True, True]])
    levels = to_levels(values, Limits(1.0, 100.0, "log"), masked)
    assert levels.tolist() == [[0, (COLOURS - 1) // 2, COLOURS - 1, 0, NOTHING, MASKED]]
    linear = to_levels(values[:, :3], Limits(0.0, 100.0, "linear"))
    assert linear.tolist() == [[3, 25, COLOURS - 1]]


@pytest.mark.spec("VIE-4")
def test_single_photons_show_on_a_logarithmic_scale():
    counts = np.zeros((50, 50))
    counts[3, 4:9], counts[7, 7] = 1.0, 400.0
    limits = find_limits(counts, "log", (5.0, 99.9))
    assert limits.low == pytest.approx(0.5)
    assert to_levels(counts, limits)[3, 4] > 0
    assert find_limits(np.zeros((4, 4)), "log", (5.0, 99.9)).low > 0.0
    flat = find_limits(np.full((4, 4), 3.0), "linear", (5.0, 99.9))
    assert flat.high > flat.low
    nothing = find_limits(np.full((4, 4), np.nan), "linear", (5.0, 99.9))
    assert nothing == Limits(0.0, 1.0, "linear")


@pytest.mark.spec("VIE-7")
def test_a_difference_has_its_middle_in_the_middle_of_the_colours():
    values = np.array([[-3.0, 0.0, 1.0]])
    limits = difference_limits(values, 100.0)
    assert (limits.low, limits.high) == (-3.0, 3.0)
    assert to_levels(values, limits)[0, 1] == (COLOURS - 1) // 2
