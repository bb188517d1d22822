"""Spectra of frames in NXmx masters, experiment lists and CrystFEL's files, read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import nxmx
import pytest

import distbragg as db
from distbragg.read.geometry.nexus_beam import read_nexus_beam
from tests.dials import dials, dxtbx, needs_dials

from .conftest import tiny_sweep

ENERGIES = np.array([9490.0, 9495.0, 9500.0, 9505.0, 9510.0])
WAVELENGTHS = 12398.42 / ENERGIES  # eV Å
CLOSED: dict[str, Any] = {
    "sampling": {"method": "closed_form", "dmin_angstrom": 10.0},
    "crystal": {
        "shape": "gauss",
        "mosaic": {"spread_deg": 0.1, "distribution": "gaussian"},
    },
}
WEIGHTS = np.array([[1, 4, 2, 0, 0], [0, 1, 3, 1, 0], [0, 0, 2, 5, 3], [2, 2, 2, 2, 2]], float)
READ_SPECTRA = """
import h5py
from dxtbx.format.nexus import BeamFactory
from dxtbx.model.experiment_list import ExperimentListFactory
spectra = []
with h5py.File(sys.argv[1]) as file:
    class Beam:
        handle = file["entry/instrument/beam"]
    for shot in range(int(sys.argv[2])):
        _, spectrum = BeamFactory(Beam).read_models(shot)
        spectra.append([list(spectrum.get_energies_eV()), list(spectrum.get_weights())])
