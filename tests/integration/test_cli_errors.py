"""Bad input on the command line: one line that names the place, exit 2, nothing written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from distbragg.cli.image_files import SUFFIXES
from distbragg.cli.main import main
from distbragg.store.create import FILE_SUFFIXES

from .conftest import tiny_plain

BAD_FIELDS: dict[str, dict[str, Any]] = {
    "a wrong type": {"beam": {"wavelength_angstrom": "one"}},
    "a negative size": {"detector": {"pixel_size_mm": -0.1}},
    "no pixels": {"detector": {"pixels_fast": 0}},
    "not a number": {"crystal": {"cell": [50, 60, float("nan"), 90, 90, 90]}},
    "angles that do not form a cell": {"crystal": {"cell": [50, 60, 70, 20, 20, 150]}},
    "an unknown key": {"beam": {"wavelenght_angstrom": 1.0}},
    "a missing file": {"structure_factors": {"file": "absent.hkl"}},
    "a detector larger than memory": {
        "detector": {"pixels_fast": 4_000_000, "pixels_slow": 4_000_000}
    },
    "an all-dark spectrum": {
        "beam": {"spectrum": {"wavelengths_angstrom": [1.0, 1.1], "weights": [0.0, 0.0]}}
    },
}


def write_spec(folder: Path, **changes: Any) -> Path:
    path = folder / "experiment.yaml"
    path.write_text(yaml.safe_dump(tiny_plain(**changes)))
    return path


def listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def assert_refused(
    arguments: list[str], folder: Path, capsys: pytest.CaptureFixture[str], status: int = 2
) -> str:
    before = listing(folder)
    capsys.readouterr()
    assert main(arguments) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1, err
    assert err.startswith("distbragg: error: ")
    assert listing(folder) == before
    return err


@pytest.mark.parametrize("case", BAD_FIELDS)
@pytest.mark.parametrize("command", ["render", "sweep", "create", "plan"])
def test_a_bad_spec_is_refused_by_every_command(
    command: str, case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = write_spec(tmp_path, **BAD_FIELDS[case])
    target = ["-o", str(tmp_path / "out.zarr")]
    assert_refused([command, str(spec), *target], tmp_path, capsys)


def test_an_unknown_key_is_answered_with_the_nearest_known_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = write_spec(tmp_path, beam={"wavelenght_angstrom": 1.0})
    err = assert_refused(["plan", str(spec)], tmp_path, capsys)
    assert "wavelength_angstrom" in err
    assert "experiment.yaml" in err


@pytest.mark.parametrize(
    "text",
    ["", "beam: [1, 2", "just text", "- 1\n- 2\n", "beam: {a: 1}\nbeam: {b: 2}\n", "\x00\x01\xff"],
)
def test_a_file_that_is_no_spec_is_refused(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_bytes(text.encode("latin-1"))
    err = assert_refused(["render", str(path), "-o", str(tmp_path / "out.zarr")], tmp_path, capsys)
    assert "experiment.yaml" in err


@pytest.mark.parametrize(
    "override",
    ["beam", "=1", "beam.colour=red", "beam.wavelength_angstrom=[", "detector.pixels_fast=1.5"],
)
def test_a_bad_override_is_refused(
    override: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = write_spec(tmp_path)
    assert_refused(["plan", str(spec), "--set", override], tmp_path, capsys)


@pytest.mark.parametrize("name", ["out.bmp", "no/such/folder/out.img", "."])
def test_an_image_that_cannot_be_written_is_refused_before_rendering(
    name: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("rendered")

    monkeypatch.setattr("distbragg.run.render.render", never)
    monkeypatch.setattr("distbragg.cli.rendering.continue_run", never)
    spec = write_spec(tmp_path)
    assert_refused(["render", str(spec), "-o", str(tmp_path / name)], tmp_path, capsys)


@pytest.mark.spec("STK-10")
@pytest.mark.parametrize("command", ["sweep", "create"])
@pytest.mark.parametrize("name", ["o.tif", "o.NPY", "o.h5", "o.yaml"])
def test_a_stack_takes_no_name_of_a_file(
    command: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = write_spec(tmp_path)
    err = assert_refused([command, str(spec), "-o", str(tmp_path / name)], tmp_path, capsys)
    assert "name it o.zarr" in err


@pytest.mark.spec("STK-10")
def test_every_suffix_of_an_image_is_one_of_files() -> None:
    assert set(SUFFIXES) <= FILE_SUFFIXES


def test_a_stack_is_not_written_over_something_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = write_spec(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.txt").write_text("years of work")
    (tmp_path / "file.zarr").write_text("not a stack")
    for name in ("folder", "file.zarr"):
        assert_refused(["sweep", str(spec), "-o", str(tmp_path / name)], tmp_path, capsys)


@pytest.mark.parametrize("command", ["resume", "run", "info"])
def test_what_is_no_run_is_refused(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert_refused([command, str(tmp_path / "empty")], tmp_path, capsys)
    assert_refused([command, str(tmp_path / "absent")], tmp_path, capsys)


@pytest.mark.spec("CLI-2")
@pytest.mark.parametrize(
    "command",
    [
        *("info", "status", "verify", "view", "resume", "run --part 1/2", "repair", "seal", "card"),
        *("export --format npy", "plot -o x.png", "report -o x.html", "subset -o x", "noise -o x"),
        *("publish s3://bucket/run.zarr", "merge other -o x", "extend more.yaml"),
        *("explain", "plan", "render -o x.png", "sweep -o x", "create -o x", "geometry"),
        "fmodel -o x.mtz --dmin 2",
    ],
)
def test_a_path_that_does_not_exist_is_said_to_be_not_found(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *more = command.split()
    err = assert_refused([name, str(tmp_path / "absent"), *more], tmp_path, capsys)
    assert "absent: not found" in err


@pytest.mark.parametrize("part", ["0/4", "5/4", "1", "a/b", "1/-2"])
def test_a_part_that_does_not_exist_is_refused(
    part: str, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_refused(["run", str(finished), "--part", part], tmp_path, capsys)


@pytest.mark.parametrize("cluster", ["nowhere", "missing.yaml", "missing.json", "local:0"])
def test_a_cluster_that_is_none_is_refused(
    cluster: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = write_spec(tmp_path)
    arguments = ["sweep", str(spec), "-o", str(tmp_path / "out.zarr"), "--cluster", cluster]
    assert_refused(arguments, tmp_path, capsys)


def test_another_sweep_at_the_same_place_is_refused_with_status_4(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = write_spec(tmp_path)
    out = str(tmp_path / "out.zarr")
    again = ["create", str(spec), "-o", out]
    assert main(again) == 0
    words = ["--set", "beam.wavelength_angstrom=1.5"]
    err = assert_refused([*again, *words], tmp_path, capsys, status=4)
    assert "wavelength_angstrom" in err
    told = err.replace(str(tmp_path), "")
    assert "give another output path, or that run's specification" in told
    assert told.index("give another") < told.index("beam.wavelength_angstrom")
    assert len(told) < 200


@pytest.mark.spec("STK-10")
def test_runs_that_differ_in_much_are_told_apart_in_a_short_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = write_spec(tmp_path)
    out = str(tmp_path / "out.zarr")
    again = ["create", str(spec), "-o", out]
    assert main(again) == 0
    sets = {
        "beam.fluence_photons_per_m2": 1e27,
        "detector.distance_mm": 81,
        "crystal.shape": "gauss",
    }
    sets |= {"crystal.mosaic.spread_deg": 0.4, "detector.pixels_fast": 40}
    sets |= {"noise.photon": "true"}
    words = [word for path, value in sets.items() for word in ("--set", f"{path}={value}")]
    err = assert_refused([*again, *words], tmp_path, capsys, status=4)
    assert len(err.replace(str(tmp_path), "")) < 200
    assert " more)" in err
    assert "hash" not in err


def test_the_process_ends_with_the_status_and_no_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "distbragg.cli.main"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    result = subprocess.run(
        [*command, "render", "absent.yaml", "-o", "out.zarr"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
    )
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert "absent.yaml" in result.stderr
    assert list(tmp_path.iterdir()) == []
    result = subprocess.run(
        [*command, "--debug", "render", "absent.yaml", "-o", "out.zarr"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
    )
    assert result.returncode != 0
    assert "Traceback" in result.stderr
