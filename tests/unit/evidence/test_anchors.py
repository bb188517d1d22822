"""Line anchors are found in the code, and what is no longer there is an error."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tools.evidence.anchors import Anchor, AnchorError
from tools.evidence.flow import FLOW, flow_markdown

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "explanation" / "source-weights.md"


def test_an_anchor_finds_the_line_that_holds_its_text():
    anchor = Anchor("models/sources.py", "make_sources", "total = math.fsum(")
    lines = (ROOT / anchor.path).read_text(encoding="utf-8").splitlines()
    assert "total = math.fsum(" in lines[anchor.line() - 1]
    assert anchor.text() == f"distbragg/models/sources.py:{anchor.line()}"
    assert anchor.link("../") == (
        f"[models/sources.py:{anchor.line()}](../distbragg/models/sources.py#L{anchor.line()})"
    )
    assert anchor.code().startswith("total = math.fsum(")


def test_an_anchor_without_text_is_the_definition():
    method = Anchor("graph/partial.py", "OrderedMerge.push")
    assert method.code().startswith("def push(")
    assert Anchor("graph/partial.py", "OrderedMerge").code().startswith("class OrderedMerge")


@pytest.mark.parametrize(
    ("anchor", "problem"),
    [
        (Anchor("models/nowhere.py"), "does not exist"),
        (Anchor("models/sources.py", "make_nothing"), "has no make_nothing"),
        (Anchor("models/sources.py", "make_sources.inner"), r"has no make_sources\.inner"),
        (Anchor("models/sources.py", "make_sources", "no such text"), "0 lines hold"),
        (Anchor("models/sources.py", "make_sources", "total"), "lines hold 'total', not one"),
    ],
)
def test_an_anchor_whose_code_is_gone_is_an_error(anchor, problem):
    with pytest.raises(AnchorError, match=problem):
        anchor.line()


@pytest.mark.spec("SRC-21")
def test_every_line_that_the_page_names_is_the_line_that_the_flow_means():
    page = PAGE.read_text(encoding="utf-8")
    assert flow_markdown("../../") in page
    linked = re.findall(r"\]\(\.\./\.\./(distbragg/[\w./]+)#L(\d+)\): `([^`]+)`", page)
    assert len(linked) == sum(len(step.anchors) for step in FLOW) > 30
    for file, line, code in linked:
        text = (ROOT / file).read_text(encoding="utf-8").splitlines()[int(line) - 1]
        assert " ".join(text.split()).startswith(code.removesuffix(" …"))


def test_a_moved_line_makes_the_page_stale(monkeypatch):
    before = flow_markdown("../../")
    moved = Anchor.line
    monkeypatch.setattr(Anchor, "line", lambda anchor: moved(anchor) - 1)
    assert flow_markdown("../../") != before


def test_every_step_says_whether_the_number_of_sources_enters():
    text = flow_markdown()
    assert text.count("Number of sources: ") == len(FLOW)
    assert max(len(line) for line in text.splitlines() if not line.startswith("- ")) <= 100
