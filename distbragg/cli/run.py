"""`distbragg run`: one part of a run, for job arrays without a scheduler."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from distbragg.cli.options import cluster_options, threads_option, timeout_option, watch_options

if TYPE_CHECKING:
    from distbragg.spec.cluster import ClusterSpec


class PartType(click.ParamType[tuple[int, int]]):
    """`i/N` with 1 ≤ i ≤ N."""

    name = "i/N"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Split the text into two numbers."""
        first, sign, count = str(value).partition("/")
        if not (sign and first.isdecimal() and count.isdecimal()):
            self.fail(f"{value!r} is not of the form i/N", param, ctx)
        part = int(first), int(count)
        if not 1 <= part[0] <= part[1]:
            self.fail(f"{value!r}: i runs from 1 to N", param, ctx)
        return part


HELP = """Render one part of a created run; parts may run at the same time, anywhere.

\b
In a job array of 16:
  distbragg create sweep.yaml -o out.zarr                 # once
  distbragg run out.zarr --part $SLURM_ARRAY_TASK_ID/16   # in each job
"""


@click.command("run", help=HELP)
@click.argument("run", metavar="RUN", type=click.Path())
@click.option("--part", type=PartType(), help="The i-th of N equal parts of the units.")
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
    part: tuple[int, int] | None,
    cluster: str | ClusterSpec | None,
    workers: int | None,
    threads: int | None,
    allow_mixed: bool,
    unit_timeout: float | None,
    watch: bool,
    as_json: bool,
) -> None:
    """Render one part of a created run."""
    from distbragg.cli.running import Place, Telling, run_and_report
    from distbragg.store.run_directory import open_run

    place = Place(cluster, workers, threads, part, allow_mixed, unit_timeout)
    context.exit(run_and_report(open_run(run), place, Telling(watch, as_json)))
