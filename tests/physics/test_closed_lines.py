"""Lines of a spectrum in closed form: together as one by one, whatever their weights' unit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from distbragg.kernel import native
from distbragg.plan.frame import Tile
from tests.physics.closed_scenes import FLOAT64, MIXED, alone, changed, experiment, image, off
from tests.physics.test_closed_arcs import crystal
from tests.physics.test_closed_arcs import scene as about

pytestmark = [
    pytest.mark.spec("SAM-18"),
    pytest.mark.skipif(not native.available(), reason=native.reason()),
]

FINE = {"detector": {"pixel_size_mm": 0.4, "pixels_fast": 225, "pixels_slow": 200}}
AREA = {"sampling": {"oversample": "auto"}}
FINE_DMIN = {"sampling": {"dmin_angstrom": 1.8}}
WATER = {"background": {"water_um": 20}}
COUNT = 60


def spectrum(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Return wavelengths over 3 %, Å, and weights: even, noisy as SASE is, or of two colours."""
    wavelengths = 1.0 / (1.0 + np.linspace(-0.015, 0.015, COUNT))
    weights = {
        "even": np.ones(COUNT),
        "noisy": np.random.default_rng(0).exponential(size=COUNT),
        "two colours": (np.arange(COUNT) % (COUNT - 1) == 0) + 1e-6,
    }
    return wavelengths, weights[kind]


def scene(kind: str, *changes, weights=None, wavelengths=None):
    lengths, own = spectrum(kind)
    table = {
        "wavelengths_angstrom": (lengths if wavelengths is None else wavelengths).tolist(),
        "weights": (own if weights is None else weights).tolist(),
    }
    return experiment(FINE, {"beam": {"spectrum": table}}, *changes)


@pytest.mark.parametrize("kind", ["even", "noisy", "two colours"])
@pytest.mark.parametrize("changes", [(), (AREA,), (WATER,)], ids=["", "area", "water"])
def test_lines_taken_together_are_their_sum(kind: str, changes):
    one = scene(kind, *changes)
    # Areas in float64 take long: of half the panel.
    tile = Tile(0, 100 if changes == (AREA,) else 200, 0, 225)
    each, together = (image(one, options, tile=tile) for options in (FLOAT64, MIXED))
    assert off(together, each) <= 1e-3
    assert together.sum() == pytest.approx(each.sum(), rel=5e-4)


SMALL = {"pixels_fast": 90, "pixels_slow": 90}
FEW_LINES = [
    (
        {
            "beam": {
                "spectrum": {
                    "wavelengths_angstrom": [1.401627, 1.404648, 1.407668],
                    "weights": [0.13534, 1.0, 0.13534],
                }
            },
            "crystal": {
                "cell": [79.15646, 85.11152, 89.95542, 90.75379, 99.12026, 88.40691],
                "block_cells": [11, 46, 89],
                "misset_deg": [199.77342, 111.74484, 158.91346],
                "mosaic": {"spread_deg": 0.11},
            },
            "detector": {"distance_mm": 121.124, "pixel_size_mm": 0.32314, **SMALL},
        },
        Tile(0, 25, 0, 30),
    ),
    (
        {
            "beam": {
                "spectrum": {"wavelengths_angstrom": [0.9640255, 0.9656005], "weights": [1, 1]},
                "divergence_mrad": 0.2905,
                "bandwidth_percent": 0.16724,
            },
            "crystal": {
                "cell": [45.88584, 49.52763, 60.85963, 89.11743, 89.88851, 92.03001],
                "block_cells": [55, 48, 33],
                "misset_deg": [288.72589, 136.83672, 126.5879],
                "mosaic": {"spread_deg": 0.55879},
            },
            "detector": {"distance_mm": 87.8425, "pixel_size_mm": 0.31263, **SMALL},
        },
        Tile(65, 90, 55, 85),
    ),
    (
        {
            "beam": {
                "spectrum": {"wavelengths_angstrom": [1.115964, 1.1177875], "weights": [1, 1]},
                "bandwidth_percent": 0.0382,
            },
            "crystal": {
                "cell": [78.1329698, 48.65861, 52.72932, 85.9041, 99.85991, 87.12831],
                "block_cells": [14, 72, 79],
                "misset_deg": [151.21424, 327.71252, 83.95847],
                "mosaic": {"spread_deg": 0.038424},
            },
            "detector": {"distance_mm": 197.4903, "pixel_size_mm": 0.283014, **SMALL},
        },
        Tile(60, 80, 60, 85),
    ),
]
"""Spectra about as wide as the wavenumbers that a ray sees a reflection at: in one spot narrower
for some rays and wider for others. Each with a tile in which polynomials through kinks were off."""


