"""`distbragg publish`: copy a run to an object store."""

from __future__ import annotations

import json

import click


@click.command("publish")
@click.argument("run", metavar="RUN", type=click.Path())
@click.argument("url", metavar="URL")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def command(run: str, url: str, as_json: bool) -> None:
    """Copy RUN to s3://bucket/run.zarr, each object compared with its receipt on the way.

    A finished run or one that is not: done again, it copies what is new. Status, verify,
    repair, resume, export and open_stack then take the address as they take a path.
    Credentials come from the environment (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, ...).
    """
    from distbragg.run.publish import publish

    result = publish(run, url)
    if as_json:
        click.echo(json.dumps(result.to_plain(), indent=2))
        return
    click.echo(
        f"{result.url}: {result.units} of {result.all_units} units there, {result.copied} copied"
    )
