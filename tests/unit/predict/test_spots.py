"""Predicted spots against noise-free images: photons, positions, partialities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import distbragg as db
from distbragg.errors import InputError
from distbragg.models.build import build_experiment
from distbragg.predict.spots import predict_spots
from distbragg.predict.table import Spots
from distbragg.spec.load import parse_spec
from tests.tolerances import SPOT_PHOTONS_RELATIVE, SPOT_POSITION_PIXELS

PIXELS = (421, 397)
REFLECTIONS = [(h, k, 2) for h in range(-9, 10) for k in range(-9, 10)]


def plain(folder: Path, reflections: list[tuple[int, int, int]], **changes: Any) -> dict[str, Any]:
    path = folder / f"{len(reflections)}-{abs(hash(tuple(reflections)))}.hkl"
    path.write_text("".join(f"{h} {k} {l} {80 + h + k}\n" for h, k, l in reflections))  # noqa: E741
    spec: dict[str, Any] = {
        "beam": {
            "wavelength_angstrom": 1.0,
            "fluence_photons_per_m2": 1e28,
            "polarization": {"kahn_factor": 0.9},
        },
        "crystal": {
            "cell": [40, 50, 60, 80, 95, 105],
            "block_cells": [24, 18, 15],
            "misset_deg": [10, 20, 30],
        },
        "structure_factors": {"file": str(path)},
        "detector": {
            "distance_mm": 40,
            "pixel_size_mm": 0.04,
            "pixels_fast": PIXELS[1],
            "pixels_slow": PIXELS[0],
            "twotheta_deg": 8.0,
        },
        "sampling": {"oversample": 3},
    }
    for name, value in changes.items():
        spec[name] = {**spec.get(name, {}), **value}
    return spec


def spots_of(spec: dict[str, Any], least: float = 0.0) -> Spots:
    return predict_spots(build_experiment(parse_spec(spec)), least)


def render(spec: dict[str, Any]) -> np.ndarray:
    return np.asarray(db.render(parse_spec(spec))["images"], dtype=np.float64).squeeze()


def brightest(folder: Path, **changes: Any) -> tuple[int, int, int]:
    """Return the reflection of most photons whose spot lies well inside the image."""
    spots = spots_of(plain(folder, REFLECTIONS, **changes))
    inside = (np.abs(spots.slow - PIXELS[0] / 2) < 120) & (np.abs(spots.fast - PIXELS[1] / 2) < 120)
    best = int(np.argmax(spots.photons * inside))
    return int(spots.h[best]), int(spots.k[best]), int(spots.l[best])


CASES: dict[str, dict[str, Any]] = {
    "still": {},
    "round": {"crystal": {"shape": "round"}},
    "gauss": {"crystal": {"shape": "gauss", "fudge": 0.03}},
    "tophat": {"crystal": {"shape": "tophat", "fudge": 0.03}, "sampling": {"oversample": 12}},
    "rotation": {"goniometer": {"oscillation_deg": 1.0, "steps": 9, "phi_deg": 10.0}},
    "mosaic": {
        "crystal": {"mosaic": {"spread_deg": 0.4, "domains": 7}},
        "goniometer": {"oscillation_deg": 0.5, "steps": 3},
    },
    "pink": {"beam": {"dispersion": {"range_percent": 2.0, "steps": 7}}},
    "divergent": {
        "beam": {"divergence": {"horizontal": {"range_mrad": 4.0, "steps": 3}}},
    },
    "sensor": {
        "detector": {
            "sensor": {"thickness_um": 300, "attenuation_length_um": 200, "layers": 3},
        }
    },
    "sphere": {"detector": {"curved": "sphere"}},
    "sphere with a sensor": {
        "detector": {
            "curved": True,
            "sensor": {"thickness_um": 300, "attenuation_length_um": 200, "layers": 3},
        }
    },
    "cylinder along slow": {"detector": {"curved": "cylinder_slow"}},
    "cylinder along fast": {"detector": {"curved": "cylinder_fast"}},
    "nanobragg": {"physics": "nanobragg"},
}


def case_spec(folder: Path, name: str, reflections: list[tuple[int, int, int]]) -> dict[str, Any]:
    changes = {key: value for key, value in CASES[name].items() if key != "physics"}
    spec = plain(folder, reflections, **changes)
    return spec | ({"physics": "nanobragg"} if name == "nanobragg" else {})


@pytest.mark.spec("LAB-2")
@pytest.mark.parametrize("name", CASES)
def test_photons_and_position_are_those_of_a_noise_free_image(name: str, tmp_path: Path) -> None:
    changes = {key: value for key, value in CASES[name].items() if key != "physics"}
    reflection = brightest(tmp_path, **changes)
    spec = case_spec(tmp_path, name, [reflection])
    spots = spots_of(spec)
    assert len(spots) == 1
    image = render(spec)
    assert image.sum() == pytest.approx(spots.photons[0], rel=SPOT_PHOTONS_RELATIVE)
    # Fringes fall so slowly that the edges of a wider window would draw the mean aside.
    middle = np.unravel_index(image.argmax(), image.shape)
    window = tuple(slice(place - 12, place + 13) for place in middle)
    rows, columns = (grid[window] + 0.5 for grid in np.mgrid[0 : PIXELS[0], 0 : PIXELS[1]])
    core = image[window]
    slow, fast = (core * rows).sum() / core.sum(), (core * columns).sum() / core.sum()
    assert (slow, fast) == pytest.approx((spots.slow[0], spots.fast[0]), abs=SPOT_POSITION_PIXELS)


@pytest.mark.spec("LAB-3")
def test_partialities_of_a_passage_add_up_to_one(tmp_path: Path) -> None:
    rotation = {"oscillation_deg": 0.5, "steps": 10}
    crystal = {"shape": "gauss"}
    start = brightest(tmp_path, crystal=crystal, goniometer={"phi_deg": 0.0, **rotation})
    parts = []
    photons = []
    for frame in range(-8, 9):
        goniometer = {"phi_deg": 0.5 * frame, **rotation}
        spots = spots_of(plain(tmp_path, [start], crystal=crystal, goniometer=goniometer))
        parts += list(spots.partiality)
        photons += list(spots.photons)
    assert sum(parts) == pytest.approx(1.0, abs=0.02)
    # The same fluence fell on every frame: shares of the photons are shares of the passage.
    np.testing.assert_allclose(
        np.array(photons) / sum(photons), np.array(parts) / sum(parts), rtol=0.02, atol=1e-4
    )


@pytest.mark.spec("LAB-6")
def test_a_sampled_frame_tells_no_ellipse(tmp_path: Path) -> None:
    spots = spots_of(plain(tmp_path, REFLECTIONS))
    for values in (spots.variance_slow, spots.variance_fast, spots.covariance):
        assert np.isnan(values).all()


@pytest.mark.spec("SCL-12", "LAB-2")
def test_blocks_multiply_the_photons(tmp_path: Path) -> None:
    one = spots_of(plain(tmp_path, REFLECTIONS), 10.0)
    many = spots_of(plain(tmp_path, REFLECTIONS, crystal={"illuminated_blocks": 40}), 400.0)
    np.testing.assert_array_equal((one.h, one.k, one.l), (many.h, many.k, many.l))
    np.testing.assert_allclose(many.photons, 40.0 * one.photons, rtol=1e-14)


@pytest.mark.spec("LAB-3")
def test_still_on_the_sphere_has_partiality_one(tmp_path: Path) -> None:
    spots = spots_of(plain(tmp_path, REFLECTIONS))
    assert spots.partiality.min() > 0.0
    assert 0.9 < spots.partiality.max() <= 1.0 + 1e-12


@pytest.mark.spec("LAB-1")
def test_weak_and_missing_reflections_are_left_out(tmp_path: Path) -> None:
    spec = plain(tmp_path, REFLECTIONS)
    every, some = spots_of(spec), spots_of(spec, 1000.0)
    assert 0 < len(some) < len(every)
    assert some.photons.min() >= 1000.0
    assert set(zip(some.h, some.k, strict=True)) <= set(zip(every.h, every.k, strict=True))
    order = list(zip(every.panel, every.h, every.k, every.l, strict=True))
    assert order == sorted(order)


@pytest.mark.spec("LAB-1")
def test_without_a_table_every_reflection_has_the_default_amplitude(tmp_path: Path) -> None:
    spec = plain(tmp_path, [(0, 0, 1)])
    spec["structure_factors"] = {"default_f_electrons": 50.0}
    spots = spots_of(spec, 10.0)
    assert len(spots) > 5
    assert set(spots.f_squared.tolist()) == {2500.0}
    image = render(spec)
    best = int(np.argmax(spots.photons * (spots.slow > 20) * (spots.fast > 20)))
    row, column = int(spots.slow[best]), int(spots.fast[best])
    around = image[row - 3 : row + 4, column - 3 : column + 4]
    assert around.max() > 20 * np.median(image)


@pytest.mark.spec("LAB-1")
def test_masked_places_are_told_from_active_ones(tmp_path: Path) -> None:
    spec = plain(tmp_path, REFLECTIONS)
    spec["detector"]["roi"] = [0, 150, 0, PIXELS[0] - 1]
    spots = spots_of(spec)
    np.testing.assert_array_equal(spots.active, spots.fast < 151)


@pytest.mark.spec("LAB-1")
def test_a_panel_bent_as_the_c_program_does_is_refused(tmp_path: Path) -> None:
    spec = plain(tmp_path, REFLECTIONS) | {"physics": "nanobragg"}
    spec["detector"]["curved"] = True
    with pytest.raises(InputError, match="bent the C program's way"):
        spots_of(spec)


@pytest.mark.spec("LAB-1")
@pytest.mark.parametrize("surface", ["sphere", "cylinder_slow", "cylinder_fast"])
def test_a_bent_panel_that_wraps_around_loses_no_spot(tmp_path: Path, surface: str) -> None:
    """Its corners are farther from the beam than those of its plane."""
    wide = {"pixel_size_mm": 0.3, "twotheta_deg": 0.0, "curved": surface}
    spec = plain(tmp_path, [(0, 0, 1)], detector=wide)
    spec["structure_factors"] = {"default_f_electrons": 50.0}
    spots, flat = (
        spots_of(spec, 1.0),
        plain(tmp_path, [(0, 0, 1)], detector=wide | {"curved": False}),
    )
    flat["structure_factors"] = spec["structure_factors"]
    assert spots.resolution.min() < 0.9 * spots_of(flat, 1.0).resolution.min()
    for low, high, places in ((0, PIXELS[0], spots.slow), (0, PIXELS[1], spots.fast)):
        assert places.min() < low + 25
        assert places.max() > high - 25


@pytest.mark.spec("LAT-7")
def test_spots_of_every_lattice_have_their_own_rows(tmp_path: Path) -> None:
    turned = {"crystal": {"lattices": [{"turned_deg": [0, 0, 4]}, {"illuminated_blocks": 3}]}}
    spots = spots_of(plain(tmp_path, REFLECTIONS, **turned), 5.0)
    alone = spots_of(plain(tmp_path, REFLECTIONS), 5.0)
    turn = {"crystal": {"lattices": [{"turned_deg": [0, 0, 4]}]}}
    assert set(spots_of(plain(tmp_path, REFLECTIONS, **turn)).lattice.tolist()) == {0, 1}
    for number, times in ((0, 1.0), (2, 3.0)):
        own = spots.only(np.flatnonzero((spots.lattice == number) & (spots.photons >= 5.0 * times)))
        np.testing.assert_array_equal(own.h, alone.h)
        np.testing.assert_allclose(own.photons, times * alone.photons, rtol=1e-14)
        np.testing.assert_array_equal(own.slow, alone.slow)
    missed = spots_of(plain(tmp_path, REFLECTIONS, crystal={"present": False}))
    assert len(missed) == 0


@pytest.mark.spec("DIF-6")
def test_halos_are_no_part_of_a_spot(tmp_path: Path) -> None:
    halo = {"gamma_angstrom": 40, "sigma_angstrom": 0.5, "laue_group": "-1"}
    with_halo = spots_of(plain(tmp_path, REFLECTIONS, crystal={"diffuse": halo}))
    assert np.array_equal(with_halo.photons, spots_of(plain(tmp_path, REFLECTIONS)).photons)
