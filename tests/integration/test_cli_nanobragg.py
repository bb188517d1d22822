"""`distbragg nanobragg`: the files of nanoBragg's command line, and only those named."""

from __future__ import annotations

import shlex
from pathlib import Path

import fabio
import numpy as np
import pytest
import xarray as xr

import distbragg as db
from distbragg.cli.main import main
from distbragg.spec.nanobragg import parse_nanobragg
from distbragg.spec.nanobragg_flags import FLAGS

FLAGS_USED = (
    "-cell 50 60 70 90 90 90 -default_F 100 -misset 10 20 30 -N 5 -lambda 1.0 -distance 100 "
    "-detpixels_f 23 -detpixels_s 17 -pixel 0.4 -oversample 1 -fluence 1e28"
)
IMAGES = ("-floatfile", "-intfile", "-noisefile", "-pgmfile")


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")


def run(extra: str, flags: str = FLAGS_USED) -> int:
    return main(["nanobragg", *shlex.split(flags), *shlex.split(extra)])


def names() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


def floats() -> np.ndarray:
    return np.fromfile("f.bin", dtype="<f4").reshape(17, 23)


def test_all_four_files_are_written_and_agree() -> None:
    assert run("-floatfile f.bin -intfile i.img -noisefile n.img -pgmfile p.pgm -seed 3") == 0
    assert names() == ["f.bin", "i.img", "n.img", "p.pgm"]
    image = floats()
    expected = db.render(parse_nanobragg(shlex.split(FLAGS_USED)).spec)["images"].to_numpy()
    assert np.array_equal(image, expected)
    counts = fabio.open("i.img").data
    peak = float(image.max())
    assert np.array_equal(counts, np.floor(image.astype(np.float64) * (55000 / peak) + 40.5))
    drawn = fabio.open("n.img").data.astype(np.int64) - 40
    assert abs(drawn.sum() - image.sum()) < 6 * np.sqrt(image.sum())
    levels = np.frombuffer(Path("p.pgm").read_bytes()[-17 * 23 :], dtype=np.uint8)
    scale = 50 / image.std(ddof=1, dtype=np.float64)
    assert np.array_equal(levels, np.minimum(image.ravel() * scale, 255).astype(np.uint8))


@pytest.mark.parametrize("flag", IMAGES)
def test_nothing_is_written_that_is_not_named(flag: str) -> None:
    assert run(f"{flag} only.out") == 0
    assert names() == ["only.out"]


def test_naming_no_output_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("") == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "-floatfile" in err
    assert names() == []


def test_noise_and_preview_can_be_switched_off_again() -> None:
    assert run("-floatfile f.bin -noisefile n.img -nonoise -pgmfile p.pgm -nopgm") == 0
    assert names() == ["f.bin"]


def test_scales_and_offset_are_those_given() -> None:
    assert run("-floatfile f.bin -intfile i.img -scale 2 -adc 10 -pgmfile p.pgm -pgmscale 3") == 0
    image = floats().astype(np.float64)
    assert np.array_equal(fabio.open("i.img").data, np.minimum(np.floor(image * 2 + 10.5), 65535))
    data = Path("p.pgm").read_bytes()
    assert b"# pixels scaled by 3\n" in data
    levels = np.frombuffer(data[-17 * 23 :], dtype=np.uint8).reshape(17, 23)
    assert np.array_equal(levels, np.minimum(image * 3, 255).astype(np.uint8))


def test_pixels_outside_the_region_of_interest_are_zero_without_offset() -> None:
    assert run("-floatfile f.bin -intfile i.img -noisefile n.img -roi 4 11 2 9") == 0
    inside = np.zeros((17, 23), dtype=bool)
    inside[2:10, 4:12] = True
    assert np.all(floats()[~inside] == 0)
    for name in ("i.img", "n.img"):
        counts = fabio.open(name).data
        assert np.all(counts[~inside] == 0)
        assert np.all(counts[inside] >= 40)


