"""`distbragg sweep`, `create`, `resume`, `run`, `plan` and `info` on a tiny sweep."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
import yaml

import distbragg as db
from distbragg.cli.main import main
from distbragg.errors import ExitStatus
from distbragg.run.status import info
from distbragg.store.run_directory import open_run
from tests import loaded

from .conftest import AXES, digests_of, tiny_plain


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump({"experiment": tiny_plain(), "axes": list(AXES)}))
    return path


def test_a_sweep_stores_the_same_bytes_as_python(
    spec: Path, tmp_path: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.zarr"
    assert main(["sweep", str(spec), "-o", str(out), "--cluster", "serial"]) == 0
    captured = capsys.readouterr()
    assert digests_of(out) == digests_of(finished)
    assert "15 frames rendered" in captured.out
    assert f"xr.open_zarr('{out}')" in captured.out
    assert "15/15 frames" in captured.err


def test_a_finished_sweep_does_nothing_and_says_so(
    spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["sweep", str(spec), "-o", str(tmp_path / "out.zarr"), "--cluster", "serial"]
    assert main(arguments) == 0
    capsys.readouterr()
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert "all 15 frames are rendered; nothing to do" in captured.out
    assert captured.err == ""


def test_create_run_parts_and_resume_make_the_same_stack(
    spec: Path, tmp_path: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out.zarr")
    assert main(["create", str(spec), "-o", out]) == 0
    assert f"distbragg resume {out}" in capsys.readouterr().out
    assert db.open_stack(out).attrs["missing_frames"] == 15
    assert main(["run", out, "--part", "2/3", "--cluster", "serial"]) == 0
    done = 15 - db.open_stack(out).attrs["missing_frames"]
    assert 0 < done < 15
    assert main(["resume", out, "--cluster", "serial"]) == 0
    assert digests_of(Path(out)) == digests_of(finished)


def test_failed_frames_are_reported_with_status_3(
    spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Counts of 16 bits cannot hold the photons of this fluence: every unit is set aside.
    fields = ("beam.fluence_photons_per_m2=1.0e+36", "output.dtype=uint16", "noise.photon=true",
              "output.overflow=error")  # fmt: skip
    bright = [word for field in fields for word in ("--set", field)]
    out = str(tmp_path / "out.zarr")
    status = main(["sweep", str(spec), "-o", out, "--cluster", "serial", *bright])
    assert status == ExitStatus.FAILED_FRAMES
    captured = capsys.readouterr()
    assert "set aside" in captured.out
    assert "distbragg info" in captured.out
    # All fail for one cause, which is told once, with their number and the first few.
    (line,) = [line for line in captured.out.splitlines() if line.startswith("failed: ")]
    units = len(info(out)["failed_units"])
    assert f"{units} units (0, 1, 2, ...): " in line
    assert main(["info", out]) == 0
    assert capsys.readouterr().out.count(f"failed {units} units (0, 1, 2, ...)") == 1


def test_the_plan_says_what_will_be_done(
    spec: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert main(["plan", str(spec), "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["frames"] == 15
    assert plan["units"] == 10
    assert plan["steps"] == 15 * 17 * 23 * 2
    assert plan["memory_per_worker"] > 0
    assert main(["plan", str(spec)]) == 0
    table = capsys.readouterr().out
    for word in ("phi 5 x spread 3", "tiles", "sources", "tasks", "memory", "disk"):
        assert word in table
    assert sorted(tmp_path.rglob("*")) == before


def test_a_plan_that_cannot_fit_names_the_number_to_change(
    spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", str(spec), "--set", "compute.memory_limit_gb=0.001"]) == 2
    assert "memory_limit_gb" in capsys.readouterr().err


def test_info_describes_a_run(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(finished), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["frames"], facts["frames_done"], facts["dims"]) == (
        15,
        15,
        {"phi": 5, "spread": 3},
    )
    assert main(["info", str(finished)]) == 0
    assert "15 of 15 rendered" in capsys.readouterr().out


def test_info_describes_a_spec(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(spec), "--set", "title=other"]) == 0
    table = capsys.readouterr().out
    assert "other" in table
    assert "goniometer.phi_deg (degree)" in table
    assert "cells of a block" in table
    assert "kahn_factor" not in table, "defaults are not repeated"


def test_info_of_a_run_takes_no_overrides(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", str(finished), "--set", "title=x"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_sweep_ends_with_130_and_resumes_to_the_same_bytes(
    number: signal.Signals, spec: Path, tmp_path: Path, finished: Path
) -> None:
    out = tmp_path / "out.zarr"
    # Each unit takes half a second more, so that the signal arrives between units.
    program = (
        "import sys, time\n"
        "from distbragg.cli.main import main\n"
        "from distbragg.engine import unit as tasks\n"
        "import dataclasses\n"
        "render = tasks.RENDERING.render_unit\n"
        "def slow(run, unit, attempt, settings):\n"
        "    receipt = render(run, unit, attempt, settings)\n"
        "    time.sleep(0.5)\n"
        "    return receipt\n"
        "tasks.RENDERING = dataclasses.replace(tasks.RENDERING, render_unit=slow)\n"
        f"sys.exit(main(['sweep', {str(spec)!r}, '-o', {str(out)!r}, '--cluster', 'serial']))\n"
    )
    with loaded.start(["-c", program]) as process:
        deadline = time.monotonic() + 120
        while not list(out.glob("images/c/*/*/*/*")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "resume" in err.splitlines()[-1]
    assert db.open_stack(out).attrs["missing_frames"] > 0
    assert main(["resume", str(out), "--cluster", "serial"]) == 0
    assert digests_of(out) == digests_of(finished)


@pytest.mark.spec("SWP-4")
def test_plan_prints_the_table_of_frames(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "table.yaml"
    path.write_text(
        "experiment: {crystal: {cell: [50, 60, 70, 90, 90, 90]}}\n"
        "axes:\n"
        "  - {name: phi, path: goniometer.phi_deg, values: [0.5, 1.5]}\n"
        "  - {name: turn, path: crystal.misset_deg, values: [[1, 2, 3], [4, 5, 6]]}\n"
    )
    assert main(["plan", str(path), "--csv"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "frame,phi,turn_0,turn_1,turn_2"
    assert lines[2] == "1,0.5,4.0,5.0,6.0"
    assert main(["plan", str(path), "--table", "--json", "--frames", "3"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "frame": 3, "phi": 1.5, "turn_0": 4.0, "turn_1": 5.0, "turn_2": 6.0
    }  # fmt: skip
    assert main(["plan", str(path), "--table"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 5
    assert main(["plan", str(path), "--frames", "3"]) == 2
    assert list(tmp_path.iterdir()) == [path]


def test_a_unit_beyond_its_time_limit_is_set_aside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slow = tiny_plain(sampling={"oversample": 400})
    spec = tmp_path / "slow.yaml"
    spec.write_text(yaml.safe_dump({"experiment": slow}))
    arguments = ["sweep", str(spec), "-o", str(tmp_path / "out.zarr"), "--cluster", "serial"]
    assert main([*arguments, "--unit-timeout", "0.1"]) == ExitStatus.FAILED_FRAMES
    capsys.readouterr()
    assert main(["info", str(tmp_path / "out.zarr")]) == 0
    assert "limit of 0.1 s" in capsys.readouterr().out


@pytest.mark.spec("SWP-5")
def test_swept_files_are_labels_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("a.hkl", "b.hkl")
    for number, name in enumerate(names):
        (tmp_path / name).write_text(f"0 0 1 {number + 5}.0\n1 0 0 7.0\n")
    axis = {"name": "model", "path": "structure_factors.file", "values": list(names)}
    plain = tiny_plain(structure_factors={"default_f_electrons": None, "file": "a.hkl"})
    path = tmp_path / "files.yaml"
    path.write_text(yaml.safe_dump({"experiment": plain, "axes": [axis]}))
    assert main(["plan", str(path), "--table", "--csv"]) == 0
    assert capsys.readouterr().out.splitlines() == ["frame,model", "0,a.hkl", "1,b.hkl"]
    assert main(["sweep", str(path), "-o", str(tmp_path / "out.zarr"), "--cluster", "serial"]) == 0
    moved = (tmp_path / "out.zarr").rename(tmp_path / "moved.zarr")
    assert list(db.open_stack(moved)["model"].values) == list(names)
    assert [list(axis.values) for axis in open_run(moved).sweep.coordinates()] == [list(names)]
    assert main(["verify", str(moved)]) == 0
