"""NXmx master and data files, read back by h5py; geometry by following the transformations."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from itertools import repeat
from pathlib import Path

import h5py
import numpy as np
import pytest

from distbragg.errors import EnvironmentFailure
from distbragg.export import nxmx
from distbragg.export.beams import FrameBeam
from distbragg.export.header import FrameHeader, PanelHeader
from distbragg.export.nxmx import (
    DATA,
    best_compression,
    is_whole_data_file,
    write_data_file,
    write_master,
)
from distbragg.export.scaling import COUNT_CUTOFF
from distbragg.export.smv import SmvGeometry

SMV = SmvGeometry(0.1, 100, 100, 1, (0, 0), 0, 0, 0, (0, 0, 0), (0, 0))  # type: ignore[arg-type]
TILT = np.sqrt(0.5)
PANELS = (
    PanelHeader("upper", (7, 23), 0.1, 100.0, (11.5, 7.0), (-1.15, 0.7, -100.0),
                (1.0, 0.0, 0.0), (0.0, -1.0, 0.0), 0.45, SMV),
    PanelHeader("lower", (7, 23), 0.1, 100.0, (11.5, -1.0), (-1.15, -0.1, -100.0),
                (1.0, 0.0, 0.0), (0.0, -TILT, TILT), 0.45, SMV),
)  # fmt: skip
HEADER = FrameHeader(
    title="test",
    wavelength=1.25,
    phi=10.0,
    oscillation=0.5,
    spindle=(1.0, 0.0, 0.0),
    panels=PANELS,
    counts=True,
    exposure=0.1,
    date="2026-11-23T07:00:00",
)
FRAMES, SHAPE = 5, (14, 23)
INSTALLED = importlib.util.find_spec("hdf5plugin") is not None
COMPRESSIONS = ["gzip", "none", *(["bitshuffle"] if INSTALLED else [])]


def images(dtype: str = "float32") -> np.ndarray:
    values = np.random.default_rng(7).integers(0, 1000, size=(FRAMES, 2, 7, 23))
    return values.astype(dtype)


def write(folder: Path, *, compression: str = "gzip", counts: bool = True) -> Path:
    stack, files, start = images(), {}, 0
    for number, size in enumerate((3, 2), start=1):
        name = f"t_{number:06d}.h5"
        write_data_file(
            folder / name,
            iter(stack[start : start + size]),
            (size, *SHAPE),
            stack.dtype,
            counts=counts,
            compression=compression,  # type: ignore[arg-type]
            identity=f"i{number}",
        )
        files[name] = size
        start += size
    mask = np.zeros(SHAPE, dtype=bool)
    mask[2, 3] = True
    master = folder / "t_master.h5"
    header = replace(HEADER, counts=counts)
    phi = 10.0 + 0.5 * np.arange(FRAMES)
    beam = FrameBeam(1.25, np.array([1.25]), np.ones(1), bandwidth=0.0, divergence=0.0)
    write_master(
        master,
        files,
        header,
        phi,
        mask,
        beams=lambda: repeat(beam, FRAMES),
        dtype=stack.dtype,
        program="distbragg x",
    )
    return master


@pytest.mark.spec("EXP-1")
@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("counts", [True, False])
def test_h5py_reads_the_stack_through_the_master(
    tmp_path: Path, compression: str, counts: bool
) -> None:
    master = write(tmp_path, compression=compression, counts=counts)
    with h5py.File(master) as file:
        data = file[DATA]
        assert data.dtype == (np.int32 if counts else np.float32)
        np.testing.assert_array_equal(data[()], images().reshape(FRAMES, *SHAPE))
        second = file["entry/data/data_000002"]
        np.testing.assert_array_equal(second[()], images()[3:].reshape(2, *SHAPE))


def test_a_moved_folder_still_reads(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    write(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")
    with h5py.File(tmp_path / "b" / "t_master.h5") as file:
        np.testing.assert_array_equal(file[DATA][4], images()[4].reshape(SHAPE))


@pytest.mark.spec("EXP-4")
def test_every_module_has_its_own_place_and_axes_in_mcstas(tmp_path: Path) -> None:
    with h5py.File(write(tmp_path)) as file:
        detector = file["entry/instrument/detector"]
        for index, panel in enumerate(PANELS):
            module = detector[f"module_{index:04d}"]
            assert module["data_origin"][()].tolist() == [7 * index, 0]
            assert module["data_size"][()].tolist() == [7, 23]
            flip = np.array([-1.0, 1.0, -1.0])
            np.testing.assert_allclose(
                module["module_offset"].attrs["offset"], panel.origin * flip * 1e-3
            )
            for axis, vector in (("fast", panel.fast), ("slow", panel.slow)):
                dataset = module[f"{axis}_pixel_direction"]
                np.testing.assert_allclose(dataset.attrs["vector"], vector * flip)
                assert dataset[0] == pytest.approx(1e-4)
                assert file[dataset.attrs["depends_on"]].name == module["module_offset"].name
        assert detector["saturation_value"][()] == COUNT_CUTOFF
        assert np.argwhere(detector["pixel_mask"][()]).tolist() == [[2, 3]]
        sample = file["entry/sample"]
        omega = file[sample["depends_on"][()].decode()]
        assert omega[()].tolist() == [10.0, 10.5, 11.0, 11.5, 12.0]
        assert omega.attrs["vector"].tolist() == [-1.0, 0.0, 0.0]
        assert sample["transformations/omega_end"][0] == 10.5
        assert file["entry/definition"][()] == b"NXmx"
        assert file["entry/instrument/beam/incident_wavelength"][()] == 1.25


@pytest.mark.spec("EXP-5")
def test_a_cut_or_foreign_data_file_is_not_whole(tmp_path: Path) -> None:
    path = tmp_path / "t_000001.h5"
    shape = (3, *SHAPE)
    assert not is_whole_data_file(path, shape, "i1")
    write(tmp_path)
    assert is_whole_data_file(path, shape, "i1")
    assert not is_whole_data_file(path, shape, "other")
    assert not is_whole_data_file(path, (2, *SHAPE), "i1")
    path.write_bytes(path.read_bytes()[:-100])
    assert not is_whole_data_file(path, shape, "i1")


def test_a_failing_frame_leaves_no_file(tmp_path: Path) -> None:
    def broken():
        yield images()[0]
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="gone"):
        write_data_file(
            tmp_path / "t.h5", broken(), (2, *SHAPE), np.dtype("float32"),
            counts=True, compression="none", identity="i",
        )  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_bitshuffle_without_its_library_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "hdf5plugin", None)
    assert best_compression() == "gzip"
    with pytest.raises(EnvironmentFailure, match=r"distbragg\[export\]"):
        nxmx.filters("bitshuffle")
