"""Where spots are looked for: about the rays at which they are brightest, however thin they are."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from distbragg.kernel import native
from distbragg.kernel.native import call
from distbragg.kernel.native.moments import NativeTwin
from distbragg.physics.closed_form import mean_transform
from distbragg.physics.near_sphere import (
    CUT,
    _Passage,
    gaussian_crystal,
    incidence_of,
    near_sphere,
)
from distbragg.plan.frame import Tile
from tests.physics.closed_scenes import FLOAT64, MIXED, alone, experiment, image, off

pytestmark = pytest.mark.spec("SAM-14")

THIN = {
    "crystal": {
        "cell": [79, 74, 75, 90, 96, 84],
        "block_cells": [170, 75, 165],
        "mosaic": {"spread_deg": 2.9},
    },
    "sampling": {"dmin_angstrom": 2.2},
}
"""Lattice points a thousand times as thin as the mosaicity draws them wide."""


@pytest.mark.parametrize("spread_deg", [0.3, 1.5, 2.9])
@pytest.mark.parametrize("cells", [[5, 6, 4], [170, 75, 165]])
def test_centres_are_where_spots_are_brightest(spread_deg: float, cells: list[int]):
    scene = experiment(
        THIN, {"crystal": {"block_cells": cells, "mosaic": {"spread_deg": spread_deg}}}
    )
    crystal, incidence = gaussian_crystal(scene.crystal), incidence_of(scene.beam, 0)
    cut = CUT["mixed"]
    found = near_sphere(crystal, incidence, cut=cut, dmin=4.0)
    faint = cut * cut - found.reach**2
    seen = np.flatnonzero(faint < 9.0)
    assert len(seen) > 100
    relps = crystal.relps(found.relp[seen])

    def mean(one: float = 0.0, two: float = 0.0) -> np.ndarray:
        """Return what is seen beside the centres, in standard deviations along both axes."""
        xx, xy, yy = found.covariance[seen].T
        root = np.sqrt(xx)
        first = root * one
        second = xy / root * one + np.sqrt(yy - xy * xy / xx) * two
        second += found.bow[seen] * first**2
        rays = found.centre[seen] + first[:, None] * found.first[seen]
        rays += second[:, None] * found.second[seen]
        x, y, z = (rays / np.linalg.norm(rays, axis=1)[:, None]).T
        return np.asarray(mean_transform(relps, incidence, (x, y, z)))

    here = mean()
    # By the first order, whose density is that of the whole covariance; to the bend of the sphere.
    g = found.relp[seen]
    turned = np.cross(g[:, None], np.cross(g[:, None], crystal.mosaic[None]).swapaxes(1, 2))
    share = np.linalg.det(crystal.covariance) / np.linalg.det(crystal.covariance + turned)
    assert here == pytest.approx(np.sqrt(share) * np.exp(-0.5 * faint[seen]), rel=0.2)
    half = here * np.exp(-0.125)
    for one, two in ((0.5, 0.0), (0.0, 0.5)):
        sides = mean(one, two), mean(-one, -two)
        assert np.sqrt(sides[0] * sides[1]) == pytest.approx(half, rel=0.05)
        for side in sides:  # spots of low order, which are as wide as they are long, lean
            assert side == pytest.approx(half, rel=0.25)


@pytest.mark.skipif(not native.available(), reason=native.reason())
def test_no_reflection_is_drawn_where_it_is_not_seen():
    """Lines near one another, taken together: whose spot lies elsewhere has no meaning there."""
    beam = {"spectrum": {"wavelengths_angstrom": [1.0, 1.005], "weights": [1.0, 1.0]}}
    panel = {"pixel_size_mm": 0.04, "pixels_fast": 3600, "pixels_slow": 3600}
    scene = experiment(THIN, {"beam": beam, "detector": panel})
    tile = Tile(1750, 1850, 1750, 1850)  # about the beam
    each, together = (image(scene, options, tile=tile) for options in (FLOAT64, MIXED))
    assert off(together, each) <= 1e-3
    assert together.sum() == pytest.approx(each.sum(), rel=5e-4)


@pytest.mark.skipif(not native.available(), reason=native.reason())
def test_arcs_thinner_than_pixels_are_cut_until_polynomials_hold():
    panel = {"pixel_size_mm": 0.2, "pixels_fast": 250, "pixels_slow": 250}
    scene = experiment(
        THIN,
        {"crystal": {"mosaic": {"spread_deg": 1.2}}, "detector": panel},
        {"sampling": {"oversample": "auto"}},
    )
    tile = Tile(70, 80, 60, 72)
    each, drawn = (image(scene, options, tile=tile) for options in (FLOAT64, MIXED))
    assert off(drawn, each) <= 3e-3
    assert drawn.sum() == pytest.approx(each.sum(), rel=1e-3)


PLATES = {
    "thin": (
        (0, 31, 1),
        {"wavelength_angstrom": 1.686934281},
        {
            "cell": [149.758622, 222.846283, 10.938735, 91.858715, 66.723542, 67.3901],
            "block_cells": [244, 141, 12],
            "misset_deg": [358.337973, 303.687464, 325.719895],
            "mosaic": {"spread_deg": [0.00762, 0.01574, 0.0157]},
        },
        {
            "origin_mm": [169.84125, 61.312332, -13.17149],
            "fast": [0.777505546, -0.481709224, -0.404278801],
            "slow": [-0.21440371, 0.401300128, -0.890499442],
            "pixel_size_mm": 0.005,
        },
    ),
    "soft": (
        (3, 1, 0),
        {"wavelength_angstrom": 4.430950715},
        {
            "cell": [93.764734, 83.651841, 47.273899, 71.525867, 115.003944, 61.568156],
            "block_cells": [825, 301, 10],
            "misset_deg": [165.677626, 258.43512, 33.935491],
            "mosaic": {"spread_deg": 0.0},
        },
        {
            "origin_mm": [238.065892, -18.44185, 38.655933],
            "fast": [-0.710796266, -0.612799359, -0.345319582],
            "slow": [0.16455245, 0.33244216, -0.92865747],
            "pixel_size_mm": 0.101156644,
        },
    ),
}
"""Of crystals a hundred times as wide as they are thick: needles in reciprocal space."""


@pytest.mark.skipif(not native.available(), reason=native.reason())
@pytest.mark.parametrize("name", PLATES)
def test_needles_are_drawn_where_the_sphere_meets_them(monkeypatch, name: str):
    """Far from their middles, where the ends of them have left every plane and sphere."""
    hkl, beam, crystal, panel = PLATES[name]
    small = {**panel, "pixels_fast": 24, "pixels_slow": 24}
    scene = alone(hkl, small, {"beam": beam, "crystal": crystal})
    drawn, mixed = image(scene, FLOAT64), image(scene, MIXED)
    for precision in ("float64", "mixed"):  # all of the panel
        monkeypatch.setitem(call.CUT, precision, 60.0)
    whole = image(scene, FLOAT64)
    assert whole.max() > 1.0
    assert off(drawn, whole) <= 3e-4
    # The sphere meets one at 3e-3 of the most that it may be, of which `mixed` leaves out 3e-5.
    assert off(mixed, whole) <= 3e-3


@pytest.mark.parametrize("cells", [2_000, 20_000, 200_000])
@pytest.mark.parametrize("spread_deg", [[3.0, 0.0, 0.0], [0.0, 3.0, 0.0]])
def test_spots_a_million_times_as_thin_as_wide_have_covariances(
    spread_deg: list[float], cells: int
):
    crystal = {
        "block_cells": cells,
        "misset_deg": [10, 20, 30],
        "mosaic": {"spread_deg": spread_deg},
    }
    scene = experiment(THIN, {"crystal": crystal})
    crystal, incidence = gaussian_crystal(scene.crystal), incidence_of(scene.beam, 0)
    found = [near_sphere(crystal, incidence, cut=CUT["mixed"], dmin=6.0)]
    if native.available():
        found.append(NativeTwin().lit(crystal, [incidence], CUT["mixed"], 6.0)[0])
        assert len(found[1]) == len(found[0])
    for places in found:
        xx, xy, yy = places.covariance.T
        assert len(xx) > 100
        assert (xx > 0.0).all()
        assert (xx * yy > xy * xy).all()


def test_what_lies_in_a_plane_is_what_exact_arithmetic_makes_of_it():
    rng = np.random.default_rng(3)
    sigmas, axes, off = (
        rng.normal(size=(20, 3, 3)),
        rng.normal(size=(20, 2, 3)),
        rng.normal(size=(20, 3)),
    )
    turns = np.linalg.qr(sigmas)[0]
    total = (turns * np.array([1e-4, 1e-4, 1e-13])) @ turns.transpose(0, 2, 1)
    total = 0.5 * (total + total.transpose(0, 2, 1))
    passage = _Passage(None, None, np.zeros(20), total, total, total)  # type: ignore[arg-type]
    away, covariance = passage.in_plane((axes[:, 0], axes[:, 1]), off)
    for n in range(20):
        rows = [[Fraction(float(x)) for x in row] for row in axes[n]]
        inverse = _inverse([[Fraction(float(x)) for x in row] for row in total[n]])
        pulls = [[_dot(inverse[i], row) for i in range(3)] for row in rows]
        xx, xy, yy = (_dot(rows[i], pulls[j]) for i, j in ((0, 0), (0, 1), (1, 1)))
        det = xx * yy - xy * xy
        exact = [float(part / det) for part in (yy, -xy, xx)]
        one, two = (_dot(pull, [Fraction(float(x)) for x in off[n]]) for pull in pulls)
        moved = [float((yy * one - xy * two) / det), float((xx * two - xy * one) / det)]
        found = [part[n] for part in covariance]
        assert found == pytest.approx(exact, rel=1e-6), n
        assert [part[n] for part in away] == pytest.approx(moved, rel=1e-6), n


def _dot(one: list[Fraction], two: list[Fraction]) -> Fraction:
    return sum((a * b for a, b in zip(one, two, strict=True)), Fraction(0))


def _inverse(m: list[list[Fraction]]) -> list[list[Fraction]]:
    """Return the inverse of a symmetric matrix (3, 3), exactly."""
    cross = [
        [m[(i + 1) % 3][(j + 1) % 3] * m[(i + 2) % 3][(j + 2) % 3]
         - m[(i + 1) % 3][(j + 2) % 3] * m[(i + 2) % 3][(j + 1) % 3] for j in range(3)]
        for i in range(3)
    ]  # fmt: skip
    det = _dot(m[0], cross[0])
    return [[part / det for part in row] for row in cross]
