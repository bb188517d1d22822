"""Spectra of single shots from HDF5 and NetCDF-4 arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distbragg.errors import InputError
from distbragg.models.build import build_experiment
from distbragg.read.shots import read_shot
from distbragg.spec.load import parse_spec
from distbragg.spec.sweep import SweepSpec

ENERGIES = np.linspace(8990.0, 9010.0, 11)
WEIGHTS = np.random.default_rng(0).random((7, 11))


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    path = tmp_path / "shots.h5"
    with h5py.File(path, "w") as file:
        file["run/spectra"] = WEIGHTS
        file["run/energy"] = ENERGIES
        file["run/energy"].attrs["units"] = "eV"
    return path


def experiment(path: Path, **spectrum: Any) -> dict[str, Any]:
    fields = {
        "file": str(path),
        "weights_dataset": "run/spectra",
        "channels_dataset": "/run/energy",
        **spectrum,
    }
    return {
        "beam": {"spectrum": {key: value for key, value in fields.items() if value is not None}},
        "crystal": {"cell": [50, 60, 70, 90, 90, 90]},
        "structure_factors": {"default_f_electrons": 1.0},
    }


@pytest.mark.spec("SRC-23")
def test_each_frame_takes_its_own_shot(shots: Path) -> None:
    sweep = SweepSpec.model_validate(
        {
            "experiment": experiment(shots),
            "axes": [{"name": "shot", "path": "beam.spectrum.shot", "values": [0, 3, 6]}],
        }
    )
    for frame, shot in enumerate((0, 3, 6)):
        sources = build_experiment(sweep.frame_spec(frame), frame=frame).beam.sources
        np.testing.assert_allclose(sources.wavelength, 12398.42 / ENERGIES, rtol=1e-9)
        shares = sources.weight / sources.total_weight
        np.testing.assert_allclose(shares, WEIGHTS[shot] / WEIGHTS[shot].sum(), rtol=1e-12)


@pytest.mark.spec("SRC-23")
def test_channels_may_be_wavelengths_of_each_shot_and_a_baseline_counts_as_nothing(
    shots: Path,
) -> None:
    with h5py.File(shots, "a") as file:
        file["wavelengths"] = np.tile(np.linspace(1.0, 1.1, 11), (7, 1)) * np.arange(1, 8)[:, None]
        file["dark"] = WEIGHTS - 0.3
    found = read_shot(str(shots), 2, weights="dark", channels="wavelengths", unit="angstrom")
    np.testing.assert_allclose(found.wavelength, 3 * np.linspace(1.0, 1.1, 11))
    np.testing.assert_allclose(found.weight, np.maximum(WEIGHTS[2] - 0.3, 0.0))
    (note,) = found.notes
    assert "of 11 weights of dark in shot 2 are negative" in note.text


@pytest.mark.spec("SRC-23")
def test_netcdf_is_hdf5_with_its_dimensions_beside_the_arrays(tmp_path: Path) -> None:
    path = tmp_path / "shots.nc"
    with h5py.File(path, "w") as file:
        file["energy"] = ENERGIES
        file["energy"].make_scale("energy")
        file["energy"].attrs["units"] = "eV"
        file["weight"] = WEIGHTS
        file["weight"].dims[1].attach_scale(file["energy"])
    spec = experiment(path, weights_dataset="weight", channels_dataset="energy", shot=4)
    sources = build_experiment(parse_spec(spec)).beam.sources
    shares = sources.weight / sources.total_weight
    np.testing.assert_allclose(shares, WEIGHTS[4] / WEIGHTS[4].sum(), rtol=1e-12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shot": 7}, "no shot 7"),
        ({"weights_dataset": "run/none"}, r"no dataset 'run/none'; there are run/energy"),
        ({"channels_dataset": "run"}, "is not a dataset"),
        ({"channels_dataset": "run/spectra"}, "has no known unit"),
        ({"weights_dataset": None}, "needs weights_dataset"),
        ({"file": "absent.h5"}, "not found"),
        ({"file": "table.txt", "shot": 1}, "needs a file of many shots"),
    ],
)
def test_what_cannot_be_read_is_one_clear_line(
    shots: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        build_experiment(parse_spec(experiment(shots, **changes)))


def test_bad_values_are_refused(shots: Path) -> None:
    with h5py.File(shots, "a") as file:
        file["zeros"] = np.zeros((7, 11))
        file["short"] = np.ones((7, 10))
        file["nan"] = np.full((7, 11), np.nan)
        file["text"] = np.array([b"a", b"b"])
        file["cube"] = np.ones((2, 2, 2))
    for name in ("zeros", "short", "nan", "text", "cube"):
        with pytest.raises(InputError):
            read_shot(str(shots), 0, weights=name, channels="run/energy")


def test_links_to_other_files_are_not_followed(shots: Path, tmp_path: Path) -> None:
    path = tmp_path / "linked.h5"
    layout = h5py.VirtualLayout(shape=(7, 11), dtype=float)
    layout[...] = h5py.VirtualSource(str(shots), "run/spectra", shape=(7, 11))
    with h5py.File(path, "w") as file:
        file["linked"] = h5py.ExternalLink(str(shots), "run/spectra")
        file.create_virtual_dataset("virtual", layout)
        file["energy"] = ENERGIES
    for name, message in (("linked", "link to another file"), ("virtual", "in other files")):
        with pytest.raises(InputError, match=message):
            read_shot(str(path), 0, weights=name, channels="energy", unit="ev")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 4000), st.integers(1, 255))
def test_damaged_files_are_refused_or_read(position: int, flip: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shots.h5"
        with h5py.File(path, "w") as file:
            file["w"] = WEIGHTS
            file["e"] = ENERGIES
        data = bytearray(path.read_bytes())
        data[position % len(data)] ^= flip
        path.write_bytes(bytes(data))
        try:
            found = read_shot(str(path), 1, weights="w", channels="e", unit="ev")
        except InputError:
            return
        assert found.wavelength.shape == found.weight.shape
