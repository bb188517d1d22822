"""Materials in the beam: molecules by hand, tables that come along, rings of ice."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import distbragg as db
from distbragg.errors import InputError
from distbragg.models.build import build_experiment
from distbragg.models.build_background import SUBSTANCES
from distbragg.models.experiment import Experiment, physics_hash
from distbragg.models.ice import ICE_CELL_ANGSTROM3, ring_table
from distbragg.spec.experiment import ExperimentSpec
from distbragg.spec.load import parse_spec, parse_sweep

WATER = {"name": "water", "thickness_um": 100}
AIR = {"name": "air", "thickness_um": 10_000}


def spec(background: object, **others: object) -> ExperimentSpec:
    return parse_spec(
        {
            "beam": {"wavelength_angstrom": 1.0, "size_mm": 0.02},
            "crystal": {"cell": [25, 31, 35, 80, 85, 75], "block_cells": [6, 6, 6]},
            "structure_factors": {"default_f_electrons": 0},
            "detector": {
                "distance_mm": 100,
                "pixels_fast": 41,
                "pixels_slow": 31,
                "pixel_size_mm": 3,
            },
            "background": background,
            **others,
        }
    )


def built(background: object, **others: object) -> Experiment:
    return build_experiment(spec(background, **others))


@pytest.mark.spec("SCL-14")
def test_molecules_are_those_of_the_beam() -> None:
    # (20 µm)² of 100 µm of water: 4e-14 m³ · 1e6 g/m³ / 18 · N_A = 1.3383e15; of 10 mm of air
    # 4e-12 m³ · 1200 g/m³ / 28 · N_A = 1.0324e14.
    found = built({"materials": [WATER, {**AIR, "scale": 2.0}]}).background
    assert found.molecules == pytest.approx(1.3383e15, rel=1e-4)
    (air,) = found.others
    assert air.molecules == pytest.approx(2 * 1.0324e14, rel=1e-4)
    assert (found.stol[3], found.amplitude[3]) == (0.12, 5.0)
    assert (air.stol[0], air.amplitude[0]) == (0.0, 14.1)


@pytest.mark.spec("SCL-14")
def test_a_file_is_a_material_with_the_density_of_water(tmp_path: Path) -> None:
    path = tmp_path / "own.stol"
    path.write_text("0 3\n0.5 9\n")
    own = {"file": str(path), "stol_scale": 2.0, "thickness_um": 100}
    found = built({"materials": [own]}).background
    assert found.molecules == built({"materials": [WATER]}).background.molecules
    np.testing.assert_array_equal(found.stol, [0.0, 1.0])
    dense = built({"materials": [{**own, "density_g_per_cm3": 3, "molar_mass_g_per_mol": 36}]})
    assert dense.background.molecules == pytest.approx(1.5 * found.molecules)


@pytest.mark.spec("SCL-14")
def test_one_material_is_the_old_table(tmp_path: Path) -> None:
    path = tmp_path / "own.stol"
    path.write_text("0 3\n0.5 9\n")
    old = built({"stol_file": str(path), "thickness_um": 70})
    new = built({"materials": [{"file": str(path), "thickness_um": 70}]})
    assert physics_hash(new) == physics_hash(old)
    assert new.background.others == ()


@pytest.mark.spec("SCL-14")
@pytest.mark.parametrize("name", SUBSTANCES)
def test_every_table_that_comes_along_is_used(name: str) -> None:
    found = built({"materials": [{"name": name, "thickness_um": 10}]}).background
    assert found.molecules > 0.0
    assert (np.diff(found.stol) > 0.0).all()
    assert (found.amplitude >= 0.0).all()
    assert found.stol[-1] >= 0.5


@pytest.mark.spec("SCL-14")
@pytest.mark.parametrize(
    ("name", "spacing", "within"),
    [("water", 3.1, 0.1), ("ice", 3.897, 0.01), ("nano_ice", 3.7, 0.15), ("oil", 4.7, 0.1)],
)
def test_halos_lie_where_they_are_published(name: str, spacing: float, within: float) -> None:
    found = built({"materials": [{"name": name, "thickness_um": 10}]}).background
    assert 0.5 / found.stol[found.amplitude.argmax()] == pytest.approx(spacing, abs=within)


@pytest.mark.spec("SCL-15")
def test_rings_lie_where_ice_rings_do_and_hold_what_a_powder_scatters() -> None:
    stol, amplitude = ring_table(0.002)
    for spacing in (3.897, 3.67, 3.441, 2.671, 2.249, 2.072, 1.948, 1.918, 1.883, 1.721):
        near = np.abs(2.0 * stol - 1.0 / spacing) < 0.002
        top = stol[near][amplitude[near].argmax()]
        assert 0.5 / top == pytest.approx(spacing, abs=0.005)
    # The line 100 by itself, Σ |F|² = 1483.14: ∫ F² dq = 1483.14 / (4 V 4π g²), g = 0.2566.
    alone = np.abs(2.0 * stol - 0.2566) < 0.006
    area = np.trapezoid(amplitude[alone] ** 2, 2.0 * stol[alone])
    expected = 1483.14 / (4 * ICE_CELL_ANGSTROM3 * 4 * math.pi * 0.2566**2)
    assert area == pytest.approx(expected, rel=2e-3)


@pytest.mark.spec("SCL-15")
def test_the_photons_of_a_ring_are_those_of_the_powder_formula() -> None:
    # λ³ Σ|F|² / (4 V² sin θ) for each unit of volume: of the line 100 at 1 Å, sin θ = 0.1283.
    table = built({"ice_rings": {"thickness_um": 50, "width_per_angstrom": 0.002}}).background
    alone = np.abs(2.0 * table.stol - 0.2566) < 0.006
    two_theta = np.linspace(0.24, 0.28, 100_001)
    amplitude = np.interp(np.sin(0.5 * two_theta), table.stol[alone], table.amplitude[alone])
    ring = np.trapezoid(amplitude**2 * 2 * math.pi * np.sin(two_theta), two_theta)
    volume = table.molecules * ICE_CELL_ANGSTROM3 / 4
    powder = volume * 1483.14 / (4 * ICE_CELL_ANGSTROM3**2 * 0.1283)
    assert table.molecules * ring == pytest.approx(powder, rel=3e-3)


@pytest.mark.spec("SCL-14")
@pytest.mark.parametrize(
    ("background", "field"),
    [
        ({"materials": [{"thickness_um": 1}]}, "background.materials.0"),
        ({"materials": [{**WATER, "file": "a.stol"}]}, "background.materials.0"),
        ({"materials": [{**WATER, "stol_scale": 2}]}, "background.materials.0.stol_scale"),
        ({"materials": [WATER], "water_um": 3}, "background.water_um"),
        ({"materials": [WATER], "thickness_um": 3}, "background.thickness_um"),
        ({"ice_rings": {"thickness_um": 3}, "stol_file": "a"}, "background.stol_file"),
    ],
)
def test_what_contradicts_itself_is_refused(background, field: str) -> None:
    with pytest.raises(InputError) as caught:
        built(background)
    assert caught.value.field == field


@pytest.mark.spec("SCL-14")
def test_the_c_programs_physics_knows_no_materials() -> None:
    with pytest.raises(InputError, match=r"background\.materials"):
        built({"materials": [WATER]}, physics="nanobragg")


@pytest.mark.spec("SCL-14")
def test_a_sweep_varies_the_scale_of_one_material() -> None:
    sweep = {
        "experiment": spec({"materials": [WATER, AIR]}).model_dump(exclude_unset=True),
        "axes": [{"name": "air", "path": "background.materials.1.scale", "values": [0, 1, 3]}],
    }
    frames = parse_sweep(sweep)
    none, one, three = (
        db.render(frames.frame_spec(index))["images"].to_numpy().astype(np.float64)
        for index in range(3)
    )
    np.testing.assert_allclose(three - none, 3.0 * (one - none), rtol=2e-4)
    assert (one > none).all()


@pytest.mark.spec("SCL-15")
@pytest.mark.parametrize("method", ["sampled", "closed_form"])
def test_rings_that_are_narrower_than_a_pixel_are_integrated(method: str) -> None:
    """A pixel of 1 mm at 60 mm and 1 Å spans 1/60 1/Å, of a ring 0.004: 11 parts of 0.4 widths."""
    crystal = {"shape": "gauss", "mosaic": {"distribution": "gaussian", "spread_deg": 0.3}}
    given: dict[str, Any] = {
        "beam": {"wavelength_angstrom": 1.0, "fluence_photons_per_m2": 1e24},
        "crystal": {"cell": [40, 40, 40, 90, 90, 90], "block_cells": 10, **crystal},
        "structure_factors": {"default_f_electrons": 0.0},
        "detector": {"distance_mm": 60, "pixel_size_mm": 1.0, "pixels_fast": 61, "pixels_slow": 61},
        "background": {"ice_rings": {"thickness_um": 10}},
        "sampling": {"method": method},
        "compute": {"precision": "float64"},
    }
    given["crystal"] |= {} if method == "closed_form" else {"mosaic": {}, "block_cells": 1}
    assert build_experiment(parse_spec(given)).sampling.oversample == 11
    found = db.render(parse_spec(given))["images"].values
    one, many = (
        db.render(parse_spec({**given, "sampling": {"method": method, "oversample": count}}))
        for count in (1, 30)
    )
    expected = many["images"].values
    assert np.abs(found - expected).max() < 6e-3 * expected.max()
    assert found.sum() == pytest.approx(expected.sum(), rel=1e-3)
    assert np.abs(one["images"].values - expected).max() > 0.3 * expected.max()
    # Nothing changes where a pixel is narrower than the rings.
    given["detector"] = {**given["detector"], "pixel_size_mm": 0.1, "distance_mm": 100}
    given["crystal"] = {**given["crystal"], "block_cells": 1}
    assert build_experiment(parse_spec(given)).sampling.oversample == 1
    given["background"] = {"ice_rings": {"thickness_um": 10, "width_per_angstrom": 1e-5}}
    with pytest.raises(InputError) as caught:
        build_experiment(parse_spec(given))
    assert caught.value.field == "background.ice_rings.width_per_angstrom"
