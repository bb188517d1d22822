"""The page on normalisation names code that is there."""

from __future__ import annotations

import re

import pytest

from tools.evidence.anchors import PAGE, Anchor, AnchorError, anchor_of, flow_with_lines
from tools.evidence.checkout import ROOT


@pytest.mark.spec("SRC-21")
def test_every_line_that_the_page_names_is_in_the_code():
    anchors = [found for line in PAGE.read_text(encoding="utf-8").splitlines()
               if (found := anchor_of(line))]  # fmt: skip
    assert len(anchors) > 30
    for anchor in anchors:
        lines = (ROOT / "distbragg" / anchor.file).read_text(encoding="utf-8").splitlines()
        assert anchor.text in lines[anchor.line() - 1]


def test_the_page_points_at_what_a_default_run_executes():
    page = PAGE.read_text(encoding="utf-8")
    flow = page.split("## Where a frame is finished after its sum")[0]
    files = {found.file for line in flow.splitlines() if (found := anchor_of(line))}
    assert {
        "rendering/frame.py",
        "kernel/native/render.py",
        "kernel/native/src/output.hpp",
    } <= files
    kernels = {file for file in files if file.startswith("kernel/")}
    assert all(file.startswith("kernel/native/") for file in kernels)


@pytest.mark.parametrize(
    ("anchor", "problem"),
    [
        (Anchor("models/nowhere.py", "f", "x"), "does not exist"),
        (Anchor("models/build_beam.py", "make_nothing", "x"), "has no make_nothing"),
        (Anchor("kernel/native/src/output.hpp", "nothing", "sums"), "has no nothing"),
        (Anchor("models/build_beam.py", "make_sources", "no such text"), "0 lines hold"),
        (Anchor("models/build_beam.py", "make_sources", "total"), "lines hold 'total', not one"),
    ],
)
def test_an_anchor_whose_code_is_gone_is_an_error(anchor, problem):
    with pytest.raises(AnchorError, match=problem):
        anchor.line()


def test_a_link_of_another_form_is_not_overlooked():
    assert anchor_of("Some prose.") is None
    with pytest.raises(AnchorError, match="not of the form"):
        anchor_of("- [kernel/options.py](../../distbragg/kernel/options.py): `x`")


def test_a_bundle_holds_the_page_with_line_numbers_and_no_link():
    text = flow_with_lines()
    line = Anchor("models/build_beam.py", "make_sources", "total = math.fsum(").line()
    assert f"`distbragg/models/build_beam.py:{line}`: `total = math.fsum(`" in text
    assert not re.search(r"\]\(", text)


def test_every_step_says_whether_the_number_of_sources_enters():
    page = PAGE.read_text(encoding="utf-8")
    assert page.count("Number of sources: ") == page.count("\n### ") == 13
