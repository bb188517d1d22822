"""The errors of the closed form: the table on its page says what is measured, within the bars."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import closed_form_errors
from tools.closed_form_cases import ROWS, Error, Row, error_of
from tools.closed_form_errors import STOP, Worst, main, measure, read, table, written

PAGE = Path(__file__).parents[2] / closed_form_errors.PAGE

MARGIN = 1.1
"""Two digits are written, rounded up: 10 % at most. All else is the same each time."""

ANOTHER = 7
"""A reflection that is compared beside the worst: of 7 Å, with spreads that differ by axis."""

LONG = 16
"""Points of a sum, as a power of 2, beyond which only what the table tells is found again."""


def test_the_table_is_in_the_form_that_the_command_writes():
    text, errors = read(PAGE.read_text(encoding="utf-8"))
    assert list(errors) == [row.name for row in ROWS]
    assert table(errors) == text


@pytest.mark.spec("SAM-13")
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_errors_of_the_table_are_found_again_within_the_bars(row: Row):
    largest, most = read(PAGE.read_text(encoding="utf-8"))[1][row.name]
    told = largest.error, most.error
    assert Error(*told).within(row.bars)
    # The sums of the widest spread take longer than those of all other rows.
    others = set() if row.log2_points > LONG else {ANOTHER}
    found = {seed: error_of(row, seed) for seed in {largest.seed, most.seed} | others}
    assert all(error.within(told) for error in found.values())
    assert found[largest.seed].of_maximum >= largest.error / MARGIN - 1e-6
    assert found[most.seed].of_photons >= most.error / MARGIN - 1e-6


def test_the_command_writes_the_worst_of_each_row_between_its_marks(monkeypatch, tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text(f"before\n\n{closed_form_errors.START}\n{STOP}\n\nafter\n", encoding="utf-8")
    errors = {0: Error(1e-4, 2.01e-5), 1: Error(3.21e-4, 1e-5)}
    monkeypatch.setattr(closed_form_errors, "error_of", lambda row, seed: errors[seed % 2])
    assert main(["--page", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n\n<!--")
    assert text.endswith("-->\n\nafter\n")
    _, told = read(text)
    assert told == {row.name: (Worst(3.3e-4, 1), Worst(2.1e-5, 0)) for row in ROWS}
    assert measure(ROWS[0])[0] == Worst(3.21e-4, 1)
    assert len(capsys.readouterr().out.splitlines()) == len(ROWS)
    with pytest.raises(ValueError, match="no table"):
        read("before\nafter\n")


@pytest.mark.parametrize(
    ("error", "text"),
    [(0.0, "0.0e-0"), (1e-3, "1.0e-3"), (1.01e-3, "1.1e-3"), (9.91e-4, "1.0e-3"), (7e-6, "7.0e-6")],
)
def test_errors_are_rounded_up(error: float, text: str):
    assert written(error) == text
