"""What every command that renders a run does: progress, failures, and how to open the stack."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from distbragg.graph.progress import EventCallback
    from distbragg.run.result import RunResult
    from distbragg.spec.cluster import ClusterSpec
    from distbragg.store.run_directory import RunDirectory


@dataclass(frozen=True, slots=True)
class Place:
    """Where and how a run is worked on; None leaves the choice to the program."""

    cluster: str | ClusterSpec | None = None
    workers: int | None = None
    threads: int | None = None
    part: tuple[int, int] | None = None
    allow_mixed: bool = False
    unit_timeout: float | None = None


@dataclass(frozen=True, slots=True)
class Telling:
    """What is told of a run while it goes on.

    Attributes
    ----------
    watch : bool
        Progress, and on a cluster the dashboard's page and metrics.
    as_json : bool
        Events as JSON on standard output, instead of lines for people.
    """

    watch: bool = True
    as_json: bool = False


def check_cluster(cluster: str | None) -> None:
    """Refuse a `--cluster` that names none, before anything is written.

    Raises
    ------
    InputError
    """
    if cluster is not None and cluster != "serial":
        from distbragg.graph.cluster import parse_cluster

        parse_cluster(cluster)


def run_and_report(run: RunDirectory, place: Place, telling: Telling) -> int:
    """Render what is left of a run and say how it ended; return the exit status."""
    if telling.as_json:
        from distbragg.cli.progress_events import write_notes

        write_notes(run.manifest.notes)
    result = continue_run(run, place, telling)
    if telling.as_json:
        from distbragg.cli.progress_events import write_finished

        write_finished(result)
        return int(result.status)
    return report(result)


def continue_run(run: RunDirectory, place: Place, telling: Telling | None = None) -> RunResult:
    """Render what is left of a run, telling of its progress as `telling` says."""
    from distbragg.run.resume import resume

    telling = telling or Telling()
    with _listener(run, telling) as on_event:
        return resume(
            run,
            cluster=place.cluster,
            workers=place.workers,
            threads=place.threads,
            part=place.part,
            allow_mixed=place.allow_mixed,
            unit_timeout=place.unit_timeout,
            watch=telling.watch,
            on_event=on_event,
        )


def _listener(run: RunDirectory, telling: Telling) -> AbstractContextManager[EventCallback | None]:
    from distbragg.run.machine import free_disk_bytes

    disk_free = partial(free_disk_bytes, run.path) if run.remote is None else None
    if telling.as_json:
        from distbragg.cli.progress_events import ProgressEvents

        return ProgressEvents(disk_free=disk_free)
    if not telling.watch:
        return nullcontext()
    from distbragg.cli.progress_view import ProgressView

    return ProgressView(disk_free=disk_free)


def report(result: RunResult) -> int:
    """Say how a run ended and how to open the stack; return the exit status."""
    from distbragg.graph.quantities import duration

    if result.nothing_to_do:
        click.echo(f"{result.path}: all {result.frames} frames are there; nothing to do")
    else:
        click.echo(
            f"{result.path}: {result.rendered} frames rendered in {duration(result.seconds)}, "
            f"{result.done} of {result.frames} there"
        )
    if result.failed:
        click.echo(
            f"{result.failed} frames could not be rendered and are set aside; "
            f"`distbragg info {result.path}` gives the reasons, "
            f"`distbragg resume {result.path}` tries them again"
        )
    click.echo(how_to_open(str(result.path)))
    return int(result.status)


def how_to_open(path: str) -> str:
    """Return the lines that open a stack in Python."""
    if "://" in path:
        return (
            f"open it with\n  python -c \"import distbragg; print(distbragg.open_stack('{path}'))\""
        )
    return (
        "open it with\n"
        f"  python -c \"import xarray as xr; print(xr.open_zarr('{path}'))\"\n"
        f"or, checked: distbragg.open_stack('{path}')"
    )
