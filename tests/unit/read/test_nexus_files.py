"""NeXus masters as beamlines write them: what departs from the definition is read or told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from distbragg.errors import InputError
from distbragg.read.geometry.model import FileGeometry
from distbragg.read.geometry.nexus_beam import read_nexus_beam
from distbragg.read.geometry.read import read_geometry
from tests.geometry_files import write_nexus
from tests.nexus_files import BEAM, DETECTOR, dectris_master

Edit = Callable[[h5py.File], None]


def master(tmp_path: Path, edit: Edit) -> FileGeometry:
    """Read the master of `write_nexus`, changed."""
    path = tmp_path / "m.h5"
    write_nexus(str(path))
    with h5py.File(path, "a") as file:
        edit(file)
    return read_geometry(str(path))


def one_module(tmp_path: Path, edit: Edit) -> FileGeometry:
    """Read it with its first module of 12 x 10 pixels alone, without a mask."""

    def change(file: h5py.File) -> None:
        del file[DETECTOR]["module1"]
        del file[DETECTOR]["pixel_mask"]
        edit(file)

    return master(tmp_path, change)


def plain(tmp_path: Path, edit: Edit) -> FileGeometry:
    path = tmp_path / "m.h5"
    dectris_master(path)
    with h5py.File(path, "a") as file:
        edit(file)
    return read_geometry(str(path))


def put(group: h5py.Group, name: str, value: object, units: str = "") -> None:
    if name in group:
        del group[name]
    group[name] = value
    if units:
        group[name].attrs["units"] = units


@pytest.mark.spec("GEO-16")
def test_a_size_written_fast_before_slow_is_turned_where_the_detector_tells(
    tmp_path: Path,
) -> None:
    def turned(file: h5py.File) -> None:
        put(file[DETECTOR]["module0"], "data_size", [12, 10])

    def by_count(file: h5py.File) -> None:
        turned(file)
        specific = file[DETECTOR].create_group("detectorSpecific")
        specific["x_pixels_in_detector"], specific["y_pixels_in_detector"] = 12, 10

    def by_mask(file: h5py.File) -> None:
        turned(file)
        file[DETECTOR]["pixel_mask"] = np.eye(10, 12, dtype=np.uint32)

    for edit in (by_count, by_mask):
        found = one_module(tmp_path, edit)
        assert found.panels[0].shape == (10, 12)
        assert found.notes == (
            "data_size of module0 is (fast, slow): the detector has 12 x 10 pixels",
        )
    mask = found.panels[0].mask
    assert mask is not None
    assert mask.shape == (10, 12)
    # Nothing tells otherwise: as the file has it.
    assert one_module(tmp_path, turned).panels[0].shape == (12, 10)


@pytest.mark.spec("GEO-16")
def test_directions_that_name_no_axis_stand_where_module_or_detector_stands(
    tmp_path: Path,
) -> None:
    def cut(file: h5py.File) -> h5py.Group:
        module = file[DETECTOR]["module0"]
        module["fast_pixel_direction"].attrs["depends_on"] = "."
        del module["slow_pixel_direction"].attrs["depends_on"]
        return module

    def by_detector(file: h5py.File) -> None:
        cut(file)
        file[DETECTOR]["depends_on"] = "transformations/z"

    def by_module(file: h5py.File) -> None:
        cut(file)["depends_on"] = "module_offset"
        file[DETECTOR]["depends_on"] = "transformations/nowhere"

    assert one_module(tmp_path, by_detector).panels[0].origin == (0.0, 0.0, 60.0)
    assert one_module(tmp_path, by_module).panels[0].origin == (6.5, 2.5, 60.0)


def test_a_beam_centre_that_is_not_where_the_axes_place_it_is_told(tmp_path: Path) -> None:
    """The module's corner lies 6.5 and 2.5 mm from the beam, 13 and 5 pixels of 0.5 mm."""

    def edit(x: float, y: float) -> Edit:
        def change(file: h5py.File) -> None:
            put(file[DETECTOR], "beam_center_x", x, "pixels")
            put(file[DETECTOR], "beam_center_y", y, "pixels")

        return change

    for agrees in (edit(13.0, 5.5), edit(0.0, 0.0)):
        assert one_module(tmp_path, agrees).notes == ()

    def unreadable(file: h5py.File) -> None:
        put(file[DETECTOR], "beam_center_x", np.nan)
        put(file[DETECTOR], "beam_center_y", 5.0, "furlong")

    assert one_module(tmp_path, unreadable).notes == ()
    found = one_module(tmp_path, edit(100.0, 5.0))
    assert found.notes == (
        "beam_center says 100.00 and 5.00 pixels, the axes of the module 13.00 and 5.00: the axes "
        "count",
    )
    assert found.panels[0].origin == (6.5, 2.5, 60.0)


@pytest.mark.spec("GEO-18")
def test_a_beam_centre_of_0_is_one_that_was_not_told(tmp_path: Path) -> None:
    def edit(file: h5py.File) -> None:
        put(file[DETECTOR], "beam_center_x", 0.0, "pixel")
        put(file[DETECTOR], "beam_center_y", 0.0, "pixel")

    assert not plain(tmp_path, edit).centre_stated
    assert plain(tmp_path, lambda file: None).centre_stated


