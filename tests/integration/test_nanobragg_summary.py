"""The lines of nanoBragg's standard output, as scripts read them."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest

from distbragg.cli.main import main

TRICLINIC = (
    "-cell 40 50 60 85 95 105 -default_F 10 -misset 10 20 30 -N 5 -distance 80 -lambda 1 "
    "-detpixels_f 30 -detpixels_s 20 -oversample 2 -mosaic 0.5 -mosaic_domains 3 -osc 1 "
    "-phisteps 3 -phi 5 -xds -ORGX 10 -ORGY 12 -twotheta 3 -seed 3"
)
SPREAD = (
    "-cell 79 79 38 90 90 90 -default_F 7 -misset_seed 12 -misset random -N 3 -distance 80 "
    "-detpixels 30 -dispersion 2 -dispsteps 3 -hdivrange 1 -hdivsteps 3 -vdivrange 2 "
    "-vdivsteps 3 -adxv -Xbeam 1 -Ybeam 2 -detector_rotx 3 -roi 3 20 4 25 -round_xtal "
    "-detector_abs 300 -detector_thick 200 -detector_thicksteps 3 -polar 0.9 -seed 3"
)
OF_THE_PROGRAM = """
xds convention selected.
pivoting detector around sample
XDS incident beam: 0 0.052336 0.99863
auto-selected no interpolation
Unit Cell: 40 50 60 84.9923 95.0077 105.001
Recp Cell: 0.0259401 0.0207521 0.0167681 93.8551 86.1449 75.3366
volume = 115210 A^3
X: 34.49791317 -20.31225411 22.71133838
Y:  9.14676694 44.03844987  1.08169867
crystal is 0.02 x 0.025 x 0.03 microns
approximate MW = 86718.8
phi1 = 5.33333
lambda0 = 1e-10
  created a total of 1 sources:
0 0 -10   1 1e-10
  created a total of 3 mosaic domains
  0 initialized hkls (all others =10)
  parallelpiped xtal: 5x5x5 cells
  wave=1e-10 meters +/- 0% in 1 steps
  Kahn polarization factor: 0.000000
  incident fluence: 1.25932e+29 photons/m^2
  distance=0.08 detsize=0.003x0.002  pixel=0.0001 meters (30x20 pixels)
  sensor is 0 m thick in 1 layers with mu= -1
  Xbeam=0.00095 Ybeam=0.00115
  Fbeam=0.00095 Sbeam=0.00533688
  Xclose=0.00095 Yclose=0.00115
  Fclose=0.00095 Sclose=0.00115
  DIRECTION_OF_DETECTOR_X-AXIS= 1 0 0
  DIRECTION_OF_DETECTOR_Y-AXIS= 0 0.99863 0.052336
  DIRECTION_OF_DETECTOR_Z-AXIS= 0 -0.052336 0.99863
  INCIDENT_BEAM_DIRECTION= 0 0 1
  spindle ROTATION_AXIS= 1 0 0
  POLARIZATION_PLANE_NORMAL= 0 1 0
  dials origin= 79.8302 -5.3353 0.95
  roi: 0 < x < 30 && 0 < y < 20
  hdivrange=0 hdivstep=0  radians
  3 mosaic domains over mosaic spread of 0.5 degrees
  3 phi steps from 5 to 6 degrees
  2x2 pixel oversample steps
