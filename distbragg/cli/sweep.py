"""`distbragg sweep`: create a run and render all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from distbragg.cli.options import (
    cluster_options,
    compute_options,
    force_option,
    output_option,
    overrides,
    root_option,
    set_option,
    threads_option,
    timeout_option,
    watch_options,
)

if TYPE_CHECKING:
    from distbragg.spec.cluster import ClusterSpec

HELP = """Render every frame of a sweep into one labelled stack.

The stack is complete in itself: axes, units, the whole spec. If it is there already, what
is missing is rendered; if nothing is missing, nothing is done.

\b
Examples:
  distbragg sweep sweep.yaml -o out.zarr
  distbragg sweep sweep.yaml -o out.zarr --workers 4
  distbragg sweep sweep.yaml -o out.zarr --cluster tcp://head:8786
  distbragg sweep sweep.yaml -o out.zarr --set beam.wavelength_angstrom=0.7
"""


@click.command("sweep", help=HELP)
@click.argument("spec", metavar="SWEEP.yaml", type=click.Path())
@output_option("RUN", "The stack to write, a Zarr directory.")
@set_option
@root_option
@force_option
@cluster_options
@threads_option
@compute_options
@timeout_option
@click.option("--allow-mixed", is_flag=True, help="Let workers of another kernel or CPU help.")
@watch_options
@click.pass_context
def command(
    context: click.Context,
    *,
    spec: str,
    output: str,
    sets: tuple[str, ...],
    cluster: str | ClusterSpec | None,
    root: str | None,
    force: bool,
    workers: int | None,
    threads: int | None,
    precision: str | None,
    kernel: str | None,
    allow_mixed: bool,
    unit_timeout: float | None,
    watch: bool,
    as_json: bool,
) -> None:
    """Create a run and render all of it."""
    from distbragg.cli.running import Place, Telling, run_and_report
    from distbragg.run.create import create

    run = create(spec, output, overrides(sets, precision, kernel), root=root, force=force)
    place = Place(cluster, workers, threads, allow_mixed=allow_mixed, unit_timeout=unit_timeout)
    context.exit(run_and_report(run, place, Telling(watch, as_json)))
