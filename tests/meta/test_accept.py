"""The acceptance tool judges by arithmetic of its own: that arithmetic on known answers."""

from __future__ import annotations

import numpy as np
import pytest

from tools import accept_dials
from tools.accept_dials import CELL, Verdict, cell_of, compare, main, missing_dials, series_spec

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


def test_without_dials_the_run_is_skipped_with_a_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(accept_dials.shutil, "which", lambda program: None)
    assert "apt-get" in missing_dials(install=True)
    assert main([]) == 0
    assert "skipped: DIALS is not installed" in capsys.readouterr().out


def test_the_series_is_twenty_frames_of_a_degree() -> None:
    spec = series_spec()
    assert spec["axes"][0]["arange"] == {"start": 0.0, "stop": 20.0, "step": 1.0}
    assert spec["experiment"]["goniometer"]["oscillation_deg"] == 1.0
