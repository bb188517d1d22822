"""What is done with a rendered run: `verify`, `repair`, `seal`, `report`, `card`, `publish`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import click

from distbragg.cli import options
from distbragg.cli.output import echo, print_json
from distbragg.errors import ExitStatus
from distbragg.quantities import counted

if TYPE_CHECKING:
    from distbragg.store.verify import VerifyReport

SHOWN: Final = 20  # damaged units and files that are listed


@click.command("verify")
@options.run_argument
@click.option("--quick", "level", flag_value="quick", help="Compare the sizes of the objects.")
@click.option("--full", "level", flag_value="full", help="Compare digests of all bytes (default).")
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
    help="Also render N random units again in memory and compare their bytes.",
)
@click.option("--seed", type=int, default=0, metavar="N", help="Seed of the units for --audit.")
@options.threads_option
@options.json_option
def verify_command(run: str, level: Any, as_json: bool, **how: Any) -> int:
    """Compare the stored objects of a run with its receipts, and with its seal if it has one.

    Exit status 0: no damage; 5: damage, which is listed. Frames that are not rendered yet do not
    count as damage. Nothing is changed: use `distbragg repair` for that.
    """
    from distbragg.run.verify import verify

    report = verify(run, level=level or "full", **how)
    if as_json:
        print_json(report.to_plain())
    else:
        echo(*_verify_lines(report))
    return ExitStatus.DONE if report.sound else ExitStatus.DAMAGE


def _verify_lines(report: VerifyReport) -> Iterator[str]:
    yield from _finding_lines(report)
    for note in report.notes:
        yield f"note: {note}"
    audited = f", {len(report.audited)} rendered again" if report.audited else ""
    against = "receipts and seal" if report.sealed else "receipts"
    yield (
        f"{report.path}: {report.checked} of {report.units} units compared with their "
        f"{against} ({report.level}{audited})"
    )
    if report.sound:
        yield "no damage"
    else:
        units, others = counted(len(report.findings), "unit"), len(report.files)
        found = f"damaged: {units}, {counted(others, 'other file')}"
        yield f"{found}; `distbragg repair {report.path}` repairs what can be rendered again"


def _finding_lines(report: VerifyReport) -> list[str]:
    """One line for each damaged unit or file, up to a limit."""
    lines = [f"unit {item.unit}: {item.kind}: {item.problem}" for item in report.findings]
    lines += [f"{item.name}: {item.kind}: {item.problem}" for item in report.files]
    more = len(lines) - SHOWN
    return [*lines[:SHOWN], f"and {more} more; --json lists them"] if more > 0 else lines


@click.command("repair")
@options.run_argument
@click.option("--deep", is_flag=True, help="Check every pixel, as `verify --deep` does.")
@options.cluster_options
@options.threads_option
@options.mixed_option
@options.json_option
def repair_command(run: str, deep: bool, as_json: bool, **how: Any) -> int:
    """Verify a run, and render exactly the damaged units again.

    The result equals an undamaged run, bit for bit. Metadata of the stack are made again. Frames
    that were never rendered are left to `distbragg resume`. Exit status 0: all is repaired; 3: some
    units could not be rendered; 4: the run is in use or refused; 5: the manifest, a seal or an
    input file is damaged, which nothing else holds.
    """
    from distbragg.run.repair import repair
    from distbragg.run.result import failure_lines

    result = repair(run, level="deep" if deep else "full", **how)
    if as_json:
        print_json(result.to_plain())
        return result.status
    echo(*_finding_lines(result.found))
    echo(*(f"made again: {key}: {problem}" for key, problem in result.rebuilt.items()))
    echo(*(f"set aside: {name}" for name in result.moved))
    echo(*failure_lines("could not be rendered", result.failed))
    if result.found.sound and not result.rebuilt:
        echo(f"{result.path}: no damage; nothing to do")
    else:
        echo(f"{result.path}: units rendered again: {len(result.repaired)}")
    if result.unmended:
        echo(f"other files, which cannot be repaired: {len(result.unmended)}")
    return result.status


@click.command("seal")
@options.run_argument
@options.json_option
def seal_command(run: str, as_json: bool) -> None:
    """Check that no frame is missing and every byte is right, and record the digests.

    Afterwards `distbragg verify` compares with the seal, and any change is damage. Sealing
    again verifies and keeps the seal. Exit status 0: sealed; 4: frames are missing, or the run
    is in use; 5: something is damaged.
    """
    from distbragg.run.verify import seal

    result = seal(run)
    if as_json:
        print_json(result.to_plain())
        return
    said = "was sealed already, and still holds what it held" if result.already else "sealed"
    echo(f"{result.path}: {said}")
    echo(f"{len(result.seal.digests)} units, SHA-256 over all {result.seal.objects}")


@click.command("report")
@options.run_argument
@options.output_option("FILE.html", "The page to write.")
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON.")
def report_command(run: str, out: str, as_json: bool) -> None:
    """Write an HTML page on a run: throughput, timeline, failures, slowest frames, provenance.

    The page is made from the run's files, without a cluster. It needs no other file.
    """
    from distbragg.run.report import write_report

    path = write_report(run, out)
    echo(json.dumps({"path": str(path), "bytes": path.stat().st_size}) if as_json else path)


@click.command("card")
@options.run_argument
@options.output_option(
    "CARD.md",
    "File to write; default: standard output.",
    required=False,
    type=click.Path(dir_okay=False),
)
@click.option(
    "--license", "license_name", default="", metavar="ID", help="License, e.g. cc-by-4.0."
)
@options.split_options
@options.seen_option
@click.option(
    "--croissant", "metadata", is_flag=True, help="Also write croissant.json and frames.csv."
)
def card_command(run: str, out: str | None, metadata: bool, **about: Any) -> None:
    """Describe a run as a data set: structure, axes, splits, provenance, limits, integrity.

    The card is Markdown with a YAML head, as data set hubs read it, without host, user and paths.
    With -o CARD.md a contact sheet (CARD.png) and histograms of axes and labels (CARD-labels.png)
    are written too, once a frame is rendered. --croissant adds metadata for search engines and
    loaders, and the table of frames with their parts.
    """
    if out is not None:
        from distbragg.run.card_files import write_card

        *others, _ = write_card(run, out, metadata=metadata, **about)
        echo(*others, out)
        return
    if metadata:
        raise click.UsageError("--croissant writes files: give -o CARD.md")
    from distbragg.run.card import card

    click.echo(card(run, **about), nl=False)


@click.command("publish")
@options.run_argument
@click.argument("url", metavar="URL")
@click.option(
    "--with-provenance", is_flag=True, help="Also copy user, hosts and command of the run."
)
@options.json_option
def publish_command(run: str, url: str, with_provenance: bool, as_json: bool) -> None:
    """Copy RUN to s3://bucket/run.zarr and compare each object with its receipt.

    The run need not be finished: the same command copies what is new later. Status, verify,
    repair, resume, export and open_stack take the address in place of a path.
    Credentials come from the environment (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, ...).
    """
    from distbragg.run.publish import publish

    result = publish(run, url, provenance=with_provenance)
    if as_json:
        print_json(asdict(result))
        return
    present = f"{result.units} of {result.all_units} units present"
    echo(f"{result.url}: {present}, {result.copied} copied")