@pytest.mark.parametrize("where", ["goniometer/two_theta_start", "transformations/swing"])
def test_a_swing_of_a_master_without_modules_is_told(tmp_path: Path, where: str) -> None:
    def edit(file: h5py.File) -> None:
        file[f"{DETECTOR}/{where}"] = 20.0
        file[f"{DETECTOR}/{where}"].attrs.update(
            {"transformation_type": "rotation", "vector": [-1.0, 0, 0], "units": "deg"}
        )
        file[f"{DETECTOR}/{where}"].attrs["depends_on"] = "."
        if "swing" in where:
            file[DETECTOR]["depends_on"] = where

    name = where.rpartition("/")[2]
    assert any(f"{name} is ignored" in note for note in plain(tmp_path, edit).notes)


@pytest.mark.spec("GEO-16")
def test_the_detector_is_taken_before_diodes_and_empty_entries(tmp_path: Path) -> None:
    expected = master(tmp_path, lambda file: None)

    def edit(file: h5py.File) -> None:
        file.create_group("a_entry").attrs["NX_class"] = "NXentry"
        diode = file["entry/instrument"].create_group("a_diode")
        diode.attrs["NX_class"] = "NXdetector"
        diode["data"] = 1.0

    found = master(tmp_path, edit)
    assert [p.origin for p in found.panels] == [p.origin for p in expected.panels]
    assert found.notes == ("entry is used of 2 NXentry", "detector is used of 2 NXdetector")
    assert read_nexus_beam(found.source, None).wavelength == 1.1

    def older(file: h5py.File) -> None:
        diode = file["entry/instrument"].create_group("a_diode")
        diode.attrs["NX_class"] = "NXdetector"

    assert plain(tmp_path, older).panels[0].shape == (10, 12)


def test_axes_of_a_sample_without_depends_on_are_read(tmp_path: Path) -> None:
    def edit(file: h5py.File) -> None:
        del file["entry/sample/depends_on"]

    whole, found = master(tmp_path, lambda file: None), master(tmp_path, edit)
    assert (found.spindle, found.phi, found.oscillation) == (whole.spindle, 5.0, 0.25)
    assert found.notes == ("the sample has no depends_on: its axes are taken as they stand",)


@pytest.mark.spec("GEO-22")
@pytest.mark.parametrize(
    ("angles", "width"),
    [
        ([359.75, 0.0, 0.25], 0.25),
        ([0.25, 359.75, 359.25], -0.5),
        ([0.0, 360.0, 720.0], 360.0),
        ([5.0, 5.25], 0.25),
    ],
)
def test_a_rotation_that_passes_a_whole_turn_keeps_its_width(
    tmp_path: Path, angles: list[float], width: float
) -> None:
    def edit(file: h5py.File) -> None:
        group = file["entry/sample/transformations"]
        attributes = dict(group["phi"].attrs)
        put(group, "phi", angles)
        group["phi"].attrs.update(attributes)

    found = master(tmp_path, edit)
    assert (found.phi, found.oscillation) == (angles[0], width)


@pytest.mark.spec("GEO-22")
@pytest.mark.parametrize(
    ("angles", "more", "width"),
    [([30.0], ("omega_end", [30.5], "degree"), 0.5), ([359.75, 0.0, 0.25], None, 0.25)],
)
def test_a_master_without_axes_says_the_width_of_a_frame_as_others_do(
    tmp_path: Path, angles: list[float], more: tuple[str, list[float], str] | None, width: float
) -> None:
    def edit(file: h5py.File) -> None:
        goniometer = file["entry/sample/goniometer"]
        put(goniometer, "omega", angles, "degree")
        if more is not None:
            put(goniometer, *more)

    found = plain(tmp_path, edit)
    assert (found.phi, found.oscillation) == (angles[0], width)


def test_what_else_a_beam_says_is_told(tmp_path: Path) -> None:
    def edit(file: h5py.File) -> None:
        file[BEAM]["incident_polarization"] = [1.0, 0.0]
        file[BEAM]["extent"] = [0.02, 0.01]
        file[BEAM]["depends_on"] = "/entry/instrument/beam/tilt"

    assert master(tmp_path, edit).notes == (
        "ignored: extent, incident_polarization; beam gives what an image depends on",
        "depends_on of the beam is ignored: it travels along +z",
    )


def test_a_module_without_origin_begins_at_the_first_pixel(tmp_path: Path) -> None:
    def edit(file: h5py.File) -> None:
        del file[DETECTOR]["module0"]["data_origin"]

    assert one_module(tmp_path, edit).panels[0].shape == (10, 12)


def test_an_axis_without_a_vector_is_named(tmp_path: Path) -> None:
    def edit(file: h5py.File) -> None:
        del file[DETECTOR]["transformations/z"].attrs["vector"]

    with pytest.raises(InputError, match="transformations/z has no vector"):
        master(tmp_path, edit)


def test_a_file_of_data_alone_asks_for_its_master(tmp_path: Path) -> None:
    path = tmp_path / "data_000001.h5"
    with h5py.File(path, "w") as file:
        file.create_group("entry").attrs["NX_class"] = "NXentry"
    with pytest.raises(InputError, match="no NXinstrument in it; give the master file"):
        read_geometry(str(path))


def test_a_chain_that_ends_early_does_not_keep_a_plain_master_from_being_read(
    tmp_path: Path,
) -> None:
    def edit(file: h5py.File) -> None:
        file[DETECTOR]["depends_on"] = "transformations/nowhere"

    assert plain(tmp_path, edit).panels[0].shape == (10, 12)