def test_noise_follows_the_seed() -> None:
    for name, seed in (("a.img", 1), ("b.img", 1), ("c.img", 2)):
        assert run(f"-noisefile {name} -seed {seed}") == 0
    assert Path("a.img").read_bytes() == Path("b.img").read_bytes()
    assert Path("a.img").read_bytes() != Path("c.img").read_bytes()


def test_the_noise_image_is_that_of_a_noisy_stack() -> None:
    assert run("-noisefile n.img -seed 5 --precision float64") == 0
    arguments = shlex.split(f"{FLAGS_USED} -seed 5 --precision float64")
    spec = parse_nanobragg(arguments).spec
    noisy = spec.model_copy(update={"noise": spec.noise.model_copy(update={"photon": True})})
    photons = db.render(noisy)["images"].to_numpy()
    assert np.array_equal(fabio.open("n.img").data, np.minimum(photons + 40, 65535))


def test_the_header_states_the_geometry() -> None:
    assert run("-intfile i.img -phi 12 -osc 2 -phisteps 2 -Xbeam 3 -Ybeam 4 -adc 41") == 0
    header = fabio.open("i.img").header
    expected = {
        "SIZE1": 23, "SIZE2": 17, "PIXEL_SIZE": 0.4, "DISTANCE": 100, "WAVELENGTH": 1,
        "BEAM_CENTER_X": 3, "BEAM_CENTER_Y": 4, "PHI": 12, "OSC_START": 12, "OSC_RANGE": 2,
        "ADC_OFFSET": 41,
    }  # fmt: skip
    assert {key: float(header[key]) for key in expected} == expected
    assert header["DATE"] == "Thu Jan  1 00:00:00 1970"


# Headers that nanoBragg.c wrote for HEADER_FLAGS and these flags, SIZE and TYPE keys left out.
HEADER_FLAGS = (
    "-cell 25 31 35 80 85 75 -default_F 10 -N 5 -lambda 1.1 -distance 80 -detpixels_f 96 "
    "-detpixels_s 72 -pixel 0.4 -oversample 1"
)
HEADERS = {
    "-Xbeam 10 -Ybeam 25 -detector_rotx 5 -detector_roty -3 -detector_rotz 7 -phi 15 -osc 2 "
    "-phisteps 5": {
        "DISTANCE": "80", "BEAM_CENTER_X": "10", "BEAM_CENTER_Y": "25", "ADXV_CENTER_X": "25.2",
        "ADXV_CENTER_Y": "18.6", "MOSFLM_CENTER_X": "10", "MOSFLM_CENTER_Y": "25",
        "DENZO_X_BEAM": "10.2", "DENZO_Y_BEAM": "25.2",
        "DIALS_ORIGIN": "-24.1819,12.4198,-79.7519", "XDS_ORGX": "71.7253",
        "XDS_ORGY": "0.813405", "CLOSE_DISTANCE": "79.2949", "PHI": "15", "OSC_RANGE": "2",
        "TWOTHETA": "0",
    },
    "-xds -ORGX 30.5 -ORGY 41.25": {
        "DISTANCE": "80", "BEAM_CENTER_X": "12", "BEAM_CENTER_Y": "16.3", "ADXV_CENTER_X": "12",
        "ADXV_CENTER_Y": "12.5", "MOSFLM_CENTER_X": "16.1", "MOSFLM_CENTER_Y": "11.8",
        "DENZO_X_BEAM": "16.3", "DENZO_Y_BEAM": "12", "DIALS_ORIGIN": "80,-16.3,12",
        "XDS_ORGX": "30.5", "XDS_ORGY": "41.25", "CLOSE_DISTANCE": "80", "PHI": "0",
        "OSC_RANGE": "0", "TWOTHETA": "0",
    },
    "-twotheta 12": {
        "DISTANCE": "78.2518", "BEAM_CENTER_X": "14.6", "BEAM_CENTER_Y": "19.4",
        "ADXV_CENTER_X": "19.6", "ADXV_CENTER_Y": "13.6365", "MOSFLM_CENTER_X": "14.9635",
        "MOSFLM_CENTER_Y": "19.4", "DENZO_X_BEAM": "15.1635", "DENZO_Y_BEAM": "19.6",
        "DIALS_ORIGIN": "-19.6,14.4766,-83.0771", "XDS_ORGX": "49.5", "XDS_ORGY": "79.0823",
        "CLOSE_DISTANCE": "78.2518", "PHI": "0", "OSC_RANGE": "0", "TWOTHETA": "12",
    },
}  # fmt: skip


