"""NeXus masters: spectra, units in all words, masters without modules, masks, single images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from distbragg.errors import InputError
from distbragg.read.geometry.nexus_beam import NexusBeam, read_nexus_beam
from distbragg.read.geometry.read import read_geometry
from tests.geometry_files import write_nexus
from tests.nexus_files import BEAM, DETECTOR, dectris_master, spectrum_master, with_beam

CHANNELS = [0.95, 1.0, 1.05]


def spectrum_of(found: NexusBeam) -> tuple[list[float], list[float]]:
    assert found.spectrum is not None
    return found.spectrum.wavelength.tolist(), found.spectrum.weight.tolist()


@pytest.mark.spec("GEO-20")
def test_channels_with_weights_are_a_spectrum(tmp_path: Path) -> None:
    found = read_geometry(spectrum_master(tmp_path / "m.h5", CHANNELS, [1.0, 10.0, 5.0]))
    assert found.spectrum is not None
    np.testing.assert_array_equal(found.spectrum.wavelength, CHANNELS)
    np.testing.assert_array_equal(found.spectrum.weight, [1.0, 10.0, 5.0])
    assert found.wavelength == pytest.approx((0.95 + 10.0 + 5.25) / 16.0, rel=1e-14)
    assert found.notes == ()


@pytest.mark.spec("GEO-20")
@pytest.mark.parametrize(
    ("wavelengths", "weights", "expected"),
    [
        (CHANNELS, [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], (CHANNELS, [4.0, 5.0, 6.0])),
        ([CHANNELS, [1.1, 1.2, 1.3]], [[1.0, 2.0, 3.0]] * 2, ([1.1, 1.2, 1.3], [1.0, 2.0, 3.0])),
    ],
)
def test_a_spectrum_of_each_shot_is_that_of_the_shot(
    tmp_path: Path, wavelengths: Any, weights: Any, expected: tuple[list[float], list[float]]
) -> None:
    path = spectrum_master(tmp_path / "m.h5", wavelengths, weights)
    assert spectrum_of(read_nexus_beam(path, 1)) == expected
    first = read_nexus_beam(path, None)
    assert spectrum_of(first)[1] == [1.0, 2.0, 3.0]
    assert ["shot 0 of 2 is used" in note.text for note in first.notes] == [True]
    with pytest.raises(InputError, match="no shot 2"):
        read_nexus_beam(path, 2)


@pytest.mark.spec("GEO-20")
def test_wavelengths_without_weights_are_one_for_each_shot(tmp_path: Path) -> None:
    path = spectrum_master(tmp_path / "m.h5", [0.97, 0.98, 0.99])
    assert read_nexus_beam(path, 2).wavelength == 0.99
    found = read_geometry(path)
    assert (found.wavelength, found.spectrum) == (0.97, None)
    assert any("shot 0 of 3" in note for note in found.notes)
    # One value, or the same for every image of a series, leaves nothing to choose.
    for same in ([0.98], [0.98, 0.98, 0.98]):
        single = read_geometry(spectrum_master(tmp_path / "s.h5", same))
        assert (single.wavelength, single.notes) == (0.98, ())
    assert read_nexus_beam(str(tmp_path / "s.h5"), 2).wavelength == 0.98


@pytest.mark.spec("GEO-20")
def test_a_variant_gives_the_spectrum_of_a_calibrated_wavelength(tmp_path: Path) -> None:
    path = with_beam(
        tmp_path / "m.h5",
        {
            "incident_wavelength": (1.01, "angstrom"),
            "incident_wavelength_1": ([0.99, 1.03], "angstrom"),
            "incident_wavelength_1_weights": ([1.0, 3.0], ""),
        },
    )
    with h5py.File(path, "a") as file:
        file[BEAM]["incident_wavelength"].attrs["variant"] = "incident_wavelength_1"
    found = read_geometry(path)
    assert found.wavelength == 1.01
    assert found.spectrum is not None
    np.testing.assert_array_equal(found.spectrum.wavelength, [0.99, 1.03])
    assert any("variant" in note for note in found.notes)


@pytest.mark.spec("GEO-20")
def test_negative_weights_follow_the_one_rule(tmp_path: Path) -> None:
    path = spectrum_master(tmp_path / "m.h5", CHANNELS, [-0.01, 10.0, 5.0])
    assert spectrum_of(read_nexus_beam(path, None))[1] == [0.0, 10.0, 5.0]
    assert any("negative" in note for note in read_geometry(path).notes)


@pytest.mark.spec("GEO-20")
@pytest.mark.parametrize(
    ("wavelengths", "weights", "message"),
    [
        (CHANNELS, [1.0, 2.0], "3 channels, its weights 2"),
        ([0.95, -1.0], [1.0, 1.0], "not positive"),
        (CHANNELS, [0.0, 0.0, 0.0], "is zero"),
        ([CHANNELS, CHANNELS], None, "2 dimensions"),
        (-1.0, None, "incident_wavelength is -1"),
    ],
)
def test_what_is_no_spectrum_is_refused(
    tmp_path: Path, wavelengths: Any, weights: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read_geometry(spectrum_master(tmp_path / "m.h5", wavelengths, weights))


@pytest.mark.spec("GEO-19")
@pytest.mark.parametrize(
    ("field", "value", "unit", "wavelength"),
    [
        ("incident_wavelength", 0.98, "Angstroms", 0.98),
        ("incident_wavelength", 0.98, "Å", 0.98),
        ("incident_wavelength", 0.098, "nanometre", 0.98),
        ("incident_wavelength", 0.98e-10, "metre", 0.98),
        ("incident_energy", 12398.42, "eV", 1.0),
        ("incident_energy", 12.39842, "keV", 1.0),
        ("incident_energy", 1.98644588225e-15, "J", 1.0),
    ],
)
def test_wavelengths_and_energies_in_all_units(
    tmp_path: Path, field: str, value: float, unit: str, wavelength: float
) -> None:
    found = read_geometry(with_beam(tmp_path / "m.h5", {field: (value, unit)}))
    assert found.wavelength == pytest.approx(wavelength, rel=1e-9)
    assert found.notes == ()


@pytest.mark.spec("GEO-19")
def test_a_missing_unit_is_told_and_an_unknown_one_refused(tmp_path: Path) -> None:
    found = read_geometry(with_beam(tmp_path / "m.h5", {"incident_energy": (12.39842, "")}))
    assert found.wavelength == pytest.approx(1.0)
    assert any("incident_energy has no unit" in note for note in found.notes)
    with pytest.raises(InputError, match=r"no known unit \('furlong'\)"):
        read_geometry(with_beam(tmp_path / "m.h5", {"incident_wavelength": (1.0, "furlong")}))


@pytest.mark.spec("GEO-19")
def test_places_and_angles_in_the_words_of_nexus(tmp_path: Path) -> None:
    plain, words = tmp_path / "a.h5", tmp_path / "b.h5"
    write_nexus(str(plain))
    write_nexus(str(words))

    def reword(_: str, node: Any) -> None:
        for key in ("units", "offset_units"):
            word = node.attrs.get(key)
            if word == "mm" and key == "offset_units":
                node.attrs[key] = "millimetre"
            elif word is not None:
                node.attrs[key] = {"mm": "millimeters", "deg": "Degrees", "um": "microns"}.get(
                    word, word
                )

    with h5py.File(words, "a") as file:
        file.visititems(reword)
    first, second = read_geometry(str(plain)), read_geometry(str(words))
    for one, other in zip(first.panels, second.panels, strict=True):
        assert one.origin == other.origin
        assert (one.pixel_size, one.thickness) == (other.pixel_size, other.thickness)
    assert (first.phi, first.oscillation) == (second.phi, second.oscillation)


def test_two_statements_of_the_wavelength_that_disagree_are_told(tmp_path: Path) -> None:
    fields = {"incident_wavelength": (1.0, "angstrom"), "incident_energy": (9000.0, "eV")}
    found = read_geometry(with_beam(tmp_path / "m.h5", fields))
    assert found.wavelength == 1.0
    assert any("incident_energy says 1.3776" in note for note in found.notes)
    agree = {"incident_wavelength": (1.0, "angstrom"), "incident_energy": (12398.42, "eV")}
    assert read_geometry(with_beam(tmp_path / "n.h5", agree)).notes == ()


def test_stokes_vectors_give_the_polarisation(tmp_path: Path) -> None:
    wavelength = {"incident_wavelength": (1.0, "angstrom")}
    for stokes, share, vector in (
        ([2.0, 1.96, 0.0, 0.0], 0.99, (1.0, 0.0, 0.0)),
        ([1.0, -0.5, 0.0, 0.1], 0.75, (0.0, 1.0, 0.0)),
    ):
        fields = {**wavelength, "incident_polarization_stokes": (stokes, "")}
        found = read_geometry(with_beam(tmp_path / "m.h5", fields))
        assert found.polarization_fraction == pytest.approx(share)
        np.testing.assert_allclose(found.polarization, vector, atol=1e-15)
    fields = {**wavelength, "incident_polarization_stokes": ([0.0, 0.0, 0.0, 0.0], "")}
    found = read_geometry(with_beam(tmp_path / "m.h5", fields))
    assert found.polarization_fraction is None
    assert any("no Stokes vector" in note for note in found.notes)


def test_what_is_left_aside_of_a_beam_and_a_sample_is_told(tmp_path: Path) -> None:
    path = with_beam(
        tmp_path / "m.h5",
        {
            "incident_wavelength": (1.0, "angstrom"),
            "incident_wavelength_spread": (0.01, "angstrom"),
            "total_flux": (1e12, "Hz"),
        },
    )
    with h5py.File(path, "a") as file:
        file["entry/sample/unit_cell"] = [40.0, 40.0, 40.0, 90.0, 90.0, 90.0]
        source = file.create_group("entry/source")
        source.attrs["NX_class"] = "NXsource"
        source["probe"] = "electron"
    notes = "\n".join(read_geometry(path).notes)
    assert "incident_wavelength_spread, total_flux" in notes
    assert "unit_cell" in notes
    assert "the probe is 'electron'" in notes


@pytest.mark.spec("GEO-21")
def test_a_master_without_modules_stands_square_to_the_beam(tmp_path: Path) -> None:
    found = read_geometry(dectris_master(tmp_path / "m.h5"))
    (panel,) = found.panels
    assert panel.shape == (10, 12)
    assert panel.pixel_size == pytest.approx(0.5)
    np.testing.assert_allclose(panel.origin, [3.75, 2.125, 150.0], rtol=1e-12)
    assert (panel.fast, panel.slow) == ((-1.0, 0.0, 0.0), (0.0, -1.0, 0.0))
    assert (panel.material, panel.thickness) == ("Si", pytest.approx(0.45))
    assert panel.mask is not None
    assert np.argwhere(~panel.mask).tolist() == [[3, 4]]
    assert (found.wavelength, found.phi) == (1.1, 30.0)
    assert found.oscillation == pytest.approx(0.1)
    assert found.spindle == (-1.0, 0.0, 0.0)
    assert any("NXdetector_module" in note for note in found.notes)
    assert any("where omega points" in note for note in found.notes)


@pytest.mark.spec("GEO-21")
def test_directions_of_the_pixels_are_those_of_the_orientation(tmp_path: Path) -> None:
    path = dectris_master(tmp_path / "m.h5")
    with h5py.File(path, "a") as file:
        file[f"{DETECTOR}/geometry/orientation/value"] = [-1.0, 0, 0, 0, 1.0, 0]
    (panel,) = read_geometry(path).panels
    assert panel.slow == (0.0, 1.0, 0.0)
    np.testing.assert_allclose(panel.origin, [3.75, -2.125, 150.0], rtol=1e-12)


@pytest.mark.spec("GEO-21")
def test_the_energy_a_detector_is_set_to_stands_in_for_a_wavelength(tmp_path: Path) -> None:
    found = read_geometry(dectris_master(tmp_path / "m.h5", wavelength=False))
    assert found.wavelength == pytest.approx(1.0)
    assert any("photon_energy" in note for note in found.notes)
    bare = dectris_master(tmp_path / "n.h5", wavelength=False, leave_out=("photon_energy",))
    assert read_geometry(bare).wavelength is None


@pytest.mark.spec("GEO-18")
def test_a_master_may_leave_distance_and_centre_to_the_specification(tmp_path: Path) -> None:
    left = ("detector_distance", "beam_center_x")
    found = read_geometry(dectris_master(tmp_path / "m.h5", leave_out=left))
    assert (found.distance_stated, found.centre_stated) == (False, False)
    with pytest.raises(InputError, match="x_pixel_size"):
        read_geometry(dectris_master(tmp_path / "n.h5", leave_out=("x_pixel_size",)))


@pytest.mark.spec("GEO-22")
@pytest.mark.parametrize(
    ("name", "value", "width"),
    [("phi_increment_set", [0.2], 0.2), ("phi_end", [5.3], 0.3), ("phi_range_average", 0.1, 0.1)],
)
def test_a_rotation_of_one_image_keeps_its_width(
    tmp_path: Path, name: str, value: Any, width: float
) -> None:
    path = tmp_path / "m.h5"
    write_nexus(str(path))
    with h5py.File(path, "a") as file:
        chain = file["entry/sample/transformations"]
        attrs = dict(chain["phi"].attrs)
        del chain["phi"]
        chain["phi"] = [5.0]
        chain["phi"].attrs.update(attrs)
        chain[name] = value
    found = read_geometry(str(path))
    assert (found.phi, found.oscillation) == (5.0, pytest.approx(width))


@pytest.mark.spec("GEO-22")
def test_the_axis_that_turns_is_the_spindle_though_others_are_listed_as_long(
    tmp_path: Path,
) -> None:
    path = tmp_path / "m.h5"
    write_nexus(str(path))
    with h5py.File(path, "a") as file:
        chain = file["entry/sample/transformations"]
        for name, values in (("phi", [5.0, 5.0, 5.0]), ("omega", [1.0, 1.5, 2.0])):
            attrs = dict(chain[name].attrs)
            del chain[name]
            chain[name] = values
            chain[name].attrs.update(attrs)
    found = read_geometry(str(path))
    assert (found.phi, found.oscillation) == (1.0, 0.5)
    assert found.spindle == (0.0, 0.0, 1.0)


@pytest.mark.spec("GEO-16")
def test_numbered_masks_of_nexus_are_taken_together(tmp_path: Path) -> None:
    path = tmp_path / "m.h5"
    write_nexus(str(path))
    with h5py.File(path, "a") as file:
        more = np.zeros((20, 12), dtype=np.uint32)
        more[2, 3] = 4
        file[DETECTOR]["pixel_mask_1"] = more
    first, second = read_geometry(str(path)).panels
    assert first.mask is not None
    assert second.mask is not None
    assert np.argwhere(~first.mask).tolist() == [[2, 3]]
    assert np.argwhere(~second.mask).tolist() == [[3, 4]]


def test_a_mask_compressed_as_eiger_detectors_do_is_read(tmp_path: Path) -> None:
    hdf5plugin = pytest.importorskip("hdf5plugin")
    path = tmp_path / "m.h5"
    write_nexus(str(path))
    with h5py.File(path, "a") as file:
        mask = np.zeros((20, 12), dtype=np.uint32)
        mask[1, 1] = 1
        del file[DETECTOR]["pixel_mask"]
        file[DETECTOR].create_dataset("pixel_mask", data=mask, **hdf5plugin.Bitshuffle(cname="lz4"))
    first, _ = read_geometry(str(path)).panels
    assert first.mask is not None
    assert np.argwhere(~first.mask).tolist() == [[1, 1]]


def test_an_axis_that_moves_and_a_stride_are_not_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "m.h5"
    write_nexus(str(path))
    with h5py.File(path, "a") as file:
        chain = file[DETECTOR]["transformations"]
        attrs = dict(chain["z"].attrs)
        del chain["z"]
        chain["z"] = [60.0, 61.0]
        chain["z"].attrs.update(attrs)
    found = read_geometry(str(path))
    assert found.panels[0].origin[2] == 60.0
    assert any("z moves" in note for note in found.notes)
    with h5py.File(path, "a") as file:
        file[DETECTOR]["module0"]["data_stride"] = [2, 2]
    with pytest.raises(InputError, match="data_stride"):
        read_geometry(str(path))


def test_vectors_of_no_length_and_of_another_length_than_one(tmp_path: Path) -> None:
    path = tmp_path / "m.h5"
    write_nexus(str(path))
    plain = read_geometry(str(path)).panels[0].origin
    with h5py.File(path, "a") as file:
        for index in range(2):
            offset = file[DETECTOR][f"module{index}"]["module_offset"]
            offset.attrs["vector"] = [0.0, 0.0, 0.0]
    found = read_geometry(str(path))
    assert (found.panels[0].origin, found.notes) == (plain, ())
    with h5py.File(path, "a") as file:
        file[DETECTOR]["transformations"]["z"].attrs["vector"] = [0.0, 0.0, 2.0]
    found = read_geometry(str(path))
    assert found.panels[0].origin[2] == pytest.approx(120.0)
    assert any("2 long" in note for note in found.notes)


@pytest.mark.spec("SRC-27")
def test_a_wavelength_of_0_in_a_master_is_one_that_was_not_told(tmp_path: Path) -> None:
    fields = {"incident_wavelength": (0.0, "angstrom")}
    assert read_geometry(with_beam(tmp_path / "m.h5", fields)).wavelength is None
    beside = {**fields, "incident_energy": (12398.42, "eV")}
    assert read_geometry(with_beam(tmp_path / "n.h5", beside)).wavelength == pytest.approx(1.0)
    path = dectris_master(tmp_path / "d.h5")
    with h5py.File(path, "a") as file:
        file[DETECTOR]["detector_distance"][...] = 0.0
    assert not read_geometry(path).distance_stated
