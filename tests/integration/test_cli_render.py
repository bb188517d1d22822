"""`distbragg render`: one experiment to a stack or an image file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fabio
import numpy as np
import pytest
import xarray as xr
import yaml

import distbragg as db
from distbragg.cli.main import main

from .conftest import tiny_plain


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump(tiny_plain()))
    return path


def rendered(spec: Path) -> np.ndarray[Any, Any]:
    return np.asarray(db.render(db.load_spec(spec))["images"].to_numpy())


def test_a_stack_of_one_frame_opens_with_xarray(spec: Path, tmp_path: Path) -> None:
    assert main(["render", str(spec), "-o", str(tmp_path / "out.zarr")]) == 0
    stack = xr.open_zarr(tmp_path / "out.zarr")
    assert stack["images"].dims == ("slow", "fast")
    assert np.array_equal(stack["images"].values, rendered(spec))


def test_a_second_call_does_nothing_and_says_so(
    spec: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["render", str(spec), "-o", str(tmp_path / "out.zarr")]
    assert main(arguments) == 0
    assert "xr.open_zarr" in capsys.readouterr().out
    assert main(arguments) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_npy_and_raw_floats_hold_the_photons(spec: Path, tmp_path: Path) -> None:
    for name in ("a.npy", "a.bin"):
        assert main(["render", str(spec), "-o", str(tmp_path / name)]) == 0
    assert np.array_equal(np.load(tmp_path / "a.npy"), rendered(spec))
    raw = np.fromfile(tmp_path / "a.bin", dtype="<f4").reshape(17, 23)
    assert np.array_equal(raw, rendered(spec).astype(np.float32))


def test_smv_is_scaled_and_carries_the_geometry(spec: Path, tmp_path: Path) -> None:
    assert main(["render", str(spec), "-o", str(tmp_path / "a.img")]) == 0
    image = fabio.open(str(tmp_path / "a.img"))
    assert image.data.max() == 55040
    assert float(image.header["DISTANCE"]) == 100.0
    assert image.header["BEAMLINE"] == "fake"


def test_smv_of_photon_counts_is_not_scaled(spec: Path, tmp_path: Path) -> None:
    noise = ["--set", "noise.photon=true", "--set", "noise.seed=4"]
    for name in ("a.img", "a.npy"):
        assert main(["render", str(spec), "-o", str(tmp_path / name), *noise]) == 0
    photons = np.load(tmp_path / "a.npy")
    counts = fabio.open(str(tmp_path / "a.img")).data
    assert np.array_equal(counts, np.minimum(photons + 40, 65535))


def test_pictures_are_written(spec: Path, tmp_path: Path) -> None:
    for name, magic in (("a.png", b"\x89PNG"), ("a.pgm", b"P5\n23 17\n")):
        assert main(["render", str(spec), "-o", str(tmp_path / name)]) == 0
        assert (tmp_path / name).read_bytes().startswith(magic)


def test_set_changes_what_is_rendered(spec: Path, tmp_path: Path) -> None:
    output = tmp_path / "a.npy"
    changed = ["--set", "detector.pixels_fast=9", "--set", "detector.distance_mm=50"]
    assert main(["render", str(spec), "-o", str(output), *changed]) == 0
    assert np.load(output).shape == (17, 9)


def test_precision_and_kernel_are_taken_from_the_options(spec: Path, tmp_path: Path) -> None:
    output = tmp_path / "a.npy"
    options = ["--precision", "float64", "--kernel", "model", "--threads", "1"]
    assert main(["render", str(spec), "-o", str(output), *options]) == 0
    assert np.load(output).dtype == np.float64


def test_a_sweep_is_sent_to_the_sweep_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sweep.yaml"
    axis = {"name": "phi", "path": "goniometer.phi_deg", "values": [1.0, 2.0]}
    path.write_text(yaml.safe_dump({"experiment": tiny_plain(), "axes": [axis]}))
    assert main(["render", str(path), "-o", str(tmp_path / "out.zarr")]) == 2
    assert "distbragg sweep" in capsys.readouterr().err
