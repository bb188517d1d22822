"""Structure-factor amplitudes of MTZ files."""

from __future__ import annotations

import re
import struct
from typing import Final

import gemmi
import numpy as np

from distbragg.errors import InputError
from distbragg.read.miller import MillerTable
from distbragg.read.symmetry import CellSix, cell_six, listed_amplitudes
from distbragg.read.text import read_bytes, shown

_PREFERRED: Final = (
    "F",
    "FP",
    "FOBS",
    "F-OBS",
    "F-OBS-FILTERED",
    "FMEAN",
    "FC",
    "FCALC",
    "F-MODEL",
)
_RECORD: Final = 80
_WORD: Final = 4


def read_mtz(path: str, *, column: str | None, dmin: float | None) -> MillerTable:
    """Read amplitudes and expand them to P1, with Friedel mates or anomalous pairs.

    A pair of columns such as F(+) and F(−) (type G) gives each mate its own amplitude, a
    mate that was not measured the other's; a column of mean amplitudes (type F) gives both
    mates the same. Single observations of an unmerged file are averaged where they are amplitudes.

    Parameters
    ----------
    path : str
        May be compressed (`.gz`).
    column : str, optional
        Label of a column of amplitudes (type F or G; either column of a pair names the
        pair). Where not given: a pair if the file has one, else F by its usual names.
    dmin : float, optional
        Å; reflections of smaller spacing are left out.

    Returns
    -------
    MillerTable

    Raises
    ------
    InputError
        Not a readable MTZ file, unmerged intensities, no such column, or a column of something
        else than amplitudes.
    """
    mtz = _open(path)
    _check_unmerged(mtz, path)
    label = _choose_column(mtz, column, path)
    with np.errstate(invalid="ignore"):
        data = np.array(mtz, copy=True, dtype=np.float64)
    columns = [item.label for item in mtz.columns]
    indices = _indices(data, path)
    plus, minus = _pair_of(label, columns) or (label, label)
    return listed_amplitudes(
        indices,
        data[:, columns.index(plus)],
        cell=mtz.cell,
        spacegroup=mtz.spacegroup,
        dmin=dmin,
        source=path,
        mates=None if minus == plus else data[:, columns.index(minus)],
    )


def _check_unmerged(mtz: gemmi.Mtz, path: str) -> None:
    """Refuse single observations that are intensities, as nearly all are."""
    unmerged = mtz.batches or any(item.type == "Y" for item in mtz.columns)
    if unmerged and not any(item.type == "F" for item in mtz.columns):
        raise InputError(
            "the reflections are not merged: single intensities, before scaling, are no |F|",
            source=path,
            remedy="merge and truncate them first, e.g. aimless and ctruncate",
        )


def _pair_of(label: str, columns: list[str]) -> tuple[str, str] | None:
    """Both labels of the anomalous pair that `label` belongs to, F(hkl) first."""
    for plus, minus in (("(+)", "(-)"), ("+", "-"), ("PLUS", "MINUS")):
        for sign in (plus, minus):
            if label.upper().endswith(sign):
                stem = label[: len(label) - len(sign)]
                found = [
                    [item for item in columns if item.upper() == (stem + end).upper()]
                    for end in (plus, minus)
                ]
                if found[0] and found[1]:
                    return found[0][0], found[1][0]
    return None


def mtz_cell(path: str) -> CellSix:
    """Return the unit cell (Å, degrees) of an MTZ file.

    Raises
    ------
    InputError
    """
    return cell_six(_open(path).cell, path)


def _open(path: str) -> gemmi.Mtz:
    _check_sizes(read_bytes(path), path)
    try:
        mtz = gemmi.read_mtz_file(path)
    except (RuntimeError, ValueError, IndexError, OverflowError, MemoryError, OSError) as error:
        raise InputError(f"not a readable MTZ file ({shown(str(error))})", source=path) from error
    if mtz.nreflections == 0 or len(mtz.columns) <= 3:
        raise InputError("the MTZ file lists no reflections", source=path)
    cell_six(mtz.cell, path)
    return mtz


