"""Plain data, canonical text, file names and schemas of specifications."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import numpy as np
import pytest

from distbragg.spec.canonical import canonical_json, to_plain
from distbragg.spec.experiment import ExperimentSpec
from distbragg.spec.files import absolute_files, file_fields, replace_files
from distbragg.spec.load import parse_spec, parse_sweep
from tools.generate_reference import experiment_schema, sweep_schema

RICH = {
    "beam": {"spectrum": {"file": "s.csv"}},
    "crystal": {"cell": [40, 50, 60, 80, 90, 100], "matrix_file": "A.mat"},
    "structure_factors": {"file": "a.hkl"},
    "detector": {"sensor": {"attenuation_length_um": math.inf}, "mask_file": "m.img"},
    "header_files": [{"path": "m.img", "role": "mask"}, {"path": "i.img", "role": "image"}],
}


def test_plain_form_is_json_and_reads_back_equal():
    spec = parse_spec(RICH)
    text = json.dumps(to_plain(spec), allow_nan=False)
    assert parse_spec(json.loads(text)) == spec
    assert parse_spec(json.loads(canonical_json(spec))) == spec


def test_canonical_text_depends_on_content_alone():
    first = {"b": [1, 2.5, {"y": None, "x": True}], "a": "é"}
    second = {"a": "é", "b": (1, 2.5, {"x": True, "y": None})}
    assert canonical_json(first) == canonical_json(second)
    assert canonical_json(first) == '{"a":"\\u00e9","b":[1,2.5,{"x":true,"y":null}]}'


def test_canonical_floats_read_back_to_the_same_bits():
    for value in (0.1, 1e-310, 125932015286227086360700780544.0, -0.0):
        assert math.copysign(1, json.loads(canonical_json(value))) == math.copysign(1, value)
        assert json.loads(canonical_json(value)) == value
    assert canonical_json([np.float64(0.1), np.int64(3), np.array([[1.5]])]) == "[0.1,3,[[1.5]]]"
    assert canonical_json(math.inf) == '"inf"'


def test_what_has_no_plain_form_is_an_error():
    with pytest.raises(TypeError):
        canonical_json({"a": object()})


def test_canonical_text_is_the_same_in_another_process():
    code = (
        "from distbragg.spec.load import parse_spec\n"
        "from distbragg.spec.canonical import canonical_json\n"
        "print(canonical_json(parse_spec({'beam': {'energy_ev': 9000.1}, 'title': 'x'})))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    here = canonical_json(parse_spec({"title": "x", "beam": {"energy_ev": 9000.1}}))
    assert run.stdout.strip() == here


def test_file_fields_are_listed_and_replaced_by_path():
    spec = parse_spec(RICH)
    fields = dict(file_fields(spec))
    assert fields == {
        "beam.spectrum.file": "s.csv",
        "crystal.matrix_file": "A.mat",
        "structure_factors.file": "a.hkl",
        "detector.mask_file": "m.img",
        "header_files.0.path": "m.img",
        "header_files.1.path": "i.img",
    }
    changed = replace_files(spec, {"header_files.1.path": "/n/i.img", "crystal.matrix_file": "B"})
    assert dict(file_fields(changed)) == {
        **fields,
        "header_files.1.path": "/n/i.img",
        "crystal.matrix_file": "B",
    }
    assert replace_files(changed, fields) == spec


def test_swept_files_are_listed_and_replaced_too():
    axis = {"name": "f", "path": "structure_factors.file", "values": ["a.hkl", "b.hkl"]}
    sweep = parse_sweep({"experiment": RICH, "axes": [axis]})
    assert ("axes.0.values.1", "b.hkl") in file_fields(sweep)
    moved = absolute_files(sweep, "/in")
    assert all(name.startswith("/in/") for _, name in file_fields(moved))
    assert moved.frame_spec(1).structure_factors.file == "/in/b.hkl"


def test_an_experiment_without_files_lists_none():
    assert file_fields(ExperimentSpec()) == ()


def test_schemas_are_closed_and_name_every_section():
    experiment, sweep = experiment_schema(), sweep_schema()
    assert experiment["additionalProperties"] is False
    assert set(experiment["properties"]) == set(ExperimentSpec.model_fields)
    assert sweep["required"] == ["experiment"]
    assert {"type": "string"} in sweep["properties"]["experiment"]["anyOf"]
    json.dumps([experiment, sweep])


def test_importing_the_package_imports_no_module_of_it():
    code = (
        "import sys, distbragg.spec\n"
        "print([m for m in sys.modules if m.split('.')[0] in "
        "('pydantic', 'yaml', 'scipy', 'torch', 'dask', 'xarray')])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert run.stdout.strip() == "[]"


def test_loading_specs_needs_neither_torch_nor_dask_nor_xarray():
    code = (
        "import sys, distbragg.spec.load, distbragg.spec.nanobragg\n"
        "print([m for m in ('scipy', 'torch', 'dask', 'xarray', 'zarr') if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert run.stdout.strip() == "[]"
