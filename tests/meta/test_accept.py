"""The acceptance tool judges by arithmetic of its own: that arithmetic on known answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distbragg.read.geometry.expt import read_expt
from distbragg.spec.load import parse_sweep
from tools import accept_dials
from tools.accept_dials import main
from tools.acceptance import dials
from tools.acceptance.dials import indexed_share, missing_dials, strong_spots
from tools.acceptance.integration import correlation, pair
from tools.acceptance.others import (
    monoclinic_spec,
    shot_of,
    stills_spec,
    two_panel_spec,
    two_panels,
)
from tools.acceptance.outcome import Outcome
from tools.acceptance.report import write_report
from tools.acceptance.series import CELL, closed_spec, recorded_spec, series_spec
from tools.acceptance.truth import cell_of, compare
from tools.acceptance.verdict import Integration, Stills, Verdict

TRUTH = np.diag(1.0 / np.array(CELL))
OTHER_CHOICE = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])


def turn(degrees: float) -> np.ndarray:
    angle = np.deg2rad(degrees)
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, cosine, -sine], [0.0, sine, cosine]])


def test_a_turned_lattice_in_another_choice_of_axes_differs_by_the_turn_alone() -> None:
    lengths, angles, orientation = compare(turn(0.04) @ TRUTH @ OTHER_CHOICE, TRUTH)
    assert lengths == pytest.approx(0.0, abs=1e-12)
    assert angles == pytest.approx(0.0, abs=1e-9)
    assert orientation == pytest.approx(0.04, rel=1e-6)


def test_a_longer_axis_shows_in_the_lengths() -> None:
    lengths, _, orientation = compare(TRUTH @ np.diag([1.0, 1.0, 1 / 1.002]), TRUTH)
    assert lengths == pytest.approx(0.002)
    assert orientation == pytest.approx(0.0, abs=1e-6)


def test_a_cell_is_read_off_its_reciprocal_basis() -> None:
    real = np.array([[10.0, 0.0, 0.0], [0.0, 20.0, 0.0], [-30 * np.sin(0.1), 0, 30 * np.cos(0.1)]])
    lengths, angles = cell_of(np.linalg.inv(real))
    np.testing.assert_allclose(lengths, [10, 20, 30])
    np.testing.assert_allclose(angles, [90, 90 + np.degrees(0.1), 90])


def test_every_bar_can_be_missed() -> None:
    assert Verdict(4000, 0.95, 0.0001, 0.01, 0.02).failures() == []
    assert len(Verdict(1999, 0.89, 0.0011, 0.051, 0.051).failures()) == 5
    assert Integration(10, 0.951, 0.951).failures() == []
    assert len(Integration(10, 0.94, 0.951).failures()) == 1
    assert len(Integration(10, 0.951, 0.949).failures()) == 1
    assert Stills(20, 15, 20).failures() == []
    assert len(Stills(20, 14, 20).failures()) == 1


def test_without_dials_the_run_is_skipped_with_a_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(dials.shutil, "which", lambda program: None)
    assert "apt-get" in missing_dials(install=True)
    assert main([]) == 0
    assert "skipped: DIALS is not installed" in capsys.readouterr().out


def test_the_series_is_twenty_frames_of_a_degree() -> None:
    spec = series_spec()
    assert spec["axes"][0]["arange"] == {"start": 0.0, "stop": 20.0, "step": 1.0}
    assert spec["experiment"]["goniometer"]["oscillation_deg"] == 1.0


def test_figures_are_read_off_the_programs_output() -> None:
    table = (
        "|   Imageset |   # indexed |   # unindexed | % indexed   |\n"
        "|          0 |       13205 |          1893 | 87.5%       |\n"
    )
    assert indexed_share(table) == pytest.approx(13205 / 15098)
    assert strong_spots("Saved 15100 reflections to strong.refl\n") == 15100
    assert shot_of(Path("idx-stills_master_00013_refined.expt")) == 13


def test_observations_of_one_reflection_are_added_up_before_they_are_compared() -> None:
    hkl = np.array([[1, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3], [9, 9, 9]])
    intensity = np.array([1.0, 2.0, 5.0, 1.0, 1e9])
    photons = {(1, 0, 0): 30.0, (0, 2, 0): 50.0, (0, 0, 3): 10.0}
    pairs = pair(hkl, intensity, photons)
    assert sorted(map(tuple, pairs.tolist())) == [(10.0, 1.0), (30.0, 3.0), (50.0, 5.0)]
    assert correlation(pairs) == pytest.approx(1.0)


def test_a_bundle_has_page_figures_pictures_command_and_commit(tmp_path: Path) -> None:
    outcomes = [
        Outcome.of("smv", Verdict(4000, 0.95, 0.0001, 0.01, 0.02), 12.0),
        Outcome.broken("stills", "dials.stills_process stopped", 3.0),
    ]
    (tmp_path / "smv.png").write_bytes(b"picture")
    folder = write_report(tmp_path / "reports", outcomes, tmp_path, "python -m tools.accept_dials")
    assert folder.parent == tmp_path / "reports" / "acceptance"
    page = (folder / "summary.md").read_text()
    assert "95.0% indexed" in page
    assert "missed: dials.stills_process stopped" in page
    assert "(smv.png)" in page
    assert "(stills.png)" not in page
    found = json.loads((folder / "results.json").read_text())["outcomes"]
    assert [item["failures"] for item in found] == [[], ["dials.stills_process stopped"]]
    assert (folder / "smv.png").read_bytes() == b"picture"
    assert (folder / "commands.txt").read_text().endswith("python -m tools.accept_dials\n")
    assert "git_head" in json.loads((folder / "env.json").read_text())


def fake_cases(monkeypatch: pytest.MonkeyPatch, results: dict[str, object]) -> list[str]:
    """Let cases end as told, without DIALS; the names of those that are run are listed."""
    ran: list[str] = []

    def judge(folder: Path, name: str, real: Path) -> object:
        del folder, real
        ran.append(name)
        if isinstance(results[name], Exception):
            raise results[name]
        return results[name]

    monkeypatch.setattr(accept_dials, "_judge", judge)
    monkeypatch.setattr(accept_dials, "missing_dials", lambda install: "")
    return ran


def test_accepted_cases_are_not_run_again_and_others_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = Verdict(4000, 0.95, 0.0001, 0.01, 0.02), Verdict(4000, 0.85, 0.0001, 0.01, 0.02)
    ran = fake_cases(monkeypatch, {"smv": good, "cbf": bad, "nxmx": RuntimeError("no export")})
    arguments = ["--keep", str(tmp_path), "--cases", "smv", "cbf", "nxmx"]
    assert main(arguments) == 1
    table = capsys.readouterr().out
    assert "accepted" in table
    assert "missed: less than 90% indexed" in table
    assert "missed: RuntimeError: no export" in table
    (tmp_path / "outcomes" / "cbf.json").write_text("{torn")
    fake_cases(monkeypatch, {"cbf": good, "nxmx": good})
    assert main(arguments) == 0
    assert ran == ["smv", "cbf", "nxmx"]


def test_a_case_without_its_input_is_missed_out_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran = fake_cases(monkeypatch, {})
    absent = str(tmp_path / "no.mtz")
    assert main(["--keep", str(tmp_path), "--cases", "monoclinic", "--real", absent]) == 0
    assert "monoclinic: skipped" in capsys.readouterr().out
    assert ran == []


@pytest.mark.parametrize(
    "spec",
    [
        series_spec(),
        recorded_spec(),
        two_panel_spec(),
        monoclinic_spec(Path("f.mtz")),
        stills_spec(),
    ],
)
def test_every_case_is_a_valid_sweep_with_noise(spec: dict[str, Any]) -> None:
    sweep = parse_sweep(spec, source="test")
    assert sweep.experiment.noise.photon
    assert sweep.frames in (20, 360)


def test_two_panels_are_a_detector_that_can_be_rendered(tmp_path: Path) -> None:
    (tmp_path / "panels.expt").write_text(json.dumps(two_panels()))
    geometry = read_expt(str(tmp_path / "panels.expt"))
    assert [panel.name for panel in geometry.panels] == ["upper", "lower"]


def test_a_series_in_closed_form_has_bars_of_its_own() -> None:
    experiment = closed_spec()["experiment"]
    assert experiment["sampling"]["method"] == "closed_form"
    assert experiment["crystal"]["cell"] == series_spec()["experiment"]["crystal"]["cell"]
    assert Integration(10, 0.96, 0.96).failures() == []
    assert Integration(10, 0.98, 0.99, least_summed=0.99).failures() == ["correlation below 0.99"]
    assert Integration(10, 0.99, 0.94, least_summed=0.99).failures() == ["correlation below 0.95"]
    verdict = Verdict(3000, 0.94, 0.0, 0.0, 0.0, least_indexed=0.95)
    assert verdict.failures() == ["less than 95% indexed"]
