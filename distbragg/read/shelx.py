"""Reflection lists of SHELX: h k l, F² (HKLF 4) or F (HKLF 3), σ, batch, in fixed columns."""

from __future__ import annotations

import re
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.notes import Note, Notes
from distbragg.read.groups import Group, symbol_of
from distbragg.read.intensities import roots
from distbragg.read.miller import MAXIMUM_INDEX, MillerTable, check_box
from distbragg.read.symmetry import listed_amplitudes
from distbragg.read.text import as_text, read_bytes, shown

_HEAD_LINES: Final = 50
_INDEX_WIDTH: Final = 4
_VALUE_WIDTH: Final = 8
_VALUE_END: Final = 20
_SIGMA_END: Final = 28
_DECIMALS: Final = 100.0
"""F8.2: digits without a point are hundredths."""

_TERMINATOR: Final = re.compile(
    rb"(?m)^[ \t]*0[ \t]+0[ \t]+0[ \t]+[+-]?0*\.?0*[ \t]+[+-]?0*\.?0*(?:[ \t]+-?\d+)?[ \t]*\r?$"
)
_FIXED_LINE: Final = re.compile(
    r"(?=.{28})(?: *-?\d+)(?<=^.{4})(?: *-?\d+)(?<=^.{8})(?: *-?\d+)(?<=^.{12})"
    r"(?: *-?\d*\.\d*)(?<=^.{20})(?: *-?\d*\.\d*)(?<=^.{28})(?: *-?\d+)?(?:\s.*)?$"
)


def evidence_of_shelx(content: bytes) -> str:
    """Say why a text list is SHELX's; empty where nothing tells.

    It is where a line of zeros in five columns ends the list, or where the first lines keep to
    Fortran's 3I4,2F8.2.
    """
    if _TERMINATOR.search(content):
        return "it ends with a line of zeros"
    lines = content[: 1 << 14].decode("latin-1").splitlines()[:_HEAD_LINES]
    lines = [line for line in lines if line.strip() and not line.startswith("#")]
    if lines and all(_FIXED_LINE.match(line) for line in lines[:-1] or lines):
        return "its columns are fixed (3I4,2F8.2)"
    return ""


def undecided(path: str, evidence: str) -> InputError:
    """Build the refusal of a list of SHELX that may hold F² or F."""
    return InputError(
        f"this is a list of SHELX ({evidence}), of F² or F",
        source=path,
        field="structure_factors.format",
        remedy="give hklf4 where it holds F² and σ (as nearly all do), hklf3 where it holds F, "
        "or hkl to take the fourth column as |F|",
    )


def read_shelx(path: str, kind: Literal["hklf4", "hklf3"], group: Group | None) -> MillerTable:
    """Read a merged list of SHELX up to its line of zeros.

    Parameters
    ----------
    path : str
    kind : {"hklf4", "hklf3"}
        F², of which the root is taken, or F.
    group : Group, optional
        Expands the list, which names no symmetry; without it the list is of the P1 cell.

    Raises
    ------
    InputError
        Names file and line: fields that are no numbers, a list that is not merged (HKLF 4 or
        the overlaps of HKLF 5).
    """
    text = as_text(read_bytes(path), path)
    fixed = any(_FIXED_LINE.match(line) is not None for line in text.splitlines()[:_HEAD_LINES])
    rows: list[tuple[int, int, int, float, int]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        row = _row(line, f"{path}:{number}", fixed=fixed)
        if row[:3] == (0, 0, 0):
            break
        rows.append(row)
    if not rows:
        raise InputError("the file lists no reflections", source=path)
    indices = np.array([row[:3] for row in rows], dtype=np.int64)
    values = np.array([row[3] for row in rows], dtype=np.float64)
    _check_merged(indices, np.array([row[4] for row in rows], dtype=np.int64), path)
    check_box(indices, path)
    return _expanded(indices, values, kind, group, path)


def _expanded(
    indices: NDArray[np.int64],
    values: NDArray[np.float64],
    kind: Literal["hklf4", "hklf3"],
    group: Group | None,
    path: str,
) -> MillerTable:
    if kind == "hklf4":
        amplitude, notes = roots(values, "F² (SHELX HKLF 4)", path)
    else:
        amplitude = np.abs(values)
        notes = (Note("note", path, "the fourth column is |F| (SHELX HKLF 3)"),)
    notes += scale_and_symmetry(group, path)
    if group is None:
        return MillerTable(indices, amplitude, notes)
    return listed_amplitudes(
        indices, amplitude, cell=None, group=group, dmin=None, source=path, notes=notes
    )


def scale_and_symmetry(group: Group | None, path: str) -> Notes:
    """Say what a list of measured reflections without cell and symmetry leaves open."""
    symmetry = (
        "the list names no symmetry: reflections that it does not list have the default |F|; "
        "structure_factors.space_group expands it"
        if group is None
        else f"expanded by {symbol_of(group)}"
    )
    return (
        Note("warning", path, "measured: the scale is arbitrary unless it was put on one"),
        Note("note" if group is not None else "warning", path, symmetry),
    )


def _row(line: str, place: str, *, fixed: bool) -> tuple[int, int, int, float, int]:
    if fixed:
        fields = [line[start : start + _INDEX_WIDTH] for start in (0, 4, 8)]
        fields += [line[12:_VALUE_END], line[_VALUE_END:_SIGMA_END]]
        batch = line[_SIGMA_END : _SIGMA_END + _INDEX_WIDTH].strip()
    else:
        fields = line.split()
        batch = fields[5] if len(fields) > 5 else ""
    try:
        h, k, ell = (int(field) for field in fields[:3])
        value = float(fields[3])
        float(fields[4])
        group = int(batch) if batch else 1
    except (ValueError, IndexError) as error:
        raise InputError(
            f"'{shown(line.strip())}' is no line of a SHELX list",
            source=place,
            remedy="expected h k l, F² or F, σ",
        ) from error
    if fixed and "." not in fields[3]:
        value /= _DECIMALS
    if max(abs(h), abs(k), abs(ell)) > MAXIMUM_INDEX or not np.isfinite(value):
        raise InputError("a number is out of range", source=place)
    return h, k, ell, value, group


def _check_merged(indices: NDArray[np.int64], batches: NDArray[np.int64], path: str) -> None:
    if (batches < -1).any():
        raise InputError(
            "a list of overlapping reflections (HKLF 5, negative batch numbers)",
            source=path,
            remedy="give the .fcf of the refinement, whose F are of one crystal",
        )
    _, counts = np.unique(indices, axis=0, return_counts=True)
    if (counts > 1).any():
        raise InputError(
            f"the list is not merged: {int((counts > 1).sum())} reflections are listed repeatedly",
            source=path,
            remedy="merge it (XPREP, or MERG in SHELXL), or give the .fcf of the refinement",
        )
