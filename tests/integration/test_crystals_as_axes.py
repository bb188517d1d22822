"""Crystals of streams and experiment lists as axes: exported, read back, rendered again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import distbragg as db
from distbragg.errors import InputError
from distbragg.models.build import build_experiment
from distbragg.models.crystal import NO_TABLE
from distbragg.models.tables import load_sweep
from distbragg.read.geometry.read import read_geometry
from distbragg.spec.load import parse_spec
from tests.dials import dxtbx, needs_dials

GEOMETRY = """photon_energy = 9500
clen = 0.08
res = 5000
adu_per_photon = 1
left/min_fs = 0
left/max_fs = 63
left/min_ss = 0
left/max_ss = 95
left/corner_x = -66.5
left/corner_y = -40.25
left/fs = +0.999962x +0.008727y
left/ss = -0.008727x +0.999962y
right/min_fs = 64
right/max_fs = 127
right/min_ss = 0
right/max_ss = 95
right/corner_x = 3.5
right/corner_y = -41.0
right/fs = +1.0x +0.0y
right/ss = +0.0x +1.0y
"""
CONVENTIONS: dict[str, dict[str, Any]] = {
    name: {"convention": name, "distance_mm": 80, "pixel_size_mm": 0.5, "pixels": [90, 80]}
    for name in ("mosflm", "xds", "adxv")
} | {"geom": {"geometry_file": "two.geom"}}


def experiment(detector: dict[str, Any], **crystal: Any) -> dict[str, Any]:
    detector = dict(detector)
    if (pixels := detector.pop("pixels", None)) is not None:
        detector |= {"pixels_fast": pixels[0], "pixels_slow": pixels[1]}
    return {
        "beam": {"wavelength_angstrom": 1.3, "fluence_photons_per_m2": 1e24},
        "crystal": {"block_cells": [12, 12, 12], "shape": "gauss", **crystal},
        "structure_factors": {"default_f_electrons": 100.0},
        "detector": detector,
        "compute": {"frames_per_unit": 2},
    }


def rendered(
    folder: Path, name: str, base: dict[str, Any], axes: list[dict[str, Any]]
) -> tuple[Path, np.ndarray]:
    (folder / "two.geom").write_text(GEOMETRY)
    spec = folder / f"{name}.yaml"
    spec.write_text(yaml.safe_dump({"experiment": base, "axes": axes}))
    run = folder / f"{name}.zarr"
    db.sweep(spec, run, cluster="serial")
    return run, np.asarray(db.open_stack(run).images.values)


def exported(run: Path, form: Any) -> Path:
    out = run.with_name(f"{run.stem}_{form}")
    return db.export_run(run, form, out=out).opens


def table(name: str, path: str, file: Path, **more: Any) -> dict[str, Any]:
    return {"name": name, "path": path, "dim": "shot", "table": {"file": str(file), **more}}


def assert_alike(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1e-6 * expected.max()
    assert expected.max() > 0.0


@pytest.mark.spec("SWP-15")
@pytest.mark.parametrize("setting", CONVENTIONS)
def test_orientations_cells_and_energies_come_back_from_either_file(
    setting: str, tmp_path: Path
) -> None:
    base = experiment(CONVENTIONS[setting])
    cells = [[50, 60, 70, 90, 90, 90], [51, 59, 71, 91, 100, 95], [50, 60, 70, 90, 92, 90]]
    turns = [[10, 20, 30], [-100, 40, 77], [33, -5, 120]]
    axes = [
        {"name": "cell", "path": "crystal.cell", "values": cells, "dim": "shot"},
        {"name": "turn", "path": "crystal.misset_deg", "values": turns, "dim": "shot"},
        {"name": "wavelength", "path": "beam.wavelength_angstrom", "values": [1.3, 1.31, 1.29],
         "dim": "shot"},
    ]  # fmt: skip
    run, expected = rendered(tmp_path, "first", base, axes)
    for file in (exported(run, "cxi").with_suffix(".stream"), exported(run, "expt")):
        once = [
            table("basis", "crystal.a_matrix_per_angstrom", file),
            table("wavelength", "beam.wavelength_angstrom", file),
        ]
        _, found = rendered(tmp_path, f"basis{file.suffix[1:]}", base, once)
        assert_alike(found, expected)
        apart = [
            table("u", "crystal.u_matrix", file),
            table("cell", "crystal.cell", file),
            table("energy", "beam.energy_ev", file),
        ]
        unstated = {**base, "beam": {"fluence_photons_per_m2": 1e24}}
        _, found = rendered(tmp_path, f"apart{file.suffix[1:]}", unstated, apart)
        assert_alike(found, expected)


@pytest.mark.spec("EXP-4")
def test_a_geometry_of_crystfel_is_exported_as_it_stands(tmp_path: Path) -> None:
    base = experiment(CONVENTIONS["geom"], cell=[50, 60, 70, 90, 90, 90])
    run, _ = rendered(tmp_path, "run", base, [])
    given = read_geometry(str(tmp_path / "two.geom"))
    made = read_geometry(str(exported(run, "cxi")))
    for one, two in zip(given.panels, made.panels, strict=True):
        np.testing.assert_allclose(one.origin, two.origin, atol=1e-8)
        np.testing.assert_allclose(one.fast, two.fast, atol=1e-9)
        np.testing.assert_allclose(one.slow, two.slow, atol=1e-9)


@pytest.mark.spec("SWP-15")
def test_a_rotation_comes_back_from_its_experiment_list(tmp_path: Path) -> None:
    detector = {**CONVENTIONS["mosflm"], "twotheta_deg": 10.0}
    base = experiment(detector, cell=[50, 60, 70, 90, 100, 90], misset_deg=[10, 20, 30])
    base["goniometer"] = {"oscillation_deg": 1.0, "steps": 3}
    phi = {"name": "phi", "path": "goniometer.phi_deg", "values": [30.0, 31.0]}
    run, expected = rendered(tmp_path, "first", base, [phi])
    del base["crystal"]["cell"], base["crystal"]["misset_deg"]
    listed = exported(run, "expt")
    again = [{**table("basis", "crystal.a_matrix_per_angstrom", listed), "dim": "basis"}, phi]
    _, found = rendered(tmp_path, "second", base, again)
    assert_alike(found[0], expected)


@pytest.mark.spec("SWP-15")
def test_frames_of_two_lattices_come_back_from_a_stream(tmp_path: Path) -> None:
    base = experiment(CONVENTIONS["mosflm"], cell=[50, 60, 70, 90, 90, 90])
    base["crystal"]["drawn_lattices"] = {"seed": 3}
    count = {"name": "n", "path": "crystal.drawn_lattices.count", "values": [2, 0, 1, 2]}
    run, expected = rendered(tmp_path, "first", base, [count])
    stream = exported(run, "cxi").with_suffix(".stream")
    base["crystal"] = {"block_cells": [12, 12, 12], "shape": "gauss", "lattices": [{}]}
    axes = [
        table("first", "crystal.a_matrix_per_angstrom", stream, lattices=2),
        table("second", "crystal.lattices.0.a_matrix_per_angstrom", stream, lattices=2),
    ]
    _, found = rendered(tmp_path, "second", base, axes)
    assert_alike(found, expected[[0, 3]])
    every = load_axes(tmp_path, base, [table("all", "crystal.u_matrix", stream)])
    assert every.frames == 5


def load_axes(folder: Path, base: dict[str, Any], axes: list[dict[str, Any]]) -> Any:
    spec = folder / "axes.yaml"
    spec.write_text(yaml.safe_dump({"experiment": base, "axes": axes}))
    return load_sweep(spec)


STREAM = """CrystFEL stream format 2.3
----- Begin chunk -----
Image filename: a.h5
photon_energy_eV = 9500.0
--- Begin crystal
Cell parameters 5.0 6.0 7.0 nm, 90 90 90 deg
astar = +0.2000000 +0.0000000 +0.0000000 nm^-1
bstar = +0.0000000 +0.1666667 +0.0000000 nm^-1
cstar = +0.0000000 +0.0000000 +0.1428571 nm^-1
--- End crystal
----- End chunk -----
"""


@pytest.mark.spec("SWP-15")
@pytest.mark.parametrize(
    ("change", "path", "more", "problem"),
    [
        (
            ("format 2.3", "format 1.0"),
            "crystal.a_matrix_per_angstrom",
            {},
            "no CrystFEL stream of format 2",
        ),
        (
            ("----- End chunk -----\n", ""),
            "crystal.a_matrix_per_angstrom",
            {},
            "ends within a chunk",
        ),
        (
            ("photon_energy_eV = 9500.0\n", ""),
            "crystal.a_matrix_per_angstrom",
            {},
            "no photon energy",
        ),
        (("+0.1428571", "-0.1428571"), "crystal.a_matrix_per_angstrom", {}, "left-handed"),
        (
            ("+0.1428571", "nan"),
            "crystal.a_matrix_per_angstrom",
            {},
            r"stream:9: axes.0: 'nan' is not a finite",
        ),
        (
            ("+0.1428571 nm^-1", "+0.1428571 A^-1"),
            "crystal.a_matrix_per_angstrom",
            {},
            r"stream:9: axes.0: cstar is not in nm\^-1",
        ),
        (
            ("----- End chunk -----", "----- Begin chunk -----"),
            "crystal.a_matrix_per_angstrom",
            {},
            r"stream:11: axes.0: chunk 1 has no end before the next",
        ),
        (("bstar", "dstar"), "crystal.a_matrix_per_angstrom", {}, "lacks astar, bstar or cstar"),
        (("", ""), "crystal.fudge", {}, "nothing for crystal.fudge"),
        (
            ("", ""),
            "crystal.a_matrix_per_angstrom",
            {"lattices": 3},
            "holds no frame of 3 lattices",
        ),
        (
            ("", ""),
            "crystal.lattices.0.a_matrix_per_angstrom",
            {},
            "lattice 2 of frames of any number",
        ),
    ],
)
def test_what_a_stream_does_not_give_is_one_clear_line(
    change: tuple[str, str], path: str, more: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    (tmp_path / "s.stream").write_text(STREAM.replace(*change))
    base = experiment(CONVENTIONS["mosflm"])
    with pytest.raises(InputError, match=problem):
        load_axes(tmp_path, base, [table("basis", path, tmp_path / "s.stream", **more)])


@pytest.mark.spec("CRY-26")
def test_a_basis_stands_beside_no_cell_and_no_orientation(tmp_path: Path) -> None:
    (tmp_path / "s.stream").write_text(STREAM)
    basis = [0.02, 0, 0, 0, 0.02, 0, 0, 0, 0.01]
    for field, value in (("cell", [50, 50, 100, 90, 90, 90]), ("misset_deg", [1, 2, 3])):
        with pytest.raises(InputError, match="a_matrix_per_angstrom"):
            parse_spec({"crystal": {"a_matrix_per_angstrom": basis, field: value}})
    lattice = {"lattices": [{"cell": [50, 50, 100, 90, 90, 90]}]}
    with pytest.raises(InputError, match=r"crystal.lattices.0.cell"):
        parse_spec({"crystal": {"a_matrix_per_angstrom": basis, **lattice}})


@needs_dials
@pytest.mark.spec("SWP-15")
def test_what_dials_indexed_is_an_axis_in_the_frame_of_the_experiment(tmp_path: Path) -> None:
    cell = [57, 71, 83, 90, 95, 90]
    detector = {"distance_mm": 100, "pixel_size_mm": 0.25, "pixels": [300, 320]}
    base = experiment(detector, cell=cell, misset_deg=[10, 20, 30], illuminated_blocks=1e7)
    base["beam"] = {"wavelength_angstrom": 0.98, "fluence_photons_per_m2": 1e19}
    base["crystal"] |= {
        "block_cells": [60, 60, 60],
        "mosaic": {"distribution": "gaussian", "spread_deg": 0.15},
    }
    base |= {"goniometer": {"oscillation_deg": 0.5}, "noise": {"photon": True}}
    base |= {"background": {"water_um": 50}, "output": {"dtype": "uint32"}}
    phi = {"name": "phi", "path": "goniometer.phi_deg", "values": [0.5 * n for n in range(12)]}
    run, _ = rendered(tmp_path, "run", base, [phi])
    path = db.export_run(run, "nxmx", out=tmp_path / "images", compression="gzip").opens
    known = [f"unit_cell={','.join(map(str, cell))}", "space_group=P2"]
    # The first of fifty cells that would be refined is the crystal's.
    known += ["basis_vector_combinations.max_refine=5", "fft3d.reciprocal_space_grid.n_points=128"]
    programs = [
        ["import", str(path)],
        ["find_spots", "imported.expt", "nproc=1"],
        ["index", "imported.expt", "strong.refl", *known],
    ]
    dxtbx(tmp_path, "found = None", programs=programs)
    truth = load_axes(tmp_path, base, [phi]).frame_spec(0)
    del base["crystal"]["cell"], base["crystal"]["misset_deg"]
    axis = table("basis", "crystal.a_matrix_per_angstrom", tmp_path / "indexed.expt")
    indexed = load_axes(tmp_path, base, [axis]).frame_spec(0)
    found, expected = (
        np.asarray(build_experiment(spec, reflections=NO_TABLE).crystal.real_space)
        for spec in (indexed, truth)
    )
    # The crystal looks the same after half a turn about b.
    alike = [np.diag(signs) @ expected for signs in ((1.0, 1.0, 1.0), (-1.0, 1.0, -1.0))]
    misses = [np.abs(found - one).max() / np.abs(expected).max() for one in alike]
    assert min(misses) < np.radians(0.05)


@pytest.mark.spec("CRY-26")
def test_a_lattice_beside_a_basis_has_its_cell(tmp_path: Path) -> None:
    (tmp_path / "s.stream").write_text(STREAM)
    basis = [0.02, 0, 0, 0, 1 / 60, 0, 0, 0, 1 / 70]
    cell = [50, 60, 70, 90, 90, 90]
    turned, beside = {"misset_deg": [10, 20, 30]}, {"turned_deg": [0, 0, 5]}
    base = experiment(CONVENTIONS["mosflm"])
    ours, theirs = (
        build_experiment(parse_spec({**base, "crystal": crystal}), reflections=NO_TABLE)
        for crystal in (
            {
                "a_matrix_per_angstrom": basis,
                "lattices": [turned, {"turned_deg": [0, 0, 5]}, {"a_matrix_per_angstrom": basis}],
            },
            {"cell": cell, "lattices": [turned, beside, {}]},
        )
    )
    for one, two in zip(ours.lattices, theirs.lattices, strict=True):
        np.testing.assert_allclose(one.real_space, two.real_space, atol=1e-9)
