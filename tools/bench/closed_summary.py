"""The benchmark of the closed form as a page of Markdown, each figure beside its bar."""

from __future__ import annotations

from typing import Final

from distbragg.quantities import duration
from tools.bench.closed_form import (
    C_DOMAINS,
    C_LINES,
    CRYSTAL_BAR,
    EXAFEL_BAR_S,
    SAMPLED_DOMAINS,
    ClosedForm,
)
from tools.bench.closed_scenes import DOMAINS, LINES
from tools.bench.summary import table

CORES: Final = 64
FRAMES: Final = 100_000
PUBLISHED: Final = ((30.0, "256 A100"), (55.6, "32 nodes of 4 A100"))
"""Frames a second, of 3840² pixels and 100 energies, and what they were rendered on."""


def closed_summary(found: ClosedForm) -> str:
    """Write the page."""
    return "\n\n".join(
        (
            "# Gaussian crystals in closed form",
            "All on one core. Figures are medians with the least and greatest in brackets; "
            "`env.json` names the machine, `commands.txt` the command. Process time is what the "
            "core worked; where the machine was shared, wall time is more.",
            _bragg(found),
            _stored(found),
            _exafel(found),
        )
    )


def _bragg(found: ClosedForm) -> str:
    part = found.bragg
    process = part.bragg("process")
    rows = [
        ("closed form, process", process.text(), "1"),
        ("closed form, wall", part.bragg("wall").text(), ""),
        (
            f"sampled, {SAMPLED_DOMAINS} of {DOMAINS} domains, scaled",
            f"{part.sampled:.0f}",
            _times(part.sampled, process.median),
        ),
    ]
    if part.c_program:
        share = f"{C_LINES} of {LINES} lines and {C_DOMAINS} of {DOMAINS} domains"
        ratio = _times(part.c_program, process.median)
        rows.append((f"C program, {share}, scaled", f"{part.c_program:.0f}", ratio))
    return (
        "## The Bragg part of a protein still\n\n2048² pixels to 1.5 Å, spread 0.3°, "
        f"{LINES} lines (σ = 0.5 %): the frame less the same frame with |F| = 0. Samples are "
        f"{LINES} lines × {DOMAINS} domains, the C program's without its start.\n\n"
        + table(("", "s", "times the closed form"), rows)
    )


def _times(seconds: float, least: float) -> str:
    return f"{seconds / least:,.0f}" if least > 0.0 else "–"


def _stored(found: ClosedForm) -> str:
    ratio = found.ratio("wall")
    rows = [
        (
            kind,
            _median(found, kind, crystal=True),
            _median(found, kind, crystal=False),
            found.ratio(kind).text(),
        )
        for kind in ("wall", "process")
    ]
    return (
        "## The same still with water, counted, 16 bits, in a closed store\n\n"
        + table(("time", "with the crystal, s a frame", "without, s a frame", "ratio"), rows)
        + f"\n\nBar {CRYSTAL_BAR} of wall time: {_verdict(ratio.median <= CRYSTAL_BAR)}."
    )


def _median(found: ClosedForm, kind: str, *, crystal: bool) -> str:
    rows = sorted(getattr(row, kind) for row in (found.crystal if crystal else found.blank))
    return f"{rows[len(rows) // 2]:.3f}"


def _exafel(found: ClosedForm) -> str:
    seconds = found.exafel.wall
    rate = CORES / seconds
    published = ", ".join(f"{rate / there:.1f} × {there:g} ({what})" for there, what in PUBLISHED)
    return (
        "## exafel_closed\n\n3840² pixels, 100 lines over 1 %, N = 20, spread 0.05°, water, "
        f"counted, 16 bits, in a closed store: {seconds:.2f} s a frame (process time "
        f"{found.exafel.process:.2f} s), {1.0 / seconds:.2f} frames/s a core. Bar "
        f"{EXAFEL_BAR_S:g} s: {_verdict(seconds <= EXAFEL_BAR_S)}.\n\n{CORES} such cores, were "
        f"they independent, make {rate:.0f} frames/s, {FRAMES:,} frames in "
        f"{duration(FRAMES / rate)}. Published rates of such frames: {published}."
    )


def _verdict(reached: bool) -> str:
    return "reached" if reached else "missed"
