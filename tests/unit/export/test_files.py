"""Headerless files, and files written whole."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import pytest

from distbragg.errors import EnvironmentFailure
from distbragg.export.files import write_float32, write_npy, write_pgm, write_whole


def test_raw_floats_are_little_endian_rows_of_fast_pixels(tmp_path: Path) -> None:
    image = np.arange(15, dtype=np.float64).reshape(3, 5)
    write_float32(tmp_path / "a.bin", image)
    assert (tmp_path / "a.bin").stat().st_size == 60
    assert np.array_equal(np.fromfile(tmp_path / "a.bin", dtype="<f4").reshape(3, 5), image)


def test_pgm_reads_back(tmp_path: Path) -> None:
    levels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    write_pgm(tmp_path / "a.pgm", levels, 2.5)
    data = (tmp_path / "a.pgm").read_bytes()
    assert data.startswith(b"P5\n4 3\n# pixels scaled by 2.5\n255\n")
    assert data[-12:] == bytes(range(12))


def test_npy_keeps_the_dtype(tmp_path: Path) -> None:
    write_npy(tmp_path / "a.npy", np.ones((2, 3), dtype=np.float32))
    back = np.load(tmp_path / "a.npy")
    assert (back.dtype, back.shape) == (np.float32, (2, 3))


def test_a_file_gets_the_usual_mode_and_no_litter_stays(tmp_path: Path) -> None:
    write_whole(tmp_path / "x", b"1")
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o666 & ~umask
    assert os.listdir(tmp_path) == ["x"]


def test_a_failed_write_leaves_the_old_file_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x").write_bytes(b"old")

    def refuse(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(Path, "replace", refuse)
    told = "no space left on the file system; free space, then give the command again"
    with pytest.raises(EnvironmentFailure, match=told):  # also where no run is written
        write_whole(tmp_path / "x", b"new")
    assert os.listdir(tmp_path) == ["x"]
    assert (tmp_path / "x").read_bytes() == b"old"


def test_a_device_is_written_to_and_not_replaced() -> None:
    write_whole("/dev/null", b"x")
    assert not Path("/dev/null").is_file()


def test_a_missing_folder_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "no" / "x", b"")
