"""`distbragg export` on tiny runs: every format reads back to the stack, and is resumable."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fabio
import h5py
import numpy as np
import pytest
import xarray as xr

import distbragg as db
from distbragg.cli.main import main
from distbragg.errors import ExitStatus
from distbragg.export.scaling import DEFAULT_ADC_OFFSET
from distbragg.run.create import create
from distbragg.run.export import file_prefix
from distbragg.run.resume import resume

from .conftest import tiny_sweep

SERIES = (
    {
        "name": "phi",
        "path": "goniometer.phi_deg",
        "arange": {"start": 30.0, "stop": 32.0, "step": 0.5},
    },
    {"name": "distance", "path": "detector.distance_mm", "values": [100.0, 150.0]},
)


def make(path: Path, axes: Any = SERIES, **changes: Any) -> Path:
    fields: dict[str, Any] = {
        "noise": {"photon": True, "seed": 3},
        "goniometer": {"oscillation_deg": 0.5, "steps": 2},
        "beam": {"fluence_photons_per_m2": 1e28},
    }
    resume(create(tiny_sweep(axes, **(fields | changes)), path), cluster="serial")
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A noisy run of 4 angles at 2 distances, in C order: angle, then distance."""
    return make(tmp_path_factory.mktemp("export") / "scan.zarr")


def export(run: Path, form: str, out: Path, *more: str) -> int:
    words = ["export", str(run), "--format", form, "-o", str(out), "--cluster", "serial", *more]
    return main(words)


def with_fabio(path: Path) -> Any:
    with fabio.open(str(path)) as image:
        return np.array(image.data)


def minus_offset(path: Path) -> Any:
    return with_fabio(path).astype(np.float64) - DEFAULT_ADC_OFFSET


READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "smv": (".img", minus_offset),
    "cbf": (".cbf", with_fabio),
    "tiff": (".tif", with_fabio),
    "npy": (".npy", np.load),
}


@pytest.mark.spec("EXP-1")
@pytest.mark.spec("EXP-2")
@pytest.mark.parametrize("form", READERS)
def test_every_image_reads_back_to_the_stack(run: Path, tmp_path: Path, form: str) -> None:
    suffix, read = READERS[form]
    assert export(run, form, tmp_path / "out") == 0
    stack = db.open_stack(run)["images"].values
    assert stack.max() > 1, "a test on empty images tests nothing"
    for distance in range(2):
        for angle in range(4):
            path = tmp_path / "out" / f"scan_{distance + 1}_{angle + 1:04d}{suffix}"
            np.testing.assert_array_equal(read(path), stack[angle, distance])


@pytest.mark.spec("EXP-1")
@pytest.mark.spec("EXP-2")
def test_nexus_masters_hold_one_scan_each(run: Path, tmp_path: Path) -> None:
    assert export(run, "nxmx", tmp_path, "--compression", "gzip") == 0
    stack = db.open_stack(run)["images"].values
    for distance, length in enumerate((0.1, 0.15)):
        with h5py.File(tmp_path / f"scan_{distance + 1}_master.h5") as file:
            np.testing.assert_array_equal(file["entry/data/data"][()], stack[:, distance])
            angles = file["entry/sample/transformations/omega"][()]
            np.testing.assert_allclose(angles, [30.0, 30.5, 31.0, 31.5])
            assert file["entry/instrument/detector/distance"][()] == pytest.approx(length)


@pytest.mark.spec("EXP-1")
def test_zarr_2_is_the_stack_for_older_readers(run: Path, tmp_path: Path) -> None:
    assert export(run, "zarr2", tmp_path) == 0
    copy = xr.open_zarr(str(tmp_path / "scan.zarr"), zarr_format=2)
    stack = db.open_stack(run)
    np.testing.assert_array_equal(copy["images"].values, stack["images"].values)
    np.testing.assert_array_equal(copy["phi"].values, stack["phi"].values)
    assert not list((tmp_path / "scan.zarr").rglob("zarr.json"))


