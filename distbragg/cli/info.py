"""`distbragg info`: what a spec or a run says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from distbragg.cli.options import set_option
from distbragg.notes import Note

if TYPE_CHECKING:
    from distbragg.spec.sweep import SweepSpec

SHOWN_FAILURES = 10


@click.command("info")
@click.argument("path", metavar="RUN|SPEC.yaml", type=click.Path())
@set_option
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def command(path: str, sets: tuple[str, ...], as_json: bool) -> None:
    """Describe a run (how far it is, what failed, how it was made) or a spec file.

    For a run everything is read from its directory: no scheduler needs to be alive.
    """
    from distbragg.store.remote import is_url

    if is_url(path) or Path(path).is_dir():
        from distbragg.run.info import info

        if sets:
            raise click.UsageError("--set changes a spec, not a run")
        facts = info(path)
        rows = run_rows(facts)
    else:
        facts = spec_facts(path, sets)
        rows = spec_rows(facts)
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    from distbragg.cli.tables import print_rows

    print_rows(path, rows)


def spec_facts(path: str, sets: tuple[str, ...]) -> dict[str, Any]:
    """Frames, axes, input files, fields that differ from the defaults, and the whole spec."""
    from distbragg.models.tables import load_any
    from distbragg.spec.canonical import to_plain
    from distbragg.spec.experiment import ExperimentSpec
    from distbragg.spec.files import file_fields

    sweep = load_any(path, sets)
    defaults = dict(_leaves(to_plain(ExperimentSpec())))
    fields = dict(_leaves(to_plain(sweep.experiment)))
    return {
        "path": path,
        "title": sweep.experiment.title,
        "physics": sweep.experiment.physics,
        "frames": sweep.frames,
        "dims": dict(sweep.dims),
        "axes": [
            {"name": axis.name, "dim": axis.dim, "path": axis.path, "unit": axis.unit}
            for axis in sweep.coordinates()
            if axis.path
        ],
        "files": dict(file_fields(sweep)),
        "fields": {name: text for name, text in fields.items() if defaults.get(name) != text},
        "spec": to_plain(sweep),
        **_notes(sweep),
    }


def _notes(sweep: SweepSpec) -> dict[str, Any]:
    """Collect the notes of the frames, or say why the sweep cannot be resolved.

    A description is wanted of a specification that is not finished, too.
    """
    from distbragg.errors import DistbraggError
    from distbragg.run.notes import tell
    from distbragg.run.prepare import said_of

    try:
        said = said_of(sweep)
    except DistbraggError as error:
        notes: tuple[Note, ...] = (Note("warning", "cannot be rendered", str(error)),)
        frames = 0
    else:
        notes, frames = said.notes, said.frames
    tell(notes)
    return {"notes": [note.to_plain() for note in notes], "frames_checked": frames}


def spec_rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Rows of a spec's table."""
    rows = [
        ("title", facts["title"]),
        ("physics", facts["physics"]),
        ("frames", f"{facts['frames']:,}"),
        ("dimensions", _product(facts["dims"])),
    ]
    rows += [(f"axis {axis['name']}", f"{axis['path']} {_unit(axis)}") for axis in facts["axes"]]
    shown = {"title", "physics", *(field.removeprefix("experiment.") for field in facts["files"])}
    rows += [(f"file {field}", name) for field, name in facts["files"].items()]
    rows += [(name, text) for name, text in facts["fields"].items() if name not in shown]
    if facts["frames"] > facts["frames_checked"] > 0:
        rows.append(("frames checked", f"{facts['frames_checked']:,}, at the ends of the axes"))
    return rows


def run_rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Rows of a run's table."""
    from distbragg.plan.memory import megabytes

    slow, fast = facts["shape"]
    provenance = facts["provenance"]
    rows = [
        ("title", str(facts["title"])),
        ("frames", f"{facts['frames_done']:,} of {facts['frames']:,} rendered"),
        ("dimensions", _product(facts["dims"])),
        ("image", f"{slow} x {fast} pixels (slow x fast), {facts['dtype']}"),
        ("units", f"{facts['units_done']:,} of {facts['units']:,}"),
        ("stored", megabytes(facts["stored_bytes"])),
        ("in use by", ", ".join(facts["in_use_by"]) or "nobody"),
        ("made by", f"distbragg {provenance.get('distbragg', '?')}"),
        ("created", str(provenance.get("created", "?"))),
        ("class", ", ".join(f"{k} {v}" for k, v in facts["numeric_class"].items())),
        ("run id", facts["run_id"][:12]),
        ("physics hash", facts["physics_hash"][:12]),
    ]
    rows += [(name.replace("_", " "), _text(value)) for name, value in facts["summary"].items()]
    rows += [(note["kind"], f"{note['place']}: {note['text']}") for note in facts["notes"]]
    failed = list(facts["failed_units"].items())
    rows += [(f"failed unit {unit}", reason) for unit, reason in failed[:SHOWN_FAILURES]]
    if len(failed) > SHOWN_FAILURES:
        rows.append(("failed units", f"{len(failed):,} in all; --json lists them"))
    return rows


def _product(dims: dict[str, int]) -> str:
    return " x ".join(f"{name} {size:,}" for name, size in dims.items()) or "none"


def _unit(axis: dict[str, Any]) -> str:
    return f"({axis['unit']})" if axis["unit"] not in ("", "1") else ""


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _leaves(plain: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Every given field of a plain spec as (dotted path, value)."""
    rows: list[tuple[str, str]] = []
    for name, value in plain.items():
        if isinstance(value, dict):
            rows += _leaves(value, f"{prefix}{name}.")
        else:
            rows.append((f"{prefix}{name}", _text(value)))
    return rows
