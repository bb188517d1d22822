"""The bundle on source weights: its files, its words, its command."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from distbragg.cli.main import main
from tools.evidence import source_weights, source_weights_text, weight_measures
from tools.evidence.__main__ import command as evidence
from tools.evidence.checkout import (
    ClauseTests,
    clause_tests,
    files_of,
    functions_of,
    pytest_command,
    run_pytest,
)
from tools.evidence.live_parity import LiveParity, LiveRow
from tools.evidence.weighted import pink_beam

FILES = {
    *("normalization_flow.md", "strategy.md", "tests.md", "summary.md", "commands.txt"),
    *("env.json", "pytest_collect.log"),
    *("spectrum.png", "rules.png", "rule_ratios.png", "first_polarization.png"),
}


@pytest.fixture
def small(monkeypatch):
    """A bundle in a second: few channels, a small picture, one chunking."""
    monkeypatch.delenv("NB_C_BIN", raising=False)
    monkeypatch.setattr(weight_measures, "RANDOM_CHANNELS", 5)
    monkeypatch.setattr(weight_measures, "CHUNK_SIZES", (21,))
    monkeypatch.setattr(source_weights, "pink_beam", lambda: pink_beam((18, 19)))


@pytest.mark.spec("CLI-10")
def test_one_command_writes_the_whole_bundle(small, tmp_path, capsys):
    assert main(["source-weights", "--out", str(tmp_path), "--no-tests"], command=evidence) == 0
    (folder,) = (tmp_path / "source-weights").iterdir()
    assert capsys.readouterr().out.strip() == str(folder)
    assert {path.name for path in folder.iterdir()} == FILES
    for name in FILES:
        if name.endswith(".png"):
            assert (folder / name).read_bytes().startswith(b"\x89PNG")
    summary = (folder / "summary.md").read_text(encoding="utf-8")
    assert "## Open questions" in summary
    assert "all hold" in summary
    assert "`NB_C_BIN` was not set" in summary
    assert json.loads((folder / "env.json").read_text())["nb_c_bin"] == ""
    for path in folder.glob("*.md"):
        for line in path.read_text(encoding="utf-8").splitlines():
            assert len(line) <= 100 or line.startswith(("|", "- ")), f"{path.name}: {line}"


def test_the_numbers_of_one_picture_are_the_same_bytes_again(small, tmp_path):
    from tools.evidence.figures import draw_spectrum

    for name in ("a.png", "b.png"):
        draw_spectrum(tmp_path / name, pink_beam((18, 19))[1])
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_program_that_is_not_there_is_told_before_anything_is_written(
    small, monkeypatch, tmp_path
):
    monkeypatch.setenv("NB_C_BIN", str(tmp_path / "nowhere"))
    assert main(["source-weights", "--out", str(tmp_path)], command=evidence) == 6
    assert os.listdir(tmp_path) == []


def test_clauses_are_read_with_their_tests():
    clauses = clause_tests("sources")
    by_name = {clause.identifier: clause for clause in clauses}
    assert by_name["SRC-18"].title == "Single-source oracle"
    assert all(clause.tests for clause in clauses)
    assert "tests/property/test_source_weights_oracle.py" in files_of(clauses)
    assert len(functions_of(clauses)) == len(set(functions_of(clauses))) > 30


def test_the_page_of_tests_lists_every_clause():
    clauses = (ClauseTests("SRC-1", "One table", ("tests/a.py::test_b",)),)
    page = source_weights_text.tests_page(clauses)
    assert "## SRC-1 One table\n\n- `tests/a.py::test_b`" in page


def test_pytest_output_names_no_folder_of_the_machine(tmp_path):
    (tmp_path / "test_a.py").write_text("def test_a():\n    raise ValueError(__file__)\n")
    command = pytest_command("-q", "-p", "no:cacheprovider", "test_a.py")
    assert command[:3] == ("python", "-m", "pytest")
    run = run_pytest(command, tmp_path)
    assert run.status == 1
    assert "1 failed" in run.verdict
    assert str(tmp_path) not in run.output


def test_broken_claims_are_named():
    text = source_weights_text.verdicts(1e-9, 3, ["one source split"], None, 1.0)
    assert "1.0e-09" in text
    assert "3 ulp" in text
    assert "one source split" in text
    assert "all hold" not in text


def test_live_rows_and_their_open_questions():
    def row(name: str, ratio: float, bad: int = 0) -> LiveRow:
        return LiveRow(name, "exact", "f.txt", 1.0, ratio, 1e-8, (3, 4), bad)

    live = LiveParity(
        (
            row("two beams, own polarisation", 0.9962),
            row("two beams 5.7° apart", 1.0),
            row("comment lines, any dmin", 1.5),
            row("comment lines", np.nan, 77),
        ),
        True,
    )
    table = source_weights_text.live_section(live)
    assert "does not change a byte" in " ".join(table.split())
    assert "77 pixels of it are NaN" in table
    assert "(3, 4)" in table
    questions = " ".join(source_weights_text.open_questions(live).split())
    assert "-0.38%" in questions
    assert "1.500000" in questions
    assert "Not measured" in source_weights_text.open_questions(None)
