"""What a specification means, and one to begin with: `explain` and `init`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from distbragg.cli import options
from distbragg.cli.output import echo, print_json

if TYPE_CHECKING:
    from distbragg.run.explain import Explanation

_WIDEST: Final = 42  # of a column that others are lined up behind


@click.command("explain")
@click.argument("spec", metavar="SPEC.yaml", type=click.Path())
@options.set_option
@options.root_option
@click.option(
    "--frame",
    type=click.IntRange(min=0),
    metavar="I",
    help="Frame of a sweep; default: the first, with warnings for all frames.",
)
@click.option("--all", "everything", is_flag=True, help="Show every field, with defaults.")
@options.json_option
def explain_command(
    *,
    spec: str,
    overrides: tuple[str, ...],
    root: str | None,
    frame: int | None,
    everything: bool,
    as_json: bool,
) -> None:
    """Show every number of a specification, its origin and what follows from it.

    \b
    Origins:
      given       by the specification, by --set or by the named axis
      header      read from a file: image header, geometry file, structure factors
      convention  set by the detector's convention
      rule        computed from other numbers by the rule shown
      default     not given
      follows     a result of the numbers above

    Photons of spots are those on active pixels, without background.

    \b
    Examples:
      distbragg explain experiment.yaml
      distbragg explain sweep.yaml --frame 12
      distbragg explain experiment.yaml --set beam.size_mm=0.02 --all
    """
    from distbragg.run.explain import explain

    told = explain(spec, overrides, frame=frame, root=root)
    print_explanation(told, everything=everything, as_json=as_json)


def print_explanation(told: Explanation, *, everything: bool, as_json: bool) -> None:
    """Print notes to standard error, numbers to standard output, a line each."""
    from distbragg.run.notes import tell

    tell(told.notes)
    if as_json:
        print_json(told.to_plain())
        return
    rows = told.table(everything=everything)
    widths = [min(max(len(row[column]) for row in rows), _WIDEST) for column in (0, 1)]
    echo(told.sweep.experiment.title or told.path)
    for name, value, origin in rows:
        echo("" if not value else f"{name:{widths[0]}}  {value:{widths[1]}}  {origin}".rstrip())
        if not value:
            echo(name)


@click.command("init")
@click.argument("kind", type=click.Choice(("still", "rotation", "pink-serial", "saxs")))
@options.output_option(
    "FILE.yaml", "The specification to write; default: the name of the kind.", required=False
)
@click.option(
    "--pdb",
    metavar="FILE",
    type=click.Path(),
    help="Atomic model for |F| (PDB or mmCIF; for saxs PDB); default: invented atoms, "
    "written beside the specification.",
)
def init_command(kind: str, out: str | None, pdb: str | None) -> None:
    """Write a commented specification to start from. It can be rendered as it is.

    \b
      still        one frame of a 20 µm protein crystal, monochromatic, EIGER2 1M
      rotation     100 frames of 0.2 degrees: a sweep over the spindle
      pink-serial  20 microcrystals in random orientations, 0.6 % bandwidth, JUNGFRAU 1M
      saxs         a protein in solution, 1.5 m from the detector

    Nothing that is there is overwritten.

    \b
    Examples:
      distbragg init still
      distbragg init pink-serial --pdb 4et8.pdb -o serial.yaml
    """
    from pathlib import Path

    from distbragg.cli.image_files import check_target
    from distbragg.errors import InputError
    from distbragg.run.start import start_files

    target = Path(out or f"{kind}.yaml")
    check_target(target)
    files = start_files(kind, target, pdb)
    for path in files:
        if path.exists():
            remedy = "give another name, or move it"
            raise InputError("exists already", source=str(path), remedy=remedy)
    for path, text in files.items():
        path.write_text(text, encoding="utf-8", newline="")
        echo(f"{path}: written")
    echo("see what it means with", f"  distbragg explain {target}")
