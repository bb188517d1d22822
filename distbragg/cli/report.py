"""`distbragg report`: one HTML page about a run."""

from __future__ import annotations

import json

import click

from distbragg.cli.options import output_option


@click.command("report")
@click.argument("run", metavar="RUN", type=click.Path())
@output_option("FILE.html", "The page to write.")
@click.option("--json", "as_json", is_flag=True, help="Say what was written as JSON.")
def command(run: str, output: str, as_json: bool) -> None:
    """Write a page on how a run went: throughput, timeline, failures, worst frames, provenance.

    It is made from the run's files, without a live cluster, and needs nothing beside itself.
    """
    from distbragg.run.report import write_report

    path = write_report(run, output)
    click.echo(json.dumps({"path": str(path), "bytes": path.stat().st_size}) if as_json else path)
