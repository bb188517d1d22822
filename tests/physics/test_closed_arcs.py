"""Spots that are long arcs: a large crystal whose domains are spread far."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from distbragg.kernel import native
from distbragg.kernel.native import call
from distbragg.plan.frame import Tile
from tests import gaussian_frame
from tests.physics.closed_scenes import FLOAT64, MIXED, alone, experiment, image

pytestmark = [
    pytest.mark.spec("SAM-13"),
    pytest.mark.skipif(not native.available(), reason=native.reason()),
]


def scene(hkl, change, *, edge=5, pixel=0.1, turn=0.0, oversample="auto"):
    """A panel about one reflection, turned about the beam by `turn`, rad."""
    sampling = {"sampling": {"oversample": oversample, "dmin_angstrom": 1.2}}
    plain = experiment(sampling, change)
    beam = -plain.beam.sources.direction[0]
    ray = np.array(hkl) @ plain.crystal.reciprocal + beam
    ray = Rotation.from_rotvec(turn * beam).apply(ray / np.linalg.norm(ray))
    fast = np.cross(ray, [0.0, 0.0, 1.0])
    fast /= np.linalg.norm(fast)
    slow = np.cross(ray, fast)
    panel = {
        "origin_mm": (60.0 * ray - 0.5 * edge * pixel * (fast + slow)).tolist(),
        "fast": fast.tolist(), "slow": slow.tolist(),
        "pixel_size_mm": pixel, "pixels_fast": edge, "pixels_slow": edge,
    }  # fmt: skip
    return alone(hkl, panel, sampling, change)


def crystal(cells, spread):
    return {"crystal": {"block_cells": [cells] * 3, "mosaic": {"spread_deg": spread}}}


@pytest.mark.parametrize(("cells", "spread"), [(300, 0.5), (1000, 0.5), (300, 1.0), (100, 1.5)])
@pytest.mark.parametrize("away", [1.0, 2.0, 3.0])
def test_a_long_arc_is_rendered_where_it_bends(cells, spread, away):
    """At so many standard deviations along the arc, whose sagitta is many times its width."""
    hkl, change = (-6, 20, 15), crystal(cells, spread)
    plain = scene(hkl, change)
    one = gaussian_frame.scene_of(plain, hkl)
    sine = np.linalg.norm(np.cross(one.beam, one.place))
    turn = away * np.radians(spread) * np.linalg.norm(one.place) / sine
    found = [
        image(scene(hkl, change, edge=1, pixel=1e-5, turn=t, oversample=1), FLOAT64)[0, 0]
        for t in (0.0, turn)
    ]
    # Isotropic rotations of σ turn g by `away` σ.
    bar = 3e-3 if spread <= 0.5 else 1.5e-2
    assert found[1] / found[0] == pytest.approx(np.exp(-0.5 * away**2), abs=bar)


@pytest.mark.parametrize("spread", [0.2, 0.5])
def test_narrow_arcs_in_mixed_precision(spread):
    """0.6 µm × 100 µm, and 250 µm, on pixels of 100 µm."""
    one = scene((-6, 20, 15), crystal(1000, spread))
    exact, mixed = image(one, FLOAT64), image(one, MIXED)
    assert mixed.sum() == pytest.approx(exact.sum(), rel=1e-3)


@pytest.mark.spec("SAM-14")
@pytest.mark.parametrize("cells", [30, 300])
def test_what_is_left_of_an_arc_depends_on_no_width(monkeypatch, cells):
    """The cut takes as much from the arcs of a large crystal as from the spots of a small one."""
    panel = {"pixel_size_mm": 0.03, "pixels_fast": 3000, "pixels_slow": 2666}
    sampling = {"oversample": 1, "dmin_angstrom": 1.6}
    one = experiment({"detector": panel, "sampling": sampling}, crystal(cells, 0.5))
    tile = Tile(400, 600, 1000, 1400)
    monkeypatch.setitem(call.CUT, "float64", 20.0)
    whole = image(one, FLOAT64, tile=tile)
    monkeypatch.setitem(call.CUT, "float64", 4.55)
    cut = image(one, FLOAT64, tile=tile)
    assert whole.max() > 0.0
    assert cut.sum() == pytest.approx(whole.sum(), rel=3e-4)
    assert np.abs(cut - whole).max() <= 2e-4 * whole.max()


@pytest.mark.spec("SAM-18")
@pytest.mark.parametrize("turn", [0.0, 0.05])
def test_a_wide_thin_arc_is_drawn_in_parts_along_its_ridge(turn):
    """No polynomial holds for all of 1.8°, a sixth of a pixel wide; parts are those of any tile."""
    one = scene((-6, 20, 15), crystal(60, 1.8), edge=160, turn=turn)
    exact, mixed = image(one, FLOAT64), image(one, MIXED)
    assert np.abs(mixed - exact).max() <= 1e-3 * exact.max()
    assert mixed.sum() == pytest.approx(exact.sum(), rel=1e-3)
    columns = ((0, 71), (71, 160))
    tiles = [
        np.hstack([image(one, MIXED, tile=Tile(*rows, *some)) for some in columns])
        for rows in ((0, 83), (83, 160))
    ]
    np.testing.assert_array_equal(np.vstack(tiles), mixed)


@pytest.mark.spec("SAM-18")
@pytest.mark.parametrize("hkl", [(2, -14, 75), (-2, -16, 78)])
def test_far_from_an_arc_no_part_of_it_is_bright(hkl):
    """A turning plate in a corner of the box about its arc, where its formulas mean nothing."""
    plate = {
        "cell": [12.2563, 30.8752, 53.3845, 110.4015, 91.2988, 72.7867],
        "block_cells": [6, 121, 101],
        "misset_deg": [233.937, 97.0807, 198.1601],
        "mosaic": {"spread_deg": 2.5873},
    }
    turn = {
        "oscillation_deg": 0.1886,
        "phi_deg": 222.8928,
        "spindle_axis": [0.3771, 0.9078, -0.1835],
    }
    panel = {
        "origin_mm": [-11.5518, 56.2694, 154.5075],
        "fast": [0.6291, 0.4548, 0.6303],
        "slow": [-0.2469, 0.8859, -0.3928],
        "pixel_size_mm": 0.1514,
        "pixels_fast": 72,
        "pixels_slow": 72,
    }
    beam = {"wavelength_angstrom": 0.9585, "divergence_mrad": 0.0747}
    changes = {"beam": beam, "crystal": plate, "goniometer": turn}
    one = alone(hkl, panel, changes, {"sampling": {"oversample": 1, "dmin_angstrom": 0.65}})
    height = 100.0 * np.prod(np.square([6.0, 121.0, 101.0]))
    assert np.abs(image(one, MIXED) - image(one, FLOAT64)).max() <= 1e-12 * height
