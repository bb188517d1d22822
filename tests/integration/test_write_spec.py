"""`distbragg nanobragg … --write-spec`: the command line as a specification of the same bits."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import fabio
import numpy as np
import pytest

from distbragg.cli.main import main
from distbragg.models.setting import with_program_wavelength
from distbragg.spec.canonical import to_plain
from distbragg.spec.load import load_spec
from distbragg.spec.nanobragg import parse_nanobragg

GOLDEN = Path(__file__).parents[1] / "golden" / "data"
INPUTS = GOLDEN / "inputs"
CASES = json.loads((GOLDEN / "cases.json").read_text())
CASES = CASES if isinstance(CASES, list) else CASES["cases"]
SUBJECT = "-cell 50 60 70 90 90 90 -default_F 100 -N 5"
DETECTOR = "-lambda 1.0 -distance 100 -detpixels_f 23 -detpixels_s 17 -pixel 0.4"
FURTHER = {
    "sources, mosaicity and rotation": (
        f"-hkl tri.hkl -mat A.mat -N 4 {DETECTOR} -sourcefile sources3.txt -phi 3 -osc 0.5 "
        "-phisteps 3 -mosaic 0.4 -mosaic_domains 3 -mosaic_seed -7"
    ),
    "geometry of an image's header": f"{SUBJECT} -img shot.img -N 4",
    "a mask and a header, a flag over both": f"{SUBJECT} -mask mask96.img -img shot.img -Xbeam 3",
    "a custom frame": (
        f"{SUBJECT} {DETECTOR} -beam_vector 0.1 1 0 -fdet_vector 1 0 0 -sdet_vector 0 0 -1 "
        "-polar_vector 0 0 1 -spindle_axis 1 0 0 -twotheta_axis 0 0 1 -twotheta 3"
    ),
    "random orientation, flux and a sample's size": (
        f"{SUBJECT} {DETECTOR} -misset random -misset_seed 5 -flux 1e12 -exposure 0.1 "
        "-beamsize 0.05 -samplesize 0.0001 -energy 12000"
    ),
    "an absorbing sensor": (
        f"{SUBJECT} {DETECTOR} -detector_abs 235 -detector_thick 450 -detector_thicksteps 3 "
        "-oversample 2 -oversample_thick -oversample_polar -oversample_omega"
    ),
    "a grid of sources and water": (
        f"{SUBJECT} {DETECTOR} -dispersion 1 -dispsteps 3 -divergence 0.5 "
        "-hdivsteps 3 -vdivsteps 2 -square_div -water 40 -polar 0.9"
    ),
    "exact physics": (
        f"-hkl tri.hkl -mat A.mat -N 4 {DETECTOR} -sourcefile sources3.txt --physics exact -hdiv 1 "
        "-pivot sample -roi 2 20 3 15 --precision float64 --tile 8x16"
    ),
    "no wavelength": f"{SUBJECT} -distance 100 -detpixels 20 -pixel 0.4",
}


@pytest.fixture(autouse=True)
def _beside_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for source in INPUTS.iterdir():
        (tmp_path / source.name).write_bytes(source.read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")


def flags_of(name: str) -> list[str]:
    if name in FURTHER:
        return shlex.split(FURTHER[name])
    return next(shlex.split(case["args"]) for case in CASES if case["id"] == name)


def write_header() -> None:
    """Write an image whose header states geometry."""
    words = "-cell 50 -default_F 1 -lambda 1.1 -distance 80 -detpixels 96 -pixel 0.2 -phi 4 -osc 1"
    words += " -Xbeam 8 -Ybeam 9 -fluence 1e24 -intfile shot.img"
    assert main(["nanobragg", *words.split()]) == 0


@pytest.mark.spec("CLI-31")
@pytest.mark.parametrize("name", [*(case["id"] for case in CASES), *FURTHER])
def test_the_specification_renders_the_bits_of_the_command(name: str) -> None:
    flags = flags_of(name)
    if "shot.img" in flags:
        write_header()
    assert main(["nanobragg", *flags, "-floatfile", "f.bin", "--write-spec", "e.yaml"]) == 0
    command = parse_nanobragg(flags)
    spec = with_program_wavelength(command.spec)
    assert to_plain(load_spec("e.yaml")) == to_plain(spec)
    assert main(["render", "e.yaml", "-o", "g.bin"]) == 0
    assert Path("g.bin").read_bytes() == Path("f.bin").read_bytes()
    assert np.fromfile("f.bin", dtype="<f4").max() > 0.0


@pytest.mark.spec("CLI-31")
def test_noise_is_drawn_as_the_command_draws_it() -> None:
    flags = shlex.split(f"{SUBJECT} {DETECTOR} -fluence 1e26 -seed 7 -noisefile n.img")
    assert main(["nanobragg", *flags, "--write-spec", "e.yaml"]) == 0
    assert "-o noise.img --set noise.photon=true" in Path("e.yaml").read_text()
    assert main(["render", "e.yaml", "-o", "m.img", "--set", "noise.photon=true"]) == 0
    assert np.array_equal(fabio.open("m.img").data, fabio.open("n.img").data)


@pytest.mark.spec("CLI-31")
def test_every_field_tells_its_flag_and_files_are_named_from_the_folder(tmp_path: Path) -> None:
    flags = shlex.split(f"-hkl tri.hkl -mat A.mat -N 4 {DETECTOR} -adc 12 -scale 3 -misset 1 2 3")
    assert main(["nanobragg", *flags, "--write-spec", "e.yaml"]) == 0
    lines = Path("e.yaml").read_text().splitlines()
    assert "  file: tri.hkl # -hkl: table of h, k, l, F in P1" in lines
    assert "  distance_mm: 100.0 # -distance: sample to detector along the beam (mm)" in lines
    assert "  convention: mosflm # no flag: as nanoBragg has it" in lines
    assert any(line.endswith("shapes nanoBragg's own files alone: -scale, -adc") for line in lines)
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix == ".img") == [
        "mask96.img"
    ]


@pytest.mark.spec("CLI-31")
def test_another_specification_is_not_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["nanobragg", *shlex.split(f"{SUBJECT} {DETECTOR}"), "--write-spec", "e.yaml"]
    assert main(flags) == 0
    assert main(flags) == 0
    written = Path("e.yaml").read_text()
    capsys.readouterr()
    assert main([*flags, "-fudge", "2"]) == 2
    assert capsys.readouterr().err.startswith("distbragg: error: e.yaml: exists already")
    assert Path("e.yaml").read_text() == written