max_I = 0.319228  at 7.5e-05 0.001175
mean= 0.00889113 rms= 0.0307191 rmsd= 0.0294021
intfile_scale = 172290
"""
"""What nanoBragg.c wrote of TRICLINIC (upstream of July 2026); its order."""

NOT_OURS = ("nanoBragg nanocrystal", "divergence deviation", "solid angle", "% done", "writing")
"""Beginnings of lines that differ on purpose: the title, what specs/departures.md lists, files
that are not written."""


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def lines_of(flags: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert main(["nanobragg", *shlex.split(flags)]) == 0
    return capsys.readouterr().out.splitlines()


@pytest.mark.spec("CLI-18")
def test_the_parameters_stand_in_the_programs_words_and_order(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = lines_of(f"{TRICLINIC} -floatfile f.bin", capsys)
    wanted = OF_THE_PROGRAM.strip("\n").splitlines()
    assert [line for line in lines if line in wanted] == wanted


@pytest.mark.spec("CLI-18")
def test_a_list_without_a_default_leaves_the_others_at_zero(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("few.hkl").write_text("0 0 1 10\n0 1 0 20\n")
    lines = lines_of("-hkl few.hkl -cell 40 -distance 100 -detpixels 4 -floatfile f.bin", capsys)
    assert "  2 initialized hkls (all others =0)" in lines


@pytest.mark.spec("CLI-18")
def test_the_results_are_those_of_the_image(capsys: pytest.CaptureFixture[str]) -> None:
    lines = lines_of(
        f"{SPREAD} -floatfile f.bin -intfile i.img -pgmfile p.pgm -noisefile n.img", capsys
    )
    image = np.fromfile("f.bin", dtype="<f4").reshape(30, 30).astype(np.float64)
    region = image[4:26, 3:21]
    slow, fast = np.unravel_index(image.argmax(), image.shape)
    x, y = (fast + 0.5) * 1e-4, (slow + 0.5) * 1e-4
    assert f"max_I = {image.max():g}  at {x:g} {y:g}" in lines
    rms = np.sqrt((region**2).sum() / (region.size - 1))
    found = f"mean= {region.mean():g} rms= {rms:g} rmsd= {region.std(ddof=1):g}"
    assert found in lines
    assert f"intfile_scale = {55000 / image.max():g}" in lines
    assert f"pgm_scale = {50 / region.std(ddof=1):g}" in lines
    assert [line for line in lines if line.startswith("writing")] == [
        "writing f.bin as 900 4-byte floats",
        "writing i.img as 2-byte integers",
        "writing p.pgm as 1-byte integers",
        "writing n.img as 2-byte integers",
    ]
    counts = np.fromfile("n.img", dtype="<u2")[256:].reshape(30, 30)[4:26, 3:21].astype(int)
    assert f"{counts.sum() - 40 * region.size} photons on noise image (0 overloads)" in lines
    assert "  seed: -3" in lines


@pytest.mark.spec("CLI-18")
def test_the_solid_angle_is_that_of_the_detector(capsys: pytest.CaptureFixture[str]) -> None:
    flags = SPREAD.replace("-detector_rotx 3 -roi 3 20 4 25", "-distance 3 -oversample 1")
    (line,) = (line for line in lines_of(f"{flags} -floatfile f", capsys) if "solid angle" in line)
    # The panel reaches from -1 to 2 mm either way, at 3 mm: four rectangles at the beam.
    u, v = np.array([[1.0], [2.0]]) / 3.0, np.array([1.0, 2.0]) / 3.0
    expected = np.arctan(u * v / np.sqrt(u * u + v * v + 1.0)).sum()
    assert float(line.split()[6]) == pytest.approx(expected, rel=0.002)


@pytest.mark.spec("CLI-18")
def test_an_image_without_light_has_no_brightest_place(capsys: pytest.CaptureFixture[str]) -> None:
    lines = lines_of("-cell 40 -default_F 1 -fluence 0 -detpixels 4 -floatfile f.bin", capsys)
    assert "max_I = 0  at 0 0" in lines
    assert "intfile_scale = 1" in lines


@pytest.mark.spec("CLI-18")
@pytest.mark.skipif("NB_C_BIN" not in os.environ, reason="NB_C_BIN does not name the C program")
@pytest.mark.parametrize("flags", [TRICLINIC, SPREAD])
def test_the_program_itself_writes_the_same_lines(
    flags: str, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = f"{flags} -floatfile f.bin -noisefile n.img -pgmfile p.pgm -intfile i.img"
    done = subprocess.run(
        [os.environ["NB_C_BIN"], *shlex.split(flags), "-noprogress"],
        capture_output=True,
        text=True,
        check=True,
    )

    def kept(lines: list[str]) -> list[str]:
        return [
            line.replace("-0 ", "0 ").replace("-0.00000000", " 0.00000000")
            for line in lines
            if not line.startswith(NOT_OURS) and "photons on noise image" not in line
        ]

    assert kept(lines_of(flags, capsys))[1:] == kept(done.stdout.splitlines())
