"""`distbragg demo`: a garnet in 36 frames on local worker processes, and a contact sheet."""

from __future__ import annotations

from contextlib import ExitStack
from importlib.resources import as_file, files
from pathlib import Path

import click

from distbragg.cli.options import set_option

HELP = """Render the demonstration sweep: pyrope garnet, 9 orientations x 4 mosaic spreads.

|F| comes from a crystal structure, the beam holds five weighted wavelengths, two worker
processes share the work. Writes a stack and a contact sheet (PNG); if the stack is there
already, only what it lacks is rendered. Where the progress is shown, so is the address of
the workers' dashboard.

\b
Examples:
  distbragg demo
  distbragg demo --workers 8 -o /tmp/demo.zarr
"""


@click.command("demo", help=HELP)
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    default="demo.zarr",
    show_default=True,
    metavar="RUN",
    help="The stack to write.",
)
@click.option(
    "--picture",
    type=click.Path(),
    metavar="FILE.png",
    help="The contact sheet to write; default: beside the stack.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    metavar="N",
    help="Worker processes.",
)
@set_option
@click.pass_context
def command(
    context: click.Context, *, output: str, picture: str | None, workers: int, sets: tuple[str, ...]
) -> None:
    """Render the demonstration sweep and its contact sheet."""
    from distbragg.cli.image_files import check_target
    from distbragg.cli.running import Place, continue_run, report
    from distbragg.run.create import create

    sheet = Path(output).with_suffix(".png") if picture is None else Path(picture)
    with ExitStack() as stack:
        folder = stack.enter_context(as_file(files("distbragg.data")))
        run = create(folder / "demo.yaml", output, sets)
    check_target(sheet)
    result = continue_run(run, Place(f"local:{workers}"))
    draw(str(run.path), sheet)
    click.echo(f"{sheet}: contact sheet")
    context.exit(report(result))


def draw(run: str, sheet: Path) -> None:
    """Write the contact sheet of a finished or partly finished stack."""
    from distbragg.export.picture import dataset_contact_sheet
    from distbragg.store.open import open_stack

    dataset_contact_sheet(open_stack(run), sheet)
