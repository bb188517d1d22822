"""`python -m tools.evidence TOPIC`: a claim measured anew, as a bundle with its provenance."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from distbragg.cli.main import main

_out_option = click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default="reports",
    show_default=True,
    metavar="FOLDER",
    help="Folder of all topics; the bundle is FOLDER/TOPIC/UTC-STAMP, never overwritten.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Measure a claim anew and write what was found as a bundle.

    A bundle is a new folder named by the time (UTC), with the command, the machine, package
    versions and commit beside the tables and figures. Earlier bundles are never touched.
    """


@command.command("source-weights")
@_out_option
@click.option(
    "--tests/--no-tests",
    "run_tests",
    default=True,
    help="Also collect and run the tests of the clauses, in a source tree (default).",
)
def source_weights(out: Path, run_tests: bool) -> None:
    """Weighted sources: the rule, its invariances, wrong rules drawn, the C program live.

    The environment variable NB_C_BIN names the binary of nanoBragg.c; without it that part is
    left out.
    """
    from tools.evidence.source_weights import write_bundle

    click.echo(write_bundle(out, run_tests=run_tests))


@command.command("plan-times")
@_out_option
@click.option("--recipe", "recipes", multiple=True, metavar="NAME", help="Of workflows/; all.")
def plan_times(out: Path, recipes: tuple[str, ...]) -> None:
    """Wall times that plans tell, against every recipe rendered serially and on two workers."""
    from tools.evidence.plan_times import write_bundle

    click.echo(write_bundle(out, recipes=recipes))


@command.command("parity")
@_out_option
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Folder of the golden images (default: tests/golden/data of the source tree).",
)
def parity(out: Path, data: Path | None) -> None:
    """Every golden image of nanoBragg.c against every kernel and precision of this machine."""
    from tools.evidence.parity import write_bundle

    click.echo(write_bundle(out, data=data))


@command.command("reproducibility")
@_out_option
def reproducibility(out: Path) -> None:
    """Bytes of one stack in any place, form, tiling and source chunking."""
    from tools.evidence.reproducibility import write_bundle

    click.echo(write_bundle(out))


@command.command("watching")
@_out_option
@click.option("--pairs", type=click.IntRange(min=1), default=20, show_default=True)
def watching(out: Path, pairs: int) -> None:
    """Processor time of a run that is watched against the same run unwatched."""
    from tools.evidence.watching import write_bundle

    click.echo(write_bundle(out, pairs=pairs))


@command.command("overhead")
@_out_option
@click.option("--units", type=click.IntRange(min=2), default=60, show_default=True)
@click.option(
    "--unit-seconds",
    type=click.FloatRange(min=0.01),
    default=5.0,
    show_default=True,
    help="Kernel time of a unit; the sweep is made so that units last so long here.",
)
@click.option(
    "--pairs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Pairs of executions, on workers and in serial processes.",
)
def overhead(out: Path, units: int, unit_seconds: float, pairs: int) -> None:
    """Workers' time beside the kernel, and two workers against two serial processes.

    The machine must be quiet: a pair renders all units twice on two cores.
    """
    from tools.evidence.overhead import write_bundle

    click.echo(write_bundle(out, units=units, unit_seconds=unit_seconds, pairs=pairs))


@command.command("rates")
@_out_option
@click.option("--repeats", type=click.IntRange(min=1), default=9, show_default=True)
def rates(out: Path, repeats: int) -> None:
    """Time reading a million reflections into P1, and photon noise."""
    from tools.evidence.rates import write_bundle

    click.echo(write_bundle(out, repeats=repeats))


if __name__ == "__main__":
    sys.exit(main(command=command, name="python -m tools.evidence"))
