"""`distbragg fmodel`: structure factors of an atomic model as an MTZ file."""

from __future__ import annotations

import click

from distbragg.cli.options import output_option

HELP = """Compute structure factors of an atomic model and write them as MTZ.

MODEL is a PDB, mmCIF or small-molecule CIF file, also compressed (.gz). Written are FC and
PHIC of one asymmetric part, F(000) included; with --wavelength also FC(+) and FC(-). A spec
reads the file back with structure_factors.file.

\b
Examples:
  distbragg fmodel 1orc.pdb -o 1orc.mtz --dmin 1.8
  distbragg fmodel 5wkd.cif -o se.mtz --dmin 2 --wavelength 0.9794
"""


@click.command("fmodel", help=HELP)
@click.argument("model", metavar="MODEL", type=click.Path())
@output_option("F.mtz", "File to write.")
@click.option(
    "--dmin",
    required=True,
    type=click.FloatRange(min=0.0, min_open=True),
    metavar="Å",
    help="Resolution to which F is computed.",
)
@click.option(
    "--wavelength",
    type=click.FloatRange(min=0.0, min_open=True),
    metavar="Å",
    help="Add f' and f\" of every element at this wavelength; Friedel mates then differ.",
)
@click.option(
    "--bulk-solvent/--no-bulk-solvent",
    default=True,
    help="Flat solvent between the molecules of a macromolecular model (default: with).",
)
@click.option(
    "--solvent-k",
    type=click.FloatRange(min=0.0),
    default=0.35,
    show_default=True,
    metavar="E/Å³",
    help="Density of the bulk solvent.",
)
@click.option(
    "--solvent-b",
    type=click.FloatRange(min=0.0),
    default=46.0,
    show_default=True,
    metavar="Å²",
    help="Smearing of the bulk solvent.",
)
def command(
    *,
    model: str,
    output: str,
    dmin: float,
    wavelength: float | None,
    bulk_solvent: bool,
    solvent_k: float,
    solvent_b: float,
) -> None:
    """Compute structure factors of an atomic model and write them as MTZ."""
    from distbragg.run.fmodel import fmodel

    result = fmodel(
        model,
        output,
        dmin=dmin,
        wavelength=wavelength,
        bulk_solvent=bulk_solvent,
        solvent_k=solvent_k,
        solvent_b=solvent_b,
    )
    for note in result.notes:
        click.echo(f"{note.kind}: {note}", err=True)
    click.echo(
        f"{result.path}: {result.reflections} reflections to {dmin:g} Å, "
        f"{result.spacegroup}, F(000) = {result.f000:.1f} electrons"
    )
