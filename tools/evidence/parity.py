"""Measure how far every kernel is from the images of the C program."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from distbragg.kernel import native
from distbragg.kernel.options import KernelName, KernelOptions, Precision
from distbragg.run.selftest import BRIGHT_BAR, FLOAT64_BAR, OF_MAXIMUM_BAR, TOTAL_BAR
from tools.evidence.bundle import Bundle
from tools.evidence.bundle import markdown_table as plain_table
from tools.evidence.checkout import ROOT
from tools.evidence.golden import GoldenRow, compare, golden_cases, markdown_table

PRECISIONS: Final[tuple[Precision, ...]] = ("float64", "mixed")


def write_bundle(root: Path, *, data: Path | None = None) -> Path:
    """Compare every golden image and write the table as a bundle; return its folder.

    Parameters
    ----------
    root : Path
        Folder that holds all topics.
    data : Path, optional
        Folder of the golden images; those of the checkout by default.

    Raises
    ------
    InputError
        There are no golden images.
    """
    folder = data or ROOT / "tests" / "golden" / "data"
    golden_cases(folder)
    bundle = Bundle.create(root, "parity")
    began = time.perf_counter()
    rows = list(parity_rows(folder))
    bundle.write_json("rows.json", [asdict(row) for row in rows])
    bundle.write_text("summary.md", summary(rows, time.perf_counter() - began))
    return bundle.path


def kernels() -> tuple[KernelName, ...]:
    """Kernels that run here."""
    return ("native", "model") if native.available() else ("model",)


def parity_rows(folder: Path) -> Iterator[GoldenRow]:
    """Compare every case with every kernel in both precisions."""
    for kernel in kernels():
        for precision in PRECISIONS:
            bar = FLOAT64_BAR if precision == "float64" else BRIGHT_BAR
            for case in golden_cases(folder):
                yield compare(case, KernelOptions(precision, kernel, "cpu", 1), bar)


def summary(rows: Sequence[GoldenRow], seconds: float) -> str:
    """Write the worst values by kernel and precision, the verdict, and every row."""
    cases = len({row.case for row in rows})
    beyond = [f"{r.case} ({r.kernel}, {r.precision})" for r in rows if not r.held(r.precision)]
    return f"""# Parity with nanoBragg.c

{cases} images of nanoBragg.c (double precision inside, float32 stored, one thread) were rendered
anew under `physics: nanobragg` from the same command lines. `env.json` says on what,
`commands.txt` how. {len(rows)} comparisons took {seconds:.0f} s.

Bars: float64 {FLOAT64_BAR:.0e} relative above 1e-9 of the maximum; mixed {BRIGHT_BAR:.0e} relative
above 1e-4 of the maximum, {OF_MAXIMUM_BAR:.0e} of the maximum everywhere, {TOTAL_BAR:.0e} in
total. An edge pixel holds a step within 1e-9 of a half-integer index or of the top-hat edge and
differs beyond the bar; it is counted and left out.

Beyond the bars: **{", ".join(beyond) if beyond else "none"}**.

## Worst of all cases

{_worst_table(rows)}

## Every case

{markdown_table(list(rows))}
"""


def _worst_table(rows: Sequence[GoldenRow]) -> str:
    header = (
        *("kernel", "precision", "worst relative, > 1e-9 max", "case"),
        *("worst relative, > 1e-4 max", "worst of maximum", "worst total", "edge pixels"),
    )
    lines: list[tuple[object, ...]] = []
    for kernel, precision in dict.fromkeys((row.kernel, row.precision) for row in rows):
        group = [row for row in rows if (row.kernel, row.precision) == (kernel, precision)]
        worst = max(group, key=lambda row: row.relative)
        lines.append(
            (
                kernel,
                precision,
                f"{worst.relative:.1e}",
                worst.case,
                f"{max(row.bright for row in group):.1e}",
                f"{max(row.of_maximum for row in group):.1e}",
                f"{max(row.total for row in group):.1e}",
                sum(row.edge_pixels for row in group),
            )
        )
    return plain_table(header, lines)
