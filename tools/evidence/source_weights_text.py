"""The words and tables of the bundle on source weights."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import Final

from tools.c_program import VARIABLE
from tools.evidence.bundle import markdown_table
from tools.evidence.checkout import ClauseTests, PytestRun
from tools.evidence.live_parity import LiveParity, LiveRow
from tools.evidence.weight_measures import (
    RELATIVE_BAR,
    ULP_BAR,
    ChunkRow,
    OracleRow,
    PropertyRow,
)
from tools.evidence.weight_rules import BRIGHT, RuleRow

_STRATEGY: Final = """# Strategy

What is claimed: the image of weighted sources is the weighted mean of the images that each
source makes alone, and nothing about how the work is cut changes it.

1. **Oracle.** Each source is rendered alone, with the fluence Φ·w_s/W, and the images are added
   with exactly rounded sums. The weighted image must equal that. The oracle uses no weight, no
   divisor but 1 and no merging, so a mistake in any of them shows.
2. **Invariances.** Scaling, order, splitting, doubling, zero weights, merging of two renders.
   Each would catch another wrong rule: a count in the divisor changes when a source is split or
   a zero is appended; a chunk normalised by itself changes with the order.
3. **Cutting.** The same table in chunks of 1 to all, weights over twelve orders of magnitude,
   in every kernel and precision of the machine, compared in float32 ulp.
4. **Wrong rules, drawn.** The rules that programs of this family have used are applied to the
   same single-source images. The figures show what each would look like, and that some
   differ from the right one by a factor alone: correlation cannot see those.
5. **The C program, live.** When `NB_C_BIN` names its binary: the weight column is changed
   and its image compared byte by byte; then `physics: nanobragg` is compared pixel by pixel.
   Source files lie in `inputs/`; the commands stand in `commands.txt`, the program by its file
   name.

No source file here has comment lines, except the one that shows what the C program makes of
them: it reads each as a source.

The scene of points 1 to 3 has two sensor layers, water, 2 × 2 sub-pixels, four mosaic domains and
Kahn factor 1; that of 4 has 2 directions 5.7° apart and 25 wavelengths.
"""


def strategy_page() -> str:
    """Return `strategy.md`."""
    return _STRATEGY


def tests_page(clauses: Sequence[ClauseTests]) -> str:
    """Return `tests.md`: every clause on sources with the tests it names."""
    parts = [
        "# Tests\n\nThe clauses of `specs/sources.md` and the tests each names. "
        "`pytest_collect.log` lists every case\nof their files, `pytest_run.log` the result."
    ]
    for clause in clauses:
        listed = "\n".join(f"- `{test}`" for test in clause.tests)
        parts.append(f"## {clause.identifier} {clause.title}\n\n{listed}")
    return "\n\n".join(parts)


def verdicts(
    relative: float, ulp: int, broken: Sequence[str], tests: PytestRun | None, seconds: float
) -> str:
    """Return the head of `summary.md`."""
    ran = "not run" if tests is None else tests.verdict
    return f"""# Source weights

One rule: I = r_e² Φ Σ w_s I_s / Σ w_s. `strategy.md` says how it was checked,
`normalization_flow.md` where each step happens, `env.json` on what.

| Claim | Bar | Measured |
| --- | --- | --- |
| equals the single-source images, weighted | {RELATIVE_BAR:.0e} relative | {relative:.1e} |
| any chunking | {ULP_BAR} ulp of float32 | {ulp} ulp |
| invariances | each its own | {", ".join(broken) if broken else "all hold"} |
| tests of the clauses | pass | {ran} |

Written in {seconds:.0f} s by one command, the first of `commands.txt`."""


def oracle_section(rows: Sequence[OracleRow]) -> str:
    """Table of weighted images against single-source images."""
    table = markdown_table(
        ("weights", "sources", "kernel", "largest relative difference"),
        [(row.weights, row.sources, row.kernel, f"{row.relative:.1e}") for row in rows],
    )
    return f"""## Against single-source images

float64, every pixel. The right side is Σ_s render(s alone, Φ w_s/W).

{table}"""


def property_section(rows: Sequence[PropertyRow]) -> str:
    """Table of invariances."""
    table = markdown_table(
        ("change", "may change", "changed", "holds"),
        [(r.name, r.allowed, r.measured, "yes" if r.holds else "NO") for r in rows],
    )
    return f"""## Invariances

23 random sources, float64.

{table}"""


def chunk_section(rows: Sequence[ChunkRow]) -> str:
    """Table of chunkings."""
    table = markdown_table(
        ("kernel", "precision", "sources a chunk", "chunks", "max ulp (float32)", "in float64"),
        [(r.kernel, r.precision, r.chunk, r.chunks, r.ulp, f"{r.relative:.1e}") for r in rows],
    )
    return f"""## Chunkings

55 sources, weights over twelve orders of magnitude, against all of them in one chunk. The last
column is the largest relative difference before the image is rounded to float32.

