"""Rendered frames in closed form against quasi-random sums at the pixels of their spots.

Each frame has four small panels, each tilted and about one reflection; the others have |F| = 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest

import distbragg as db
from distbragg.kernel import native
from distbragg.models.build import build_experiment
from distbragg.spec.load import parse_spec
from tests import gaussian_frame
from tests.physics.closed_scenes import BASE, changed, panel_about
from tools.closed_form_cases import Error

DISTANCE_MM = 100.0
EDGE = 5
"""Pixels along a panel's edge, which see some three standard deviations to each side: along the
spot where their middles are looked at, at least across it where their areas are."""

SMALL = {"cell": [30, 36, 44, 85, 95, 100], "block_cells": [40, 30, 25]}
MIDDLE = {"cell": [79, 79, 38, 90, 90, 90], "block_cells": [15, 18, 40]}
LARGE = {"cell": [300, 250, 180, 90, 90, 120], "block_cells": [6, 8, 10], "shape": "gauss_star"}
TURN = {"oscillation_deg": 0.3, "phi_deg": 20, "spindle_axis": [0.2, 1, 0.1]}
LINES = {"wavelengths_angstrom": [0.99, 1.0, 1.012], "weights": [1, 3, 2]}


@dataclass(frozen=True)
class Case:
    """A crystal and its light, and reflections near the Ewald sphere, from 20 Å to 1.2 Å."""

    crystal: dict[str, Any]
    misset: tuple[int, int, int]
    spread: float | tuple[float, float, float]
    reflections: tuple[tuple[int, int, int], ...]
    beam: dict[str, Any]
    goniometer: dict[str, Any]
    wider: float = 1.25
    log2_points: int = 11
    areas: tuple[int, ...] = (0, 3)
    """Reflections whose areas are compared: twelve points a pixel take long."""
    bars: tuple[float, float] = (3e-3, 1e-3)


CASES = {
    "spread": Case(
        SMALL,
        (105, 44, 84),
        (0.5, 0.2, 0.3),
        ((0, 2, -1), (5, -3, 0), (-10, 6, -5), (-20, -12, -9)),
        {},
        {},
    ),
    "bandwidth": Case(
        LARGE,
        (146, 15, 32),
        0.05,
        ((-4, 4, -8), (-5, 5, -30), (-45, 25, -67), (103, -167, 78)),
        {"bandwidth_percent": 1.0},
        {},
    ),
    "divergence": Case(
        MIDDLE,
        (28, 124, 132),
        0.05,
        ((3, 1, 1), (2, 0, 6), (25, 16, 1), (-3, 33, -25)),
        {"divergence_mrad": [1.0, 0.6]},
        {},
    ),
    "lines": Case(
        MIDDLE,
        (105, 31, 132),
        0.2,
        ((-2, -3, -1), (-8, -7, -4), (3, 31, 0), (-15, 54, -17)),
        {"spectrum": LINES, "polarization": {"enabled": True, "kahn_factor": 0.7}},
        {},
    ),
    "rotation": Case(
        LARGE,
        (28, 43, 79),
        0.1,
        ((-9, 9, 5), (35, -29, -20), (101, 10, -3), (-232, 84, -47)),
        {},
        TURN,
        areas=(0,),
    ),
    "all": Case(
        MIDDLE,
        (113, 156, 26),
        (0.5, 0.3, 0.2),
        ((1, 4, 0), (4, -8, 5), (8, 29, -7), (49, 8, 20)),
        {"bandwidth_percent": 1.0, "divergence_mrad": 1.0},
        TURN,
        areas=(3,),
    ),
    "wide": Case(
        SMALL,
        (105, 44, 84),
        1.5,
        ((0, 2, -1), (5, -3, 0), (-10, 6, -5), (-20, -12, -9)),
        {"bandwidth_percent": 1.0, "divergence_mrad": 1.0},
        {},
        wider=2.0,
        log2_points=14,
        areas=(0,),
        bars=(1.5e-2, 3e-3),
    ),
}


def spec_of(case: Case, listed: str, *, area: bool) -> dict[str, Any]:
    """The specification of a frame, with a panel about each reflection."""
    mosaic = {"distribution": "gaussian", "spread_deg": case.spread}
    spec = changed(
        BASE,
        {
            "beam": {"fluence_photons_per_m2": 1e24, **case.beam},
            "crystal": {**case.crystal, "misset_deg": case.misset, "mosaic": mosaic},
            "goniometer": case.goniometer,
            "structure_factors": {
                "file": listed, "default_f_electrons": 0, "interpolate": False,
            },
            "sampling": {"oversample": "auto" if area else 1, "dmin_angstrom": 1.1},
        },
    )  # fmt: skip
    plain = build_experiment(parse_spec(spec))
    panels = [panel(plain, hkl, tilt, area=area) for tilt, hkl in enumerate(case.reflections)]
    return {**spec, "detector": {"panels": panels}}


def panel(plain, hkl, tilt: int, *, area: bool) -> dict[str, Any]:
    """A panel about a reflection, 10 degrees more tilted than the one before."""
    centre, (one, _), sigmas, off = gaussian_frame.seen_at(plain, hkl)
    assert abs(off) < 0.5
    narrow, wide = sigmas
    size = DISTANCE_MM * (min(2.0 * narrow, 6.0 * wide / EDGE) if area else 6.0 * wide / EDGE)
    return panel_about(
        centre, one, distance_mm=DISTANCE_MM, size_mm=size, edge=EDGE, tilt_deg=10.0 * tilt
    )


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """Every case's specification and its panels by quasi-random sums, made once."""
    folder = tmp_path_factory.mktemp("lists")

    @cache
    def frame(name: str, *, area: bool):
        case = CASES[name]
        listed = folder / f"{name}.hkl"
        rows = [f"{h} {k} {m} {50 + 9 * n}\n" for n, (h, k, m) in enumerate(case.reflections)]
        listed.write_text("".join(rows))
        spec = spec_of(case, str(listed), area=area)
        experiment = build_experiment(parse_spec(spec))
        assert experiment.sampling.integrate == area
        chosen = case.areas if area else range(4)
        sums = {
            index: gaussian_frame.image(
                experiment,
                index,
                [case.reflections[index]],
                points=(3, 4) if area else (1, 1),
                log2_points=case.log2_points,
                wider=case.wider,
                steps=6,
            )
            for index in chosen
        }
        return spec, sums

    return frame


@pytest.mark.spec("SAM-13")
@pytest.mark.spec("SAM-16")
@pytest.mark.skipif(not native.available(), reason=native.reason())
@pytest.mark.parametrize("precision", ["float64", "mixed"])
@pytest.mark.parametrize("area", [False, True], ids=["middles", "areas"])
@pytest.mark.parametrize("name", CASES)
def test_pixels_are_the_mean_of_all_that_is_random(frames, name, area, precision):
    spec, sums = frames(name, area=area)
    rendered = db.render(
        parse_spec(changed(spec, {"compute": {"precision": precision}})), progress=False
    )
    images = rendered.images.values.astype(np.float64)
    for index, expected in sums.items():
        assert expected.max() > 0.0
        error = Error.of(images[index], expected)
        assert error.within(CASES[name].bars), error
