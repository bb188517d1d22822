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
_PLACES: Final = (slice(30, 38), slice(38, 46), slice(46, 54))
_OCCUPANCY: Final = slice(54, 60)
_B_FACTOR: Final = slice(60, 66)
_USUAL: Final = ((_OCCUPANCY, "  1.00"), (_B_FACTOR, " 20.00"))
"""What stands for a blank occupancy and B factor."""

_NUMBER: Final = re.compile(r"(?i)\s*[-+]?(?:\d+[.,]?\d*|[.,]\d+|nan|inf)(?:e[-+]?\d+)?\s*")
_NO_CRYSTAL: Final = re.compile(r"ELECTRON MICROSCOPY|NMR|SOLUTION SCATTERING")
_PREDICTED: Final = re.compile(r"(?i)alphafold|plddt|esmfold|rosettafold")
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
        line numbers in columns 73 to 80), blank occupancies and B factors filled in.
    notes : tuple of Note
    unknown : int
        Atoms of the first model whose element field, not their residue, says that they are
        unknown.

    Raises
    ------
    InputError
        A last atom without its coordinates, a field that is no number, or an element that does
        not exist.
    """
    lines = text.rstrip().splitlines()
    _check_end(lines, path)
    unknown = guessed = bare = models = full = 0
    for number, line in enumerate(lines, start=1):
        models += line.startswith("ENDMDL")
        if not _is_atom(line):
            continue
        symbol = line[_ELEMENT].strip()
        bare += not line[_B_FACTOR].strip()
        full += not line[_OCCUPANCY].strip()
        line = lines[number - 1] = _filled(line, f"{path}:{number}")
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
    if full:
        text_ = f"{counted(full, 'atom')} without occupancy: 1 is taken"
        notes.append(Note("warning", path, text_))
    return "\n".join(lines) + "\n", (*notes, *_remarks(lines, path)), unknown


def _is_atom(line: str) -> bool:
    """Tell an atom as gemmi does: in any case, and with a serial that reaches into column 6."""
    return line[:4].upper() in ("ATOM", "HETA")


def _filled(line: str, place: str) -> str:
    """Check the numbers of an atom and write the usual ones where occupancy and B are blank.

    gemmi reads what is no number as 0.
    """
    if len(line) < _COORDINATE_COLUMNS:
        return line
    for field, usual in _USUAL:
        if not line[field].strip():
            line = line[: field.start].ljust(field.start) + usual + line[field.stop :]
    for field in (*_PLACES, _OCCUPANCY, _B_FACTOR):
        if not _NUMBER.fullmatch(line[field]):
            raise InputError(
                f"'{shown(line[field].strip())}' in columns {field.start + 1}-{field.stop} is "
                "no number",
                source=place,
                remedy="keep to the columns of PDB: x y z in 31-54, occupancy 55-60, B 61-66",
            )
    return line


def method_notes(method: str, predicted: str, path: str) -> Notes:
    """Warn of a cell that is no crystal's, and of B factors that hold a confidence.

    Parameters
    ----------
    method : str
        Experimental method (EXPDTA, `_exptl.method`).
    predicted : str
        Where a prediction names its program or score.
    """
    notes: list[Note] = []
    if _NO_CRYSTAL.search(method.upper()):
        text = f"a model by {shown(method.strip().lower())}: is its cell that of a crystal?"
        notes.append(Note("warning", path, text))
    if _PREDICTED.search(predicted):
        text = (
            "a predicted model: its B factors are probably a confidence (pLDDT); convert them "
            "first, e.g. phenix.process_predicted_model"
        )
        notes.append(Note("warning", path, text))
    return tuple(notes)


def _remarks(lines: list[str], path: str) -> Notes:
    notes: list[Note] = []
    end = next((at for at, line in enumerate(lines) if line.rstrip() == "END"), len(lines))
    lost = sum(_is_atom(line) for line in lines[end:])
    if lost:
        text = f"{counted(lost, 'atom')} after the first END record: not read"
        notes.append(Note("warning", path, text))
    method = " ".join(line[10:] for line in lines if line.startswith("EXPDTA"))
    named = " ".join(line for line in lines if line.startswith(("TITLE", "HEADER")))
    notes += method_notes(method, "" if "DIFFRACTION" in method else named, path)
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
