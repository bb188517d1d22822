"""Every block of the README, the pages of docs/ and the workflows runs as it stands.

Page by page in a folder of its own, in order: Python blocks of a page share their names, shell
blocks run by bash, YAML blocks are saved or accepted. What comments of a page ask for stands in
`tests/docs/blocks.py`.
"""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, SKIPS, pages, read_page
from tests.docs.page import Page, programs_in, run_page

MOST_SKIPPED = 21
"""Blocks that are not run; a new one needs a reason, and this number."""


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return programs_in(tmp_path_factory.mktemp("bin"))


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files made once for all pages."""
    return tmp_path_factory.mktemp("given")


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_blocks_run_as_they_stand(
    path: Path, tmp_path: Path, programs: Path, given: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = Page(tmp_path, programs, given)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    run_page(path, page)
    for picture in re.findall(r"images/tutorial/([\w-]+\.png)", path.read_text(encoding="utf-8")):
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG"), picture
    if page.pip.exists():
        known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        for extra in re.findall(r"distbragg\[(\w[\w-]*)\]", page.pip.read_text()):
            assert extra in known["optional-dependencies"]


def test_blocks_that_do_not_run_are_few_and_have_a_reason(capsys: pytest.CaptureFixture) -> None:
    skipped = Counter(
        (block.skip, path.relative_to(ROOT).as_posix())
        for path in pages()
        for block in read_page(path)
        if block.skip
    )
    with capsys.disabled():
        for (reason, page), count in sorted(skipped.items()):
            sys.stdout.write(f"\nnot run: {page}: {count} ({reason}: {SKIPS[reason]})")
    assert {reason for reason, _ in skipped} <= set(SKIPS)
    assert sum(skipped.values()) <= MOST_SKIPPED
