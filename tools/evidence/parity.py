"""Measure how far every kernel is from the images of the C program."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from distbragg.errors import InputError
from distbragg.kernel import native
from distbragg.kernel.options import KernelName, KernelOptions, Precision
from tools.evidence.bundle import Bundle
from tools.evidence.bundle import markdown_table as plain_table
from tools.evidence.checkout import checkout_root
from tools.evidence.golden import GoldenRow, compare, golden_cases, markdown_table

FLOAT64_BAR: Final = 2e-6
"""Relative error asked of float64 above 1e-9 of the maximum."""

MIXED_BAR: Final = 1e-3
"""Relative error asked of mixed precision above 1e-4 of the maximum."""

MIXED_OF_MAXIMUM_BAR: Final = 1e-5
"""Error asked of mixed precision in any pixel, as a share of the maximum."""

TOTAL_BAR: Final = 1e-5
"""Error asked of mixed precision in the summed image."""

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
    folder = data or _data_folder()
    golden_cases(folder)
    bundle = Bundle.create(root, "parity")
    began = time.perf_counter()
    rows = list(parity_rows(folder))
    bundle.write_json("rows.json", [_plain(row) for row in rows])
    bundle.write_text("summary.md", summary(rows, time.perf_counter() - began))
    return bundle.path


def _data_folder() -> Path:
    root = checkout_root()
    if root is None:
        raise InputError(
            "the golden images are part of the source tree, not of the installed package",
            field="--data",
            remedy="name the folder tests/golden/data of a checkout",
        )
    return root / "tests" / "golden" / "data"


def kernels() -> tuple[KernelName, ...]:
    """Kernels that run here."""
    return ("native", "eager") if native.available() else ("eager",)


def parity_rows(folder: Path) -> Iterator[GoldenRow]:
    """Compare every case with every kernel in both precisions."""
    for kernel in kernels():
        for precision in PRECISIONS:
            bar = FLOAT64_BAR if precision == "float64" else MIXED_BAR
            for case in golden_cases(folder):
                yield compare(case, KernelOptions(precision, kernel, "cpu", 1), bar)


def within_bars(row: GoldenRow) -> bool:
    """Whether a row keeps the bars of its precision."""
    if row.precision == "float64":
        return row.relative <= FLOAT64_BAR
    return (
        row.relative_bright <= MIXED_BAR
        and row.of_maximum <= MIXED_OF_MAXIMUM_BAR
        and row.total <= TOTAL_BAR
    )


def summary(rows: Sequence[GoldenRow], seconds: float) -> str:
    """Write the worst values by kernel and precision, the verdict, and every row."""
    cases = len({row.case for row in rows})
    beyond = [f"{r.case} ({r.kernel}, {r.precision})" for r in rows if not within_bars(r)]
    return f"""# Parity with nanoBragg.c

{cases} images of nanoBragg.c (double precision inside, float32 stored, one thread) were rendered
anew under `physics: nanobragg` from the same command lines. `env.json` says on what,
`commands.txt` how. {len(rows)} comparisons took {seconds:.0f} s.

Bars: float64 {FLOAT64_BAR:.0e} relative above 1e-9 of the maximum; mixed {MIXED_BAR:.0e} relative
above 1e-4 of the maximum, {MIXED_OF_MAXIMUM_BAR:.0e} of the maximum everywhere, {TOTAL_BAR:.0e} in
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
                f"{max(row.relative_bright for row in group):.1e}",
                f"{max(row.of_maximum for row in group):.1e}",
                f"{max(row.total for row in group):.1e}",
                sum(row.edge_pixels for row in group),
            )
        )
    return plain_table(header, lines)


def _plain(row: GoldenRow) -> dict[str, object]:
    return {name: getattr(row, name) for name in GoldenRow.__slots__}
