"""What tables of spectra say of their columns is believed; what they do not say is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import zarr

from distbragg.errors import InputError
from distbragg.read.shots import read_shot
from distbragg.read.spectrum import Spectrum, read_spectrum


def read(tmp_path: Path, content: str) -> Spectrum:
    path = tmp_path / "table.txt"
    path.write_text(content, encoding="utf-8")
    return read_spectrum(str(path))


def texts(found: Spectrum) -> str:
    return "\n".join(str(note) for note in found.notes)


@pytest.mark.spec("SRC-24")
@pytest.mark.parametrize(
    "content",
    [
        "energy_keV,weight\n12.39842,1\n6.19921,2\n",
        "Energy (keV)\tIntensity\n12.39842\t1\n6.19921\t2\n",
        "E [eV], I\n12398.42, 1\n6199.21, 2\n",
        "photon energy (eV)  counts\n12398.42 1\n6199.21 2\n",
        "wavelength nm  weight\n0.1 1\n0.2 2\n",
        "weight;wavelength_nm\n1;0.1\n2;0.2\n",
        "wavelength(m) weight\n1e-10 1\n2e-10 2\n",
        "λ/Å,w\n1,1\n2,2\n",
        "wavelengths, weights\n1.0, 1\n2.0, 2\n",
        "Intensity (ph/s/eV), Energy_keV\n1, 12.39842\n2, 6.19921\n",
        "energykeV,weight\n12.39842,1\n6.19921,2\n",
        "keV weight\n12.39842 1\n6.19921 2\n",
        "energy/J,weight\n1.98644588688e-15,1\n9.9322294344e-16,2\n",
        "# energy (keV) weight\n12.39842 1\n6.19921 2\n",
        "# energies in keV\n12.39842 1\n6.19921 2\n",
        "# wavelength nm, weight\n0.1 1\n0.2 2\n",
        "# run 7, 3 mm of air\n# units: nm\n0.1 1\n0.2 2\n",
        "# energies in keV\nenergy,weight\n12.39842,1\n6.19921,2\n",
        "# mean energy 9 keV\nwavelength_angstrom,weight\n1,1\n2,2\n",
        "# mean energy 9 keV, bandwidth 20 eV\n1.0 1\n2.0 2\n",
    ],
)
def test_the_unit_that_a_name_or_comment_gives_is_believed(tmp_path: Path, content: str) -> None:
    found = read(tmp_path, content)
    np.testing.assert_allclose(found.wavelength, [1.0, 2.0], rtol=1e-7)
    np.testing.assert_array_equal(found.weight, [1.0, 2.0])


def test_more_columns_are_left_aside_where_names_tell_them_apart(tmp_path: Path) -> None:
    found = read(tmp_path, "pixel,energy_ev,intensity,flag\n7,12398.42,2,0\n8,6199.21,3,0\n")
    np.testing.assert_allclose(found.wavelength, [1.0, 2.0])
    np.testing.assert_array_equal(found.weight, [2.0, 3.0])
    assert "columns ignored: pixel, flag" in texts(found)
    for names in ("", "energy_ev,wavelength_nm,weight\n", "energy_ev,a,b\n"):
        with pytest.raises(InputError):
            read(tmp_path, f"{names}1,1,1\n")


@pytest.mark.spec("SRC-25")
@pytest.mark.parametrize(
    ("content", "wavelength", "said"),
    [
        ("energy,weight\n12.3,1\n12.4,2\n", [12.39842 / 12.3, 12.39842 / 12.4], "taken as keV"),
        ("energy,weight\n9000,1\n", [12398.42 / 9000], "taken as eV"),
        ("wavelength,weight\n9.5,1\n", [9.5], "taken as Å"),
        ("1.0 1\n", [1.0], "1 to 1 is taken as Å"),
        ("9000 1\n9100 1\n", [12398.42 / 9000, 12398.42 / 9100], "9000 to 9100 is taken as eV"),
        ("1e-10 1\n", [1.0], "taken as m"),
    ],
)
def test_a_unit_taken_by_size_is_told(
    tmp_path: Path, content: str, wavelength: list[float], said: str
) -> None:
    found = read(tmp_path, content)
    np.testing.assert_allclose(found.wavelength, wavelength, rtol=1e-14)
    assert said in texts(found)


@pytest.mark.spec("SRC-25")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("9.0 1\n", "plausible in none or in several"),
        ("0.9 1\n9000 1\n", "plausible in none or in several"),
        ("wavelength,weight\n9000,1\n", "plausible in none or in several"),
        ("energy,weight\n5e7,1\n", "plausible in none or in several"),
        ("energy_nm,weight\n1,1\n", "not a unit of its quantity"),
        ("energy_Ry,weight\n900,1\n", "column names"),
        ("energy (arb),weight\n900,1\n", "column names"),
        ("# wavelength in nm or in angstrom\n1 1\n", "the comments name"),
    ],
)
def test_units_that_cannot_be_told_are_refused(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        read(tmp_path, content)
    assert "table.txt" in str(raised.value)


@pytest.mark.spec("SRC-26")
def test_negative_weights_count_as_nothing_wherever_they_are_read_from(tmp_path: Path) -> None:
    energies, weights = [9000.0, 9001.0, 9002.0], [-0.001, 1.0, 2.0]
    rows = "\n".join(f"{e} {w}" for e, w in zip(energies, weights, strict=True))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["w"], file["energy_ev"] = weights, energies
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=3)
    for name, values in (("w", weights), ("energy_ev", energies)):
        group.create_array(name, data=np.array(values))
    for found in (
        read(tmp_path, f"energy_ev weight\n{rows}\n"),
        read_shot(str(tmp_path / "a.h5"), 0, weights="w", channels="energy_ev"),
        read_shot(str(tmp_path / "a.zarr"), 0, weights="w", channels="energy_ev"),
    ):
        np.testing.assert_allclose(found.wavelength, 12398.42 / np.array(energies), rtol=1e-12)
        np.testing.assert_array_equal(found.weight, [0.0, 1.0, 2.0])
        (note,) = found.notes
        assert note.kind == "note"
        assert "1 of 3 weights" in note.text
        assert "the first is number 1" in note.text
    (warning,) = read(tmp_path, "energy_ev weight\n9000 -1\n9001 2\n").notes
    assert warning.kind == "warning"
    with pytest.raises(InputError, match="no weight"):
        read(tmp_path, "energy_ev weight\n9000 -1\n9001 0\n")


@pytest.mark.spec("SRC-24")
@pytest.mark.parametrize(
    ("name", "units", "value"),
    [
        ("photon_energy_keV", None, 12.39842),
        ("wavelength_nm", None, 0.1),
        ("axis", "J", 1.98644588688e-15),
        ("axis", "keV", 12.39842),
        ("axis", "Angstroms", 1.0),
        ("energy", "electronvolt", 12398.42),
        ("wavelengths", "metre", 1e-10),
        ("wavelengths", "nm", 0.1),
    ],
)
def test_arrays_say_their_unit_in_an_attribute_or_in_their_name(
    tmp_path: Path, name: str, units: str | None, value: float
) -> None:
    path = tmp_path / "shots.h5"
    with h5py.File(path, "w") as file:
        file["w"], file[name] = np.ones(2), np.array([value, value])
        if units is not None:
            file[name].attrs["units"] = units
    found = read_shot(str(path), None, weights="w", channels=name)
    np.testing.assert_allclose(found.wavelength, [1.0, 1.0], rtol=1e-8)
    assert found.notes == ()


@pytest.mark.spec("SRC-25")
def test_arrays_whose_name_and_attribute_disagree_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "shots.h5"
    with h5py.File(path, "w") as file:
        file["w"], file["energy_keV"], file["energy"] = np.ones(2), np.ones(2), np.ones(2)
        file["energy_keV"].attrs["units"] = "eV"
        file["energy"].attrs["units"] = "angstrom"
    for name in ("energy_keV", "energy"):
        with pytest.raises(InputError, match="contradict"):
            read_shot(str(path), 0, weights="w", channels=name)
    found = read_shot(str(path), 0, weights="w", channels="energy_keV", unit="kev")
    np.testing.assert_allclose(found.wavelength, 12.39842, rtol=1e-12)
    (note,) = found.notes
    assert "the file says eV" in note.text


@pytest.mark.spec("SRC-23")
def test_the_first_shot_is_told_where_none_is_chosen(tmp_path: Path) -> None:
    path = tmp_path / "shots.h5"
    with h5py.File(path, "w") as file:
        file["w"], file["energy_ev"] = np.ones((4, 2)), np.array([9000.0, 9001.0])
    (note,) = read_shot(str(path), None, weights="w", channels="energy_ev").notes
    assert "shot 0 of 4 is used" in note.text
    assert read_shot(str(path), 0, weights="w", channels="energy_ev").notes == ()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("Bitshuffle", {"cname": "lz4"}),
        ("Bitshuffle", {"cname": "none"}),
        ("Bitshuffle", {"cname": "zstd"}),
        ("Blosc", {"cname": "zstd"}),
        ("LZ4", {}),
        ("Zstd", {}),
        ("", {"compression": "lzf", "shuffle": True, "fletcher32": True}),
        ("", {"compression": "gzip", "shuffle": True, "fletcher32": True}),
    ],
)
def test_spectra_compressed_as_detectors_do_are_read(
    tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    hdf5plugin = pytest.importorskip("hdf5plugin")
    path = tmp_path / "shots.h5"
    if name:
        options = dict(getattr(hdf5plugin, name)(**options))
    with h5py.File(path, "w") as file:
        file.create_dataset("w", data=np.ones((4, 3)), chunks=(2, 2), **options)
        file["energy_ev"] = [9000.0, 9001.0, 9002.0]
    found = read_shot(str(path), 2, weights="w", channels="energy_ev")
    np.testing.assert_array_equal(found.weight, [1.0, 1.0, 1.0])


@pytest.mark.spec("SRC-24")
@pytest.mark.parametrize(
    "content",
    [
        ",energy_ev,weight\n0,12398.42,1\n1,6199.21,2\n",
        "\tenergy_ev\tweight\n0\t12398.42\t1\n1\t6199.21\t2\n",
        "energy_ev,flux,flux_err\n12398.42,1,0.1\n6199.21,2,0.1\n",
        '"energy_ev","weight"\n"12398.42","1"\n"6199.21","2"\n',
        "% energy (eV), flux\n12398.42 1\n6199.21 2\n",
        "! energies in eV\n12398.42 1\n6199.21 2\n",
        "// run 7\n// wavelength (nm)\n0.1 1\n0.2 2\n",
        "%%\n% wavelength in Angstrom\nwavelength weight\n1 1\n2 2\n",
    ],
)
def test_tables_of_other_programs_are_read(tmp_path: Path, content: str) -> None:
    found = read(tmp_path, content)
    np.testing.assert_allclose(found.wavelength, [1.0, 2.0], rtol=1e-7)
    np.testing.assert_array_equal(found.weight, [1.0, 2.0])


@pytest.mark.parametrize(
    "content", ["0,95;1,5\n0,96;2,5\n", "energy_eV;weight\n9500,5;0,3\n", "9500,5\t3\n9501,5\t4\n"]
)
def test_decimal_commas_are_refused_by_name(tmp_path: Path, content: str) -> None:
    with pytest.raises(InputError, match="decimal commas; write decimal points"):
        read(tmp_path, content)


@pytest.mark.spec("SRC-24")
def test_numbers_that_are_packed_in_integers_are_unpacked(tmp_path: Path) -> None:
    """CF conventions, 8.1: 0.5 · stored + 9000 eV; stored -1 is a missing value."""
    path = tmp_path / "packed.nc"
    with h5py.File(path, "w") as file:
        file["energy"] = np.array([1000, 1020], dtype=np.int16)
        file["energy"].attrs.update(units="eV", scale_factor=0.5, add_offset=np.array([9000.0]))
        file["weight"] = np.array([[1, 2], [-1, 4]], dtype=np.int16)
        file["weight"].attrs.update(_FillValue=np.int16(-1), add_offset=3.0)
    found = read_shot(str(path), 0, weights="weight", channels="energy")
    np.testing.assert_allclose(found.wavelength, 12398.42 / np.array([9500.0, 9510.0]), rtol=1e-7)
    np.testing.assert_array_equal(found.weight, [4.0, 5.0])
    with pytest.raises(InputError, match="not finite"):
        read_shot(str(path), 1, weights="weight", channels="energy")
    with h5py.File(path, "a") as file:
        file["weight"].attrs["add_offset"] = "three"
    with pytest.raises(InputError, match="add_offset of /weight is not a number"):
        read_shot(str(path), 0, weights="weight", channels="energy")


def test_packed_numbers_of_a_zarr_store_are_unpacked(tmp_path: Path) -> None:
    group = zarr.open_group(str(tmp_path / "s.zarr"), mode="w", zarr_format=2)
    for name, values, attributes in (
        ("energy", [1000, 1020], {"units": "eV", "scale_factor": 0.5, "add_offset": 9000.0}),
        ("weight", [[1, 2]], {}),
    ):
        array = group.create_array(name, data=np.array(values, dtype=np.int16))
        array.attrs.update(attributes)
    found = read_shot(str(tmp_path / "s.zarr"), 0, weights="weight", channels="energy")
    np.testing.assert_allclose(found.wavelength, 12398.42 / np.array([9500.0, 9510.0]), rtol=1e-7)