@pytest.mark.parametrize(("given", "tile"), FEW_LINES, ids=["narrow", "divergent", "wide"])
def test_lines_as_wide_as_a_reflection_is_seen_are_their_sum(given, tile: Tile):
    one = experiment({"beam": {"wavelength_angstrom": None}}, given, AREA, FINE_DMIN)
    each, together = (image(one, options, tile=tile) for options in (FLOAT64, MIXED))
    assert off(together, each) <= 4e-4
    assert together.sum() == pytest.approx(each.sum(), rel=2e-4)


def apart(kind: str) -> np.ndarray:
    """Return wavelengths, Å, that no one spot's polynomials hold for, in no order."""
    if kind == "two colours":
        return np.array([0.824, 1.176, 0.825, 1.175])
    return np.random.default_rng(0).permutation(np.linspace(0.82, 1.18, COUNT))


@pytest.mark.parametrize("changes", [(), (AREA,)], ids=["", "area"])
@pytest.mark.parametrize("kind", ["two colours", "wide"])
def test_lines_far_apart_lose_no_photons(kind: str, changes):
    wavelengths = apart(kind)
    weights = 1.0 + np.arange(len(wavelengths)) % 3
    fine = {"crystal": {"block_cells": [48, 36, 30], "mosaic": {"spread_deg": 0.05}}}
    one = scene("even", fine, *changes, weights=weights, wavelengths=wavelengths)
    each, together = image(one, FLOAT64), image(one, MIXED)
    assert off(together, each) <= 1e-3
    assert together.sum() == pytest.approx(each.sum(), rel=5e-4)


def test_no_bit_of_lines_far_apart_depends_on_tiles_nor_a_photon_on_their_order():
    wavelengths, small = apart("wide"), {"detector": {"pixels_fast": 120, "pixels_slow": 100}}
    one = scene("even", AREA, WATER, small, wavelengths=wavelengths)
    whole = image(one, MIXED)
    assert np.array_equal(image(one, replace(MIXED, threads=3)), whole)
    for tile in (Tile(0, 17, 0, 33), Tile(17, 100, 33, 120)):
        place = (slice(tile.slow_start, tile.slow_stop), slice(tile.fast_start, tile.fast_stop))
        assert np.array_equal(image(one, MIXED, tile=tile), whole[place])
    turned = scene("even", AREA, WATER, small, wavelengths=wavelengths[::-1])
    np.testing.assert_allclose(image(turned, MIXED), whole, rtol=1.2e-7)


def test_faint_lines_beside_a_strong_one_take_nothing_away():
    # Between the widths of a table, sums far from its strong lines are next to nothing.
    wavelengths = np.linspace(1.012, 0.988, 10)
    weights = 10.0 ** np.array([-5.0, -7, -3, -6, -4, -3, 0, -8, -8, -8])
    turned = {"crystal": {"misset_deg": [101, 242, 53], "block_cells": [10, 23, 50]}}
    one = scene("even", AREA, turned, weights=weights, wavelengths=wavelengths)
    found = image(one, MIXED)
    assert found.max() > 1.0
    assert found.min() >= 0.0


