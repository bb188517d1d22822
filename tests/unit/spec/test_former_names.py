"""Names of the version before are read once more, say so, and mean the same."""

from __future__ import annotations

import json
import logging

import pytest

from distbragg.cli.main import main
from distbragg.errors import InputError
from distbragg.models.build import build_experiment
from distbragg.models.experiment import physics_hash
from distbragg.run.create import make_manifest
from distbragg.spec import base
from distbragg.spec.canonical import canonical_json, to_plain
from distbragg.spec.load import apply_overrides, load_spec, parse_spec, parse_sweep

CELL = {"cell": [40, 50, 60, 80, 90, 100]}
REST = {
    "beam": {"wavelength_angstrom": 1.0},
    "structure_factors": {"default_f_electrons": 10},
    "detector": {"pixels_fast": 5, "pixels_slow": 4},
}
PAIRS = [
    ("crystal", {"cells": [3, 4, 5]}, {"block_cells": [3, 4, 5]}, "cells is now written block_ce"),
    (
        "crystal",
        {"size_mm": [1e-4, 2e-4, 1e-4]},
        {"block_size_mm": [1e-4, 2e-4, 1e-4]},
        "size_mm is now written block_size_mm",
    ),
    (
        "crystal",
        {"lattices": [{"cells": 7}]},
        {"lattices": [{"block_cells": 7}]},
        "cells is now written block_cells",
    ),
    ("beam", {"weights": "none"}, {"weighting": "none"}, "weights is now written weighting"),
    (
        "detector",
        {"pix0_m": [0.125, -0.05, 0.025]},
        {"origin_mm": [125, -50, 25]},
        "pix0_m, in metres, is now written origin_mm, in mm",
    ),
]
COUNTS = [
    ({"goniometer": {"oscillation_deg": 1, "steps": -1}}, {"goniometer": {"oscillation_deg": 1}}),
    (
        {"goniometer": {"oscillation_deg": 1, "steps": 0}},
        {"goniometer": {"oscillation_deg": 1, "steps": 1}},
    ),
    (
        {"crystal": {"mosaic": {"spread_deg": 1, "domains": -1}}},
        {"crystal": {"mosaic": {"spread_deg": 1}}},
    ),
    (
        {"detector": {"sensor": {"thickness_um": 300, "layers": 0}}},
        {"detector": {"sensor": {"thickness_um": 300}}},
    ),
    (
        {"beam": {"divergence": {"vertical": {"range_mrad": 1, "steps": -1}}}},
        {"beam": {"divergence": {"vertical": {"range_mrad": 1}}}},
    ),
]


@pytest.fixture(autouse=True)
def said(caplog):
    base._log_once.cache_clear()
    caplog.set_level(logging.INFO, logger="distbragg")
    return caplog


def spec_of(*parts, **top):
    data = {**REST, "crystal": dict(CELL), **top}
    for part in parts:
        data = {**data, **{name: {**data.get(name, {}), **own} for name, own in part.items()}}
    return parse_spec(data)


def hash_of(spec) -> str:
    return physics_hash(build_experiment(spec))


@pytest.mark.spec("FLD-2")
@pytest.mark.parametrize(("section", "old", "new", "line"), PAIRS)
def test_a_former_name_means_what_the_name_of_today_does(said, section, old, new, line):
    today = spec_of({section: new})
    assert said.messages == []
    former = spec_of({section: old})
    assert [line in text for text in said.messages] == [True]
    assert hash_of(former) == hash_of(today)
    if section != "detector":
        assert canonical_json(former) == canonical_json(today)
        assert parse_spec(to_plain(former)) == today
    if "lattices" not in old:
        with pytest.raises(InputError, match=r"former name of|given together with"):
            spec_of({section: {**old, **new}})


@pytest.mark.spec("FLD-2")
@pytest.mark.parametrize(("old", "new"), COUNTS)
def test_a_count_below_1_is_read_under_nanobragg_alone(said, old, new):
    former = spec_of(old, physics="nanobragg")
    assert len(said.messages) == 1
    assert hash_of(former) == hash_of(spec_of(new, physics="nanobragg"))
    with pytest.raises(InputError, match="greater than or equal to 1, got"):
        spec_of(old)