def _check_sizes(content: bytes, path: str) -> None:
    """Refuse a header that promises more data than the file holds, before anything allocates."""
    problem = InputError(
        "not a complete MTZ file", source=path, remedy="the file is truncated or damaged"
    )
    if len(content) < 5 * _WORD or content[:4] != b"MTZ ":
        raise problem
    stamp = content[2 * _WORD]
    order = ">" if stamp == 0x11 else "<"
    (offset,) = struct.unpack(f"{order}i", content[_WORD : 2 * _WORD])
    if offset == -1:
        (offset,) = struct.unpack(f"{order}q", content[3 * _WORD : 5 * _WORD])
    start = (offset - 1) * _WORD
    if not 5 * _WORD <= start <= len(content) - _RECORD:
        raise problem
    if b"MTZENDOFHEADERS" not in content[start:]:
        raise problem
    match = re.search(rb"NCOL +(\d{1,9}) +(\d{1,12})", content[start:])
    if match is None:
        raise problem
    columns, rows = int(match.group(1)), int(match.group(2))
    if 20 * _WORD + columns * rows * _WORD > start or columns * rows == 0:
        raise problem


def _choose_column(mtz: gemmi.Mtz, column: str | None, path: str) -> str:
    types = {item.label: item.type for item in mtz.columns}
    labels = list(types)
    pairs = [label for label in labels if types[label] == "G" and _pair_of(label, labels)]
    measured = [label for label in pairs if _is_first(label) and _has_values(mtz, label)]
    amplitudes = [label for label, kind in types.items() if kind == "F"]
    if column is not None:
        return _named_column(column, types, amplitudes + pairs, path)
    if measured:
        return _preferred(measured)
    if not amplitudes:
        raise InputError(
            "no column of amplitudes (type F, or a pair of type G)",
            source=path,
            remedy=_advice("J" if {"J", "K"} & set(types.values()) else ""),
        )
    return _preferred(amplitudes)


def _is_first(label: str) -> bool:
    return _stem(label) != label.upper()


def _has_values(mtz: gemmi.Mtz, label: str) -> bool:
    return bool(np.isfinite(np.array(mtz.column_with_label(label), dtype=np.float64)).any())


def _named_column(column: str, types: dict[str, str], known: list[str], path: str) -> str:
    field = "structure_factors.column"
    if column not in types:
        raise InputError(
            f"no column '{shown(column)}'",
            source=path,
            field=field,
            remedy=f"columns of amplitudes: {' '.join(known) or 'none'}",
        )
    if types[column] == "G" and column not in known:
        raise InputError(
            f"column '{shown(column)}' is one half of an anomalous pair, the other is not there",
            source=path,
            field=field,
            remedy="give a file with both, or a column of mean amplitudes",
        )
    if types[column] not in ("F", "G"):
        raise InputError(
            f"column '{shown(column)}' has type {types[column]}, not F (amplitudes)",
            source=path,
            field=field,
            remedy=_advice(types[column]),
        )
    return column


def _preferred(labels: list[str]) -> str:
    """Return the first label that has a usual name, less the sign of a pair; else the first."""
    by_name = {_stem(label): label for label in reversed(labels)}
    return next((by_name[name] for name in _PREFERRED if name in by_name), labels[0])


def _stem(label: str) -> str:
    return re.sub(r"(\(\+\)|\+|PLUS)$", "", label.upper())


def _advice(kind: str) -> str:
    if kind in ("J", "K"):
        return (
            "intensities are not amplitudes: weak ones need a truncation step "
            "(French and Wilson), e.g. ctruncate"
        )
    return "give a file with amplitudes"


def _indices(
    data: np.ndarray[tuple[int, ...], np.dtype[np.float64]], path: str
) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    indices = data[:, :3]
    if not np.isfinite(indices).all() or (indices != np.rint(indices)).any():
        raise InputError("a Miller index is not a whole number", source=path)
    if np.abs(indices).max() > 2**20:
        raise InputError("a Miller index is out of range", source=path)
    return indices.astype(np.int64)