listed = ExperimentListFactory.from_filenames([sys.argv[1]])
found = [spectra, [one.beam.get_wavelength() for one in listed]]
"""


def render(path: Path, axes: list[dict[str, Any]], **changes: Any) -> Path:
    db.resume(db.create(tiny_sweep(axes, **changes), path), cluster="serial")
    return path


def shots_file(folder: Path) -> Path:
    path = folder / "shots.h5"
    with h5py.File(path, "w") as file:
        file["weights"] = WEIGHTS
        file["energies"] = ENERGIES
        file["energies"].attrs["units"] = "eV"
    return path


def of_shots(folder: Path) -> dict[str, Any]:
    names = {"weights_dataset": "weights", "channels_dataset": "energies"}
    spectrum = {"file": str(shots_file(folder)), "shot": 0, **names}
    return {"wavelength_angstrom": None, "spectrum": spectrum}


@pytest.fixture(scope="module")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shots")
    shot = {"name": "shot", "path": "beam.spectrum.shot", "values": [0, 1, 2, 3]}
    return render(folder / "shots.zarr", [shot], beam=of_shots(folder), noise={"photon": True})


def master(run: Path, out: Path) -> Path:
    return db.export_run(run, "nxmx", out=out, compression="gzip").opens


@pytest.mark.spec("EXP-14")
def test_frames_of_one_geometry_share_a_master_and_keep_their_spectra(
    shots: Path, tmp_path: Path
) -> None:
    path = master(shots, tmp_path)
    assert sorted(one.name for one in tmp_path.glob("*_master.h5")) == ["shots_master.h5"]
    shares = WEIGHTS / WEIGHTS.sum(axis=1, keepdims=True)
    with h5py.File(path) as file:
        beam = file["entry/instrument/beam"]
        mean = beam["incident_wavelength"]
        np.testing.assert_allclose(mean[()], shares @ WAVELENGTHS, rtol=1e-12)
        name = mean.attrs["variant"]
        np.testing.assert_allclose(beam[name][()], WAVELENGTHS[::-1], rtol=1e-12)
        np.testing.assert_allclose(beam[f"{name}_weights"][()], shares[:, ::-1], rtol=1e-12)
        assert beam[f"{name}_weight"] == beam[f"{name}_weights"]
        assert file["entry/data/data"].shape[0] == 4
        entry = nxmx.NXmx(file).entries[0]
        read = entry.instruments[0].beams[0].incident_wavelength.to("angstrom").magnitude
        np.testing.assert_allclose(read, shares @ WAVELENGTHS, rtol=1e-12)
    for shot in range(4):
        found = read_nexus_beam(str(path), shot)
        assert found.spectrum is not None
        lit = found.spectrum.weight > 0.0
        own = shares[shot, ::-1]
        np.testing.assert_allclose(found.spectrum.wavelength[lit], WAVELENGTHS[::-1][own > 0])
        weight = found.spectrum.weight[lit] / found.spectrum.weight.sum()
        np.testing.assert_allclose(weight, own[own > 0], rtol=1e-12)


@needs_dials
@pytest.mark.spec("EXP-14")
def test_dials_reads_the_spectrum_and_wavelength_of_every_frame(
    shots: Path, tmp_path: Path
) -> None:
    path = master(shots, tmp_path)
    spectra, wavelengths = dxtbx(tmp_path, READ_SPECTRA, path.name, "4")
    shares = WEIGHTS / WEIGHTS.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(wavelengths, shares @ WAVELENGTHS, rtol=1e-12)
    for (energies, weights), own in zip(spectra, shares, strict=True):
        # DIALS has another hc.
        np.testing.assert_allclose(energies, ENERGIES[::-1], rtol=1e-5)
        np.testing.assert_allclose(weights, own[::-1], rtol=1e-12)
    shown = dials(tmp_path, "show", path.name)
    assert shown.count("wavelength: 1.30") == 4


@pytest.mark.spec("EXP-14")
def test_a_shared_spectrum_stands_once_and_a_normal_one_is_its_width(tmp_path: Path) -> None:
    lines = {"wavelengths_angstrom": [1.02, 0.99, 1.0], "weights": [1, 2, 5]}
    phi = {"name": "phi", "path": "goniometer.phi_deg", "values": [0.0, 1.0]}
    turning = {"oscillation_deg": 1.0}
    run = render(tmp_path / "a.zarr", [phi], beam={"spectrum": lines}, goniometer=turning)
    with h5py.File(master(run, tmp_path / "a")) as file:
        beam = file["entry/instrument/beam"]
        assert beam["incident_wavelength"][()] == pytest.approx(1.0, rel=1e-15)
        name = beam["incident_wavelength"].attrs["variant"]
        assert beam[name][()].tolist() == [0.99, 1.0, 1.02]
        np.testing.assert_allclose(beam[f"{name}_weights"][()], [0.25, 0.625, 0.125])
        assert "incident_wavelength_spread" not in beam
    pink = {"bandwidth_percent": 0.2, "wavelength_angstrom": 1.5}
    run = render(tmp_path / "b.zarr", [], beam=pink, **CLOSED)
    with h5py.File(master(run, tmp_path / "b")) as file:
        beam = file["entry/instrument/beam"]
        assert beam["incident_wavelength"][()] == 1.5
        assert "variant" not in beam["incident_wavelength"].attrs
        assert beam["incident_wavelength_spread"][()] == pytest.approx(0.003 * 2.354820045)


@pytest.mark.spec("EXP-14")
def test_spectra_of_unlike_channels_are_filled_up_with_channels_of_no_weight(
    tmp_path: Path,
) -> None:
    tables = [(1.0, 1.01), (1.1, 1.2, 1.3), (1.4,), (1.5,)]
    files = [tmp_path / f"{number}.txt" for number in range(len(tables))]
    for file, table in zip(files, tables, strict=True):
        file.write_text("".join(f"{one} {place + 1}\n" for place, one in enumerate(table)))
    axis = {"name": "file", "path": "beam.spectrum.file", "values": [str(one) for one in files]}
    beam = {"wavelength_angstrom": None, "spectrum": {"file": str(files[0])}}
    run = render(tmp_path / "ragged.zarr", [axis], beam=beam)
    path = master(run, tmp_path / "out")
    with h5py.File(path) as file:
        beam = file["entry/instrument/beam"]
        name = beam["incident_wavelength"].attrs["variant"]
        assert beam[name].attrs["padding"].startswith("a frame of fewer channels")
        assert beam[name][()].tolist() == [[1.0, 1.01, 1.01], [1.1, 1.2, 1.3], [1.4] * 3, [1.5] * 3]
        np.testing.assert_allclose(
            beam[f"{name}_weights"][()],
            [[1 / 3, 2 / 3, 0], [1 / 6, 1 / 3, 1 / 2], [1, 0, 0], [1, 0, 0]],
        )
    found = read_nexus_beam(str(path), 1)
    assert found.wavelength == pytest.approx((1.1 + 2.4 + 3.9) / 6)


@pytest.mark.spec("EXP-9")
def test_an_experiment_list_of_stills_has_a_beam_for_each_wavelength(
    shots: Path, tmp_path: Path
) -> None:
    listed = json.loads(db.export_run(shots, "expt", out=tmp_path).opens.read_text())
    assert [one["beam"] for one in listed["experiment"]] == [0, 1, 2, 3]
    shares = WEIGHTS / WEIGHTS.sum(axis=1, keepdims=True)
    found = [one["wavelength"] for one in listed["beam"]]
    np.testing.assert_allclose(found, shares @ WAVELENGTHS, rtol=1e-12)


@pytest.mark.spec("EXP-13")
def test_a_stream_tells_bandwidth_and_divergence(shots: Path, tmp_path: Path) -> None:
    lines = db.export_run(shots, "cxi", out=tmp_path).opens.with_suffix(".stream").read_text()
    shares = WEIGHTS / WEIGHTS.sum(axis=1, keepdims=True)
    mean = shares @ ENERGIES
    spread = np.sqrt(np.sum(shares * (ENERGIES - mean[:, np.newaxis]) ** 2, axis=1)) / mean
    told = [line for line in lines.splitlines() if line.startswith("beam_bandwidth")]
    assert told == [f"beam_bandwidth = {one:.2e} (fraction)" for one in spread]
    assert lines.count("beam_divergence = 0.00e+00 rad") == 4
    assert f"bandwidth = {spread[0]:.6g}"[:18] in lines
    beam = {"bandwidth_percent": 0.2, "divergence_mrad": [1.0, 0.5], "wavelength_angstrom": 1.0}
    run = render(tmp_path / "b.zarr", [], beam=beam, **CLOSED)
    text = db.export_run(run, "cxi", out=tmp_path / "b").opens.with_suffix(".stream").read_text()
    assert "beam_bandwidth = 2.00e-03 (fraction)" in text
    assert "beam_divergence = 2.35e-03 rad" in text
    assert "\nbandwidth = 0.002\n" in text
