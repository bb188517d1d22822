"""The generated reference pages say what the code says."""

from __future__ import annotations

import json
from pathlib import Path

from distbragg.spec.experiment import ExperimentSpec
from distbragg.spec.nanobragg_flags import FLAGS
from distbragg.spec.paths import holds_list, submodel
from tools.generate_reference import GENERATED, main, stale_files

ROOT = Path(__file__).resolve().parents[2]


def test_generated_pages_are_up_to_date():
    assert stale_files(ROOT) == []


def test_generator_writes_then_finds_nothing_stale(tmp_path, capsys):
    assert main(["--root", str(tmp_path), "--check"]) == 1
    assert main(["--root", str(tmp_path)]) == 0
    assert main(["--root", str(tmp_path), "--check"]) == 0
    name = next(iter(GENERATED))
    (tmp_path / name).write_text("altered", encoding="utf-8")
    capsys.readouterr()
    assert main(["--root", str(tmp_path), "--check"]) == 1
    assert name in capsys.readouterr().err


def test_specification_page_names_every_field():
    page = GENERATED["docs/reference/specification.md"]()

    def names(model):
        for name in model.model_fields:
            inner = submodel(model, name)
            if inner is not None and not holds_list(model, name):
                yield from names(inner)
            else:
                yield name

    missing = [name for name in names(ExperimentSpec) if f"`{name}" not in page]
    assert missing == []
    assert "PydanticUndefined" not in page


def test_flags_page_names_every_flag_once():
    page = GENERATED["docs/reference/nanobragg-flags.md"]()
    for name in FLAGS:
        assert page.count(f"`{name}`") == 1


def test_schema_is_closed_to_unknown_keys():
    schema = json.loads(GENERATED["specs/experiment.schema.json"]())
    assert schema["additionalProperties"] is False
    assert all(part["additionalProperties"] is False for part in schema["$defs"].values())