@pytest.mark.parametrize("options", [MIXED, FLOAT64], ids=["mixed", "float64"])
@pytest.mark.parametrize("change", ["unit", "order", "parts"])
def test_the_unit_the_order_and_the_parts_of_weights_do_not_matter(options, change: str):
    wavelengths, weights = spectrum("noisy")
    if change == "unit":
        weights = weights * 3.7
    elif change == "order":
        wavelengths, weights = wavelengths[::-1], weights[::-1]
    else:
        wavelengths = np.concatenate([wavelengths, wavelengths])
        weights = np.concatenate([0.25 * weights, 0.75 * weights])
    changed = scene("noisy", WATER, weights=weights, wavelengths=wavelengths)
    plain = scene("noisy", WATER)
    found, expected = (
        image(one, options) / one.beam.sources.total_weight for one in (changed, plain)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-12 if options is FLOAT64 else 1.2e-7)


@pytest.mark.parametrize("options", [MIXED, FLOAT64], ids=["mixed", "float64"])
def test_no_bit_depends_on_tiles_or_threads(options):
    wavelengths, weights = (part[::6] for part in spectrum("noisy"))
    small = {"detector": {"pixels_fast": 120, "pixels_slow": 100}}
    one = scene("noisy", AREA, WATER, small, weights=weights, wavelengths=wavelengths)
    whole = image(one, options)
    assert whole.max() > 1.1 * np.median(whole)
    assert np.array_equal(image(one, replace(options, threads=3)), whole)
    pieces = np.empty_like(whole)
    for rows in ((0, 17), (17, 100)):
        for columns in ((0, 33), (33, 77), (77, 120)):
            tile = Tile(*rows, *columns)
            pieces[slice(*rows), slice(*columns)] = image(one, options, tile=tile)
    assert np.array_equal(pieces, whole)


@pytest.mark.parametrize(("cells", "spread"), [(20, 0.02), (60, 0.02), (20, 0.3)])
@pytest.mark.parametrize(("lines", "percent"), [(2, 0.05), (100, 0.05), (100, 0.5), (10, 0.5)])
@pytest.mark.parametrize("hkl", [(-16, 5, 25), (-7, -2, 12)])
def test_the_areas_of_lines_taken_together_are_their_sum(hkl, cells, spread, lines, percent):
    """A spot about as wide as a pixel, whose streak lies askew to its axes."""
    away = np.linspace(-3, 3, lines) if lines > 2 else np.array([-1.0, 1.0])
    spectrum = {
        "wavelengths_angstrom": (1 + away * percent / 100).tolist(),
        "weights": np.exp(-0.5 * away**2).tolist(),
    }
    one = about(hkl, changed(crystal(cells, spread), {"beam": {"spectrum": spectrum}}))
    exact, mixed = image(one, FLOAT64), image(one, MIXED)
    assert mixed.sum() == pytest.approx(exact.sum(), rel=2e-4)
    assert off(mixed, exact) <= 3e-4


@pytest.mark.parametrize("kind", ["even", "noisy", "two colours"])
@pytest.mark.parametrize("oversample", [1, "auto"])
def test_lines_keep_what_divergence_spreads_of_the_direct_beam(kind: str, oversample):
    # No wavelength moves the point 000: every line sees it, dimmed by divergence.
    middle = {"detector": {"pixel_size_mm": 0.4, "pixels_fast": 15, "pixels_slow": 15}}
    sampling = {"sampling": {"oversample": oversample}}
    divergent = {"beam": {"divergence_mrad": 0.7}, "crystal": {"block_cells": [22, 40, 60]}}
    one = scene(kind, middle, sampling, divergent)
    each, together = image(one, FLOAT64), image(one, MIXED)
    assert np.unravel_index(each.argmax(), each.shape) == (8, 8)
    assert off(together, each) <= 1e-3
    parallel = image(scene(kind, middle, sampling, {"crystal": divergent["crystal"]}), FLOAT64)
    if oversample == 1:
        assert each.max() < 0.5 * parallel.max(), "divergence matters here"