{table}"""


def rule_section(rows: Sequence[RuleRow], rendered_sum: float, rendered_count: float) -> str:
    """Table of normalisations, with the figures."""
    table = markdown_table(
        ("rule", "image", "used by", "total", "pixels (1 % to 99 %)", "correlation"),
        [
            (
                *(row.name, row.formula, row.used_by, f"{row.total:.4g}"),
                f"{row.low:.3g} to {row.high:.3g}",
                f"{row.correlation:.6f}",
            )
            for row in rows
        ],
    )
    return f"""## One image under every rule

Ratios to the first row. Pixels above {BRIGHT:.0e} of the maximum. The images of `sum` and `count`
were also rendered: they differ from the rules applied by hand by {rendered_sum:.1e} and
{rendered_count:.1e} relative. Three wrong rules correlate perfectly with the right one: what they
get wrong is the scale, which correlation does not see.

{table}

![spectrum](spectrum.png)

![images](rules.png)

![ratios](rule_ratios.png)

![first-source polarisation](first_polarization.png)"""


def live_section(live: LiveParity | None) -> str:
    """Table of live comparisons with the C program."""
    if live is None:
        return f"""## The C program

Not compared: `{VARIABLE}` was not set. The stored golden images are compared by
`python -m tools.evidence parity`."""
    table = markdown_table(
        ("case", "our physics", "files", "correlation", "sum ratio", "worst pixel", "(slow, fast)"),
        [_live_cells(row) for row in live.rows],
    )
    unused = "does not change a byte" if live.column_is_unused else "CHANGES the image"
    words = _paragraph(
        "Its image with the weights as written and with all weights 1: the weight column "
        f"{unused}. Sum ratio is ours over the program's; worst pixel is the largest relative "
        "difference above 1e-9 of the maximum. The program stores float32, which alone allows "
        "6e-8; ours is float64. Rows under `exact` show how far the right rule is from the "
        "program's where the two mean different things."
    )
    return f"## The C program\n\n{words}\n\n{table}"


def _live_cells(row: LiveRow) -> tuple[object, ...]:
    if row.not_finite:
        return (
            row.name, row.physics, row.files, f"{row.not_finite} pixels of it are NaN", "", "", "",
        )  # fmt: skip
    return (
        *(row.name, row.physics, row.files, f"{row.correlation:.7f}", f"{row.ratio:.7f}"),
        f"{row.worst:.1e}",
        f"({row.where[0]}, {row.where[1]})",
    )


def open_questions(live: LiveParity | None) -> str:
    """Return what cannot be reconciled with the C program, or was not measured here."""
    points = [
        _comment_lines(live),
        _first_polarization(live),
        "**Order of sources.** It follows from 2 that the program's image depends on the order "
        "of the list; with one direction, or `-nopolar`, it does not.",
        "**|F| over a spectrum.** Structure factors are those of one wavelength; anomalous "
        "scattering that varies over the spectrum is modelled by neither program.",
        "**simtbx and diffBragg** are compared by their rules as read from their source, not by "
        "running them.",
    ]
    listed = "\n".join(
        textwrap.fill(f"{number}. {point}", 98, subsequent_indent="   ", break_on_hyphens=False)
        for number, point in enumerate(points, start=1)
    )
    return f"## Open questions\n\n{listed}"


def _comment_lines(live: LiveParity | None) -> str:
    ratio = _ratio_of(live, "comment lines, any dmin")
    measured = (
        f"Measured here: ours over the program's is {ratio:.6f}; 4 sources and 2 comment lines "
        "make 6/4."
        if not math.isnan(ratio)
        else "Not measured in this bundle."
    )
    return (
        "**Comment lines.** The C program reads a comment line of a source file as a source at "
        "the sample, of weight 0 and wavelength 0. Its whole image is then NaN; with any `-dmin` "
        "the ghosts are skipped, stay in the count, and the image is too dim. We skip comments "
        f"and reproduce neither. {measured}"
    )


def _first_polarization(live: LiveParity | None) -> str:
    own = _ratio_of(live, "two beams, own polarisation")
    first = _ratio_of(live, "two beams 5.7° apart")
    measured = (
        f"Here, for two beams 5.7° apart at Kahn factor 1, the sums differ by {own - 1:+.2%} with "
        f"each source's own polarisation and by {first - 1:+.1e} (relative) with the first's."
        if not math.isnan(own)
        else "Not measured in this bundle."
    )
    return (
        "**Polarisation of the first source.** The program applies the polarisation of the first "
        "source that passes dmin to all. `physics: nanobragg` keeps that; `physics: exact` does "
        "not. A residual of 0.38 % that the authors of the PyTorch port ascribe to floating "
        "point may be this effect, which the C program's authors put at 0.2 to 0.4 %. "
        f"{measured} Whether it explains theirs cannot be "
        "decided without their input files."
    )


def _paragraph(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), 98, break_on_hyphens=False)


def _ratio_of(live: LiveParity | None, name: str) -> float:
    if live is None:
        return math.nan
    return next((row.ratio for row in live.rows if row.name == name), math.nan)
