"""Cells that change from frame to frame and keep their crystal system."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from distbragg.errors import InputError
from distbragg.models.build import build_experiment
from distbragg.models.experiment import physics_hash
from distbragg.models.rotations import orientation_of
from distbragg.models.vectors import cell_of
from distbragg.spec.load import parse_spec, parse_sweep
from tests.crystal_systems import CELLS

BEAM = {"wavelength_angstrom": 1.0}
SMALL = {"distance_mm": 100, "pixels_fast": 8, "pixels_slow": 8}
CHANGE = [1, -2, 3, 0.5, -0.25, 0.125]


def cell_after(crystal: dict[str, Any], **factors: Any) -> np.ndarray:
    return np.array(cell_of(real_space(crystal, **factors)))


def real_space(crystal: dict[str, Any], **factors: Any) -> np.ndarray:
    factors = {"default_f_electrons": 10, **factors}
    spec = {"beam": BEAM, "crystal": crystal, "structure_factors": factors, "detector": SMALL}
    return build_experiment(parse_spec(spec)).crystal.real_space


@pytest.mark.spec("SWP-12")
@pytest.mark.parametrize(
    ("system", "expected"),
    [
        ("triclinic", [40.4, 49, 61.8, 80.5, 94.75, 105.125]),
        ("monoclinic", [40.4, 49, 61.8, 90, 94.75, 90]),
        ("orthorhombic", [40.4, 49, 61.8, 90, 90, 90]),
        ("tetragonal", [50.5, 50.5, 61.8, 90, 90, 90]),
        ("hexagonal", [50.5, 50.5, 61.8, 90, 90, 120]),
        ("rhombohedral", [50.5, 50.5, 50.5, 80.5, 80.5, 80.5]),
        ("cubic", [50.5, 50.5, 50.5, 90, 90, 90]),
    ],
)
def test_a_cell_changes_within_its_system(system: str, expected: list[float]) -> None:
    changed = cell_after({"cell": CELLS[system], "cell_change_percent_deg": CHANGE})
    np.testing.assert_allclose(changed, expected, rtol=1e-12)


@pytest.mark.spec("SWP-12")
def test_a_space_group_or_a_stated_system_says_what_is_free() -> None:
    change = {"cell": CELLS["cubic"], "cell_change_percent_deg": CHANGE}
    group = cell_after(change, space_group="P 21 21 21")
    np.testing.assert_allclose(group, [50.5, 49, 51.5, 90, 90, 90], rtol=1e-12)
    stated = cell_after({**change, "cell_spread": {"system": "tetragonal"}})
    np.testing.assert_allclose(stated, [50.5, 50.5, 51.5, 90, 90, 90], rtol=1e-12)
    with pytest.raises(InputError, match="is not hexagonal"):
        cell_after({**change, "cell_spread": {"system": "hexagonal"}})
    with pytest.raises(InputError, match="leaves no edge"):
        cell_after({**change, "cell_change_percent_deg": [-100, 0, 0, 0, 0, 0]})


@pytest.mark.spec("SWP-12")
def test_the_orientation_of_a_matrix_stays(tmp_path: Any) -> None:
    turned = {"cell": CELLS["triclinic"], "misset_deg": [10, 20, 30]}
    reciprocal = np.linalg.inv(real_space(turned))
    np.savetxt(tmp_path / "A.mat", reciprocal)  # columns a*, b*, c*, of a wavelength of 1
    crystal = {"matrix_file": str(tmp_path / "A.mat"), "cell_change_percent_deg": CHANGE}
    spec = {"beam": BEAM, "crystal": crystal, "detector": SMALL}
    spec["structure_factors"] = {"default_f_electrons": 10}
    changed = build_experiment(parse_spec(spec)).crystal.real_space
    np.testing.assert_allclose(cell_of(changed), [40.4, 49, 61.8, 80.5, 94.75, 105.125], rtol=1e-5)
    spec["crystal"] = {**crystal, "cell": [80, 50, 60, 80, 95, 105]}  # whose lengths hold
    longer = build_experiment(parse_spec(spec)).crystal.real_space
    np.testing.assert_allclose(cell_of(longer), [80.8, 49, 61.8, 80.5, 94.75, 105.125], rtol=1e-5)
    np.testing.assert_allclose(
        orientation_of(changed), orientation_of(real_space(turned)), atol=1e-5
    )


@pytest.mark.spec("SWP-12")
def test_no_change_is_the_crystal_without_one() -> None:
    def identity(crystal: dict[str, Any]) -> str:
        spec = {"crystal": crystal, "structure_factors": {"default_f_electrons": 10}}
        return physics_hash(build_experiment(parse_spec({**spec, "beam": BEAM, "detector": SMALL})))

    plain, none = {"cell": CELLS["cubic"]}, {"cell_change_percent_deg": [0] * 6}
    assert identity(plain) == identity({**plain, **none})


@pytest.mark.spec("SWP-12")
def test_each_protein_keeps_its_own_system() -> None:
    names = ("tetragonal", "cubic", "monoclinic")
    protein = {
        "name": "protein",
        "dim": "shot",
        "alternatives": {name: {"crystal.cell": CELLS[name]} for name in names},
        "draw": {"choice": {"values": list(names)}},
    }
    jitter = {"cell_jitter": {"lengths_percent": 1, "angles_deg": 0.5}}
    sweep = parse_sweep(
        {
            "experiment": {
                "beam": BEAM,
                "structure_factors": {"default_f_electrons": 10},
                "detector": SMALL,
            },
            "count": 60,
            "axes": [protein, {"name": "jitter", "dim": "shot", "draw": jitter}],
        }
    )
    labels = {c.name: c.values for c in sweep.coordinates()}
    assert [c.unit for c in sweep.coordinates() if c.name == "jitter"] == ["1"]
    for frame, name in enumerate(labels["protein"].tolist()):
        cell = cell_of(build_experiment(sweep.frame_spec(frame)).crystal.real_space)
        a, b, c, alpha, beta, gamma = cell
        by = labels["jitter"][frame]
        assert a == pytest.approx(CELLS[name][0] * (1 + 0.01 * by[0]), rel=1e-12)
        assert gamma == pytest.approx(90, abs=1e-9)
        if name == "monoclinic":
            assert beta == pytest.approx(95 + by[4], abs=1e-9)
            assert alpha == pytest.approx(90, abs=1e-9)
        else:
            assert a == pytest.approx(b, rel=1e-12)
            assert (c == pytest.approx(a, rel=1e-12)) == (name == "cubic")
    spread = labels["jitter"].std(axis=0)
    np.testing.assert_allclose(spread, [1, 1, 1, 0.5, 0.5, 0.5], rtol=0.4)
