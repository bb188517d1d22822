"""Frames in closed form of every kind of detector and list of |F|."""

from __future__ import annotations

from dataclasses import replace

import gemmi
import numpy as np
import pytest

from distbragg.kernel import native
from distbragg.models.build_reflections import reflections_from_list
from distbragg.physics.factors import intensity_scale
from distbragg.plan.frame import Tile
from tests import gaussian_frame
from tests.physics.closed_scenes import (
    BASE,
    FLOAT64,
    MIXED,
    MODEL,
    alone,
    experiment,
    image,
    off,
    panel_about,
)
from tools.closed_form_cases import Error

pytestmark = pytest.mark.skipif(not native.available(), reason=native.reason())

Z = np.array([0.0, 0.0, 1.0])
EDGE = 16


def across(ray):
    fast = np.cross(ray, Z)
    return fast / np.linalg.norm(fast)


def panels(*degrees: float):
    """Panels in the plane of the beam and y, at angles from the beam, each more tilted."""
    angles = np.radians(degrees)
    rays = [np.array([np.cos(angle), np.sin(angle), 0.1]) for angle in angles]
    rays = [ray / np.linalg.norm(ray) for ray in rays]
    placed = [
        panel_about(
            ray, across(ray), distance_mm=60.0, size_mm=1.4, edge=EDGE, tilt_deg=15.0 * number
        )
        for number, ray in enumerate(rays)
    ]
    return {"detector": {"panels": placed, **dict.fromkeys(BASE["detector"])}}


ALL = {
    "beam": {"bandwidth_percent": 0.3, "divergence_mrad": 0.5},
    "goniometer": {"oscillation_deg": 0.5},
}


def agree(scene, panel: int = 0) -> np.ndarray:
    """Hold the native kernel to the model on a panel; return what it rendered."""
    expected = image(scene, MODEL, panel=panel)
    assert expected.max() > 1.0
    found = image(scene, FLOAT64, panel=panel)
    assert off(found, expected) <= 1e-11
    assert off(image(scene, MIXED, panel=panel), expected) <= 1e-3
    return found


@pytest.mark.spec("SAM-13")
def test_tilted_panels_hold_what_each_would_alone():
    angles = (10.0, -25.0, 55.0)
    together = experiment(panels(*angles), ALL, {"sampling": {"dmin_angstrom": 1.0}})
    assert len(together.detector.panels) == 3
    for index in range(3):
        found = agree(together, index)
        one = replace(together.detector, panels=together.detector.panels[index : index + 1])
        assert (image(replace(together, detector=one), FLOAT64) == found).all()


@pytest.mark.spec("SAM-13")
@pytest.mark.parametrize("options", [FLOAT64, MIXED, MODEL], ids=["float64", "mixed", "model"])
def test_masked_pixels_are_nothing_and_the_others_as_without_a_mask(tmp_path, options):
    active = np.random.default_rng(1).random((40, 45)) > 0.4
    active[10:17, 5:30] = False
    np.save(tmp_path / "m.npy", active)
    masked = experiment({"detector": {"mask_file": str(tmp_path / "m.npy")}}, ALL)
    whole = image(experiment(ALL), options)
    found = image(masked, options)
    assert whole[~active].max() > 1.0
    assert (found[~active] == 0.0).all()
    assert (found[active] == whole[active]).all()


@pytest.fixture
def lists(tmp_path):
    """The same |F| as text and as MTZ: to 5 Å, one in three missing."""
    cell = gemmi.UnitCell(*BASE["crystal"]["cell"])
    rng = np.random.default_rng(2)
    grid = np.stack(np.meshgrid(*[np.arange(-12, 13)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    half = [
        (*hkl, float(np.float32(rng.uniform(1.0, 20.0))))
        for hkl in grid.tolist()
        if hkl > [0, 0, 0] and cell.calculate_d(hkl) > 3.5 and sum(hkl) % 3
    ]
    text = "".join(f"{s * h} {s * k} {s * m} {f!r}\n" for h, k, m, f in half for s in (1, -1))
    (tmp_path / "a.hkl").write_text(text)
    mtz = gemmi.Mtz(with_base=True)
    mtz.set_cell_for_all(cell)
    mtz.spacegroup = gemmi.SpaceGroup("P 1")
    mtz.add_dataset("x")
    mtz.add_column("FC", "F")
    mtz.set_data(np.array(half, np.float32))
    mtz.write_to_file(str(tmp_path / "a.mtz"))
    return tmp_path, np.array(half)


@pytest.mark.spec("SAM-13")
def test_amplitudes_are_those_of_the_list_whatever_its_format(lists):
    folder, half = lists
    factors = {"default_f_electrons": 0, "interpolate": False}
    text, mtz = (
        experiment({"structure_factors": {**factors, "file": str(folder / name)}}, ALL)
        for name in ("a.hkl", "a.mtz")
    )
    found = agree(text)
    assert (image(mtz, FLOAT64) == found).all()
    # Squares of |F| add up: those of the even h and those of the odd make the whole.
    whole = np.zeros_like(found)
    for odd in (0, 1):
        some = half[half[:, 0] % 2 == odd]
        indices = np.concatenate([some[:, :3], -some[:, :3]]).astype(np.int64)
        table = reflections_from_list(indices, np.tile(some[:, 3], 2), 0.0)
        whole += image(replace(text, reflections=table), FLOAT64)
    assert off(whole, found) <= 1e-12


BACK = (-57, 62, -33)
"""Of 0.53 Å, 140 degrees from the beam."""


@pytest.mark.spec("SAM-13")
def test_back_scattering_is_the_mean_of_all_that_is_random():
    widths = {"beam": {"bandwidth_percent": 0.3, "divergence_mrad": 0.5}}
    sampling = {"sampling": {"dmin_angstrom": 0.5}}
    plain = experiment(widths, sampling)
    centre, (one, _), sigmas, _ = gaussian_frame.seen_at(plain, BACK)
    assert np.degrees(np.arccos(-plain.beam.sources.direction[0] @ centre)) > 135.0
    size = 6.0 * 60.0 * max(sigmas) / 5
    placed = panel_about(centre, one, distance_mm=60.0, size_mm=size, edge=5, tilt_deg=20.0)
    scene = alone(BACK, placed, widths, sampling)
    expected = gaussian_frame.image(scene, 0, [BACK])
    for options in (FLOAT64, MIXED):
        photons = image(scene, options) * intensity_scale(scene)
        assert Error.of(photons, expected).within((3e-3, 1e-3))
    assert off(image(scene, FLOAT64), image(scene, MODEL)) <= 1e-11


@pytest.mark.spec("SAM-13")
@pytest.mark.parametrize("spread", [0.05, 0.5])
def test_spots_of_a_large_cell_overlap_as_in_the_model(spread: float):
    large = {"crystal": {"cell": [300, 250, 180, 90, 90, 120], "block_cells": [5, 6, 8]}}
    wide = {"crystal": {"mosaic": {"spread_deg": spread}}, "sampling": {"dmin_angstrom": 3.0}}
    scene = experiment({"detector": {"pixel_size_mm": 0.3}}, large, wide)
    tile = Tile(3, 17, 5, 30)
    expected = image(scene, MODEL, tile=tile)
    lit = float((expected > 1e-3 * expected.max()).mean())
    assert lit > (0.4 if spread > 0.1 else 0.05)
    assert off(image(scene, FLOAT64, tile=tile), expected) <= 1e-11
    assert off(image(scene, MIXED, tile=tile), expected) <= 1e-3
