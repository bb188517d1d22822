"""`distbragg extend`: append frames to a finished run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from distbragg.cli.options import (
    cluster_options,
    force_option,
    root_option,
    threads_option,
    watch_options,
)

if TYPE_CHECKING:
    from distbragg.spec.cluster import ClusterSpec

HELP = """Append frames to a finished run, and render them.

MORE.yaml is a sweep file whose axes along the first dimension give the new values; `experiment`
and all other axes may be left out. Old frames keep their numbers, their objects and their
receipts. Interrupted, `distbragg resume RUN` goes on.

\b
Example, for a run over `orientation` (random, seed 5):
  axes:
    - name: orientation
      random_orientations: {count: 200, seed: 6}
"""


@click.command("extend", help=HELP)
@click.argument("run", metavar="RUN", type=click.Path())
@click.argument("more", metavar="MORE.yaml", type=click.Path())
@root_option
@force_option
@cluster_options
@threads_option
@click.option("--no-render", is_flag=True, help="Append the frames; `resume` renders them.")
@watch_options
@click.pass_context
def command(
    context: click.Context,
    *,
    run: str,
    more: str,
    root: str | None,
    force: bool,
    cluster: str | ClusterSpec | None,
    workers: int | None,
    threads: int | None,
    no_render: bool,
    watch: bool,
    as_json: bool,
) -> None:
    """Append frames to a finished run."""
    from distbragg.cli.running import Place, Telling, run_and_report
    from distbragg.run.extend import extend

    grown = extend(run, more, root=root, force=force)
    if no_render:
        frames = grown.layout.frames
        click.echo(f"{grown.path}: generation {len(grown.lineage)}, {frames:,} frames")
        click.echo(f"render them with\n  distbragg resume {run}")
        return
    place = Place(cluster, workers, threads)
    context.exit(run_and_report(grown, place, Telling(watch, as_json)))
