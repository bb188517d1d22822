"""Frames of several panels in the files of other programs, read back with their geometry."""

from __future__ import annotations

import json
from pathlib import Path

import fabio
import h5py
import numpy as np
import nxmx
import pytest
import yaml

import distbragg as db
from distbragg.cli.main import main
from distbragg.engine.context import RunContext
from distbragg.errors import InputError
from distbragg.read.geometry.model import FileGeometry
from distbragg.read.geometry.read import read_geometry
from distbragg.run.export import export_run
from distbragg.run.frame_header import frame_geometry, frame_header
from distbragg.spec.load import parse_sweep
from distbragg.store.open import open_stack
from distbragg.store.run_directory import open_run
from tests.geometry_files import expt, expt_panel
from tests.integration.conftest import tiny_plain

FRAMES = 3
TILT = [0.8, 0.0, -0.6]
PANELS = [
    expt_panel("left", [-6.5, 2.5, -60.0]),
    expt_panel("right", [0.5, 2.5, -60.0], image_size=[7, 8], fast_axis=TILT, mask=[[2, 3, 5, 4]]),
]
"""Two panels, the second smaller and tilted, so that it is padded in the stack."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("panels")
    document = expt(PANELS, scan=[{"image_range": [1, 3], "oscillation": [5.0, 0.5]}])
    (folder / "two.expt").write_text(json.dumps(document))
    sweep = {
        "experiment": {
            "beam": {"fluence_photons_per_m2": 1e27},
            "crystal": {"block_cells": [5, 5, 5]},
            "structure_factors": {"default_f_electrons": 100.0},
            "detector": {"geometry_file": "two.expt"},
            "goniometer": {"steps": 2},
            "sampling": {"oversample": 1},
            "noise": {"photon": True, "seed": 4},
        },
        "axes": [
            {"name": "phi", "path": "goniometer.phi_deg", "values": [5.0, 5.5, 6.0]},
        ],
    }
    (folder / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    stack = folder / "run.zarr"
    assert main(["sweep", str(folder / "sweep.yaml"), "-o", str(stack), "--cluster", "serial"]) == 0
    return stack


def export(run: Path, form: str, *more: str) -> Path:
    out = run.parent / form
    assert main(["export", str(run), "--format", form, "-o", str(out), *more]) == 0
    return out


def images(run: Path) -> np.ndarray:
    with open_stack(run) as stack:
        return np.asarray(stack["images"].values)


def assert_same_panels(first: FileGeometry, second: FileGeometry, turn: np.ndarray) -> None:
    """The panels of `second`, turned, are those of `first`."""
    for one, other in zip(first.panels, second.panels, strict=True):
        assert one.shape == other.shape
        assert one.pixel_size == pytest.approx(other.pixel_size, rel=1e-14)
        np.testing.assert_allclose(one.origin, turn @ other.origin, rtol=1e-13, atol=1e-13)
        np.testing.assert_allclose(one.fast, turn @ other.fast, atol=1e-15)
        np.testing.assert_allclose(one.slow, turn @ other.slow, atol=1e-15)


@pytest.mark.spec("EXP-9")
def test_an_exported_experiment_list_is_the_one_the_run_was_made_from(run: Path):
    found = read_geometry(str(export(run, "expt") / "run.expt"))
    given = read_geometry(str(run.parent / "two.expt"))
    assert [panel.name for panel in found.panels] == ["left", "right"]
    assert_same_panels(found, given, np.eye(3))
    assert (found.beam, found.wavelength, found.spindle) == (
        given.beam, given.wavelength, given.spindle,
    )  # fmt: skip
    assert (found.phi, found.oscillation) == (5.0, 0.5)
    assert found.polarization_fraction == pytest.approx(0.99)
    np.testing.assert_allclose(np.abs(found.polarization), np.abs(given.polarization), atol=1e-15)
    np.testing.assert_allclose(found.real_space, given.real_space, rtol=1e-13, atol=1e-13)


@pytest.mark.spec("EXP-8")
def test_the_nexus_master_reads_back_to_the_same_panels(run: Path):
    out = export(run, "nxmx", "--compression", "gzip")
    given = read_geometry(str(run.parent / "two.expt"))
    mcstas = np.diag([-1.0, 1.0, -1.0])
    found = read_geometry(str(out / "run_master.h5"))
    assert_same_panels(found, given, mcstas)
    np.testing.assert_allclose(found.spindle, mcstas @ given.spindle, atol=1e-15)
    (good,) = (panel.mask for panel in found.panels if panel.mask is not None)
    assert np.argwhere(~good).tolist() == [[3, 2], [3, 3], [3, 4]]


@pytest.mark.spec("EXP-8")
def test_the_nxmx_reader_finds_every_module_where_the_stack_has_it(run: Path):
    out = export(run, "nxmx", "--compression", "gzip")
    header = frame_header(RunContext.of(open_run(run)), 0)
    with h5py.File(out / "run_master.h5") as file:
        (entry,) = nxmx.NXmx(file).entries
        assert entry.definition == "NXmx"
        (detector,) = entry.instruments[0].detectors
        assert len(detector.modules) == len(header.panels)
        assert entry.instruments[0].beams[0].incident_wavelength.to("angstrom").magnitude == 1.1
        for module, panel in zip(detector.modules, header.panels, strict=True):
            assert tuple(module.data_size) == panel.shape
            chain = nxmx.get_dependency_chain(module.fast_pixel_direction)
            origin = nxmx.get_cumulative_transformation(chain)[0, :3, 3]
            # The chain includes one pixel's step along fast, which the origin lacks.
            fast = np.array(module.fast_pixel_direction.vector)
            origin = origin - fast * panel.pixel_size
            np.testing.assert_allclose(origin * [-1, 1, -1], panel.origin, atol=1e-9)
            np.testing.assert_allclose(fast * [-1, 1, -1], panel.fast, atol=1e-12)
            slow = np.array(module.slow_pixel_direction.vector)
            np.testing.assert_allclose(slow * [-1, 1, -1], panel.slow, atol=1e-12)
        stored = file["/entry/data/data"][()]
    np.testing.assert_array_equal(stored.reshape(FRAMES, 2, 10, 12), images(run))


@pytest.mark.spec("GEO-14")
def test_files_of_a_panel_hold_its_own_pixels_alone(run: Path):
    expected = images(run)
    assert expected[:, 1].any()
    out = export(run, "cbf")
    detector = frame_geometry(RunContext.of(open_run(run)), 0)[1].detector
    masked = [~np.asarray(panel.active) for panel in detector.panels]
    assert masked[1][:8, :7].sum() == 3
    for frame in range(FRAMES):
        for panel, (slow, fast) in enumerate(((10, 12), (8, 7))):
            path = out / f"run_{frame + 1:04d}_p{panel:03d}.cbf"
            with fabio.open(str(path)) as image:
                found = np.asarray(image.data)
            own = np.where(masked[panel], -1, expected[frame, panel])[:slow, :fast]
            np.testing.assert_array_equal(found, own)
    assert not expected[:, 1, 8:].any()
    assert not expected[:, 1, :, 7:].any()


@pytest.mark.spec("EXP-11")
def test_render_writes_a_file_of_each_panel(run: Path, tmp_path: Path):
    single = yaml.safe_load((run.parent / "sweep.yaml").read_text())["experiment"]
    single["detector"]["geometry_file"] = str(run.parent / "two.expt")
    (tmp_path / "still.yaml").write_text(
        yaml.safe_dump({**single, "goniometer": {"phi_deg": 5.0, "steps": 2}})
    )
    assert main(["render", str(tmp_path / "still.yaml"), "-o", str(tmp_path / "out.cbf")]) == 0
    assert sorted(path.name for path in tmp_path.glob("*cbf")) == ["out_p000.cbf", "out_p001.cbf"]
    export(run, "cbf")
    for panel in range(2):
        (there,) = (run.parent / "cbf").glob(f"*_0001_p{panel:03d}.cbf")
        ours = fabio.open(str(tmp_path / f"out_p{panel:03d}.cbf")).data
        assert (ours == fabio.open(str(there)).data).all()


@pytest.mark.spec("EXP-4")
@pytest.mark.parametrize("form", ["npy", "nxmx", "cxi", "cbf", "png", "expt"])
def test_panels_along_the_beam_are_refused_before_there_is_a_folder(tmp_path: Path, form: str):
    along = [{"origin_mm": [60, -8, -10], "fast": [1, 0, 0], "slow": [0, 0, 1]}]
    plain = tiny_plain(detector={"distance_mm": None, "panels": along})
    db.sweep(parse_sweep({"experiment": plain}), tmp_path / "RUN", cluster="serial")
    told = "parallel to the beam: headers have no beam centre for it; .*zarr2, hdf5 or webdataset"
    with pytest.raises(InputError, match=told):
        export_run(tmp_path / "RUN", form, out=tmp_path / "out", cluster="serial")
    assert not (tmp_path / "out").exists()
    export_run(tmp_path / "RUN", "hdf5", out=tmp_path / "out", cluster="serial")
