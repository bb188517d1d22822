"""How far a list of reflections scatters, and what is left out beyond."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from distbragg.kernel import native
from distbragg.kernel.native import call
from distbragg.models.crystal import Reflections
from distbragg.models.vectors import frozen_float64
from distbragg.physics import furthest
from distbragg.physics.furthest import (
    field_of_view,
    furthest_lit,
    least_spacing,
    longest_scattering,
)
from distbragg.physics.near_sphere import gaussian_crystal
from distbragg.plan.frame import Tile
from tests.physics import closed_scenes
from tests.unit.kernel_native import kit

CELL = np.array([[30.0, 0.0, 0.0], [4.0, 41.0, 0.0], [-3.0, 7.0, 52.0]])


def reflections(amplitude, origin=(-3, -4, -2), default=0.0, *, interpolate=False):
    return Reflections(frozen_float64(amplitude), origin, default, interpolate)


def sparse(seed=0):
    rng = np.random.default_rng(seed)
    box = rng.random((8, 7, 9))
    return np.where(rng.random(box.shape) < 0.05, box, 0.0)


def furthest_of(listed, cell):
    reciprocal = np.linalg.inv(cell).T
    points = np.argwhere(listed.amplitude) + listed.origin
    corners = np.array(list(itertools.product((-0.5, 0.5), repeat=3)))
    near = points[:, None] + corners
    return np.linalg.norm(near @ reciprocal, axis=-1).max()


@pytest.mark.parametrize("seed", range(5))
def test_no_cell_about_a_reflection_reaches_further(seed):
    listed = reflections(sparse(seed))
    found, least = furthest_lit(listed, CELL), furthest_of(listed, CELL)
    longest = np.linalg.norm(np.linalg.inv(CELL), axis=0).sum() / 2
    assert least <= found <= least + 2 * longest
    # A turned lattice has the same, and another cell its own.
    turned = kit.turn(CELL, np.array([0.6, 0.0, 0.8]), 0.7)
    assert furthest_lit(listed, turned) == pytest.approx(found, rel=1e-8)
    assert furthest_lit(listed, 1.1 * CELL) == pytest.approx(found / 1.1)


def test_planes_are_looked_at_in_any_number(monkeypatch):
    box = sparse(3)
    whole = furthest_lit(reflections(box), CELL)
    monkeypatch.setattr(furthest, "_AT_ONCE", 1)
    assert furthest_lit(reflections(box), CELL) == whole


def test_a_list_without_end_has_no_furthest_and_an_empty_one_none_at_all():
    assert furthest_lit(reflections(sparse(), default=1.0), CELL) == math.inf
    assert furthest_lit(reflections(sparse(), interpolate=True), CELL) == math.inf
    assert furthest_lit(reflections(np.zeros((2, 3, 4))), CELL) == 0.0
    assert furthest_lit(reflections(np.zeros((0, 0, 0))), CELL) == 0.0


def test_many_cells_are_looked_at_without_being_kept_for_ever():
    listed = reflections(sparse())
    first = furthest_lit(listed, CELL)
    for step in range(200):
        assert furthest_lit(listed, CELL * (1.0 + step / 1000)) <= first
    assert furthest_lit(listed, CELL) == first


SHAPES = {
    "square": {},
    "round": {"shape": "round"},
    "broad gauss": {"shape": "gauss", "cells": (3, 2, 3), "domains": 8},
    "narrow gauss": {"shape": "gauss", "cells": (14, 16, 13), "domains": 8},
    "tophat": {"shape": "tophat", "cells": (4, 5, 4), "domains": 8},
    "cut": {"dmin": 9.0},
    "layers and sub-pixels": {"layers": 2, "oversample": 2},
    "curved": {"surface": "sphere"},
    "masked": {"mask": np.random.default_rng(0).random((23, 37)) > 0.5},
    "with background": {"background": True},
}


@pytest.mark.skipif(not native.available(), reason=native.reason())
@pytest.mark.parametrize("precision", ["mixed", "float64"])
@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_left_out_is_zero_and_changes_no_bit(shape, precision, monkeypatch):
    given = {"default": 0.0, "background": False, "box": (1, 1, 1), **SHAPES[shape]}
    experiment = kit.make_experiment(**given)
    view = experiment.detector.panels[0]
    listed = experiment.reflections
    furthest = furthest_lit(listed, experiment.crystal.real_space)
    assert 0.0 < furthest < 0.8 * longest_scattering(experiment.beam, view)
    place, options = kit.whole(experiment), kit.Options(precision)
    left_out = native.render_numerator(experiment, 0, *place, options)
    monkeypatch.setattr(call, "furthest_lit", lambda *_: math.inf)
    every = native.render_numerator(experiment, 0, *place, options)
    assert np.array_equal(left_out, every)
    assert np.count_nonzero(every) > 0


@pytest.mark.skipif(not native.available(), reason=native.reason())
def test_broad_spots_in_closed_form_are_not_cut_off_half_a_cell_away():
    scene = closed_scenes.experiment(
        {"crystal": {"block_cells": [1, 1, 1]}, "detector": {"distance_mm": 250}}
    )
    scene = replace(scene, reflections=reflections(np.full((3, 3, 3), 7.0), (-1, -1, -1)))
    expected = closed_scenes.image(scene, closed_scenes.MODEL)
    slow, fast = expected.shape
    # Row by row, so that some are beyond as a whole.
    rows = [closed_scenes.image(scene, tile=Tile(row, row + 1, 0, fast)) for row in range(slow)]
    view = scene.detector.panels[0]
    furthest = furthest_lit(scene.reflections, scene.crystal.real_space)
    assert furthest < 0.8 * longest_scattering(scene.beam, view)
    found = np.concatenate(rows)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-12 * expected.max())


SMALL = {"detector": {"pixel_size_mm": 0.8, "pixels_fast": 40, "pixels_slow": 34}}
WIDTHS = {
    "large crystal": {"crystal": {"block_cells": [80, 60, 50], "mosaic": {"spread_deg": 0.05}}},
    "few cells": {"crystal": {"block_cells": [4, 3, 5], "mosaic": {"spread_deg": 0.1}}},
    "spread": {"crystal": {"mosaic": {"spread_deg": 1.2}}},
    "beam": {"beam": {"bandwidth_percent": 0.5, "divergence_mrad": 1.0}},
    "lines": {"beam": {"spectrum": {"wavelengths_angstrom": [0.97, 1.0, 1.02]}}},
    "rotation": {"goniometer": {"oscillation_deg": 5.0}},
    "cells": {"crystal": {"cell_spread": {"lengths_percent": 1.0}}},
}


@pytest.mark.spec("SAM-14")
@pytest.mark.skipif(not native.available(), reason=native.reason())
@pytest.mark.parametrize("precision", ["mixed", "float64"])
@pytest.mark.parametrize("widths", WIDTHS)
def test_reflections_that_no_pixel_sees_are_not_looked_for(monkeypatch, widths, precision):
    """Without a resolution cut: a third of the sphere or more is left out, and no bit changes."""
    lit = {"sampling": {"dmin_angstrom": 0, "oversample": "auto"}}
    scene = closed_scenes.experiment(SMALL, lit, WIDTHS[widths])
    options = closed_scenes.FLOAT64 if precision == "float64" else closed_scenes.MIXED
    found = closed_scenes.image(scene, options)
    crystal = gaussian_crystal(scene.crystal)
    spacing = least_spacing(scene.beam, scene.detector.panels, crystal)
    assert 1.0 / spacing < 1.6, "of |g| up to 2.2: a third of the sphere and more"
    monkeypatch.setattr(call, "least_spacing", lambda *_: 0.0)
    assert np.array_equal(closed_scenes.image(scene, options), found)
    assert np.count_nonzero(found) > 50


@pytest.mark.skipif(not native.available(), reason=native.reason())
def test_the_bound_is_that_of_all_panels_and_of_none_that_sees_everything():
    scene = closed_scenes.experiment(SMALL)
    crystal, (panel,) = gaussian_crystal(scene.crystal), scene.detector.panels
    near = replace(panel, origin=0.5 * panel.origin)
    one, other = (least_spacing(scene.beam, (view,), crystal) for view in (panel, near))
    assert 0.0 < other < one
    assert least_spacing(scene.beam, (panel, near), crystal) == other
    turned = replace(crystal, mosaic=np.eye(3) * np.radians(3.0) ** 2)
    assert least_spacing(scene.beam, (panel,), turned) == 0.0


def test_lines_drawn_apart_ask_for_no_reflections_beyond_what_is_seen():
    """Of a spectrum over 35 %: lines taken together span a twentieth, which is what counts."""
    spacings = []
    for wavelengths in ([0.825, 0.825 / 0.95], [0.825, 1.175]):
        lines = {"beam": {"spectrum": {"wavelengths_angstrom": wavelengths}}}
        scene = closed_scenes.experiment(SMALL, lines)
        crystal = gaussian_crystal(scene.crystal)
        spacings.append(least_spacing(scene.beam, scene.detector.panels, crystal))
    assert spacings[1] == pytest.approx(spacings[0], rel=1e-9)


def test_the_field_of_view_holds_the_corners_of_a_panel():
    """By hand: 90 mm × 80 mm at 60 mm, its middle in the beam: the corners are at atan(60.2/60)."""
    (panel,) = closed_scenes.experiment().detector.panels
    panel = replace(panel, origin=np.array([0.06, 0.04, -0.045]))
    axis, angle = field_of_view(panel)
    ray = panel.origin / np.linalg.norm(panel.origin)
    assert math.degrees(angle) == pytest.approx(45.10, abs=0.01)
    assert ray @ axis == pytest.approx(math.cos(angle), abs=1e-9)
    assert field_of_view(replace(panel, surface="sphere"))[1] == math.pi
    behind = replace(panel, origin=panel.origin - 0.12 * panel.normal * np.sign(panel.normal @ ray))
    assert field_of_view(behind)[1] == pytest.approx(angle, abs=1e-6)
    # The sample in the middle of the panel, and in a corner of it, which then has no ray.
    for origin in ([0.0, 0.04, -0.045], [0.0, 0.0, 0.0]):
        assert field_of_view(replace(panel, origin=np.array(origin)))[1] == math.pi


@pytest.mark.spec("SAM-14")
@pytest.mark.skipif(not native.available(), reason=native.reason())
@pytest.mark.parametrize("precision", ["mixed", "float64"])
def test_spots_on_the_horizon_of_a_panel_are_not_drawn_on_it(monkeypatch, precision):
    """Rays along a panel meet it nowhere: no pixel is lit by them, however wide their box."""
    lit = {"sampling": {"dmin_angstrom": 0.7, "oversample": "auto"}}
    scene = closed_scenes.experiment(SMALL, lit)
    options = closed_scenes.FLOAT64 if precision == "float64" else closed_scenes.MIXED
    found = closed_scenes.image(scene, options)
    monkeypatch.setattr(call, "least_spacing", lambda *_: 0.0)
    monkeypatch.setattr(call, "field_of_view", lambda view: (-view.normal, math.pi))
    assert np.array_equal(closed_scenes.image(scene, options), found)
