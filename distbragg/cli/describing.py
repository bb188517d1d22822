"""What is said of a spec or a run without changing it: `plan`, `info` and `status`."""

from __future__ import annotations

import csv
import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from distbragg.cli import options
from distbragg.cli.output import echo, print_facts, table_of
from distbragg.errors import InputError

if TYPE_CHECKING:
    from distbragg.run.status import RunStatus

FOLLOW_S: Final = 2.0  # seconds between two looks at a run that is followed, at least
_COLUMN: Final = 12  # least width of a column of the table of frames


@click.command("plan")
@click.argument("spec", metavar="SPEC.yaml", type=click.Path())
@options.output_option(
    "RUN", "Path of the stack; checks the free space on that disk.", required=False
)
@options.count_option(
    "--workers",
    "Estimate the time for N workers, or for N parts of a job array.",
    default=1,
)
@options.set_option
@options.root_option
@options.compute_options
@options.json_option
@click.option("--table", is_flag=True, help="Print what each axis sets in each frame instead.")
@click.option("--csv", "as_csv", is_flag=True, help="The table as CSV.")
@click.option(
    "--plot",
    "picture",
    metavar="FILE.png",
    type=click.Path(),
    help="Draw a histogram of each axis: .png, .pdf or .svg.",
)
@options.chosen_option("--frames", "LIST", "Frames of the table, such as 0:10,15 (default: all).")
def plan_command(
    *,
    spec: str,
    out: str | None,
    workers: int,
    overrides: tuple[str, ...],
    root: str | None,
    as_json: bool,
    table: bool,
    as_csv: bool,
    picture: str | None,
    frames: str,
) -> None:
    """Show frames, tiles, tasks, steps, memory and disk of a sweep or experiment.

    Nothing is rendered; only `--plot` writes a file. `--table` prints the
    frames: one line each, as text, with `--csv` as CSV, with `--json` as one JSON object a line.
    `--plot` draws a histogram of what each axis sets. A plan that memory or disk cannot hold is
    refused, and the message names the number to change.

    A step is one evaluation of the lattice sum: pixel x sub-pixel x sensor layer x source x
    spindle step x mosaic domain.
    """
    from distbragg.run.prepare import plan

    if picture is not None:
        _plot(spec, overrides, picture, root)
        return
    if table or as_csv:
        from distbragg.run.frames import frame_table

        columns, rows = frame_table(spec, overrides, frames=frames, root=root)
        _print_frames(columns, rows, as_csv=as_csv, as_json=as_json)
        return
    if frames:
        raise InputError("needs --table", source="--frames")
    summary = plan(spec, overrides, out=out, workers=workers, root=root)
    print_facts(f"plan of {spec}", summary.to_plain(), summary.rows, as_json=as_json)


def _plot(spec: str, overrides: Sequence[str], picture: str, root: str | None) -> None:
    """Draw what the axes set."""
    from distbragg.cli.plotting import check_picture, write_figure
    from distbragg.run.plot_axes import plot_sweep

    check_picture(picture)
    write_figure(picture, plot_sweep(spec, overrides, root=root))
    echo(picture)


def _print_frames(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], *, as_csv: bool, as_json: bool
) -> None:
    """Print the table row by row: a sweep may have a million."""
    if as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
        return
    widths = [max(len(name), _COLUMN) for name in columns]
    if not as_json:
        echo(_line(columns, widths))
    for row in rows:
        if as_json:
            click.echo(json.dumps(dict(zip(columns, row, strict=True))))
        else:
            echo(_line(row, widths))


def _line(cells: Iterable[object], widths: Sequence[int]) -> str:
    plain = ("null" if cell is None else cell for cell in cells)
    shown = (f"{cell:.8g}" if isinstance(cell, float) else str(cell) for cell in plain)
    return "  ".join(f"{text:>{width}}" for text, width in zip(shown, widths, strict=True)).rstrip()


@click.command("info")
@click.argument("path", metavar="RUN|SPEC.yaml", type=click.Path())
@options.set_option
@options.json_option
def info_command(path: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Describe a run (progress, failures, provenance), or explain a spec file.

    Everything about a run is read from its folder: no scheduler is needed. For a spec this is the
    same as `distbragg explain`.
    """
    from distbragg.store.objects import is_url

    if not (is_url(path) or Path(path).is_dir()):
        from distbragg.cli.explaining import print_explanation
        from distbragg.run.explain import explain

        told = explain(path, overrides)
        print_explanation(told, everything=False, as_json=as_json)
        return
    from distbragg.run.status import info

    if overrides:
        raise click.UsageError("--set changes a spec, not a run")
    facts = info(path)
    print_facts(path, facts, lambda: _run_rows(facts), as_json=as_json)


def _run_rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Rows of a run's table."""
    from distbragg.quantities import scaled
    from distbragg.run.result import failure_rows
    from distbragg.run.status import summary_facts

    slow, fast = facts["shape"]
    provenance = facts["provenance"]
    rows = [
        ("title", str(facts["title"])),
        ("frames", f"{facts['frames_done']:,} of {facts['frames']:,} rendered"),
        ("dimensions", _product(facts["dims"])),
        ("image", f"{slow} x {fast} pixels (slow x fast), {facts['dtype']}"),
        ("units", f"{facts['units_done']:,} of {facts['units']:,}"),
        ("stored", f"{scaled(facts['stored_bytes'])}B"),
        ("in use by", ", ".join(facts["in_use_by"]) or "nobody"),
        ("made by", f"distbragg {provenance.get('distbragg', '?')}"),
        ("created", str(provenance.get("created", "?"))),
        ("class", ", ".join(f"{k} {v}" for k, v in facts["numeric_class"].items())),
        ("run id", facts["run_id"][:12]),
        ("physics hash", facts["physics_hash"][:12]),
    ]
    rows += summary_facts(facts["summary"], facts["by_axis"])
    rows += [(note["kind"], f"{note['place']}: {note['text']}") for note in facts["notes"]]
    return rows + failure_rows({int(u): reason for u, reason in facts["failed_units"].items()})


def _product(dims: dict[str, int]) -> str:
    return " x ".join(f"{name} {size:,}" for name, size in dims.items()) or "none"


@click.command("status")
@options.run_argument
@options.json_option
@click.option(
    "--follow",
    is_flag=True,
    help="Repeat every few seconds while a process works on the run; with --json, one "
    "object a line.",
)
def status_command(run: str, as_json: bool, follow: bool) -> None:
    """Show the progress and speed of a run, who works on it and what failed.

    Everything is read from the run's files: no scheduler is needed, and any machine that sees
    the files can do it. The exit status is 0 whatever the state of the run.
    """
    from distbragg.run.status import status

    if not follow:
        now = status(run)
        print_facts(run, now.to_plain(), now.rows, as_json=as_json)
    elif as_json:
        for now in _follow(run):
            click.echo(json.dumps(now.to_plain()))
    else:
        from rich.live import Live

        # On a terminal the table is drawn in place; elsewhere it is printed when the run ends.
        with Live(auto_refresh=False) as live:
            for now in _follow(run):
                live.update(table_of(run, now.rows()), refresh=True)


def _follow(run: str) -> Iterator[RunStatus]:
    """Yield how a run stands, again and again until nobody works on it.

    Reading the receipts of a long run takes a while; the pauses are ten times as long, so that
    looking takes a tenth of a core at most.
    """
    from distbragg.run.status import status

    while True:
        began = time.monotonic()
        now = status(run)
        yield now
        if now.state != "running":
            return
        time.sleep(max(FOLLOW_S, 10 * (time.monotonic() - began)))
