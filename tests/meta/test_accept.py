"""The acceptance tool judges by arithmetic of its own: that arithmetic on known answers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from distbragg.read.geometry.expt import read_expt
from tools.accept_dials import main
from tools.acceptance import dials
from tools.acceptance.dials import indexed_share, missing_dials, strong_spots
from tools.acceptance.integration import correlate
from tools.acceptance.others import shot_of, two_panels
from tools.acceptance.report import Outcome, write_report
from tools.acceptance.series import CELL, series_spec
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
    assert Integration(10, 0.94, 0.951).failures() == []
    assert len(Integration(10, 0.94, 0.949).failures()) == 1
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
    assert shot_of(Path("idx-stills_master_00013_indexed.expt")) == 13


def test_observations_of_one_reflection_are_added_up_before_they_are_compared() -> None:
    hkl = np.array([[1, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3], [9, 9, 9]])
    intensity = np.array([1.0, 2.0, 5.0, 1.0, 1e9])
    photons = {(1, 0, 0): 30.0, (0, 2, 0): 50.0, (0, 0, 3): 10.0}
    correlation, pairs = correlate(hkl, intensity, photons)
    assert correlation == pytest.approx(1.0)
    assert pairs == 3


def test_report_names_command_commit_and_every_figure(tmp_path: Path) -> None:
    outcomes = [Outcome("smv", Verdict(4000, 0.95, 0.0001, 0.01, 0.02), 12.0)]
    page = (write_report(tmp_path, outcomes, ("smv",)) / "README.md").read_text()
    assert "tools.accept_dials --install --cases smv" in page
    assert "95.0% indexed" in page
    assert "accepted" in page


def test_two_panels_are_a_detector_that_can_be_rendered(tmp_path: Path) -> None:
    (tmp_path / "panels.expt").write_text(json.dumps(two_panels()))
    geometry = read_expt(str(tmp_path / "panels.expt"))
    assert [panel.name for panel in geometry.panels] == ["upper", "lower"]
