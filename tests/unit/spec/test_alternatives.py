"""Named alternatives and null as values of axes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from distbragg.errors import InputError
from distbragg.run.frames import frame_rows
from distbragg.spec.canonical import canonical_json, to_plain
from distbragg.spec.files import absolute_files, file_fields, replace_files
from distbragg.spec.load import parse_sweep
from distbragg.spec.sweep import SweepSpec

SIZE = [10, 10, 10]
EXPERIMENT = {
    "crystal": {"cell": [50, 60, 70, 90, 100, 90], "block_cells": SIZE},
    "background": {"materials": [{"name": "water", "thickness_um": 10}]},
}
PROTEINS = {
    "name": "protein",
    "dim": "shot",
    "alternatives": {
        "lysozyme": {
            "structure_factors.file": "lyso.pdb",
            "structure_factors.space_group": "P 43 21 2",
            "crystal.cell": [79, 79, 38, 90, 90, 90],
        },
        "insulin": {"structure_factors.file": "ins.pdb", "crystal.cell": [78, 78, 78, 90, 90, 90]},
        "blank": {"crystal.present": False, "background.materials": None},
    },
}


def sweep_of(*axes: dict[str, Any], **fields: Any) -> SweepSpec:
    return parse_sweep({"experiment": EXPERIMENT, "axes": list(axes), **fields})


@pytest.mark.spec("SWP-11")
def test_an_alternative_sets_its_fields_and_leaves_the_others() -> None:
    sweep = sweep_of(PROTEINS)
    assert sweep.dims == (("shot", 3),)
    lysozyme, insulin, blank = (sweep.frame_spec(frame) for frame in range(3))
    assert lysozyme.crystal.cell == (79, 79, 38, 90, 90, 90)
    assert lysozyme.structure_factors.space_group == "P 43 21 2"
    assert insulin.structure_factors.file == "ins.pdb"
    assert insulin.structure_factors.space_group is None
    assert insulin.crystal.block_cells == tuple(SIZE)
    assert not blank.crystal.present
    assert blank.background.materials == ()
    assert blank.crystal.cell == (50, 60, 70, 90, 100, 90)
    (labels,) = (c.values.tolist() for c in sweep.coordinates() if c.name == "protein")
    assert labels == ["lysozyme", "insulin", "blank"]


@pytest.mark.spec("SWP-11")
def test_alternatives_are_chosen_by_values_or_draws_and_survive_storage() -> None:
    listed = sweep_of({**PROTEINS, "values": ["blank", "insulin", "blank"]})
    assert [listed.frame_spec(i).crystal.present for i in range(3)] == [False, True, False]
    choice = {"choice": {"values": ["lysozyme", "blank"], "weights": [1, 1]}}
    sweep = sweep_of({**PROTEINS, "draw": choice}, count=40)
    names = [row[1] for row in frame_rows(sweep, range(40))]
    assert set(names) == {"lysozyme", "blank"}
    again = parse_sweep(to_plain(sweep))
    assert canonical_json(again) == canonical_json(sweep)
    for frame, name in enumerate(names):
        assert again.frame_spec(frame).crystal.present == (name == "lysozyme")
        assert again.frame_spec(frame).background.materials == () or name == "lysozyme"


@pytest.mark.spec("SWP-11")
def test_files_of_alternatives_and_draws_are_files_of_the_sweep() -> None:
    part = {"weight": 1, "draw": "m.img"}
    mask = {
        "name": "mask",
        "dim": "shot",
        "path": "detector.mask_file",
        "draw": {"mixture": [part, {"weight": 1, "draw": {"choice": {"values": [None, "n.img"]}}}]},
    }
    models = {"a": {"structure_factors.models": [{"file": "x.pdb"}, {"file": "y.pdb"}]}, "b": {}}
    sweep = sweep_of(mask, {"name": "kind", "dim": "shot", "alternatives": models}, count=2)
    assert dict(file_fields(sweep)) == {
        "axes.0.draw.mixture.0.draw.choice.values.0": "m.img",
        "axes.0.draw.mixture.1.draw.choice.values.1": "n.img",
        "axes.1.alternatives.0.sets.0.value.0.file": "x.pdb",
        "axes.1.alternatives.0.sets.0.value.1.file": "y.pdb",
    }
    placed = absolute_files(sweep, "/data")
    assert {name for _, name in file_fields(placed)} == {
        f"/data/{n}" for n in ("m.img", "n.img", "x.pdb", "y.pdb")
    }
    renamed = replace_files(placed, {"axes.1.alternatives.0.sets.0.value.1.file": "z.pdb"})
    assert [m.file for m in renamed.frame_spec(0).structure_factors.models] == [
        "/data/x.pdb",
        "z.pdb",
    ]


@pytest.mark.spec("SWP-11")
def test_labels_of_drawn_files_do_not_depend_on_which_were_drawn() -> None:
    files = ["a/m.img", "b/m.img"]
    axis = {"name": "mask", "path": "detector.mask_file", "draw": {"choice": {"values": files}}}
    few, many = sweep_of(axis, count=1), sweep_of(axis, count=30)
    labels = [sweep.coordinates()[0].values.tolist() for sweep in (few, many)]
    assert labels[0] == labels[1][:1]
    assert set(labels[1]) == set(files)


@pytest.mark.spec("SWP-11")
def test_null_is_as_if_the_field_were_not_given() -> None:
    numbers = {
        "name": "spread",
        "dim": "shot",
        "path": "crystal.mosaic.spread_deg",
        "values": [None, 0.5],
    }
    texts = {
        "name": "file",
        "dim": "shot",
        "path": "structure_factors.file",
        "values": ["a.pdb", None],
    }
    counts = {
        "name": "cells",
        "dim": "shot",
        "path": "crystal.block_cells",
        "values": [None, [4, 5, 6]],
    }
    sample = {
        "name": "method",
        "dim": "shot",
        "path": "sampling.method",
        "values": [None, "sampled"],
    }
    sweep = sweep_of(numbers, texts, counts, sample)
    first, second = sweep.frame_spec(0), sweep.frame_spec(1)
    assert (first.crystal.mosaic.spread_deg, second.crystal.mosaic.spread_deg) == (None, 0.5)
    assert (first.structure_factors.file, second.structure_factors.file) == ("a.pdb", None)
    assert (first.crystal.block_cells, second.crystal.block_cells) == (None, (4, 5, 6))
    assert (first.sampling.method, second.sampling.method) == ("auto", "sampled")
    labels = {c.name: c.values for c in sweep.coordinates()}
    np.testing.assert_array_equal(labels["spread"], [np.nan, 0.5])
    assert labels["file"].tolist() == ["a.pdb", "none"]
    np.testing.assert_array_equal(labels["cells"], [[np.nan] * 3, [4, 5, 6]])
    rows = list(frame_rows(sweep, [0, 1]))
    assert rows[0] == (0, None, "a.pdb", None, None, None, None)
    assert rows[1] == (1, 0.5, None, 4.0, 5.0, 6.0, "sampled")
    assert [name for _, name in file_fields(sweep)] == ["a.pdb"]
    again = parse_sweep(to_plain(sweep))
    assert again.axes[0].expanded == sweep.axes[0].expanded
    assert again.axes[0].expanded != again.axes[1].expanded


UNIFORM = {"uniform": {"low": 0, "high": 1}}


@pytest.mark.spec("SWP-14")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"path": "crystal.present"}, "given together with alternatives"),
        ({"values": ["lysozyme", "thaumatin"]}, "'thaumatin' is not an alternative"),
        ({"values": ["lysozyme", None]}, "None is not an alternative"),
        ({"draw": {"choice": {"values": ["a"]}}}, "'a' is not an alternative"),
        ({"draw": {"normal": {"mean": 1, "sd": 1}}}, "draw.normal: draws numbers"),
        (
            {"draw": {"chance": {"probability": 1, "then": "lysozyme", "otherwise": UNIFORM}}},
            "draw.chance.otherwise.uniform: draws numbers",
        ),
        (
            {"alternatives": {"a": {"crystal.cell.0": 50, "crystal.cell": [1, 2, 3, 90, 90, 90]}}},
            "'a' sets crystal.cell.0 and crystal.cell",
        ),
        ({"linspace": {"start": 0, "stop": 1, "count": 2}}, "one of values, draw, table"),
        ({"alternatives": {"a": 1}}, "axes.0.alternatives.a: needs a mapping"),
        ({"alternatives": {"a": {}}}, "set no field"),
        ({"alternatives": {"a": {"crystal.sell": 1}}}, "no field 'crystal.sell'"),
        ({"alternatives": {"a": {"output.dtype": "float64"}}}, "cannot be swept"),
        ({"alternatives": {"a": {"crystal.cell": [1, 2]}}}, "2 numbers, where a cell has six"),
    ],
)
def test_mistakes_in_alternatives_are_told_in_one_line(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as caught:
        sweep_of({**PROTEINS, **change}, count=2 if "draw" in change else None)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_field_is_set_by_one_axis_alone() -> None:
    cell = {"name": "cell", "dim": "shot", "path": "crystal.cell.0", "values": [1, 2, 3]}
    with pytest.raises(InputError, match=r"crystal.cell.0 is set by two axes"):
        sweep_of(PROTEINS, cell)
