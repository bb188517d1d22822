"""Domains that are given, and covariances about the laboratory's axes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from distbragg.errors import InputError
from distbragg.models.build import build_experiment
from distbragg.models.experiment import Experiment, physics_hash
from distbragg.read.rotations import read_rotations
from distbragg.spec.load import parse_spec

TURNS = Rotation.from_rotvec(0.01 * np.random.default_rng(5).normal(size=(4, 3))).as_matrix()


def build(mosaic: dict[str, Any], **changes: Any) -> Experiment:
    crystal = {
        "cell": [40, 50, 60, 90, 95, 105],
        "shape": "gauss",
        "block_cells": 9,
        "mosaic": mosaic,
    }
    spec = {
        "beam": {"wavelength_angstrom": 1.0},
        "crystal": {**crystal, "misset_deg": [10, 20, 30]},
        "structure_factors": {"default_f_electrons": 10},
        "detector": {"distance_mm": 100, "pixels_fast": 8, "pixels_slow": 8},
        **changes,
    }
    return build_experiment(parse_spec(spec))


def test_text_and_arrays_are_read_alike(tmp_path: Path) -> None:
    np.save(tmp_path / "turns.npy", TURNS)
    rows = "\n".join(" ".join(map(repr, turn.ravel().tolist())) for turn in TURNS)
    (tmp_path / "turns.txt").write_text(f"# four domains\n{rows}\n", encoding="utf-8")
    np.save(tmp_path / "one.npy", TURNS[0])
    for name in ("turns.npy", "turns.txt"):
        np.testing.assert_allclose(read_rotations(str(tmp_path / name)), TURNS, atol=1e-15)
    assert read_rotations(str(tmp_path / "one.npy")).shape == (1, 3, 3)


@pytest.mark.spec("MOS-4")
@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.eye(3) * 2.0, "matrix 1 is not a rotation"),
        (np.stack([np.eye(3), np.diag([1.0, 1.0, -1.0])]), "matrix 2 is not a rotation"),
        (np.full((2, 3, 3), np.nan), "NaN"),
        (np.zeros((2, 9)), "shape"),
        (np.zeros((0, 3, 3)), "shape"),
    ],
)
def test_what_is_no_rotation_is_refused(tmp_path: Path, array: np.ndarray, said: str) -> None:
    np.save(tmp_path / "turns.npy", array)
    with pytest.raises(InputError, match=said):
        build({"matrices_file": str(tmp_path / "turns.npy")})


@pytest.mark.spec("MOS-4")
def test_given_domains_are_those_of_the_file(tmp_path: Path) -> None:
    path = str(tmp_path / "turns.npy")
    np.save(path, TURNS)
    built = build({"matrices_file": path})
    assert built.sampling.method == "sampled"
    np.testing.assert_allclose(built.crystal.mosaic_rotations, TURNS, atol=1e-15)
    vectors = Rotation.from_matrix(TURNS).as_rotvec()
    assert built.crystal.mosaic_spread == pytest.approx(np.sqrt((vectors**2).mean()), rel=1e-9)
    np.save(path, TURNS[::-1])
    assert physics_hash(build({"matrices_file": path})) != physics_hash(built)
    for other in ({"spread_deg": 0.3}, {"domains": 4}, {"seed": 1}, {"distribution": "gaussian"}):
        with pytest.raises(InputError, match="together with matrices_file"):
            build({"matrices_file": path, **other})
    with pytest.raises(InputError, match="matrices_file: the closed form is impossible"):
        build({"matrices_file": path}, sampling={"method": "closed_form"})
    with pytest.raises(InputError, match="the C program draws its domains"):
        build({"matrices_file": path}, physics="nanobragg", crystal={
            "cell": [40, 50, 60, 90, 95, 105], "mosaic": {"matrices_file": path},
        })  # fmt: skip


@pytest.mark.spec("MOS-3")
@pytest.mark.parametrize("turn", [{}, {"phi_deg": 20.0, "oscillation_deg": 1.0}])
def test_three_angles_about_the_laboratory(turn: dict[str, float]) -> None:
    """In the middle of the rotation the covariance is diag(σ²) along x, y and z."""
    given = {"distribution": "gaussian", "spread_deg": [0.3, 0.9, 1.5], "axes": "laboratory"}
    crystal = build(given, goniometer=turn).crystal
    middle = 0.5 * sum(crystal.oscillation)
    back = Rotation.from_rotvec(middle * np.asarray(crystal.spindle_axis)).as_matrix()
    about = back @ crystal.mosaic_covariance @ back.T
    np.testing.assert_allclose(about, np.diag(np.radians([0.3, 0.9, 1.5]) ** 2), atol=1e-18)
    drawn = build(
        {**given, "domains": 4000}, goniometer=turn, sampling={"method": "sampled"}
    ).crystal.mosaic_rotations
    vectors = Rotation.from_matrix(drawn).as_rotvec()
    assert np.degrees(vectors.std(axis=0)) == pytest.approx([0.3, 0.9, 1.5], rel=0.05)
    own = build({**given, "axes": "crystal"}, goniometer=turn).crystal
    assert not np.allclose(own.mosaic_covariance, crystal.mosaic_covariance)
