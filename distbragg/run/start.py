"""Commented specifications to begin with, and a made-up molecule for those who have none."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any, Final

import numpy as np

from distbragg.errors import InputError, unreadable
from distbragg.matrices import norm3
from distbragg.models.vectors import Float64Array
from distbragg.spec.commented import commented_yaml
from distbragg.spec.descriptions import describe
from distbragg.spec.yaml_text import as_mapping, parse_yaml

KINDS: Final = ("still", "rotation", "pink-serial", "saxs")
_PLACE: Final = "PDB"  # what a template has in place of the file's name
_CELL: Final = (79.1, 79.1, 38.0)  # of tetragonal lysozyme, as are space group and size
_SPACE_GROUP: Final = "P 43 21 2"
_ATOMS: Final = 1001
_RADIUS: Final = 17.0  # Å, of a globule of so many atoms
_CENTRE: Final = (-2.0, 21.0, 19.0)
_NEAREST: Final = 1.2  # Å
_BOX: Final = 3.0  # edges of the cell that holds one molecule, over its size
_MADE_UP: Final = (
    "REMARK   1 MADE-UP ATOMS IN THE CELL OF LYSOZYME, WRITTEN BY DISTBRAGG INIT: NO PROTEIN"
)


def start_files(kind: str, target: Path, pdb: str | None) -> dict[Path, str]:
    """Return the files of a new specification by their places: itself, and a molecule it needs.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    target : Path
        Where the specification will lie.
    pdb : str, optional
        A model (PDB, mmCIF) that |F| is computed from; a made-up molecule where not given.
    """
    files: dict[Path, str] = {}
    model = target.with_name(f"{target.stem}.pdb")
    if pdb is not None and not Path(pdb).is_file():
        raise InputError("is not a file", source=pdb, field="--pdb")
    text = made_up_molecule() if pdb is None else ""
    if kind == "saxs":
        text = boxed_molecule(text or _pdb_text(pdb or ""), source=pdb or "")
    if text:
        files[model] = text
        name = model.name
    else:
        own, folder = Path(pdb or "").absolute(), target.absolute().parent
        name = os.path.relpath(own, folder) if own.is_relative_to(folder) else str(own)
    template = resources.files("distbragg.data").joinpath("start", f"{kind}.yaml")
    written = template.read_text("utf-8")
    plain = as_mapping(parse_yaml(written))
    _experiment(plain)["structure_factors"]["file"] = name
    said = [line[2:] for line in written.splitlines() if line.startswith("# ")]
    head = "\n".join([*said, *_next(kind, target, made=pdb is None)])
    files[target] = commented_yaml(plain, _comment, head=head)
    return files


def _experiment(plain: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = plain.get("experiment", plain)
    return found


def _next(kind: str, target: Path, *, made: bool) -> Iterator[str]:
    """Yield what to do with the file."""
    command, suffix = (
        ("sweep", "zarr") if kind in ("rotation", "pink-serial") else ("render", "png")
    )
    yield "Next:"
    yield f"  distbragg explain {target.name}"
    yield f"  distbragg {command} {target.name} -o {target.stem}.{suffix}"
    if made:
        yield "The molecule is made up: `distbragg init` takes one of your own with --pdb."


def _comment(path: str) -> str:
    """Say what a field means, in the words of its model."""
    field = path.removeprefix("experiment.")
    if field in ("experiment", "axes", "title"):
        return {"axes": "Each axis sets one field, a value a frame."}.get(field, "")
    said = describe(field)
    return said.meaning


def made_up_molecule() -> str:
    """Return a PDB file of atoms at random places of a globule, the same ones at every call."""
    draw = np.random.default_rng(129)
    places = np.empty((0, 3))
    while len(places) < _ATOMS:
        one = draw.uniform(-_RADIUS, _RADIUS, 3)
        apart = places.size == 0 or float(norm3(places - one).min()) > _NEAREST
        if apart and float(norm3(one)) < _RADIUS:
            places = np.vstack([places, one])
    elements = draw.choice(np.array(["C", "N", "O", "S"]), _ATOMS, p=[0.63, 0.17, 0.19, 0.01])
    lines = [_MADE_UP, _cryst1(_CELL, _SPACE_GROUP)]
    for index, (place, element) in enumerate(
        zip(places + np.array(_CENTRE), elements, strict=True)
    ):
        x, y, z = place
        width = 12.0 + 12.0 * float(norm3(places[index])) / _RADIUS
        lines.append(
            f"ATOM  {index + 1:5d}  {element:<3s} UNK A{1 + index // 8:4d}    "
            f"{x:8.3f}{y:8.3f}{z:8.3f}  1.00{width:6.2f}          {element:>2s}"
        )
    return "\n".join([*lines, "END", ""])


def _cryst1(edges: tuple[float, float, float], group: str) -> str:
    a, b, c = edges
    return f"CRYST1{a:9.3f}{b:9.3f}{c:9.3f}  90.00  90.00  90.00 {group}"


def _pdb_text(path: str) -> str:
    try:
        return Path(path).read_text("ascii", errors="replace")
    except OSError as error:
        raise unreadable(error, path) from None


def boxed_molecule(text: str, *, source: str) -> str:
    """Return the atoms of a PDB file alone in a large cell without symmetry."""
    atoms = [line for line in text.splitlines() if line.startswith(("ATOM  ", "HETATM"))]
    atoms = [line for line in atoms if line[17:20] != "HOH"]
    try:
        places = np.array([[float(line[at : at + 8]) for at in (30, 38, 46)] for line in atoms])
    except ValueError:
        places = np.empty((0, 3))
    if not len(places):
        raise InputError(
            "has no atoms in the form of PDB", source=source, remedy="give a PDB file to saxs"
        )
    edge = _box(places)
    kept = [line.rstrip() for line in atoms]
    return "\n".join([_cryst1((edge, edge, edge), "P 1"), *kept, "END", ""])


def _box(places: Float64Array) -> float:
    size = float((places.max(axis=0) - places.min(axis=0)).max())
    return 10.0 * math.ceil(_BOX * size / 10.0)
