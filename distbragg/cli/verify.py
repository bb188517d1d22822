"""`distbragg verify`: compare what is stored with what was rendered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from distbragg.cli.options import threads_option

if TYPE_CHECKING:
    from distbragg.store.verify import Level, VerifyReport

SHOWN = 20


@click.command("verify")
@click.argument("run", metavar="RUN", type=click.Path())
@click.option("--quick", "level", flag_value="quick", help="Compare the sizes of the objects.")
@click.option("--full", "level", flag_value="full", help="Compare digests of all bytes: default.")
@click.option(
    "--deep",
    "level",
    flag_value="deep",
    help="Also decode every pixel; compare checksums, sums and coordinates.",
)
@click.option(
    "--audit",
    type=click.IntRange(min=0),
    metavar="N",
    default=0,
    help="Also render N units again, drawn at random, elsewhere, and compare their bytes.",
)
@click.option("--seed", type=int, default=0, metavar="N", help="Which units the audit draws.")
@threads_option
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.pass_context
def command(
    context: click.Context,
    *,
    run: str,
    level: Level | None,
    audit: int,
    seed: int,
    threads: int | None,
    as_json: bool,
) -> None:
    """Compare a run's objects with its receipts, and with its seal where it has one.

    Exit status 0: all is well; 5: something is damaged, and what it is is listed. Frames that
    are not rendered yet are no damage. Nothing is changed: `distbragg repair` mends.
    """
    from distbragg.errors import ExitStatus
    from distbragg.run.verify import verify

    report = verify(run, level=level or "full", audit=audit, seed=seed, threads=threads)
    if as_json:
        click.echo(json.dumps(report.to_plain(), indent=2))
    else:
        print_report(report)
    context.exit(ExitStatus.DONE if report.sound else ExitStatus.DAMAGE)


def print_report(report: VerifyReport) -> None:
    """Print what a verification found."""
    for line in finding_lines(report):
        click.echo(line)
    audited = f", {len(report.audited)} rendered again" if report.audited else ""
    against = "receipts and seal" if report.sealed else "receipts"
    click.echo(
        f"{report.path}: {report.checked} of {report.units} units compared with their "
        f"{against} ({report.level}{audited})"
    )
    if report.sound:
        click.echo("no damage")
    else:
        found = f"damaged: {len(report.findings)} units, {len(report.files)} other files"
        click.echo(f"{found}; `distbragg repair {report.path}` mends what rendering can")


def finding_lines(report: VerifyReport) -> list[str]:
    """One line for each damaged unit or file, up to a limit."""
    lines = [f"unit {item.unit}: {item.kind}: {item.problem}" for item in report.findings]
    lines += [f"{item.name}: {item.kind}: {item.problem}" for item in report.files]
    more = len(lines) - SHOWN
    return [*lines[:SHOWN], f"and {more} more; --json lists them"] if more > 0 else lines
