"""`distbragg plan`: what a sweep would cost, without doing it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from distbragg.cli.options import compute_options, overrides, root_option, set_option

if TYPE_CHECKING:
    from distbragg.plan.summary import PlanSummary


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
) -> None:
    """Show frames, tiles, tasks, steps, memory and disk of a sweep or experiment.

    Nothing is rendered and nothing written. A plan that memory or disk cannot hold is refused,
    and the message names the number to change.

    A step is one evaluation of the lattice sum: pixel x sub-pixel x sensor layer x source x
    spindle step x mosaic domain.
    """
    from distbragg.run.plan import plan

    summary = plan(spec, overrides(sets, precision, kernel), out=output, workers=workers, root=root)
    if as_json:
        click.echo(json.dumps(summary.to_plain(), indent=2))
    else:
        _print_table(spec, summary)


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
        ("nominal time", f"{duration(summary.nominal_seconds)} on one core"),
        ("plan", summary.plan_hash[:12]),
    ]


def _print_table(spec: str, summary: PlanSummary) -> None:
    from distbragg.cli.tables import print_rows

    print_rows(f"plan of {spec}", plan_rows(summary))
