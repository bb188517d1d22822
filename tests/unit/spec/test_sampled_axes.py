"""Sampled, tabulated and derived axes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distbragg.errors import InputError
from distbragg.models.tables import load_sweep
from distbragg.spec.canonical import canonical_json, to_plain
from distbragg.spec.load import parse_sweep
from distbragg.spec.sweep import SweepSpec

SPREAD = "crystal.mosaic.spread_deg"
EXPERIMENT = {"crystal": {"cell": [50, 60, 70, 90, 100, 90]}}


def sweep_of(*axes: dict[str, Any]) -> SweepSpec:
    return parse_sweep({"experiment": EXPERIMENT, "axes": list(axes)})


def drawn(name: str, path: str, low: float, high: float, **sample: Any) -> dict[str, Any]:
    fields = {"count": 40, "seed": 3, "low": low, "high": high, **sample}
    return {"name": name, "path": path, "dim": "shot", "sample": fields}


def values_of(sweep: SweepSpec, name: str) -> np.ndarray:
    return next(axis.expanded.array for axis in sweep.axes if axis.name == name)


@pytest.mark.spec("SWP-2")
def test_latin_hypercube_puts_one_value_in_each_slice_of_every_axis() -> None:
    sweep = sweep_of(
        drawn("energy", "beam.energy_ev", 8000, 9000, method="latin_hypercube"),
        drawn("spread", SPREAD, 0.01, 1, method="latin_hypercube", scale="log"),
    )
    energy = (values_of(sweep, "energy") - 8000) / 1000
    spread = np.log(values_of(sweep, "spread") / 0.01) / np.log(100)
    for unit in (energy, spread):
        assert sorted(np.floor(unit * 40).astype(int)) == list(range(40))
    assert abs(np.corrcoef(energy, spread)[0, 1]) < 0.5
    assert sweep.dims == (("shot", 40),)


@pytest.mark.spec("SWP-2")
@pytest.mark.parametrize("method", ["random", "latin_hypercube", "sobol"])
def test_the_same_seed_draws_the_same_within_the_range(method: str) -> None:
    first = sweep_of(drawn("energy", "beam.energy_ev", 8000, 9000, method=method))
    again = sweep_of(drawn("energy", "beam.energy_ev", 8000, 9000, method=method))
    other = sweep_of(drawn("energy", "beam.energy_ev", 8000, 9000, method=method, seed=4))
    values = values_of(first, "energy")
    np.testing.assert_array_equal(values, values_of(again, "energy"))
    assert not np.array_equal(values, values_of(other, "energy"))
    assert values.min() >= 8000
    assert values.max() < 9000
    assert len(set(values.tolist())) == 40


def test_whole_numbers_take_both_ends() -> None:
    sweep = sweep_of(drawn("domains", "crystal.mosaic.domains", 2, 4, scale="integer"))
    assert set(values_of(sweep, "domains").tolist()) == {2, 3, 4}
    assert isinstance(sweep.frame_values(0)["crystal.mosaic.domains"], int)


@pytest.mark.spec("SWP-3")
def test_derived_axis_follows_the_axes_of_its_dim() -> None:
    sweep = sweep_of(
        {"name": "energy", "path": "beam.energy_ev", "values": [8000, 9000, 10000]},
        {
            "name": "distance",
            "path": "detector.distance_mm",
            "dim": "energy",
            "derived": "100 * energy / 8000 + index",
        },
    )
    np.testing.assert_allclose(values_of(sweep, "distance"), [100, 113.5, 127])
    assert sweep.frame_spec(2).detector.distance_mm == pytest.approx(127)


def test_sweep_survives_its_own_plain_text() -> None:
    sweep = sweep_of(
        drawn("energy", "beam.energy_ev", 8000, 9000),
        {
            "name": "distance",
            "path": "detector.distance_mm",
            "dim": "shot",
            "derived": "energy / 80",
        },
    )
    again = SweepSpec.model_validate(to_plain(sweep))
    assert canonical_json(again) == canonical_json(sweep)
    assert again.frame_values(7) == sweep.frame_values(7)


@pytest.mark.parametrize(
    ("axis", "message"),
    [
        (drawn("energy", "beam.energy_ev", 9, 8), "not below"),
        (drawn("energy", "beam.energy_ev", 0, 8, scale="log"), "positive ends"),
        (drawn("domains", "crystal.mosaic.domains", 0.5, 8, scale="integer"), "whole ends"),
        ({"name": "d", "path": "detector.distance_mm", "derived": "index"}, "dim"),
        (
            {"name": "d", "path": "detector.distance_mm", "dim": "x", "derived": "1"},
            "no other axis",
        ),
        ({"name": "d", "path": "title", "table": {"file": "t.csv", "column": "a"}}, "not read"),
    ],
)
def test_axes_that_cannot_be_filled_are_refused(axis: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        sweep_of(axis)


def test_derived_axis_of_an_unknown_name_says_which_there_are() -> None:
    with pytest.raises(InputError, match=r"'foo' is not an axis.*index and energy"):
        sweep_of(
            {"name": "energy", "path": "beam.energy_ev", "values": [8000, 9000]},
            {"name": "d", "path": "detector.distance_mm", "dim": "energy", "derived": "foo"},
        )


def write_sweep(folder: Path, *axes: str) -> Path:
    text = "experiment: {crystal: {cell: [50, 60, 70, 90, 100, 90]}}\naxes:\n"
    path = folder / "sweep.yaml"
    path.write_text(text + "".join(f"  - {axis}\n" for axis in axes))
    return path


@pytest.mark.spec("SWP-1")
def test_tables_give_numbers_text_and_vectors(tmp_path: Path) -> None:
    (tmp_path / "shots.csv").write_text(
        "energy, x, y, z, note\n9000, 1, 2, 3, first\n9100.5, 4, 5, 6, second\n"
    )
    path = write_sweep(
        tmp_path,
        "{name: energy, path: beam.energy_ev, dim: shot, table: {file: shots.csv, column: energy}}",
        "{name: note, path: title, dim: shot, table: {file: shots.csv, column: note}}",
        "{name: m, path: crystal.misset_deg, dim: shot, "
        "table: {file: shots.csv, columns: [x, y, z]}}",
    )
    sweep = load_sweep(path)
    spec = sweep.frame_spec(1)
    assert spec.beam.energy_ev == 9100.5
    assert spec.title == "second"
    assert spec.crystal.misset_deg == (4, 5, 6)
    # The values are part of the sweep: the file may go.
    (tmp_path / "shots.csv").unlink()
    assert SweepSpec.model_validate(to_plain(sweep)).frame_spec(1) == spec


@pytest.mark.spec("SWP-1")
def test_parquet_is_read_as_csv_is(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"energy": [9000.0, 9100.5]}), tmp_path / "shots.parquet")
    path = write_sweep(
        tmp_path,
        "{name: energy, path: beam.energy_ev, table: {file: shots.parquet, column: energy}}",
    )
    assert [load_sweep(path).frame_spec(i).beam.energy_ev for i in (0, 1)] == [9000.0, 9100.5]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("energy\n1\n,\n", r"shots\.csv:3: .*2 fields"),
        ("energy\n1\nnan\n", "no finite number in row 2"),
        ("energy,x\n1,\n", "lacks a value"),
        ("energy,energy\n1,2\n", "each once"),
        ("other\n1\n", "no column 'energy'"),
        ("energy\n", "no rows"),
    ],
)
def test_bad_tables_are_one_clear_line(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "shots.csv").write_text(content)
    axis = "{name: energy, path: beam.energy_ev, table: {file: shots.csv, column: energy}}"
    if "x" in content:
        axis = axis.replace("column: energy", "columns: [energy, x]")
    with pytest.raises(InputError, match=message):
        load_sweep(write_sweep(tmp_path, axis))


def test_table_outside_of_the_root_is_not_read(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "shots.csv").write_text("energy\n1\n")
    axis = "{name: energy, path: beam.energy_ev, table: {file: ../shots.csv, column: energy}}"
    with pytest.raises(InputError, match="outside"):
        load_sweep(write_sweep(inside, axis), root=inside)
