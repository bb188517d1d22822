"""Bundles: their place, what they record, and that none is ever overwritten."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime

import pytest

from distbragg.errors import EnvironmentFailure
from tools.evidence.bundle import Bundle, environment, markdown_table

MOMENT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@pytest.mark.spec("CLI-10")
def test_a_bundle_lies_under_its_topic_and_time(tmp_path):
    bundle = Bundle.create(tmp_path, "parity", now=MOMENT)
    assert bundle.path == tmp_path / "parity" / "20260304T050607Z"
    assert {path.name for path in bundle.path.iterdir()} == {"commands.txt", "env.json"}


@pytest.mark.spec("CLI-10")
def test_a_bundle_is_never_overwritten(tmp_path):
    first = Bundle.create(tmp_path, "parity", now=MOMENT)
    first.write_text("summary.md", "first")
    with pytest.raises(EnvironmentFailure, match="run the command again"):
        Bundle.create(tmp_path, "parity", now=MOMENT)
    assert (first.path / "summary.md").read_text() == "first\n"


def test_a_folder_that_cannot_be_made_is_an_error_in_one_line(tmp_path):
    (tmp_path / "reports").write_text("a file")
    with pytest.raises(EnvironmentFailure, match="cannot be made"):
        Bundle.create(tmp_path / "reports", "parity", now=MOMENT)


@pytest.mark.spec("CLI-10")
def test_commands_stand_in_order_with_their_times(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", ["/a/b/python3", "-m", "tools.evidence", "parity"])
    bundle = Bundle.create(tmp_path, "parity", now=MOMENT)
    bundle.record_command(["nanoBragg", "-sourcefile", "a file.txt"])
    first, second = (bundle.path / "commands.txt").read_text().splitlines()
    assert first == "2026-03-04T05:06:07+00:00 python -m tools.evidence parity"
    assert second.endswith("+00:00 nanoBragg -sourcefile 'a file.txt'")


@pytest.mark.spec("CLI-10")
def test_the_environment_is_ascii_and_begins_with_the_named_keys(tmp_path, monkeypatch):
    monkeypatch.setenv("NB_C_BIN", "somewhere/nanoBragg")
    bundle = Bundle.create(tmp_path, "parity", now=MOMENT)
    text = (bundle.path / "env.json").read_text(encoding="ascii")
    facts = json.loads(text)
    assert list(facts)[:5] == ["python", "torch", "cuda_available", "git_head", "nb_c_bin"]
    assert facts["nb_c_bin"] == "set"
    assert "somewhere" not in text
    assert isinstance(facts["cuda_available"], bool)
    monkeypatch.delenv("NB_C_BIN")
    assert environment()["nb_c_bin"] == ""


def test_tables_have_a_head_a_rule_and_rows():
    assert markdown_table(("a", "b"), [(1, "x"), (2, "y")]).splitlines() == [
        "| a | b |",
        "| --- | --- |",
        "| 1 | x |",
        "| 2 | y |",
    ]
