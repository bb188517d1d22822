"""Point spread from the specification to numbers of each panel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distbragg.errors import InputError
from distbragg.models.build import build_experiment
from distbragg.models.experiment import Experiment, physics_hash
from distbragg.models.point_spread import PointSpread
from distbragg.spec.canonical import to_plain
from distbragg.spec.load import parse_spec
from tests.beams import beam_of

PANEL = {"pixels_fast": 12, "pixels_slow": 10, "fast": [0, 0, 1], "slow": [0, -1, 0]}
ONE = {"pixels_fast": 60, "pixels_slow": 50, "pixel_size_mm": 0.1, "distance_mm": 100.0}


def build(detector: dict[str, Any], **spread: Any) -> Experiment:
    return build_experiment(
        parse_spec(
            {
                "beam": beam_of({"wavelength_angstrom": 1.0}),
                "crystal": {"cell": [31, 37, 41, 85, 95, 100], "block_cells": [5, 5, 5]},
                "structure_factors": {"default_f_electrons": 10.0},
                "sampling": {"oversample": 1},
                "detector": {**detector, **({"point_spread": spread} if spread else {})},
            }
        )
    )


def spread_of(**spread: Any) -> PointSpread:
    resolved = build(ONE, **spread).detector.panels[0].point_spread
    assert resolved is not None
    return resolved


@pytest.mark.spec("PSF-7")
def test_without_a_kind_nothing_is_spread_and_the_identity_is_the_old_one() -> None:
    plain = build(ONE)
    assert plain.detector.panels[0].point_spread is None
    assert physics_hash(plain) == physics_hash(build(ONE, kind="none"))
    assert physics_hash(plain) != physics_hash(build(ONE, kind="gauss", fwhm_px=1.0))


@pytest.mark.spec("PSF-1")
@pytest.mark.spec("PSF-2")
def test_widths_are_in_pixels_and_radii_follow_from_them() -> None:
    gauss = spread_of(kind="gauss", fwhm_um=150)
    # 1 + 1.5·√(ln 1e9/ln 16) = 1 + 1.5·2.7339 = 5.10.
    assert (gauss.width, gauss.radius) == (pytest.approx(1.5), 6)
    assert spread_of(kind="fibre", fwhm_px=0.81).radius == 9
    assert spread_of(kind="fibre", fwhm_px=0.81, radius_px=4).radius == 4
    (note,) = build(ONE, kind="fibre", fwhm_px=0.81).notes
    assert "detector.point_spread.radius_px = 9" in str(note)


@pytest.mark.spec("PSF-7")
def test_stage_and_edges_are_as_given() -> None:
    own = spread_of(kind="gauss", fwhm_px=1.0)
    assert (own.counted, own.edges_lost) == (True, False)
    given = spread_of(kind="gauss", fwhm_px=1.0, stage="expected", edges="lost")
    assert (given.counted, given.edges_lost) == (False, True)


@pytest.mark.spec("PSF-7")
def test_panels_have_point_spreads_of_their_own() -> None:
    def panel(height: float, pixel: float, **spread: Any) -> dict[str, Any]:
        own = {"point_spread": spread} if spread else {}
        return {**PANEL, "origin_mm": [60, height, -3], "pixel_size_mm": pixel, **own}

    panels = [
        panel(2, 0.1),
        panel(0, 0.2),
        panel(-3, 0.1, kind="none"),
        panel(-5, 0.1, fwhm_px=4.0),
        panel(-7, 0.1, kind="fibre", fwhm_px=0.5),
    ]
    spreads = [
        one.point_spread
        for one in build(
            {"panels": panels}, kind="gauss", fwhm_um=300, radius_px=7, edges="lost"
        ).detector.panels
    ]
    widths = [None if one is None else pytest.approx(one.width) for one in spreads]
    assert widths == [3.0, 1.5, None, 4.0, 0.5]
    radii = [one.radius for one in spreads if one is not None]
    assert radii == [7, 7, 7, 5]
    assert all(one.edges_lost for one in spreads if one is not None)
    notes = build({"panels": panels}, kind="gauss", fwhm_um=300, radius_px=7).notes
    assert any("detector.point_spread.radius_px = 5" in str(note) for note in notes)


@pytest.mark.spec("PSF-9")
def test_shared_light_is_rounded_where_whole_numbers_are_stored() -> None:
    plain = to_plain(parse_spec({"noise": {"photon": True}, "output": {"dtype": "uint16"}}))
    for stage, rounded in (("counted", True), ("expected", False)):
        detector = {**ONE, "point_spread": {"kind": "gauss", "fwhm_px": 1.0, "stage": stage}}
        cell = {"cell": [31, 37, 41, 90, 90, 90]}
        beam = beam_of({"wavelength_angstrom": 1.0})
        spec = {**plain, "detector": detector, "crystal": cell, "beam": beam}
        response = build_experiment(
            parse_spec({**spec, "structure_factors": {"default_f_electrons": 1.0}})
        ).response
        assert (response is not None and response.rounded and response.in_photons) is rounded


@pytest.mark.spec("PSF-5")
@pytest.mark.parametrize("name", ["shares.npy", "shares.txt"])
def test_a_file_gives_its_shares(tmp_path: Path, name: str) -> None:
    shares = np.array([[0.0, 0.1, 0.0], [0.2, 0.5, 0.1], [0.0, 0.05, 0.0]])
    path = tmp_path / name
    if path.suffix == ".npy":
        np.save(path, shares.astype(np.float32))
    else:
        np.savetxt(path, shares, header="shares", delimiter=", ")
    spread = spread_of(kind="file", file=str(path))
    np.testing.assert_allclose(spread.shares, shares, rtol=1e-7)
    assert spread.radius == 1
    scaled = spread_of(kind="file", file=str(path), file_sum=1.0)
    assert scaled.shares.sum() == pytest.approx(1.0, rel=1e-12)
    notes = build(ONE, kind="file", file=str(path)).notes
    assert any("add up to 0.95" in str(note) for note in notes)


@pytest.mark.spec("PSF-5")
@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([[0.5, 0.5, 0.5]], "add up to 1.5"),
        ([[0.5, 0.5]], "1 rows of 2 shares"),
        ([[0.5, -0.1, 0.5]], "not negative"),
        ([[0.0, 0.0, 0.0]], "not all 0"),
        ([[0.5, np.nan, 0.5]], "finite"),
    ],
)
def test_shares_that_cannot_be_are_refused(
    tmp_path: Path, rows: list[list[float]], problem: str
) -> None:
    np.save(tmp_path / "shares.npy", rows)
    with pytest.raises(InputError, match=problem):
        build(ONE, kind="file", file=str(tmp_path / "shares.npy"))


@pytest.mark.spec("PSF-7")
@pytest.mark.parametrize(
    ("spread", "field"),
    [
        ({"kind": "gauss"}, "fwhm_um"),
        ({"kind": "gauss", "fwhm_um": 80, "fwhm_px": 1}, "fwhm_um"),
        ({"kind": "fibre", "fwhm_px": 1, "file_sum": 1}, "file_sum"),
        ({"kind": "fibre", "fwhm_px": 500}, "radius_px"),
        ({"kind": "file"}, "file"),
        ({"kind": "file", "fwhm_px": 1}, "fwhm_px"),
        ({"fwhm_px": 1}, "fwhm_px"),
    ],
)
def test_what_does_not_go_together_is_refused(spread: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError) as refused:
        build(ONE, **spread)
    assert refused.value.field == f"detector.point_spread.{field}"


def test_an_unlikely_width_is_doubted() -> None:
    notes = build(ONE, kind="gauss", fwhm_um=0.08, radius_px=3).notes
    assert any(note.kind == "warning" and "0.08 µm" in note.text for note in notes)
