"""`distbragg create`: the metadata of a run, nothing rendered."""

from __future__ import annotations

import click

from distbragg.cli.options import (
    compute_options,
    force_option,
    output_option,
    overrides,
    root_option,
    set_option,
)


@click.command("create")
@click.argument("spec", metavar="SWEEP.yaml", type=click.Path())
@output_option("RUN", "The run directory, which is the Zarr stack.")
@set_option
@root_option
@force_option
@compute_options
def command(
    *,
    spec: str,
    output: str,
    sets: tuple[str, ...],
    root: str | None,
    force: bool,
    precision: str | None,
    kernel: str | None,
) -> None:
    """Write a run's metadata and inputs, and render nothing.

    For batch systems: create once, then `distbragg resume RUN` in one job, or
    `distbragg run RUN --part i/N` in each job of an array.
    """
    from distbragg.run.create import create

    run = create(spec, output, overrides(sets, precision, kernel), root=root, force=force)
    layout = run.layout
    click.echo(f"{run.path}: created, {layout.frames} frames in {layout.units} units to render")
    click.echo(f"render it with\n  distbragg resume {output}")
