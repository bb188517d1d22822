"""`distbragg resume`: render what a run still lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from distbragg.cli.options import cluster_options, threads_option, timeout_option, watch_options

if TYPE_CHECKING:
    from distbragg.spec.cluster import ClusterSpec


@click.command("resume")
@click.argument("run", metavar="RUN", type=click.Path())
@cluster_options
@threads_option
@timeout_option
@click.option("--allow-mixed", is_flag=True, help="Let workers of another kernel or CPU help.")
@watch_options
@click.pass_context
def command(
    context: click.Context,
    *,
    run: str,
    cluster: str | ClusterSpec | None,
    workers: int | None,
    threads: int | None,
    allow_mixed: bool,
    unit_timeout: float | None,
    watch: bool,
    as_json: bool,
) -> None:
    """Continue a run where it stopped, and try again the frames that failed.

    What is stored is kept, bit for bit; the spec, its input files and the plan are taken from
    the run itself, so nothing but RUN is needed.
    """
    from distbragg.cli.running import Place, Telling, run_and_report
    from distbragg.store.run_directory import open_run

    place = Place(cluster, workers, threads, allow_mixed=allow_mixed, unit_timeout=unit_timeout)
    context.exit(run_and_report(open_run(run), place, Telling(watch, as_json)))
