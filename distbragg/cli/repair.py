"""`distbragg repair`: render what is damaged again, and nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from distbragg.cli.options import cluster_options, threads_option

if TYPE_CHECKING:
    from distbragg.spec.cluster import ClusterSpec


@click.command("repair")
@click.argument("run", metavar="RUN", type=click.Path())
@click.option("--deep", is_flag=True, help="Look at every pixel, as `verify --deep` does.")
@cluster_options
@threads_option
@click.option("--allow-mixed", is_flag=True, help="Let workers of another kernel or CPU help.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.pass_context
def command(
    context: click.Context,
    *,
    run: str,
    deep: bool,
    cluster: str | ClusterSpec | None,
    workers: int | None,
    threads: int | None,
    allow_mixed: bool,
    as_json: bool,
) -> None:
    """Verify a run, drop the damaged objects, and render exactly those again.

    What comes out is what an undisturbed run holds, bit for bit. Frames that were never
    rendered are left to `distbragg resume`. Exit status 0: all is mended; 3: some units could
    not be rendered; 4: the run is in use or refused; 5: metadata or inputs are damaged, which
    rendering cannot mend.
    """
    from distbragg.cli.verify import finding_lines
    from distbragg.run.repair import repair

    result = repair(
        run,
        level="deep" if deep else "full",
        cluster=cluster,
        workers=workers,
        threads=threads,
        allow_mixed=allow_mixed,
    )
    if as_json:
        click.echo(json.dumps(result.to_plain(), indent=2))
        context.exit(result.status)
    for line in finding_lines(result.found):
        click.echo(line)
    for name in result.moved:
        click.echo(f"set aside: {name}")
    for unit, reason in sorted(result.failed.items()):
        click.echo(f"unit {unit} could not be rendered: {reason}")
    if result.found.sound:
        click.echo(f"{result.path}: no damage; nothing to do")
    else:
        click.echo(f"{result.path}: units rendered again: {len(result.repaired)}")
    if result.unmended:
        click.echo(f"other files, which rendering cannot mend: {len(result.unmended)}")
    context.exit(result.status)
