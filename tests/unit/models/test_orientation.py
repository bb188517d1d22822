"""Orientations by Euler angles, matrices and a kappa goniometer, against scipy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from distbragg.errors import InputError
from distbragg.models.build import build_experiment
from distbragg.models.rotations import euler_matrix, kappa_setting, nearest_rotation, orientation_of
from distbragg.models.tables import load_sweep
from distbragg.spec.experiment import KappaSpec
from distbragg.spec.load import parse_spec

ANGLES = (31.0, 62.0, -113.0)
CELL = [40, 50, 60, 80, 95, 105]


def crystal_of(goniometer: dict[str, Any] | None = None, **crystal: Any):
    plain = {
        "beam": {"wavelength_angstrom": 1.0},
        "crystal": {"cell": CELL, **crystal},
        "goniometer": goniometer or {},
        "structure_factors": {"default_f_electrons": 1.0},
    }
    return build_experiment(parse_spec(plain)).crystal


def turned_by(rotation: np.ndarray) -> np.ndarray:
    return crystal_of().reciprocal @ rotation.T


@pytest.mark.spec("CRY-20")
@pytest.mark.parametrize("axes", ["ZYZ", "zyz", "XYZ", "xyz", "ZXZ", "yxy"])
def test_euler_angles_are_scipys(axes: str) -> None:
    expected = Rotation.from_euler(axes, ANGLES, degrees=True).as_matrix()
    np.testing.assert_allclose(euler_matrix(axes, ANGLES), expected, atol=1e-15)
    found = crystal_of(euler_deg=list(ANGLES), euler_axes=axes).reciprocal
    np.testing.assert_allclose(found, turned_by(expected), atol=1e-15)


@pytest.mark.spec("CRY-20")
def test_orientation_matrix_turns_the_standard_setting() -> None:
    u = Rotation.from_euler("ZYZ", ANGLES, degrees=True).as_matrix()
    rounded = np.round(u, 5)
    found = crystal_of(u_matrix=rounded.ravel().tolist())
    np.testing.assert_allclose(found.reciprocal, turned_by(u), atol=1e-6)
    np.testing.assert_allclose(found.cell[:3], CELL[:3], rtol=1e-12)
    np.testing.assert_allclose(
        orientation_of(found.real_space), nearest_rotation(rounded), atol=1e-12
    )


@pytest.mark.parametrize(
    ("matrix", "message"),
    [(np.diag([1.0, 1.0, -1.0]), "reflection"), (2 * np.eye(3), "not a rotation")],
)
def test_what_is_no_rotation_is_refused(matrix: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        crystal_of(u_matrix=matrix.ravel().tolist())


@pytest.mark.parametrize(
    "crystal",
    [
        {"euler_deg": [1, 2, 3], "misset_deg": [1, 2, 3]},
        {"euler_deg": [1, 2, 3], "quaternion_xyzw": [0, 0, 0, 1]},
        {"euler_deg": [1, 2, 3], "euler_axes": "XXZ"},
        {"euler_deg": [1, 2, 3], "euler_axes": "XyZ"},
    ],
)
def test_contradicting_orientations_are_refused(crystal: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        parse_spec({"crystal": {"cell": CELL, **crystal}})


def about(axis: np.ndarray, degrees: float) -> np.ndarray:
    return Rotation.from_rotvec(np.radians(degrees) * np.asarray(axis)).as_matrix()


@pytest.mark.spec("CRY-21")
@pytest.mark.parametrize("scan", ["omega", "phi"])
def test_kappa_goniometer_is_the_product_of_its_three_rotations(scan: str) -> None:
    omega = np.array([0.0, 0.0, 1.0])
    kappa_axis = np.array([0.0, np.sin(np.radians(50)), np.cos(np.radians(50))])
    given = KappaSpec(
        kappa_deg=70.0, fixed_deg=25.0, scan=scan, kappa_axis=tuple(kappa_axis.tolist())
    )
    setting, axis = kappa_setting(given, (0.0, 0.0, 1.0), (1.0, 0.0, 0.0))
    turned = 13.0
    found = about(np.array(axis), turned) @ setting
    first, last = (turned, 25.0) if scan == "omega" else (25.0, turned)
    expected = about(omega, first) @ about(kappa_axis, 70.0) @ about(omega, last)
    np.testing.assert_allclose(found, expected, atol=1e-14)


@pytest.mark.spec("CRY-21")
def test_kappa_axis_is_the_omega_axis_turned_by_alpha_about_the_beam() -> None:
    plain = {"kappa": {"kappa_deg": 30.0, "alpha_deg": 50.0}, "phi_deg": 0.0}
    found = crystal_of(plain)
    # MOSFLM's frame: beam along x, spindle along z.
    axis = about(np.array([1.0, 0.0, 0.0]), 50.0) @ np.array([0.0, 0.0, 1.0])
    np.testing.assert_allclose(found.reciprocal, turned_by(about(axis, 30.0)), atol=1e-14)
    np.testing.assert_allclose(found.spindle_axis, [0, 0, 1], atol=1e-15)
    with pytest.raises(InputError, match="along the beam"):
        crystal_of({"kappa": {"kappa_deg": 1.0}, "spindle_axis": [1, 0, 0]})


def expt_of(reals: list[np.ndarray]) -> dict[str, Any]:
    panel = {
        "fast_axis": [1, 0, 0],
        "slow_axis": [0, -1, 0],
        "origin": [-10, 10, -100],
        "image_size": [100, 100],
        "pixel_size": [0.2, 0.2],
        "name": "p",
    }
    crystals = [
        {
            "__id__": "crystal",
            **{f"real_space_{axis}": row.tolist() for axis, row in zip("abc", real, strict=True)},
            "space_group_hall_symbol": " P 1",
        }
        for real in reals
    ]
    return {
        "__id__": "ExperimentList",
        "experiment": [
            {"__id__": "Experiment", "beam": 0, "detector": 0, "crystal": i}
            for i in range(len(reals))
        ],
        "beam": [{"direction": [0, 0, 1], "wavelength": 1.0}],
        "detector": [{"panels": [panel], "hierarchy": {"children": [{"panel": 0}]}}],
        "goniometer": [],
        "scan": [],
        "crystal": crystals,
    }


@pytest.mark.spec("SWP-1")
def test_experiment_list_gives_the_orientations_of_its_crystals(tmp_path: Path) -> None:
    standard = crystal_of().real_space
    turns = Rotation.random(3, np.random.default_rng(1)).as_matrix()
    (tmp_path / "shots.expt").write_text(json.dumps(expt_of([standard @ u.T for u in turns])))
    path = tmp_path / "sweep.yaml"
    path.write_text(
        f"experiment: {{crystal: {{cell: {CELL}}}, detector: {{geometry_file: shots.expt}}}}\n"
        "axes: [{name: shot, path: crystal.u_matrix, table: {file: shots.expt}}]\n"
    )
    sweep = load_sweep(path)
    assert sweep.frames == 3
    np.testing.assert_allclose(sweep.frame_spec(2).crystal.u_matrix, turns[2].ravel(), atol=1e-12)
