"""What the text of a PDB file says that gemmi passes over or mends in silence."""

from __future__ import annotations

import re
from typing import Final

import gemmi
import numpy as np

from distbragg.errors import InputError
from distbragg.matrices import matmul3
from distbragg.notes import Note, Notes
from distbragg.read.text import counted, shown

_COORDINATE_COLUMNS: Final = 54
"""Columns of an ATOM record up to the end of its z coordinate (PDB format 3.3)."""

_ELEMENT: Final = slice(76, 78)
_B_FACTOR: Final = slice(60, 66)
_RESIDUE: Final = slice(17, 20)
_METRIC_RELATIVE: Final = 2e-3
"""Six decimals of SCALEn hold a metric to about this share for a cell of 400 Å."""

UNKNOWN_ELEMENTS: Final = ("X", "Q")
"""Element fields of an atom that nobody could name, and of pseudo-atoms."""

NO_ATOMS: Final = ("DUM", "UNX")
"""Residues of dummy atoms (membrane planes, free atoms) and of unknown ones."""


def scan_pdb(text: str, path: str) -> tuple[str, Notes, int]:
    """Look at the records one by one.

    Returns
    -------
    text : str
        Without what old files write where elements and charges stand today (an entry's name and
        line numbers in columns 73 to 80).
    notes : tuple of Note
    unknown : int
        Atoms of the first model whose element field, not their residue, says that they are
        unknown.

    Raises
    ------
    InputError
        A last atom without its coordinates, or an element that does not exist.
    """
    lines = text.rstrip().splitlines()
    _check_end(lines, path)
    unknown = guessed = bare = models = 0
    for number, line in enumerate(lines, start=1):
        models += line.startswith("ENDMDL")
        if not line.startswith(("ATOM  ", "HETATM")):
            continue
        symbol = line[_ELEMENT].strip()
        bare += not line[_B_FACTOR].strip()
        if not re.search("[A-Za-z]", symbol):
            guessed += line[_RESIDUE].strip() not in NO_ATOMS
            lines[number - 1] = line[: _ELEMENT.start]
        elif symbol.upper() in UNKNOWN_ELEMENTS:
            unknown += models == 0 and line[_RESIDUE].strip() not in NO_ATOMS
        elif gemmi.Element(symbol).atomic_number == 0:
            raise InputError(
                f"unknown element '{shown(symbol)}'",
                source=f"{path}:{number}",
                remedy="write the element into columns 77-78; X, an unknown atom, is left out",
            )
    notes: list[Note] = []
    if guessed:
        text_ = f"{counted(guessed, 'atom')} without element column: the name tells the element"
        notes.append(Note("note", path, text_))
    if bare:
        text_ = f"{counted(bare, 'atom')} without B factor: 20 Å² is taken"
        notes.append(Note("warning", path, text_))
    return "\n".join(lines) + "\n", (*notes, *_remarks(lines, path)), unknown


def _remarks(lines: list[str], path: str) -> Notes:
    notes: list[Note] = []
    if any(line.startswith("REMARK   3") and "RESIDUAL B FACTORS ONLY" in line for line in lines):
        notes.append(residual_note(path))
    last = lines[-1].split()[:1] if lines else []
    if lines and lines[0].startswith("HEADER") and last != ["END"]:
        notes.append(Note("warning", path, "no END record; is the file truncated?"))
    return tuple(notes)


def residual_note(path: str) -> Note:
    """Say that the TLS part of the B factors is not in the atoms."""
    text = (
        "the B factors are residual, without the part of TLS: |F| falls too little with "
        "resolution; add it first, e.g. tlsanl or phenix.tls"
    )
    return Note("warning", path, text)


def _check_end(lines: list[str], path: str) -> None:
    last = lines[-1] if lines else ""
    if last.startswith(("ATOM", "HETATM")) and len(last) < _COORDINATE_COLUMNS:
        raise InputError(
            "the last atom has no coordinates: the file is truncated",
            source=f"{path}:{len(lines)}",
            remedy="fetch the file again",
        )


def check_cell_frame(structure: gemmi.Structure, path: str) -> Notes:
    """Judge SCALEn (`_atom_sites.fract_transf_matrix`) where it is not the cell's own.

    Another orientation or origin of the same cell places the atoms as the file says. Another
    metric is damage: the cell wins.
    """
    if not structure.cell.explicit_matrices:
        return ()
    plain = gemmi.UnitCell(*structure.cell.parameters)
    own = np.array(structure.cell.frac.mat.tolist())
    expected = np.array(plain.frac.mat.tolist())
    # Damaged numbers overflow to a metric that agrees with none.
    with np.errstate(all="ignore"):
        metric, wanted = matmul3(own, own.T), matmul3(expected, expected.T)
        agrees = np.abs(metric - wanted).max() <= _METRIC_RELATIVE * np.abs(wanted).max()
    if agrees:
        text = "SCALEn place the atoms in another frame than CRYST1 alone would, and are used"
        return (Note("note", path, text),)
    structure.cell = plain
    text = "SCALEn are of another cell than CRYST1, and are not used"
    return (Note("warning", path, text),)
