"""The page of formats: every row names a test, and every test it names exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "formats.md"
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def rows() -> list[str]:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    table = [line for line in lines if line.startswith("|")]
    return [line for line in table if not re.match(r"\|\s*(?:-+|Item\b)", line)]


def test_every_row_names_a_test_that_exists() -> None:
    known: dict[str, set[str]] = {}
    found = rows()
    assert len(found) > 50
    for row in found:
        named = TEST.findall(row)
        assert named, row
        for file, test in named:
            if file not in known:
                tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
                known[file] = {
                    node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)
                }
            assert test in known[file], f"{file}::{test}"