def few_cells(seed: int, oversample: int | str):
    """A random crystal of three to eight cells an edge, in lines over 2 to 8 %."""
    rng = np.random.default_rng(seed)
    count, span = rng.integers(2, 40), rng.uniform(0.02, 0.08)
    wavenumbers = 1.0 + np.sort(rng.uniform(-0.5, 0.5, count)) * span
    wavenumbers[[0, -1]] = 1.0 - 0.5 * span, 1.0 + 0.5 * span
    cells = rng.uniform(3.0, 8.0, 3).tolist()
    weights = rng.exponential(size=count).tolist()
    lines = {"wavelengths_angstrom": (1.0 / wavenumbers).tolist(), "weights": weights}
    block = {
        "cell": [*rng.uniform(25.0, 90.0, 3).tolist(), 90, 90, 90],
        "block_cells": cells,
        "misset_deg": rng.uniform(0, 360, 3).tolist(),
        "mosaic": {"spread_deg": float(rng.choice([0.02, 0.3, 0.6]))},
    }
    rng.integers(2)
    sampling = {"oversample": oversample, "dmin_angstrom": float(rng.choice([1.8, 3.0, 4.0]))}
    beam = {"spectrum": lines, **({"divergence_mrad": 0.5} if rng.random() < 0.3 else {})}
    return experiment(FINE, {"beam": beam, "crystal": block, "sampling": sampling})


@pytest.mark.parametrize(("seed", "oversample"), [(2, 1), (6, 1), (7, 1), (11, 1), (49, "auto")])
def test_wide_spots_of_few_cells_are_the_sum_of_their_lines(seed: int, oversample):
    one = few_cells(seed, oversample)
    tile = Tile(60, 140, 70, 150) if oversample == "auto" else None
    each, together = image(one, FLOAT64, tile=tile), image(one, MIXED, tile=tile)
    assert off(together, each) <= 1e-3
    assert together.sum() == pytest.approx(each.sum(), rel=5e-4)


@pytest.mark.parametrize(("seed", "oversample"), [(7, 1), (49, "auto")])
def test_no_bit_of_wide_spots_depends_on_tiles(seed: int, oversample):
    # Where no polynomial fits, pixels are evaluated together that are others in each tile.
    one, middle = few_cells(seed, oversample), Tile(81, 117, 85, 129)
    whole = image(one, MIXED, tile=middle)
    for row, column in ((84, 88), (99, 106), (110, 127)):
        for rows in ((81, row), (row, 117)):
            for columns in ((85, column), (column, 129)):
                found = image(one, MIXED, tile=Tile(*rows, *columns))
                place = (slice(rows[0] - 81, rows[1] - 81), slice(columns[0] - 85, columns[1] - 85))
                assert np.array_equal(found, whole[place])


def test_lines_farther_apart_than_they_are_wide_are_seen_where_each_is():
    """What is no parabola of the wavenumber counts there, however narrow the spot."""
    lines = [1.9165, 1.9249, 1.9332, 1.9416, 1.95]
    spectrum = {"wavelengths_angstrom": lines, "weights": [1.0] * 5}
    panel = {
        "origin_mm": [136.6123, -10.9827, -1.0782],
        "fast": [0.0031, 0.0499, 0.9987],
        "slow": [-0.0921, -0.9945, 0.05],
        "pixel_size_mm": 0.04677,
        "pixels_fast": 72,
        "pixels_slow": 72,
    }
    crystal = {
        "cell": [141.895, 164.8139, 68.6061, 90, 90, 90],
        "block_cells": [131, 44, 949],
        "misset_deg": [71.6118, 200.9174, 347.8884],
        "mosaic": {"spread_deg": 0.0},
    }
    beam = {"wavelength_angstrom": 1.9332, "spectrum": spectrum, "divergence_mrad": 0.1132}
    scene = alone((-1, -3, 3), panel, {"beam": beam, "crystal": crystal})
    each = image(scene, FLOAT64)
    assert each.max() > 1.0
    assert off(image(scene, MIXED), each) <= 1e-3


