"""The card of a run: complete, well-formed, and silent about the machine."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from distbragg.cli.main import main
from distbragg.run.card import card
from distbragg.run.create import create
from distbragg.spec.sweep import SweepSpec
from distbragg.store.run_directory import open_run
from distbragg.store.seal import write_seal
from distbragg.store.split import Split, split_frames
from tests.integration.conftest import tiny_plain
from tests.unit.store.conftest import PROVENANCE, create_tiny, frames_of, tiny_sweep
from tests.units import write_unit


def finished(path: Path, **changes: object) -> Path:
    run = create_tiny(path, tiny_sweep(), **changes)
    digests = [
        write_unit(run, unit, frames_of(run, unit), {})["digest"]
        for unit in range(run.layout.units)
    ]
    write_seal(run, digests)
    return run.path


@pytest.mark.spec("DAT-4")
def test_card_states_structure_splits_provenance_and_seal(tmp_path: Path) -> None:
    path = finished(tmp_path / "RUN")
    run, split = open_run(path), Split(0.2, 0.3, seed=4, group_by=("phi",))
    text = card(run, split=split, license_name="cc-by-4.0")
    head = yaml.safe_load(text.split("---\n")[1])
    assert head["license"] == "cc-by-4.0"
    assert head["pretty_name"] == "tiny"
    assert head["size_categories"] == ["n<1K"]
    assert "goniometer.phi_deg" in text
    assert "| 0 to 4 |" in text
    validation = int((split_frames(run, split) == "validation").sum())
    assert f"| validation | {validation} | {validation} |" in text
    assert repr(split.group_by) in text
    for fact in (
        run.run_id,
        run.manifest.physics_hash,
        "SHA-256 over all objects",
        "kernel none",
        "numpy 2",
    ):
        assert fact in text
    for line in text.splitlines():
        if line.startswith("|"):
            assert line.endswith("|")


@pytest.mark.spec("DAT-4")
def test_card_tells_limits_of_what_was_asked_for_alone(tmp_path: Path) -> None:
    plain = card(finished(tmp_path / "plain"))
    for limit in ("no readout noise", "no point spread", "nothing diffusely"):
        assert limit in plain
    experiment = tiny_plain(
        detector={
            "response": {"readout_adu": 2.0, "gain_adu_per_photon": 3.0},
            "point_spread": {"kind": "gauss", "fwhm_px": 1.5},
        },
        crystal={"diffuse": {"sigma_angstrom": 0.3, "gamma_angstrom": 50.0, "laue_group": "-1"}},
    )
    sweep = SweepSpec.model_validate({"experiment": experiment})
    recorded = card(create(sweep, tmp_path / "recorded"))
    for limit in ("no readout noise", "no point spread", "nothing diffusely"):
        assert limit not in recorded
    assert "ADU per pixel" in recorded


@pytest.mark.spec("DAT-4")
def test_card_says_nothing_of_host_user_and_paths(tmp_path: Path) -> None:
    secret = {"host": "beamline-7", "user": "jdoe", "command": ["distbragg", "jdoe.yaml"]}
    text = card(finished(tmp_path / "RUN", provenance=PROVENANCE | secret))
    for word in ("beamline-7", "jdoe", str(tmp_path)):
        assert word not in text


@pytest.mark.spec("DAT-4")
def test_title_of_markup_stays_text(tmp_path: Path) -> None:
    sweep = tiny_sweep()
    experiment = sweep.experiment.model_copy(update={"title": "a`|<script>\n# [x](y): &z"})
    run = create_tiny(tmp_path / "RUN", sweep.model_copy(update={"experiment": experiment}))
    text = card(run)
    prose = text.split("````json")[0].split("---\n")[2]
    assert "<script>" not in prose
    assert yaml.safe_load(text.split("---\n")[1])["pretty_name"].startswith("a`|<script>")


@pytest.mark.spec("DAT-4")
def test_command_writes_the_card(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = finished(tmp_path / "RUN")
    out = tmp_path / "README.md"
    assert main(["card", str(path), "-o", str(out), "--seed", "2", "--group-by", "phi"]) == 0
    assert out.read_text().startswith("---\n")
    # The frames of this run were made by hand: there is no experiment to draw them by.
    assert "(README.png)" not in out.read_text()
    assert "(README-labels.png)" in out.read_text()
    assert "there is no contact sheet" in capsys.readouterr().err
    assert main(["card", str(path)]) == 0
    assert "## Integrity" in capsys.readouterr().out
    assert main(["card", str(path), "--validation", "2"]) == 2