@pytest.mark.parametrize("flags", HEADERS)
def test_the_header_is_the_one_the_c_program_writes(flags: str) -> None:
    assert run(f"{flags} -intfile i.img", HEADER_FLAGS) == 0
    text = Path("i.img").read_bytes()[:512].decode("ascii").partition("\f")[0]
    header = dict(line.rstrip(";").split("=") for line in text.strip("{}\n").splitlines())
    assert {key: header[key] for key in HEADERS[flags]} == HEADERS[flags]


def test_a_stack_is_written_beside_the_files() -> None:
    assert run("-floatfile f.bin -o stack.zarr") == 0
    assert names() == ["f.bin", "stack.zarr"]
    assert np.array_equal(xr.open_zarr("stack.zarr")["images"].values, floats())
    assert run("-floatfile g.bin -o stack.zarr") == 0
    assert Path("g.bin").read_bytes() == Path("f.bin").read_bytes()


def test_tiles_and_physics_are_options_beside_the_flags() -> None:
    assert run("-floatfile f.bin --tile 5x7 --precision float64 --threads 1") == 0
    tiled = floats().copy()
    assert run("-floatfile f.bin --precision float64") == 0
    assert np.array_equal(tiled, floats())
    assert run("-floatfile f.bin -polar 0.9 --physics exact") == 0
    assert not np.array_equal(tiled, floats())


@pytest.mark.parametrize(
    "extra",
    [
        "-floatfile f.bin -frobnicate 3",
        "-floatfile f.bin -lambda",
        "-floatfile f.bin -lambda red",
        "-floatfile f.bin -hkl absent.hkl",
        "-floatfile no/such/folder/f.bin",
        "-intfile .",
        "-floatfile f.bin --cluster nowhere",
        "-floatfile f.bin -distance 0",
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    extra: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(extra) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1, err
    assert names() == []


def test_ignored_flags_are_named_in_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("-floatfile f.bin -coherent -coherent -printout") == 0
    lines = capsys.readouterr().err.splitlines()
    assert all(line.startswith("distbragg: warning: ") for line in lines)
    assert sum("-coherent" in line for line in lines) == 1
    assert sum("-printout" in line for line in lines) == 1


@pytest.mark.parametrize("flag", ["-h", "-help", "--help"])
def test_help_lists_every_flag_and_what_becomes_of_it(
    flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["nanobragg", flag]) == 0
    text = capsys.readouterr().out
    for name in FLAGS:
        assert name in text
    assert "only with --physics exact" in text
    assert max(len(line) for line in text.splitlines()) <= 100


@pytest.mark.cluster
def test_a_cluster_renders_the_same_bits() -> None:
    assert run("-floatfile f.bin --tile 5x7 --precision float64") == 0
    alone = floats().copy()
    assert run("-floatfile f.bin --tile 5x7 --precision float64 --cluster local:2") == 0
    assert names() == ["f.bin"]
    assert np.array_equal(alone, floats())


@pytest.mark.spec("CLI-22")
def test_departures_from_the_program_are_one_line_and_stored(
    capsys: pytest.CaptureFixture[str],
) -> None:
    sensor = "-detector_thick 100 -detector_abs 200 -detector_thicksteps 2"
    assert run(f"-floatfile f.bin -o out.zarr {sensor} -oversample_thick --kernel eager") == 0
    lines = capsys.readouterr().err.splitlines()
    for place in ("sampling.per_sample_capture", "compute.kernel"):
        (line,) = [line for line in lines if line.startswith(f"warning: {place}: ")]
        assert line.removeprefix("warning: ") in str(xr.open_zarr("out.zarr").attrs)
    assert run("-floatfile f.bin -oversample_thick") == 0
    assert "per_sample_capture" not in capsys.readouterr().err
