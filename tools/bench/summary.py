"""The performance report as a page of Markdown, with each figure beside its bar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from tools.bench.pairs import Spread
from tools.bench.small_frames import SAMPLE, SmallFrames

if TYPE_CHECKING:
    from tools.bench.pairs import PairedTiming
    from tools.bench.report import Report

_BARS: Final = {
    "mosaic_still": 40,
    "pink_beam": 40,
    "oscillation": 40,
    "gauss_mosaic": 20,
    "tophat_mosaic": 20,
    "round_mosaic": 20,
}
"""Ratio to the C program that each workload is meant to reach."""

_SHOWN_PACKAGES: Final = 8


def summary(report: Report) -> str:
    """Write the page."""
    return "\n\n".join(
        (
            "# Performance",
            f"{report.how.threads} threads on both sides; `env.json` names the machine, "
            "`commands.txt` the command. Figures are medians with the least and greatest in "
            "brackets; ratios are medians over interleaved pairs. The machine may have been "
            "shared: the spread says how much that mattered.",
            _kernel_section(report.paired),
            "![throughput](throughput.png)",
            _tolerance_section(report),
            _big_section(report),
            _startup_section(report),
            _small_section(report),
            _memory_section(report),
            _scaling_section(report),
        )
    )


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Format rows as a Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _kernel_section(rows: Sequence[PairedTiming]) -> str:
    header = (
        "workload",
        "Msteps/s",
        "kernel, s",
        "C, s",
        "C start, s",
        "C / ours, raw",
        "C / ours, start off",
        "bar",
        "of plain loop",
    )
    return "## Kernel in memory\n\n" + table(header, [_kernel_row(row) for row in rows])


def _kernel_row(row: PairedTiming) -> list[str]:
    ours, name = row.ours, row.ours.workload
    c_time = f"{Spread.of(row.c_seconds).median:.3g}" if row.c_seconds else "–"
    c_start = f"{Spread.of(row.c_start_seconds).median:.2g}" if row.c_start_seconds else "–"
    return [
        f"{name} ({ours.kernel}, {ours.precision})",
        f"{ours.steps_per_s / 1e6:.0f}",
        f"{ours.seconds:.4g} ({ours.spread[0]:.4g} to {ours.spread[1]:.4g})",
        c_time,
        c_start,
        _text(row.raw_ratio),
        _text(row.ratio),
        f"≥ {_BARS[name]}" if name in _BARS else "–",
        _text(row.share_of_limit),
    ]


def _tolerance_section(report: Report) -> str:
    rows = [
        (
            row.workload,
            f"{row.photons:g}",
            f"{row.full_seconds * 1e3:.2f}",
            f"{row.seconds * 1e3:.2f}",
            row.gain.text(),
            row.every.text(),
            f"{row.left_out:.2%}",
            f"{row.bound:.3g}",
            f"{row.lost:.3g}",
        )
        for row in report.tolerance
    ]
    header = (
        "workload",
        "tolerance, photons",
        "none, ms",
        "with, ms",
        "gain",
        "gain over every step evaluated",
        "steps left out",
        "told at most, photons",
        "lost, photons",
    )
    head = (
        "## Tolerance\n\nBar: 5 times on `gauss_mosaic` at 10⁻³ photons. Without a tolerance exact "
        "zeros are left out already. Times are those of the kernel for a frame rendered into "
        "memory that is there, as frames of a sweep are; what was lost contains the rounding of "
        "float32.\n\n"
    )
    return head + table(header, rows)


def _big_section(report: Report) -> str:
    big = report.big
    rows = [
        ("ours, whole command", Spread.of(big.ours).text()),
        ("ours, the same for 256²", Spread.of(big.ours_start).text()),
    ]
    if big.c_seconds:
        rows += [
            ("C, whole command", Spread.of(big.c_seconds).text()),
            ("C, the same for 256²", Spread.of(big.c_start).text()),
            ("ratio, raw", _text(big.raw_ratio)),
            ("ratio, 256² taken off both sides (bar ≥ 20)", _text(big.ratio)),
        ]
    head = "## big_detector, command line to closed Zarr store\n\n"
    return head + table(("", "s"), rows)


def _startup_section(report: Report) -> str:
    start = report.startup
    packages = list(start.imports.items())[:_SHOWN_PACKAGES]
    rows = [
        ("`distbragg render`, 256², everything (bar ≤ 1.5)", start.seconds.text()),
        ("an empty Python", f"{start.interpreter:.3f}"),
        ("loading modules, with `-X importtime` on", f"{start.import_seconds:.3f}"),
        *((f"… of that {name}", f"{seconds:.3f}") for name, seconds in packages),
    ]
    return "## Start-up\n\n" + table(("", "s"), rows)


def _small_section(report: Report) -> str:
    small = report.small
    rows = [
        ("frames, workers, frames per unit", _listed(small)),
        ("frames/s after cluster start", f"{small.frames / small.seconds:.1f}"),
        ("seconds, cluster start left out and with it", _two(small.seconds, small.whole_seconds)),
        ("kernel share of rendering (units in memory; bar ≥ 90 %)", f"{small.share_in_memory:.1%}"),
        ("kernel share with storage (bar ≥ 75 %)", f"{small.share_stored:.1%}"),
        ("kernel share of workers × wall time", f"{small.share_of_wall:.1%}"),
        ("kernel, rest of rendering, storing: ms/frame", _per_frame(report)),
    ]
    if small.c_frame:
        rows += [
            (f"C program, s/frame (mean of {SAMPLE})", f"{small.c_frame:.3f}"),
            ("ratio to a shell loop, extrapolated (bar ≥ 30)", f"{small.ratio:.1f}"),
        ]
    return "## small_frames\n\n" + table(("", ""), rows)


def _memory_section(report: Report) -> str:
    rows = [
        (
            row.name,
            f"{row.peak / 1e6:.0f}",
            f"{row.planned / 1e6:.0f}",
            f"{row.peak / row.planned - 1:+.0%}",
        )
        for row in report.memory
    ]
    header = ("workload", "peak, MB", "planned, MB", "off by (bar ± 20 %)")
    return "## Memory of a worker\n\n" + table(header, rows)


def _scaling_section(report: Report) -> str:
    rows = [
        (
            curve.name,
            ", ".join(map(str, curve.sizes)),
            ", ".join(f"{value:.3g}" for value in curve.seconds),
            f"{curve.exponent:.2f}",
        )
        for curve in report.curves
    ]
    header = ("against", "sizes", "seconds", "exponent of the last step")
    return "## Scaling\n\n" + table(header, rows) + "\n\n![scaling](scaling.png)"


def _per_frame(report: Report) -> str:
    small = report.small
    parts = (small.kernel, small.render - small.kernel, small.write)
    return ", ".join(f"{part / small.frames * 1e3:.2f}" for part in parts)


def _listed(small: SmallFrames) -> str:
    return f"{small.frames}, {small.workers}, {small.frames_per_unit}"


def _two(first: float, second: float) -> str:
    return f"{first:.2f}, {second:.2f}"


def _text(spread: Spread | None) -> str:
    return "–" if spread is None else spread.text()
