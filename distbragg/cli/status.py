"""`distbragg status`: how a run stands."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from distbragg.run.status import RunStatus

SHOWN_FAILURES = 10
FOLLOW_S = 2.0
"""Seconds between two looks at a run that is followed, at least."""


@click.command("status")
@click.argument("run", metavar="RUN", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option(
    "--follow",
    is_flag=True,
    help="Tell it again every few seconds while somebody works on the run; with --json, one "
    "object a line.",
)
def command(run: str, as_json: bool, follow: bool) -> None:
    """Tell how far a run is, how fast it goes, who works on it and what failed.

    Everything is read from the run's files: no scheduler needs to be alive, and any machine
    that sees the files will do. The exit status is 0 whatever the run's state.
    """
    from distbragg.run.status import status

    if as_json:
        for now in follow_status(run) if follow else (status(run),):
            click.echo(json.dumps(now.to_plain(), indent=None if follow else 2))
    elif follow:
        _show_live(run)
    else:
        from distbragg.cli.tables import print_rows

        print_rows(run, status_rows(status(run)))


def follow_status(run: str) -> Iterator[RunStatus]:
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


def _show_live(run: str) -> None:
    """Redraw the table in place on a terminal; elsewhere it is printed when the run ends."""
    from rich.live import Live

    from distbragg.cli.tables import table_of

    with Live(auto_refresh=False) as live:
        for now in follow_status(run):
            live.update(table_of(run, status_rows(now)), refresh=True)


def status_rows(now: RunStatus) -> list[tuple[str, str]]:
    """Rows of the table."""
    from distbragg.plan.memory import megabytes

    stored = megabytes(now.stored_bytes)
    if now.expected_bytes > now.stored_bytes:
        stored += f", about {megabytes(now.expected_bytes)} when done"
    rows = [
        ("state", now.state),
        ("frames", f"{now.frames_done:,} of {now.frames:,} done, {now.frames_missing:,} missing"),
        ("set aside", f"{now.frames_failed:,} frames in {now.units_failed:,} units"),
        ("units", f"{now.units_done:,} of {now.units:,}"),
        ("planned cost", f"{100 * now.share_done:.1f} % done"),
        ("stored", stored),
        *_pace_rows(now),
        *_holder_rows(now),
    ]
    if now.repaired_units:
        rows.append(("repaired", f"{now.repaired_units:,} units, once found damaged"))
    rows += [
        (f"failed unit {item.unit}", f"{item.reason} (after {item.attempts} attempts)")
        for item in now.failures[:SHOWN_FAILURES]
    ]
    if len(now.failures) > SHOWN_FAILURES:
        rows.append(("failed units", f"{len(now.failures):,} in all; --json lists them"))
    return rows


def _pace_rows(now: RunStatus) -> list[tuple[str, str]]:
    from distbragg.graph.quantities import duration

    rows = []
    if now.frames_per_s:
        rows.append(("rate", f"{now.frames_per_s:.3g} frames/s, {now.writers} processes"))
    if now.eta_s:
        left = duration(now.eta_s)
        rows.append(("left", left if now.state == "running" else f"{left} once resumed"))
    if now.last_receipt_age_s is not None:
        rows.append(("last receipt", f"{duration(now.last_receipt_age_s)} ago"))
    return rows


def _holder_rows(now: RunStatus) -> list[tuple[str, str]]:
    from distbragg.graph.quantities import duration

    if not now.holders:
        return [("in use by", "nobody")]
    return [
        (
            f"in use by{f' (part {item.part})' if item.part else ''}",
            item.place
            if item.alive
            else f"nobody: stale lock of {item.place}, last heard of "
            f"{duration(item.heartbeat_age_s)} ago",
        )
        for item in now.holders
    ]
