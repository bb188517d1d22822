"""`distbragg card`: the data set card of a run."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("card")
@click.argument("run", metavar="RUN", type=click.Path())
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False),
    metavar="CARD.md",
    help="Where to write it; default: standard output.",
)
@click.option(
    "--license", "license_name", default="", metavar="ID", help="License, e.g. cc-by-4.0."
)
@click.option(
    "--validation", default=0.1, show_default=True, help="Share of frames for validation."
)
@click.option("--test", default=0.0, show_default=True, help="Share of frames for testing.")
@click.option("--seed", default=0, show_default=True, help="Seed of the split.")
@click.option(
    "--group-by", multiple=True, metavar="AXIS", help="Keep frames of one value together."
)
def command(
    *,
    run: str,
    output: str | None,
    license_name: str,
    validation: float,
    test: float,
    seed: int,
    group_by: tuple[str, ...],
) -> None:
    """Describe a run as a data set: structure, axes, splits, provenance, limits, integrity.

    Markdown with a YAML head, as data set hubs read it. Host, user and paths are left out.
    """
    from distbragg.run.card import card
    from distbragg.store.files import write_atomic
    from distbragg.store.split import Split

    split = Split(validation, test, seed, group_by)
    text = card(run, split=split, license_name=license_name)
    if output is None:
        click.echo(text, nl=False)
        return
    write_atomic(Path(output).absolute(), text.encode())
    click.echo(output)
