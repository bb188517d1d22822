"""Running the C program: how it is found, called and compared, with a program of our own."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime

import numpy as np
import pytest

from distbragg.errors import EnvironmentFailure
from distbragg.kernel.options import KernelOptions
from tools.c_program import c_binary
from tools.evidence import live_parity as module
from tools.evidence.bundle import Bundle
from tools.evidence.live_parity import compare_images, live_parity

MODEL = KernelOptions("float64", "model", "cpu", 1)
NAMES = {"name": "n", "physics": "exact", "files": "f"}

FLAT = """#!/bin/sh
# Writes 96 x 96 float32 ones.
for last; do :; done
head -c 36864 /dev/zero | tr '\\000' '?' > "$last"
"""
"""`????` is 0.7476… as a float32: positive and finite, which is all that is asked of it."""


def make_program(folder, text: str):
    path = folder / "nanoBragg"
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def make_bundle(folder) -> Bundle:
    return Bundle.create(folder, "source-weights", now=datetime(2026, 1, 2, tzinfo=UTC))


def test_without_the_variable_there_is_no_program(monkeypatch):
    monkeypatch.delenv("NB_C_BIN", raising=False)
    assert c_binary() is None


def test_a_variable_that_names_no_program_is_an_error(monkeypatch, tmp_path):
    (tmp_path / "text").write_text("no program")
    for name in ("nowhere", "text"):
        monkeypatch.setenv("NB_C_BIN", str(tmp_path / name))
        with pytest.raises(EnvironmentFailure, match="is not an executable file"):
            c_binary()


def test_every_case_is_run_once_in_a_folder_of_its_own_and_recorded(monkeypatch, tmp_path):
    monkeypatch.setenv("NB_C_BIN", str(make_program(tmp_path, FLAT)))
    bundle = make_bundle(tmp_path)
    before = sorted(os.listdir())
    found = live_parity(c_binary(), bundle, MODEL)
    assert sorted(os.listdir()) == before
    assert found.column_is_unused
    assert [row.physics for row in found.rows].count("nanobragg") == 6
    assert all(np.isfinite(row.ratio) for row in found.rows)
    commands = (bundle.path / "commands.txt").read_text()
    assert commands.count(" nanoBragg -cell ") == 7
    assert str(tmp_path) not in commands
    assert len(list((bundle.path / "inputs").iterdir())) == 5


@pytest.mark.parametrize("text", ["#!/bin/sh\nexit 3\n", "#!/bin/sh\nexit 0\n"])
def test_a_program_that_makes_no_image_is_an_error(tmp_path, text):
    with pytest.raises(EnvironmentFailure, match="and no image"):
        live_parity(make_program(tmp_path, text), make_bundle(tmp_path), MODEL)


def test_the_worst_pixel_is_found_where_it_is():
    expected = np.full((5, 7), 2.0)
    found = expected.copy()
    found[3, 4] = 2.5
    row = compare_images(found, expected + np.eye(5, 7) * 0.0, **NAMES)
    assert (row.worst, row.where) == (0.25, (3, 4))
    assert row.ratio == pytest.approx(1.0 + 0.5 / 70.0)


def test_faint_pixels_are_not_compared_and_images_that_are_not_finite_are_counted():
    expected = np.array([[1.0, 1e-12]])
    assert compare_images(np.array([[1.0, 1.0]]), expected, **NAMES).worst == 0.0
    expected[0, 0] = np.nan
    assert compare_images(np.ones((1, 2)), expected, **NAMES).not_finite == 1


def test_source_files_differ_in_what_they_are_to_show():
    files = module._FILES
    weights = {name: [line.split()[3] for line in text.splitlines() if line[0] == "-"]
               for name, text in files.items()}  # fmt: skip
    assert set(weights["unit_weights.txt"]) == {"1"}
    assert weights["with_comments.txt"] == weights["weighted.txt"]
    assert {line.split()[4] for line in files["one_wavelength.txt"].splitlines()} == {
        "1e-10", "1.00e-10",
    }  # fmt: skip