SLANTED_PANEL = {
    "origin_mm": [121.266, 37.276, -16.701],
    "fast": [0.2019887, -0.9716945, 0.1225166],
    "slow": [-0.5896691, -0.2205384, -0.7769512],
    "pixel_size_mm": 0.07967,
    "pixels_fast": 29,
    "pixels_slow": 21,
}
SLANTED = {
    "cell": [41.0, 71.967, 36.751, 92.813, 73.646, 60.891],
    "block_cells": [17, 26, 845],
    "misset_deg": [331.299, 64.173, 244.412],
    "mosaic": {"spread_deg": 0.359},
}


@pytest.mark.parametrize("sampling", [1, "auto"])
@pytest.mark.parametrize(("lines", "percent"), [(3, 0.3), (7, 0.02), (11, 0.3), (60, 0.02)])
def test_lines_that_see_a_slanted_spot_are_their_sum(lines: int, percent: float, sampling):
    """Narrow along g and wide across, at an angle to it: its logarithm is no parabola of k."""
    wavenumbers = 1.0 + 0.01 * percent * (np.arange(lines) - 0.5 * (lines - 1))
    table = {"wavelengths_angstrom": (1.65838 / wavenumbers).tolist(), "weights": [1.0] * lines}
    beam = {"wavelength_angstrom": 1.65838, "spectrum": table}
    change = {"beam": beam, "crystal": SLANTED, "sampling": {"oversample": sampling}}
    scene = alone((-2, 0, -7), SLANTED_PANEL, change)
    each, together = image(scene, FLOAT64), image(scene, MIXED)
    assert each.max() > 1.0
    assert off(together, each) <= 3e-4
    assert together.sum() == pytest.approx(each.sum(), rel=2e-4)
    part = image(scene, MIXED, tile=Tile(3, 14, 5, 22))
    assert np.array_equal(part, together[3:14, 5:22])


PLATES = {
    "lines": (
        {
            "wavelength_angstrom": 1.5412,
            "spectrum": {
                "wavelengths_angstrom": [1.54036, 1.54092, 1.54148, 1.54204],
                "weights": [1.0, 0.06, 0.004, 0.0002],
            },
        },
        {
            "cell": [161, 37.6, 327, 117.4, 93.7, 97],
            "block_cells": [86, 7, 16],
            "misset_deg": [261, 139, 149.1],
            "mosaic": {"spread_deg": 1.44},
        },
        {
            "origin_mm": [20.53, -0.672, 0.0297],
            "fast": [-0.0153762, 0.6231222, -0.7819733],
            "slow": [-0.0216748, 0.7816743, 0.6233101],
            "pixel_size_mm": 0.0298,
        },
        4.36,
    ),
    "bandwidth": (
        {"wavelength_angstrom": 0.8605, "bandwidth_percent": 1.784},
        {
            "cell": [75.8, 35.5, 60.6, 118.2, 120, 113],
            "block_cells": [524, 6, 180],
            "misset_deg": [103.9, 80.3, 16],
            "mosaic": {"spread_deg": 2.6},
        },
        {
            "origin_mm": [133.9, 44.65, -36.7],
            "fast": [-0.1754434, 0.3170344, 0.9320454],
            "slow": [0.0536834, -0.9422403, 0.3306073],
            "pixel_size_mm": 1.04,
        },
        1.9,
    ),
}
"""Beams, crystals, panels and resolutions: spots that reach where the formulas mean nothing."""


@pytest.mark.parametrize("kind", PLATES)
def test_plates_are_dark_where_no_wavenumber_is_seen(kind: str):
    beam, block, panel, dmin = PLATES[kind]
    scene = experiment(
        {
            "beam": beam,
            "crystal": block,
            "detector": {"panels": [{**panel, "pixels_fast": 72, "pixels_slow": 72}]},
            "sampling": {"dmin_angstrom": dmin},
        }
    )
    each = image(scene, FLOAT64)
    assert each.max() > 1.0
    assert off(image(scene, MIXED), each) <= 0.2