@pytest.mark.spec("EXP-1")
def test_a_zarr_2_copy_of_some_frames_says_which(tmp_path: Path) -> None:
    run = create(tiny_sweep(SERIES), tmp_path / "part.zarr")
    resume(run, cluster="serial", part=(1, 2))
    out = tmp_path / "out"

    def rendered() -> np.ndarray:
        copy = xr.open_zarr(str(out / "part.zarr"), zarr_format=2)
        there = copy["rendered"].values
        assert copy.attrs["missing_frames"] == np.count_nonzero(~there)
        np.testing.assert_array_equal(copy["images"].notnull().all(("slow", "fast")), there)
        return there

    assert export(run.path, "zarr2", out, "--frames", "1") == 0
    assert np.flatnonzero(rendered()).tolist() == [1]
    assert export(run.path, "zarr2", out) == ExitStatus.FAILED_FRAMES
    np.testing.assert_array_equal(rendered(), db.open_stack(run.path)["rendered"])
    assert not rendered().all()
    resume(run, cluster="serial")
    assert export(run.path, "zarr2", out) == 0
    assert rendered().all()


def test_pictures_are_written(run: Path, tmp_path: Path) -> None:
    assert export(run, "png", tmp_path, "--frames", "0") == 0
    assert (tmp_path / "scan_1_0001.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.spec("EXP-2")
def test_headers_are_those_of_each_frame(run: Path, tmp_path: Path) -> None:
    assert export(run, "smv", tmp_path) == 0
    for distance, length in enumerate(("100", "150")):
        for angle in range(4):
            path = tmp_path / f"scan_{distance + 1}_{angle + 1:04d}.img"
            text = path.read_bytes()[:1024].decode("ascii", "replace")
            assert f"\nDISTANCE={length};" in text
            assert f"\nOSC_START={30 + 0.5 * angle:g};" in text
            assert "\nOSC_RANGE=0.5;" in text
            assert "\nADC_OFFSET=40;" in text
            assert "\nBEAMLINE=fake;" in text


def test_the_table_says_which_frame_is_where(run: Path, tmp_path: Path) -> None:
    assert export(run, "npy", tmp_path, "--frames", "3") == 0
    rows = list(csv.DictReader((tmp_path / "frames.csv").read_text().splitlines()))
    assert len(rows) == 8
    row = rows[3]
    assert (row["series"], row["position"]) == ("2", "2")
    assert float(row["goniometer.phi_deg"]) == 30.5
    assert float(row["detector.distance_mm"]) == 150.0
    assert [path.name for path in tmp_path.glob("*.npy")] == ["scan_2_0002.npy"]


@pytest.mark.spec("EXP-5")
@pytest.mark.parametrize("form", ["smv", "cbf", "nxmx", "tiff", "npy", "zarr2"])
def test_whole_files_are_kept_and_broken_ones_written_again(
    run: Path, tmp_path: Path, form: str
) -> None:
    job = {"out": tmp_path, "compression": "gzip", "cluster": "serial"}
    first = db.export_run(run, form, **job)
    assert (first.skipped, first.written) == (0, 2 if form == "nxmx" else 8)
    before = contents(tmp_path)
    again = db.export_run(run, form, **job)
    assert (again.skipped, again.written) == (first.written, 0)
    pattern = "scan.zarr/images/0.*" if form == "zarr2" else "scan_*_000*"
    victim = sorted(tmp_path.glob(pattern))[0]
    if form == "zarr2":
        victim.unlink()
    else:
        victim.write_bytes(victim.read_bytes()[:-7])
    mended = db.export_run(run, form, **job)
    assert (mended.skipped, mended.written) == (first.written - 1, 1)
    if form != "nxmx":
        assert contents(tmp_path) == before


@pytest.mark.spec("EXP-5")
def test_files_of_images_are_told_from_the_masters_beside_them(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(run, "nxmx", tmp_path / "nxmx", "--frames", "0") == 0
    told = capsys.readouterr().out
    assert "1 file of images written" in told
    assert "begins with" in told
    assert len(list((tmp_path / "nxmx").glob("*.h5"))) == 2
    assert export(run, "npy", tmp_path / "npy", "--frames", "0:2") == 0
    assert "2 files written" in capsys.readouterr().out


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.spec("EXP-5")
def test_a_folder_with_another_export_is_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(run, "npy", tmp_path) == 0
    assert export(run, "smv", tmp_path) == ExitStatus.REFUSED
    assert "holds another export" in capsys.readouterr().err
    assert json.loads((tmp_path / "export.json").read_text())["format"] == "npy"


def test_selections_add_up_in_one_folder(run: Path, tmp_path: Path) -> None:
    parts, whole = tmp_path / "parts", tmp_path / "whole"
    assert export(run, "cbf", parts, "--frames", "0:3") == 0
    assert export(run, "cbf", parts, "--frames", "2:8:1") == 0
    assert export(run, "cbf", whole) == 0
    assert contents(parts) == contents(whole)


@pytest.mark.cluster
def test_worker_processes_write_the_same_files(run: Path, tmp_path: Path) -> None:
    assert export(run, "cbf", tmp_path / "serial") == 0
    words = ["export", str(run), "--format", "cbf", "-o", str(tmp_path / "two"), "--workers", "2"]
    assert main(words) == 0
    assert contents(tmp_path / "two") == contents(tmp_path / "serial")


@pytest.mark.spec("EXP-3")
def test_pixels_out_of_range_are_counted_and_said(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(run, "smv", tmp_path, "--scale", "1e9") == 0
    assert "beyond the range of the format" in capsys.readouterr().out
    image = with_fabio(tmp_path / "scan_1_0001.img")
    stack = db.open_stack(run)["images"].values[0, 0]
    np.testing.assert_array_equal(image == 65535, stack > 0)


@pytest.mark.spec("EXP-3")
def test_frames_without_noise_keep_their_fractions_where_the_format_can(tmp_path: Path) -> None:
    run = make(tmp_path / "quiet.zarr", noise={"photon": False})
    stack = db.open_stack(run)["images"].values
    assert export(run, "nxmx", tmp_path / "n", "--compression", "none") == 0
    with h5py.File(tmp_path / "n" / "quiet_1_master.h5") as file:
        np.testing.assert_array_equal(file["entry/data/data"][()], stack[:, 0])
        assert file["entry/data/data"].dtype == np.float32
    assert export(run, "cbf", tmp_path / "c", "--scale", "10") == 0
    image = with_fabio(tmp_path / "c" / "quiet_1_0001.cbf")
    np.testing.assert_array_equal(image, np.floor(stack[0, 0].astype(np.float64) * 10 + 0.5))


def test_unrendered_frames_are_left_out_and_added_later(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = create(tiny_sweep(SERIES), tmp_path / "part.zarr")
    out = tmp_path / "out"
    assert export(run.path, "npy", out) == ExitStatus.BAD_INPUT
    assert "distbragg resume" in capsys.readouterr().err
    resume(run, cluster="serial", part=(1, 2))
    assert export(run.path, "npy", out) == ExitStatus.FAILED_FRAMES
    assert "not rendered yet" in capsys.readouterr().out
    some = len(list(out.glob("*.npy")))
    assert 0 < some < 8
    resume(run, cluster="serial")
    assert export(run.path, "npy", out) == 0
    assert len(list(out.glob("*.npy"))) == 8


@pytest.mark.spec("EXP-15")
def test_a_run_of_any_name_gives_files_of_a_legal_one(tmp_path: Path) -> None:
    run = make(tmp_path / "my rün.zarr")
    assert export(run, "npy", tmp_path / "out", "--frames", "0") == 0
    assert [path.name for path in (tmp_path / "out").glob("*.npy")] == ["my_r_n_1_0001.npy"]


@pytest.mark.spec("EXP-15")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("my rün", "my_r_n"),
        ("run.v2", "run.v2"),
        ("a#?*[1]", "a____1_"),
        ("-dash", "_-dash"),
        (".hidden", "_.hidden"),
        ("晶体", "__"),
        ("x=1,y%2", "x_1_y_2"),
        ("", "frame"),
    ],
)
def test_names_of_files_are_legal_for_every_reader(name: str, expected: str) -> None:
    assert file_prefix(name) == expected


@pytest.mark.parametrize("words", [["--frames", "0:99"], ["--frames", "x"], ["--prefix", "a/b"],
["--prefix", "a#b"], ["--prefix", "a" * 300], ["--prefix", ".a"],
                                   ["--scale", "0"], ["--adc-offset", "70000"]])  # fmt: skip
def test_what_cannot_be_is_one_line_and_writes_nothing(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    out = tmp_path / "out"
    assert export(run, "smv", out, *words) == ExitStatus.BAD_INPUT
    assert capsys.readouterr().err.count("\n") == 1
    assert not out.exists()


@pytest.mark.spec("EXP-4")
def test_geometry_that_a_header_cannot_describe_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    detector = {"rotation_deg": [0.0, 0.0, 10.0]}
    run = make(tmp_path / "tilt.zarr", detector=detector)
    assert export(run, "cbf", tmp_path / "c") == 0
    assert "--format nxmx" in capsys.readouterr().err
    assert export(run, "nxmx", tmp_path / "n") == 0
    assert "nxmx" not in capsys.readouterr().err
    with h5py.File(tmp_path / "n" / "tilt_1_master.h5") as file:
        module = file["entry/instrument/detector/module_0000"]
        fast = module["fast_pixel_direction"].attrs["vector"]
        slow = module["slow_pixel_direction"].attrs["vector"]
    assert np.cross(fast, slow)[2] == pytest.approx(np.cos(np.deg2rad(10.0)))


@pytest.mark.spec("EXP-4")
@pytest.mark.parametrize("form", ["smv", "cbf", "nxmx", "expt"])
def test_a_curved_panel_is_said_to_be_described_as_flat(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make(tmp_path / "bent.zarr", detector={"curved": "cylinder_slow"})
    assert export(run, form, tmp_path / "out") == 0
    assert f"detector.curved: {form} describes flat panels alone" in capsys.readouterr().err


@pytest.mark.spec("EXP-6")
@pytest.mark.parametrize(
    ("form", "unneeded"),
    [("cbf", {"torch", "xarray"}), ("npy", {"torch", "xarray", "dask", "fabio"})],
)
def test_exporting_loads_no_kernel_and_changes_nothing_in_the_run(
    form: str, unneeded: set[str], run: Path, tmp_path: Path
) -> None:
    before = contents(run)
    code = (
        "import sys; from distbragg.cli.main import main; status = main(sys.argv[1:]); "
        f"sys.exit(status or {unneeded} & sys.modules.keys() or 0)"
    )
    words = ["export", str(run), "--format", form, "-o", str(tmp_path), "--cluster", "serial"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert contents(run) == before


@pytest.mark.spec("EXP-10")
def test_masked_pixels_are_exported_as_the_format_marks_them(tmp_path: Path) -> None:
    run = make(tmp_path / "scan.zarr", axes=SERIES[:1], detector={"roi": [2, 20, 0, 14]})
    inside = np.zeros((17, 23), dtype=bool)
    inside[:15, 2:21] = True
    stack = db.open_stack(run)["images"].values[0]
    assert stack[inside].max() > 1
    marks = {"smv": 0, "cbf": -1, "tiff": -1.0, "npy": 0.0}
    for form, mark in marks.items():
        assert export(run, form, tmp_path / form, "--frames", "0:1") == 0
        suffix, read = READERS[form]
        found = read(tmp_path / form / f"scan_0001{suffix}")
        if form == "smv":
            assert (found[inside] >= 0).all()
            found = found + np.where(inside, 0.0, DEFAULT_ADC_OFFSET)
        np.testing.assert_array_equal(found, np.where(inside, stack, mark), err_msg=form)
    assert export(run, "nxmx", tmp_path / "nxmx", "--compression", "gzip") == 0
    with h5py.File(tmp_path / "nxmx" / "scan_master.h5") as file:
        mask = file["entry/instrument/detector/pixel_mask"][()].reshape(17, 23)
    np.testing.assert_array_equal(mask == 0, inside)
