"""The page from flags to clauses and tests: complete, true, and stale when it should be."""

from __future__ import annotations

from pathlib import Path

import pytest

from distbragg.spec.nanobragg_flags import FLAGS, GROUPS, Flag
from tools.check_specs import read_clauses
from tools.nanobragg_mapping import (
    FIELD_CLAUSES,
    FLAG_CLAUSES,
    PAGE,
    cases_by_flag,
    clauses_of,
    mapping_page,
    named_tests,
)

ROOT = Path(__file__).resolve().parents[2]
OURS = {flag.name for flag in GROUPS["Options of distbragg"]}
THEIRS = sorted({flag.name for flag in FLAGS.values()} - OURS)


@pytest.fixture(scope="module")
def page() -> str:
    return mapping_page(ROOT)


@pytest.fixture(scope="module")
def known() -> set[str]:
    return {clause.identifier for clause in read_clauses(ROOT)[0]}


def test_the_page_is_up_to_date(page):
    assert (ROOT / PAGE).read_text(encoding="utf-8") == page


@pytest.mark.spec("CLI-5")
def test_every_flag_has_a_row_with_field_clause_and_test(page):
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert len(rows) == len(THEIRS)
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split(" | ")]
        assert len(cells) == 5, row
        assert all(cells[place] for place in (0, 1, 3, 4)), row


@pytest.mark.parametrize("name", THEIRS)
def test_every_clause_of_a_flag_exists(name, known):
    found = clauses_of(FLAGS[name])
    assert found
    assert set(found) <= known


def test_no_clause_is_kept_for_a_field_that_no_flag_sets():
    fields = [field for flag in FLAGS.values() for field in flag.fields]
    for prefix in FIELD_CLAUSES:
        assert any(field.startswith(prefix) for field in fields), prefix
    assert set(FLAG_CLAUSES) <= set(THEIRS)


def test_a_field_without_clause_is_an_error():
    with pytest.raises(LookupError, match=r"-new: no clause for the field nowhere\.at_all"):
        clauses_of(Flag(("-new",), (), "something", ("nowhere.at_all",), "", "float"))


def test_tests_and_golden_cases_are_found_by_their_text():
    named = named_tests(ROOT)
    test = "tests/unit/spec/test_spec_nanobragg.py::test_later_flags_override_earlier_ones"
    assert test in named["-Nb"]
    # An alias counts for its flag.
    assert test in named["-lambda"]
    cases = cases_by_flag(ROOT)
    assert "sourcefile" in cases["-sourcefile"]
    assert "-Nc" not in cases
