"""What `distbragg geometry` says of a file."""

from __future__ import annotations

import json

import pytest

from distbragg.cli.main import main
from distbragg.run.geometry import describe_geometry
from tests.geometry_files import MINI_CBF, expt
from tests.nexus_files import spectrum_master


@pytest.mark.spec("CLI-12")
def test_the_beam_centre_is_given_in_every_convention(tmp_path):
    path = tmp_path / "a.cbf"
    path.write_bytes(MINI_CBF)
    facts = describe_geometry(str(path))
    centre, pixel = facts["beam_centre"], 0.172
    assert centre["on_panel"] is True
    assert facts["distance_mm"] == pytest.approx(190.18)
    assert centre["dials_px"] == pytest.approx([7.5, 4.25])
    assert centre["dials_mm"] == pytest.approx([7.5 * pixel, 4.25 * pixel])
    assert centre["xds_orgx_orgy_px"] == pytest.approx([8.0, 4.75])
    assert centre["mosflm_mm"] == pytest.approx([3.75 * pixel, 7.0 * pixel])
    assert centre["denzo_mm"] == pytest.approx([4.25 * pixel, 7.5 * pixel])
    assert centre["adxv_mm"] == pytest.approx([7.5 * pixel, 5.75 * pixel])


@pytest.mark.spec("CLI-12")
def test_the_command_prints_panels_beam_and_notes(tmp_path, capsys):
    path = tmp_path / "two.expt"
    path.write_text(json.dumps(expt(experiment=expt()["experiment"] * 2)))
    assert main(["geometry", str(path)]) == 0
    printed = capsys.readouterr().out
    for words in ("expt", "left", "right", "60 mm along the beam", "of panel left, which the beam",
                  "40.000 40.000 60.000", "masked areas", "experiment 0 of 2"):  # fmt: skip
        assert words in " ".join(printed.split())
    assert main(["geometry", str(path), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["panels"]) == 2


@pytest.mark.spec("CLI-12")
def test_a_file_of_another_format_is_bad_input(tmp_path, capsys):
    path = tmp_path / "two.expt"
    path.write_text(json.dumps(expt()))
    assert main(["geometry", str(path), "--format", "cbf"]) == 2
    line = capsys.readouterr().err
    assert "two.expt" in line
    assert line.count("\n") == 1


@pytest.mark.spec("CLI-12")
def test_what_a_file_does_not_state_is_printed_as_not_given(tmp_path, capsys):
    path = tmp_path / "a.cbf"
    lines = (b"# Beam_xy (7.50, 4.25) pixels\n", b"# Detector_distance 0.19018 m\n")
    path.write_bytes(MINI_CBF.replace(lines[0], b"").replace(lines[1], b""))
    assert describe_geometry(str(path))["beam_centre"] is None
    assert main(["geometry", str(path)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "distance not given beam centre not given" in printed


@pytest.mark.spec("CLI-12")
def test_spectra_and_single_experiments_are_shown(tmp_path, capsys):
    master = spectrum_master(tmp_path / "m.h5", [0.9, 1.1], [1.0, 1.0])
    assert main(["geometry", master]) == 0
    assert "1 Å, a spectrum of 2 channels" in capsys.readouterr().out
    path = tmp_path / "two.expt"
    path.write_text(json.dumps(expt(experiment=expt()["experiment"] * 2)))
    assert main(["geometry", str(path), "--experiment", "1"]) == 0
    assert "experiment 0 of 2" not in capsys.readouterr().out
    assert main(["geometry", str(path), "--experiment", "2"]) == 2
