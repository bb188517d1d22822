"""`distbragg plan`: what a sweep would cost, without doing it."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from distbragg.cli.options import compute_options, overrides, root_option, set_option
from distbragg.errors import InputError

if TYPE_CHECKING:
    from distbragg.plan.summary import PlanSummary

_COLUMN: Final = 12
"""Least width of a column of the table of frames."""


@click.command("plan")
@click.argument("spec", metavar="SPEC.yaml", type=click.Path())
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    metavar="RUN",
    help="Where the stack would lie: checks the room on that disk.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Workers that would share this machine's memory.",
)
@set_option
@root_option
@compute_options
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
@click.option("--table", is_flag=True, help="Print what each axis sets in each frame instead.")
@click.option("--csv", "as_csv", is_flag=True, help="The table as CSV.")
@click.option(
    "--frames", default="", metavar="LIST", help="Frames of the table, such as 0:10,15; all."
)
def command(
    *,
    spec: str,
    output: str | None,
    workers: int,
    sets: tuple[str, ...],
    root: str | None,
    precision: str | None,
    kernel: str | None,
    as_json: bool,
    table: bool,
    as_csv: bool,
    frames: str,
) -> None:
    """Show frames, tiles, tasks, steps, memory and disk of a sweep or experiment.

    Nothing is rendered and nothing written. `--table` prints the frames: one line each, as text,
    with `--csv` as CSV, with `--json` as one JSON object a line. A plan that memory or disk cannot
    hold is refused, and the message names the number to change.

    A step is one evaluation of the lattice sum: pixel x sub-pixel x sensor layer x source x
    spindle step x mosaic domain.
    """
    from distbragg.run.plan import plan

    if table or as_csv:
        from distbragg.run.frame_table import frame_table

        columns, rows = frame_table(
            spec, overrides(sets, precision, kernel), frames=frames, root=root
        )
        _print_frames(columns, rows, "csv" if as_csv else "json" if as_json else "text")
        return
    if frames:
        raise InputError("goes with --table", source="--frames")
    summary = plan(spec, overrides(sets, precision, kernel), out=output, workers=workers, root=root)
    if as_json:
        click.echo(json.dumps(summary.to_plain(), indent=2))
    else:
        _print_table(spec, summary)


def _print_frames(columns: Sequence[str], rows: Iterable[Sequence[Any]], form: str) -> None:
    """Print the table row by row: a sweep may have a million."""
    if form == "json":
        for row in rows:
            click.echo(json.dumps(dict(zip(columns, row, strict=True))))
        return
    if form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
        return
    widths = [max(len(name), _COLUMN) for name in columns]
    click.echo(_line(columns, widths))
    for row in rows:
        click.echo(_line([_shown(value) for value in row], widths))


def _line(cells: Iterable[str], widths: Sequence[int]) -> str:
    return "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip()


def _shown(value: object) -> str:
    return f"{value:.8g}" if isinstance(value, float) else str(value)


def plan_rows(summary: PlanSummary) -> list[tuple[str, str]]:
    """Rows (what, how much) of the plan's table."""
    from distbragg.graph.quantities import duration
    from distbragg.plan.memory import megabytes

    axes = " x ".join(f"{name} {size}" for name, size in summary.dims) or "none"
    slow, fast = summary.shape
    panels = f"{summary.panels} panels of " if summary.panels > 1 else ""
    per_frame = summary.steps // max(summary.frames, 1)
    return [
        ("axes", axes),
        ("frames", f"{summary.frames:,} of {panels}{slow} x {fast} pixels (slow x fast)"),
        ("units", f"{summary.units:,} of up to {summary.frames_per_unit:,} frames, one shard each"),
        ("tiles", f"{summary.tiles:,} per panel"),
        ("sources", f"{summary.sources:,} in {summary.source_chunks:,} chunks"),
        ("tasks", f"{summary.tasks:,} ({summary.form} form)"),
        ("oversampling", f"{summary.oversample} x {summary.oversample} per pixel"),
        ("steps", f"{summary.steps:.3g} ({per_frame:.3g} per frame)"),
        ("memory per worker", f"{megabytes(summary.memory_per_worker)} at the peak"),
        ("disk", f"{megabytes(summary.bytes_on_disk)} before compression"),
        ("nominal time", f"{duration(summary.nominal_seconds)} on one {_processor(summary)}"),
        ("plan", summary.plan_hash[:12]),
        ("checked for mistakes", f"{summary.frames_checked:,} of {summary.frames:,} frames"),
    ]


def _processor(summary: PlanSummary) -> str:
    return "core" if summary.device == "cpu" else "GPU"


def _print_table(spec: str, summary: PlanSummary) -> None:
    from distbragg.cli.tables import print_rows

    print_rows(f"plan of {spec}", plan_rows(summary))
