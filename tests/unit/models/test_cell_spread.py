"""A spread of unit cells, from a specification to a crystal."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from distbragg.errors import InputError
from distbragg.models.build import build_experiment, resolve
from distbragg.models.crystal import Crystal
from distbragg.models.experiment import Experiment, physics_hash
from distbragg.models.vectors import cell_of
from distbragg.physics.orientation import domain_cells
from distbragg.spec.load import parse_spec
from tests.crystal_systems import CELLS


def build(system: str, spread: dict[str, Any], **changes: Any) -> Experiment:
    spec: dict[str, Any] = {
        "beam": {"wavelength_angstrom": 1.0},
        "crystal": {
            "cell": CELLS[system],
            "shape": "gauss",
            "block_cells": 9,
            "cell_spread": spread,
        },
        "structure_factors": {"default_f_electrons": 10},
        "detector": {"distance_mm": 100, "pixels_fast": 8, "pixels_slow": 8},
    }
    for name, value in changes.items():
        spec[name] = {**spec.get(name, {}), **value} if isinstance(value, dict) else value
    return build_experiment(parse_spec(spec))


def roots(system: str, **spread: Any) -> np.ndarray:
    """In percent of the edges and degrees."""
    crystal = build(system, spread).crystal
    assert crystal.cell_roots is not None
    units = np.array([*(0.01 * crystal.cell[:3]), *([np.pi / 180.0] * 3)])
    return np.asarray(crystal.cell_roots / units)


@pytest.mark.spec("MOS-5")
@pytest.mark.parametrize(
    ("system", "rows"),
    [
        ("triclinic", 0.3 * np.eye(6)),
        ("monoclinic", 0.3 * np.eye(6)[[0, 1, 2, 4]]),
        ("orthorhombic", 0.3 * np.eye(6)[:3]),
        ("tetragonal", [[0.3, 0.3, 0, 0, 0, 0], [0, 0, 0.3, 0, 0, 0]]),
        ("hexagonal", [[0.3, 0.3, 0, 0, 0, 0], [0, 0, 0.3, 0, 0, 0]]),
        ("rhombohedral", [[0.3, 0.3, 0.3, 0, 0, 0], [0, 0, 0, 0.3, 0.3, 0.3]]),
        ("cubic", [[0.3, 0.3, 0.3, 0, 0, 0]]),
    ],
)
def test_what_a_system_leaves_free_varies_together(system: str, rows: Any) -> None:
    given = {"lengths_percent": 0.3}
    if system in ("triclinic", "monoclinic", "rhombohedral"):
        given["angles_deg"] = 0.3
    np.testing.assert_allclose(roots(system, **given), rows, atol=1e-12)


@pytest.mark.spec("MOS-5")
def test_a_covariance_is_that_of_the_deviates() -> None:
    one = np.random.default_rng(3).normal(size=(6, 6))
    found = roots("triclinic", covariance_percent_deg=(0.01 * one @ one.T).tolist())
    np.testing.assert_allclose(found.T @ found, 0.01 * one @ one.T, atol=1e-12)
    tied = np.zeros((6, 6))
    tied[:3, :3] = [[0.04, 0.04, 0.01], [0.04, 0.04, 0.01], [0.01, 0.01, 0.09]]
    found = roots("tetragonal", covariance_percent_deg=tied.tolist())
    np.testing.assert_allclose(found.T @ found, tied, atol=1e-12)


@pytest.mark.spec("MOS-6")
@pytest.mark.parametrize(
    ("system", "spread", "said"),
    [
        ("orthorhombic", {"angles_deg": 0.1}, "all angles are fixed"),
        ("monoclinic", {"angles_deg": [0.1, 0.1, 0.0]}, "alpha is fixed of a monoclinic"),
        ("tetragonal", {"lengths_percent": [0.1, 0.2, 0.1]}, "a and b are one number"),
        ("tetragonal", {"lengths_percent": 0.1, "system": "cubic"}, "is not cubic"),
        ("cubic", {"covariance_percent_deg": np.eye(6).tolist()}, "breaks the symmetry"),
        ("triclinic", {"covariance_percent_deg": (-np.eye(6)).tolist()}, "positive semi-definite"),
        (
            "triclinic",
            {"covariance_percent_deg": np.eye(6).tolist(), "lengths_percent": 0.1},
            "given together with",
        ),
    ],
)
def test_what_symmetry_forbids_is_refused(system: str, spread: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        build(system, spread)
    assert "crystal.cell_spread" in str(caught.value)


@pytest.mark.spec("MOS-6")
def test_the_c_program_and_wide_spreads_are_refused() -> None:
    with pytest.raises(InputError, match="the C program's domains have one cell"):
        build("cubic", {"lengths_percent": 0.1}, physics="nanobragg")
    with pytest.raises(InputError, match="a spread of cells of 3 % is more than 2"):
        build("cubic", {"lengths_percent": 3.0}, sampling={"method": "closed_form"})
    assert build("cubic", {"lengths_percent": 3.0}).sampling.method == "sampled"
    assert build("cubic", {"lengths_percent": 0.3}).sampling.method == "closed_form"


@pytest.mark.spec("MOS-5")
def test_a_space_group_tells_the_system() -> None:
    given = {"structure_factors": {"space_group": "P 21 21 21", "default_f_electrons": 10}}
    found = build("cubic", {"lengths_percent": 0.3}, **given).crystal.cell_roots
    assert found is not None
    assert len(found) == 3


@pytest.mark.spec("MOS-5")
def test_no_spread_is_the_crystal_without_one() -> None:
    plain = build("cubic", {})
    for spread in ({"lengths_percent": 0.0}, {"angles_deg": [0.0, 0.0, 0.0]}, {"system": "cubic"}):
        assert physics_hash(build("cubic", spread)) == physics_hash(plain)


def sampled(system: str, domains: int, **spread: Any) -> Crystal:
    changes = {"mosaic": {"domains": domains}, "misset_deg": [10, 20, 30]}
    return build(system, spread, crystal=changes, sampling={"method": "sampled"}).crystal


@pytest.mark.spec("MOS-5")
@pytest.mark.parametrize("mosaic", [{}, {"domains": 5, "spread_deg": 0.2}])
@pytest.mark.parametrize("method", ["sampled", "auto"])
def test_frames_of_a_sweep_are_those_of_each_alone(mosaic: dict[str, Any], method: str) -> None:
    crystal = {"cell": CELLS["triclinic"], "shape": "gauss", "block_cells": 9, "mosaic": mosaic}
    spec = parse_spec(
        {
            "beam": {"wavelength_angstrom": 1.0},
            "crystal": crystal,
            "structure_factors": {"default_f_electrons": 10},
            "detector": {"distance_mm": 100, "pixels_fast": 8, "pixels_slow": 8},
            "sampling": {"method": method},
        }
    )
    before = None
    for percent in (0.0, 0.3, 0.5, 0.0):
        spread = spec.crystal.cell_spread.model_copy(update={"lengths_percent": percent})
        own = spec.crystal.model_copy(update={"cell_spread": spread})
        frame = spec.model_copy(update={"crystal": own})
        found, alone = resolve(frame, like=before), resolve(frame)
        assert physics_hash(found.experiment) == physics_hash(alone.experiment)
        before = found


@pytest.mark.spec("MOS-5")
def test_domains_have_cells_of_the_spread() -> None:
    crystal = sampled("monoclinic", 4000, lengths_percent=[0.3, 0.5, 1.0], angles_deg=0.4)
    assert crystal.cell_deviates is not None
    assert len(crystal.mosaic_rotations) == 4000
    cells = np.array([cell_of(rows) for rows in domain_cells(crystal)[0]])
    np.testing.assert_allclose(cells[0], CELLS["monoclinic"], rtol=1e-12)
    assert cells.std(axis=0) == pytest.approx([0.12, 0.25, 0.6, 0, 0.4, 0], rel=0.04, abs=3e-3)
    # By hand: an edge is its mean and the deviate times its standard deviation, 1 % of 60 Å.
    assert cells[7, 2] == pytest.approx(60.0 + 0.6 * crystal.cell_deviates[7, 2], rel=1e-12)


@pytest.mark.spec("MOS-6")
@pytest.mark.parametrize("given", [{"lengths_percent": 21.0}, {"angles_deg": 12.0}])
def test_cells_that_spread_too_far_are_refused(given: dict[str, float]) -> None:
    with pytest.raises(InputError, match="is of no crystal") as caught:
        sampled("triclinic", 5, **given)
    assert caught.value.field == "crystal.cell_spread"
