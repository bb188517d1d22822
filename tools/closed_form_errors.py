"""`python -m tools.closed_form_errors`: the errors of the closed form, measured anew for its page.

Writes the table of docs/explanation/closed-form.md, between two marks. A row holds the greatest
error of its reflections, rounded up, and behind it the number of the reflection that has it.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tools.closed_form_cases import ROWS, STEPS, Row, error_of

PAGE: Final = Path("docs/explanation/closed-form.md")
START: Final = "<!-- Errors: written by `python -m tools.closed_form_errors`. -->"
STOP: Final = "<!-- End of errors. -->"
HEAD: Final = (
    "| | reflections | points of a sum | error / spot maximum | photons |\n|---|---|---|---|---|\n"
)
_WORST: Final = re.compile(r"(\d\.\de-\d+) \((\d+)\)")


@dataclass(frozen=True, slots=True)
class Worst:
    """The greatest error of a row's reflections, rounded up, and which of them has it."""

    error: float
    seed: int

    def __str__(self) -> str:
        """Return it as it stands in the table."""
        return f"{written(self.error)} ({self.seed})"

    @classmethod
    def parse(cls, cell: str) -> Worst:
        """Read what `str` writes."""
        found = _WORST.fullmatch(cell)
        if found is None:
            raise ValueError(f"no error of a reflection: {cell!r}")
        return cls(float(found[1]), int(found[2]))


Errors = Mapping[str, tuple[Worst, Worst]]
"""Of each row, by its name, the greatest errors of the maximum and of the photons."""


def written(error: float) -> str:
    """Write an error with two digits, rounded up: what is written is never less."""
    if error == 0.0:
        return "0.0e-0"
    power = math.floor(math.log10(error))
    tenths = math.ceil(round(error / 10.0 ** (power - 1), 6))
    if tenths == 100:
        tenths, power = 10, power + 1
    return f"{tenths // 10}.{tenths % 10}e{power}"


def measure(row: Row) -> tuple[Worst, Worst]:
    """Compare all reflections of a row."""
    errors = {seed: error_of(row, seed) for seed in range(row.reflections)}
    largest = max(errors, key=lambda seed: errors[seed].of_maximum)
    most = max(errors, key=lambda seed: errors[seed].of_photons)
    return Worst(errors[largest].of_maximum, largest), Worst(errors[most].of_photons, most)


def table(errors: Errors) -> str:
    """Return the table with its marks."""
    lines = []
    for row in ROWS:
        largest, most = errors[row.name]
        points = f"2^{row.log2_points}" + (f" × {STEPS}" if row.rotation_deg else "")
        lines.append(f"| {row.name} | {row.reflections} | {points} | {largest} | {most} |\n")
    return f"{START}\n{HEAD}{''.join(lines)}{STOP}"


def read(page: str) -> tuple[str, Errors]:
    """Return the table of a page, its marks included, and what it says.

    Raises
    ------
    ValueError
        The page has no such table.
    """
    start, stop = page.find(START), page.find(STOP)
    if not 0 <= start < stop:
        raise ValueError("the page has no table of errors between its marks")
    text = page[start : stop + len(STOP)]
    errors = {}
    for line in text.splitlines()[3:-1]:
        name, _, _, largest, most = (cell.strip() for cell in line.strip("|").split("|"))
        errors[name] = Worst.parse(largest), Worst.parse(most)
    return text, errors


def main(arguments: list[str] | None = None) -> int:
    """Measure every row and write the table into the page."""
    parser = argparse.ArgumentParser(description="Measure the closed form's errors anew.")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page whose table is written")
    page: Path = parser.parse_args(arguments).page
    read(page.read_text(encoding="utf-8"))  # fails before minutes of work
    errors = {}
    for row in ROWS:
        errors[row.name] = measure(row)
        largest, most = errors[row.name]
        sys.stdout.write(f"{row.name}: {largest} of the maximum, {most} of the photons\n")
        sys.stdout.flush()
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace(read(text)[0], table(errors)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
