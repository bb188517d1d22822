"""True spots as files of DIALS and CrystFEL: hits of one and two lattices, misses, a rotation."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import h5py
import msgpack
import numpy as np
import pytest
import yaml

import distbragg as db
from distbragg.cli.main import main
from distbragg.engine.context import RunContext
from distbragg.read.geometry.read import read_geometry
from distbragg.run.frame_header import frame_header
from distbragg.store.open import open_stack
from distbragg.store.run_directory import open_run
from distbragg.store.spots import open_labels

from .conftest import tiny_plain, tiny_sweep

LABELS = {"labels": True, "label_minimum_photons": 0.0}
NUMBERS = {
    "int": ("<i4", ()),
    "std::size_t": ("<u8", ()),
    "double": ("<f8", ()),
    "vec3<double>": ("<f8", (3,)),
    "cctbx::miller::index<>": ("<i4", (3,)),
    "int6": ("<i4", (6,)),
}
"""Type and shape of an element by its name in DIALS."""


def render(path: Path, axes: list[dict[str, Any]], **changes: Any) -> Path:
    changes = {"detector": {"pixel_size_mm": 1.0}, "output": LABELS, **changes}
    db.resume(db.create(tiny_sweep(axes, **changes), path), cluster="serial")
    return path


@pytest.fixture(scope="module")
def stills(tmp_path_factory: pytest.TempPathFactory) -> Path:
    energy = {"name": "energy", "path": "beam.wavelength_angstrom", "values": [1.0, 1.01, 0.99]}
    count = {"name": "lattices", "path": "crystal.drawn_lattices.count", "values": [2, 0, 1]}
    axes = [{**axis, "dim": "shot"} for axis in (energy, count)]
    path = tmp_path_factory.mktemp("stills") / "stills.zarr"
    crystal = {"block_cells": [20, 20, 20], "shape": "gauss", "drawn_lattices": {"seed": 5}}
    return render(path, axes, crystal=crystal)


@pytest.fixture(scope="module")
def rotation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    phi = {"name": "phi", "path": "goniometer.phi_deg", "values": [0.0, 1.0, 2.0]}
    path = tmp_path_factory.mktemp("rotation") / "rotation.zarr"
    return render(path, [phi], goniometer={"oscillation_deg": 1.0, "steps": 4})


def export(run: Path, form: str, out: Path, *words: str) -> Path:
    assert main(["export", str(run), "--format", form, "-o", str(out), *words]) == 0
    return out


def read_refl(path: Path) -> tuple[dict[int, str], dict[str, Any]]:
    name, version, table = msgpack.unpackb(path.read_bytes(), strict_map_key=False)
    assert (name, version) == ("dials::af::reflection_table", 1)
    columns = {}
    for column, (kind, (count, data)) in table["data"].items():
        assert count == table["nrows"]
        number, shape = NUMBERS[kind]
        columns[column] = np.frombuffer(data, number).reshape(count, *shape)
    return table["identifiers"], columns


@pytest.mark.spec("EXP-12")
def test_a_reflection_table_of_stills_holds_the_labels(stills: Path, tmp_path: Path) -> None:
    out = export(stills, "expt", tmp_path / "out")
    labels = open_labels(stills)
    names, table = read_refl(out / "stills.refl")
    listed = json.loads((out / "stills.expt").read_text())
    assert list(names.values()) == [one["identifier"] for one in listed["experiment"]]
    assert [one["wavelength"] for one in listed["beam"]] == [1.0, 1.01, 0.99]
    # The second frame is a miss, and the beams are those of the frames.
    assert [one["beam"] for one in listed["experiment"]] == [0, 0, 2]
    own = {(0, 0): 0, (0, 1): 1, (2, 0): 2}
    pairs = zip(labels["frame"].tolist(), labels["lattice"].tolist(), strict=True)
    assert table["id"].tolist() == [own[pair] for pair in pairs]
    hkl = np.stack([labels[name] for name in "hkl"], axis=1)
    assert table["miller_index"].tolist() == hkl.tolist()
    where = np.stack([labels["fast"], labels["slow"], labels["frame"] + 0.5], axis=1)
    assert table["xyzcal.px"].tolist() == where.tolist()
    assert table["intensity.sum.value"].tolist() == labels["photons"].tolist()
    assert (table["bbox"][:, ::2] <= where).all()
    assert (table["bbox"][:, 1::2] >= where).all()
    assert len(hkl) > 0


@pytest.mark.spec("EXP-12")
def test_parts_of_a_reflection_in_frames_on_end_are_one_spot(
    rotation: Path, tmp_path: Path
) -> None:
    out = export(rotation, "expt", tmp_path / "out")
    _, table = read_refl(out / "rotation.refl")
    labels = open_labels(rotation)
    keys, parts = {}, np.stack([labels[name] for name in "hkl"], axis=1).tolist()
    for key, photons, place in zip(parts, labels["photons"], labels["fast"], strict=True):
        keys.setdefault(tuple(key), []).append((photons, place))
    frames = {key: labels["frame"][np.all(np.array(parts) == key, axis=1)] for key in keys}
    whole = {key for key in keys if (np.diff(frames[key]) == 1).all()}
    assert any(len(keys[key]) > 1 for key in whole)
    rows = table["miller_index"].tolist()
    assert table["id"].tolist() == [0] * len(rows)
    for key in whole:
        (row,) = (number for number, found in enumerate(rows) if tuple(found) == key)
        photons, places = np.array(keys[key]).T
        assert table["intensity.sum.value"][row] == pytest.approx(photons.sum(), rel=1e-12)
        mean = (photons * places).sum() / photons.sum()
        assert table["xyzcal.px"][row, 0] == pytest.approx(mean, rel=1e-12)
        assert table["bbox"][row, 4:].tolist() == [frames[key][0], frames[key][-1] + 1]
        assert frames[key][0] <= table["xyzcal.px"][row, 2] <= frames[key][-1] + 1
    assert len(rows) >= len(whole)


@pytest.mark.skipif(shutil.which("dials.show") is None, reason="DIALS is not installed")
@pytest.mark.spec("EXP-12")
def test_dials_reads_the_table(rotation: Path, tmp_path: Path) -> None:
    out = export(rotation, "expt", tmp_path / "out")
    _, table = read_refl(out / "rotation.refl")
    shown = subprocess.run(
        ["dials.show", "rotation.expt", "rotation.refl"], cwd=out, capture_output=True, text=True
    )  # fmt: skip
    assert f"Reflection list contains {len(table['id'])} reflections" in shown.stdout


@pytest.mark.spec("EXP-13")
def test_cxi_files_hold_pixels_energies_and_peaks(stills: Path, tmp_path: Path) -> None:
    out = export(stills, "cxi", tmp_path / "out", "--compression", "gzip")
    images, labels = np.asarray(open_stack(stills).images.values), open_labels(stills)
    assert (out / "stills.lst").read_text() == "stills_000001.cxi\n"
    with h5py.File(out / "stills_000001.cxi") as file:
        np.testing.assert_array_equal(file["/entry_1/data_1/data"][()], images)
        energies = file["/LCLS/photon_energy_eV"][()]
        np.testing.assert_allclose(energies, 12398.42 / np.array([1.0, 1.01, 0.99]), rtol=1e-12)
        assert file["/entry_1/instrument_1/source_1/energy"][0] == pytest.approx(1.98645e-15)
        counts = file["/entry_1/result_1/nPeaks"][()]
        assert counts.tolist() == np.bincount(labels["frame"], minlength=3).tolist()
        first = labels["frame"] == 0
        found = file["/entry_1/result_1/peakXPosRaw"][0, : counts[0]]
        np.testing.assert_allclose(found, labels["fast"][first] - 0.5, atol=1e-5)
        assert not file["/entry_1/data_1/mask"][()].any()


@pytest.mark.spec("EXP-13")
def test_the_geometry_reads_back_to_the_same_panels(stills: Path, tmp_path: Path) -> None:
    out = export(stills, "cxi", tmp_path / "out", "--compression", "none")
    header = frame_header(RunContext.of(open_run(stills)), 0)
    (panel,), (told,) = read_geometry(str(out / "stills.geom")).panels, header.panels
    turn = np.array([-1.0, 1.0, -1.0])
    np.testing.assert_allclose(panel.origin, turn * told.origin, atol=1e-9)
    np.testing.assert_allclose(panel.fast, turn * told.fast, atol=1e-12)
    np.testing.assert_allclose(panel.slow, turn * told.slow, atol=1e-12)
    assert panel.shape == told.shape


@pytest.mark.spec("EXP-13")
def test_crystals_of_the_stream_put_its_spots_where_they_are(stills: Path, tmp_path: Path) -> None:
    out = export(stills, "cxi", tmp_path / "out", "--compression", "none")
    (panel,) = read_geometry(str(out / "stills.geom")).panels
    text = (out / "stills.stream").read_text()
    assert text.startswith("CrystFEL stream format 2.3\n")
    assert (out / "stills.geom").read_text() in text
    chunks = text.split("----- Begin chunk -----\n")[1:]
    assert [chunk.count("--- Begin crystal") for chunk in chunks] == [2, 0, 1]
    assert ["indexed_by = none" in chunk for chunk in chunks] == [False, True, False]
    looked = 0
    for chunk, wavelength in zip(chunks, (1.0, 1.01, 0.99), strict=True):
        for crystal in chunk.split("--- Begin crystal\n")[1:]:
            lines = crystal.splitlines()
            star = np.array([line.split()[2:5] for line in lines if "star =" in line], dtype=float)
            start = lines.index("Reflections measured after indexing") + 2
            listed = [line.split() for line in lines[start : lines.index("End of reflections")]]
            most = max(float(words[3]) for words in listed)
            for words in listed:
                if float(words[3]) < 0.01 * most:
                    continue
                hkl, (fast, slow) = np.array(words[:3], dtype=float), map(float, words[7:9])
                place = np.array(panel.origin) + panel.pixel_size * (
                    fast * np.array(panel.fast) + slow * np.array(panel.slow)
                )
                ray = place / np.linalg.norm(place)
                moved = (ray - [0.0, 0.0, 1.0]) / wavelength * 10.0
                # Crystals of twenty cells: spots are a twentieth of a cell wide.
                assert np.abs(np.linalg.solve(star.T, moved) - hkl).max() < 0.1
                looked += 1
    assert looked > 5


@pytest.mark.spec("EXP-13")
def test_a_stream_without_labels_holds_the_crystals_alone(tmp_path: Path) -> None:
    shots = [
        {"name": "hit", "path": "crystal.present", "values": [True, False], "dim": "shot"},
        {
            "name": "a",
            "path": "crystal.misset_deg",
            "values": [[1, 2, 3], [4, 5, 6]],
            "dim": "shot",
        },
    ]
    factors = {"space_group": "I 4", "file": str(tmp_path / "list.hkl")}
    (tmp_path / "list.hkl").write_text("1 0 1 10\n2 0 0 20\n")
    cell = {"cell": [50, 50, 70, 90, 90, 90]}
    run = render(tmp_path / "run.zarr", shots, output={}, structure_factors=factors, crystal=cell)
    text = (export(run, "cxi", tmp_path / "out") / "run.stream").read_text()
    first, second = text.split("----- Begin chunk -----\n")[1:]
    assert "hit = 1\nindexed_by = file\n" in first
    assert "lattice_type = tetragonal\ncentering = I\nunique_axis = c\n" in first
    assert first.count("--- Begin crystal") == first.count("No integrated reflections.\n") == 1
    assert "hit = 0\nindexed_by = none\n" in second
    assert "num_peaks = 0\n" in second
    assert "--- Begin crystal" not in second


@pytest.mark.spec("EXP-13", "EXP-2")
@pytest.mark.parametrize(
    "turned", [{}, {"rotation_deg": [0.0, 5.0, 2.0]}], ids=["across", "tilted"]
)
def test_frames_that_differ_in_distance_alone_are_one_file_of_cxi(
    tmp_path: Path, turned: dict[str, Any]
) -> None:
    far = [100.0, 101.5, 99.25]
    axes = [{"name": "distance", "path": "detector.distance_mm", "values": far, "dim": "shot"}]
    detector = {"pixel_size_mm": 1.0, **turned}
    run = render(tmp_path / "run.zarr", axes, detector=detector)
    out = export(run, "cxi", tmp_path / "out", "--compression", "none")
    assert (out / "run.lst").read_text() == "run_000001.cxi\n"
    text = (out / "run.geom").read_text()
    assert "\nclen = /entry_1/instrument_1/detector_1/distance m\n" in text
    with h5py.File(out / "run_000001.cxi") as file:
        stated = file["/entry_1/instrument_1/detector_1/distance"][()]
        assert file["/entry_1/data_1/data"].shape[0] == len(far)
    np.testing.assert_allclose(stated, np.array(far) * 1e-3, rtol=1e-12)
    lengths = []
    for frame, distance in enumerate(stated):
        # As CrystFEL puts in what the file states of a frame.
        place = tmp_path / f"{frame}.geom"
        place.write_text(text.replace("/entry_1/instrument_1/detector_1/distance", str(distance)))
        (panel,) = read_geometry(str(place)).panels
        (told,) = frame_header(RunContext.of(open_run(run)), frame).panels
        turn = np.array([-1.0, 1.0, -1.0])
        np.testing.assert_allclose(panel.origin, turn * told.origin, atol=1e-9)
        lengths.append(f"average_camera_length = {-told.origin[2] / 1e3:.9f} m\n")
    chunks = (out / "run.stream").read_text().split("----- Begin chunk -----\n")[1:]
    assert [length in chunk for length, chunk in zip(lengths, chunks, strict=True)] == [True] * 3


@pytest.mark.spec("EXP-13", "EXP-2")
def test_panels_that_move_otherwise_are_files_of_their_own(tmp_path: Path) -> None:
    close = [100.0, 101.5]
    axes = [{"name": "close", "path": "detector.close_distance_mm", "values": close}]
    turned = {"pixel_size_mm": 1.0, "distance_mm": None, "pivot": "sample", "twotheta_deg": 10.0}
    run = render(tmp_path / "run.zarr", axes, detector=turned)
    out = export(run, "cxi", tmp_path / "out", "--compression", "none")
    assert sorted(path.name for path in out.glob("*.cxi")) == [
        "run_1_000001.cxi",
        "run_2_000001.cxi",
    ]
    texts = [path.read_text() for path in out.glob("*.geom")]
    assert ["clen = /" in text for text in texts] == [False, False]


@pytest.mark.spec("EXP-9")
def test_a_still_has_its_crystal_as_it_stands(tmp_path: Path) -> None:
    turns = [{"name": "phi", "path": "goniometer.phi_deg", "values": [0.0, 90.0]}]
    run = render(tmp_path / "run.zarr", turns, output={})
    (listed,) = export(run, "expt", tmp_path / "out").glob("*.expt")
    first, second = json.loads(listed.read_text())["crystal"]
    # The spindle is the x axis of the list's frame.
    a, turned = np.array(first["real_space_b"]), np.array(second["real_space_b"])
    np.testing.assert_allclose(turned, [a[0], -a[2], a[1]], atol=1e-9)


@pytest.mark.spec("EXP-13")
def test_a_second_export_keeps_whole_files(
    stills: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = export(stills, "cxi", tmp_path / "out", "--compression", "gzip")
    before = (out / "stills_000001.cxi").read_bytes()
    export(stills, "cxi", out, "--compression", "gzip")
    assert "1 existed already" in capsys.readouterr().out
    assert (out / "stills_000001.cxi").read_bytes() == before


@pytest.mark.spec("EXP-11")
def test_render_writes_cxi_and_the_truth_beside_a_frame(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = tiny_plain(detector={"pixel_size_mm": 1.0}, output=LABELS)
    spec = tmp_path / "still.yaml"
    spec.write_text(yaml.safe_dump(plain))
    assert main(["render", str(spec), "-o", str(tmp_path / "a.cxi"), "--truth"]) == 0
    made = ["a.cxi", "a.expt", "a.geom", "a.refl", "a.stream", "still.yaml"]
    assert sorted(path.name for path in tmp_path.iterdir()) == made
    assert "Image filename: a.cxi\n" in (tmp_path / "a.stream").read_text()
    (panel,) = read_geometry(str(tmp_path / "a.geom")).panels
    with h5py.File(tmp_path / "a.cxi") as file:
        assert file["/entry_1/data_1/data"].shape == (1, *panel.shape)
        peaks = int(file["/entry_1/result_1/nPeaks"][0])
    _, table = read_refl(tmp_path / "a.refl")
    assert len(table["id"]) == peaks > 0
    assert main(["render", str(spec), "-o", str(tmp_path / "b.npy"), "--truth"]) == 2
    assert "--truth: is for the files of other programs" in capsys.readouterr().err
    assert main(["render", str(spec), "-o", str(tmp_path / "c.cbf"), "--truth"]) == 0
    assert (tmp_path / "c.expt").is_file()
