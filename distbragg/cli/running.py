"""What every command that renders a run does: progress, failures, and how to open the stack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from distbragg.run.result import RunResult
    from distbragg.store.run_directory import RunDirectory


@dataclass(frozen=True, slots=True)
class Place:
    """Where and how a run is worked on; None leaves the choice to the program."""

    cluster: str | None = None
    workers: int | None = None
    threads: int | None = None
    part: tuple[int, int] | None = None
    allow_mixed: bool = False


def check_cluster(cluster: str | None) -> None:
    """Refuse a `--cluster` that names none, before anything is written.

    Raises
    ------
    InputError
    """
    if cluster is not None and cluster != "serial":
        from distbragg.graph.cluster import parse_cluster

        parse_cluster(cluster)


def continue_run(run: RunDirectory, place: Place, *, show: bool = True) -> RunResult:
    """Render what is left of a run, with progress on standard error unless `show` is off."""
    from distbragg.run.resume import resume

    if not show:
        return resume(
            run,
            cluster=place.cluster,
            workers=place.workers,
            threads=place.threads,
            part=place.part,
            allow_mixed=place.allow_mixed,
        )
    from distbragg.cli.progress_view import ProgressView

    with ProgressView(run.layout.frame_count) as view:
        return resume(
            run,
            cluster=place.cluster,
            workers=place.workers,
            threads=place.threads,
            part=place.part,
            allow_mixed=place.allow_mixed,
            on_event=view,
        )


def report(result: RunResult) -> int:
    """Say how a run ended and how to open the stack; return the exit status."""
    from distbragg.cli.progress_view import duration

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
    return (
        "open it with\n"
        f"  python -c \"import xarray as xr; print(xr.open_zarr('{path}'))\"\n"
        f"or, checked: distbragg.open_stack('{path}')"
    )