@pytest.mark.spec("FLD-2")
def test_paths_of_axes_and_overrides_may_have_former_names(said):
    axis = {"name": "n", "path": "crystal.cells", "values": [[1, 2, 3], [2, 3, 4]]}
    base_data = {**REST, "crystal": CELL}
    sweep = parse_sweep({"experiment": base_data, "axes": [axis]}, overrides=["beam.weights=none"])
    assert sweep.axes[0].target == "crystal.block_cells"
    assert sweep.frame_spec(1).crystal.block_cells == (2.0, 3.0, 4.0)
    assert sweep.experiment.beam.weighting == "none"
    assert len(said.messages) == 2
    assert apply_overrides({}, ["crystal.cells=5"]) == {"crystal": {"block_cells": 5}}
    element = parse_sweep(
        {
            "experiment": spec_plain({"cells": [5, 6, 7]}),
            "axes": [{"name": "n", "path": "crystal.cells.1", "values": [3, 4]}],
        }
    )
    assert element.frame_spec(1).crystal.block_cells == (5.0, 4.0, 7.0)


def spec_plain(crystal):
    return {**REST, "crystal": {**CELL, **crystal}}


@pytest.mark.spec("FLD-2")
def test_the_command_line_says_it_in_one_line_and_renders_the_same(tmp_path, capsys):
    for name, key in (("old", "cells"), ("new", "block_cells")):
        (tmp_path / f"{name}.yaml").write_text(json.dumps(spec_plain({key: [3, 4, 5]})))
        assert main(["render", f"{tmp_path}/{name}.yaml", "-o", f"{tmp_path}/{name}.npy"]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "now written" in line]
    assert lines == [
        "warning: cells is now written block_cells; the former way is read for the last time in "
        "this version"
    ]
    assert (tmp_path / "old.npy").read_bytes() == (tmp_path / "new.npy").read_bytes()


@pytest.mark.spec("FLD-2")
def test_a_stored_run_with_former_names_opens_and_resumes_without_a_word(
    tmp_path, monkeypatch, said, capsys
):
    """The manifest is written as the version before wrote it: with its names in the sweep."""
    axis = {"name": "n", "path": "crystal.block_cells.0", "values": [3, 4]}
    sweep = {"experiment": spec_plain({"block_cells": [3, 4, 5]}), "axes": [axis]}
    (tmp_path / "sweep.yaml").write_text(json.dumps(sweep))

    def as_before(**parts):
        text = json.dumps(parts["sweep_plain"])
        return make_manifest(
            **{**parts, "sweep_plain": json.loads(text.replace("block_cells", "cells"))}
        )

    monkeypatch.setattr("distbragg.run.create.make_manifest", as_before)
    run = str(tmp_path / "run.zarr")
    assert main(["create", f"{tmp_path}/sweep.yaml", "-o", run]) == 0
    monkeypatch.undo()
    stored = (tmp_path / "run.zarr/.distbragg/manifest.json").read_text()
    assert "block_cells" not in stored
    assert "crystal.cells.0" in stored
    assert main(["resume", run]) == 0
    assert main(["verify", run]) == 0
    assert not any("now written" in text for text in said.messages)
    assert "now written" not in capsys.readouterr().err


@pytest.mark.spec("FLD-2")
@pytest.mark.parametrize("name", ["cells", "block_cells"])
def test_overrides_replace_what_a_file_has_under_the_former_name(said, tmp_path, name):
    lattices = [{"cells": 7}, {"misset_deg": [1, 2, 3]}]
    data = {**REST, "crystal": {**CELL, "cells": [1, 2, 3], "lattices": lattices}}
    path = tmp_path / "old.yaml"
    path.write_text(json.dumps(data))
    found = load_spec(path, [f"crystal.{name}.1=9", f"crystal.lattices.0.{name}=5"])
    assert found.crystal.block_cells == (1.0, 9.0, 3.0)
    assert found.crystal.lattices[0].block_cells == (5.0, 5.0, 5.0)
    assert len(said.messages) == 1
    axis = {"name": "n", "path": "crystal.block_cells", "values": [[1, 2, 3], [2, 3, 4]]}
    with pytest.raises(InputError, match=r"crystal.block_cells is swept by the axis 'n'"):
        parse_sweep({"experiment": data, "axes": [axis]}, overrides=[f"crystal.{name}=4"])
    data["crystal"]["block_cells"] = [3, 2, 1]
    path.write_text(json.dumps(data))
    with pytest.raises(InputError, match="is the former name of block_cells"):
        load_spec(path, [f"crystal.{name}=4"])
