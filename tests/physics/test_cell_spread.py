"""A spread of unit cells: the closed form, its compiled twin, sampled domains, and labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from distbragg.kernel import native
from distbragg.models.vectors import frozen_float64
from distbragg.physics.factors import intensity_scale
from distbragg.physics.strain import edge_changes
from distbragg.plan.frame import Tile
from distbragg.predict.spots import predict_spots
from tests.physics.closed_scenes import FLOAT64, MIXED, MODEL, experiment, image, off
from tools.closed_form_cases import Row, error_of

pytestmark = pytest.mark.skipif(not native.available(), reason=native.reason())

SPREAD = {"crystal": {"cell_spread": {"lengths_percent": [0.5, 0.7, 1.0], "angles_deg": 0.3}}}
BEAM = {"beam": {"bandwidth_percent": 0.3, "divergence_mrad": 0.5}}
TURN = {"goniometer": {"phi_deg": 5.0, "oscillation_deg": 0.5}}
PARTS = {"goniometer": {"oscillation_deg": 5.0}}
MIDDLE = Tile(10, 25, 15, 35)


@pytest.mark.spec("MOS-7")
@pytest.mark.parametrize(
    "row",
    [
        Row(0.02, cells=0.003),
        Row(0.1, cells=0.01),
        Row(0.1, cells=0.01, rotation_deg=1.0, log2_points=11),
    ],
    ids=str,
)
@pytest.mark.parametrize("seed", [0, 3])
def test_quasi_random_sums_are_reached(row: Row, seed: int) -> None:
    assert error_of(row, seed).within(row.bars)


@pytest.mark.spec("MOS-7")
@pytest.mark.parametrize("changes", [{}, BEAM, TURN, PARTS], ids=["still", "beam", "turn", "parts"])
def test_the_native_kernel_equals_the_model(changes) -> None:
    scene = experiment(SPREAD, changes)
    expected = image(scene, MODEL, tile=MIDDLE)
    assert off(image(scene, FLOAT64, tile=MIDDLE), expected) < 1e-11
    assert off(image(scene, MIXED, tile=MIDDLE), expected) < 3e-3


@pytest.mark.spec("MOS-7")
def test_reflections_found_for_one_spread_are_not_those_of_another() -> None:
    for changes in ({}, SPREAD, {"crystal": {"cell_spread": {"lengths_percent": 0.1}}}):
        scene = experiment(changes)
        assert off(image(scene, FLOAT64), image(scene, MODEL)) < 1e-11


@pytest.mark.spec("MOS-7")
def test_tiles_of_a_spread_are_parts_of_the_whole() -> None:
    scene = experiment(SPREAD, TURN)
    whole = image(scene, MIXED)
    part = image(scene, MIXED, tile=Tile(7, 29, 11, 45))
    assert (part == whole[7:29, 11:45]).all()


@pytest.mark.spec("MOS-7")
def test_a_vanishing_spread_is_none() -> None:
    plain = experiment(TURN)
    roots = frozen_float64(np.diag([1e-9] * 3 + [1e-11] * 3))
    tiny = replace(plain, crystal=replace(plain.crystal, cell_roots=roots))
    for options in (MODEL, FLOAT64):
        assert off(image(tiny, options), image(plain, options)) < 1e-9


@pytest.mark.spec("MOS-5", "MOS-7")
def test_sampled_domains_and_labels_come_to_the_closed_form() -> None:
    fine = {
        "crystal": {**SPREAD["crystal"], "mosaic": {"spread_deg": 0.05, "domains": 1000}},
        "detector": {"pixel_size_mm": 0.2, "pixels_fast": 450, "pixels_slow": 400},
        "sampling": {"dmin_angstrom": 1.25},
    }
    closed = experiment(fine)
    sampled = experiment(fine, {"sampling": {"method": "sampled"}}, method="sampled")
    found, expected = image(sampled) / 1000, image(closed)
    # A thousand random domains are no better.
    assert off(found, expected) < 0.05
    assert found.sum() == pytest.approx(expected.sum(), rel=5e-3)
    one, many = predict_spots(closed), predict_spots(sampled)
    for scene, spots, count in ((closed, one, 1), (sampled, many, 1000)):
        photons = spots.photons.sum() / (intensity_scale(scene) * count)
        assert photons == pytest.approx(expected.sum(), rel=0.01)
    brightest = int(one.photons.argmax())
    same = (many.h == one.h[brightest]) & (many.k == one.k[brightest])
    same &= many.l == one.l[brightest]
    assert many.slow[same] == pytest.approx(one.slow[[brightest]], abs=0.1)
    assert many.fast[same] == pytest.approx(one.fast[[brightest]], abs=0.1)


@pytest.mark.spec("MOS-5")
def test_edges_change_as_cells_do() -> None:
    """Against differences of cells in the standard setting, turned as the crystal is."""
    import torch

    from distbragg.fit.orientation import standard_vectors  # which torch has to be loaded for

    crystal = experiment().crystal
    angles = np.degrees(crystal.cell[3:])
    start = torch.tensor([*crystal.cell[:3], *angles], dtype=torch.float64)
    turn = np.linalg.solve(standard_vectors(start).numpy(), crystal.real_space)
    changes = edge_changes(np.asarray(crystal.real_space), np.eye(6))
    for place, step in enumerate([1e-4] * 3 + [1e-4] * 3):
        off_by = torch.zeros(6, dtype=torch.float64)
        off_by[place] = step
        more, less = (standard_vectors(start + sign * off_by).numpy() @ turn for sign in (1, -1))
        per = 1.0 if place < 3 else 180.0 / np.pi
        np.testing.assert_allclose(changes[place], per * (more - less) / (2 * step), atol=1e-6)
