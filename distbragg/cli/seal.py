"""`distbragg seal`: declare a run finished."""

from __future__ import annotations

import json

import click


@click.command("seal")
@click.argument("run", metavar="RUN", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def command(run: str, as_json: bool) -> None:
    """Check that every frame is there and every byte is right, and write that down.

    Afterwards `distbragg verify` compares with the seal, and any change is damage. Sealing
    again verifies and keeps the seal. Exit status 0: sealed; 4: frames are missing, or the run
    is in use; 5: something is damaged.
    """
    from distbragg.run.seal import seal

    result = seal(run)
    if as_json:
        click.echo(json.dumps(result.to_plain(), indent=2))
        return
    said = "was sealed already, and still holds what it held" if result.already else "sealed"
    click.echo(f"{result.path}: {said}")
    click.echo(f"{len(result.seal.digests)} units, Merkle root {result.seal.merkle_root}")
