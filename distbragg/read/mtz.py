"""Structure-factor amplitudes of MTZ files."""

from __future__ import annotations

import re
import struct
from functools import partial
from typing import Final

import gemmi
import numpy as np
from numpy.typing import NDArray

from distbragg.read import groups
from distbragg.read.amplitudes import Column, amplitudes, choose, no_column, warn_of_scale
from distbragg.read.cif import damage_is_input_error
from distbragg.read.miller import NOTHING_ASKED, Asked, MillerTable, whole_indices
from distbragg.read.symmetry import CellSix, cell_six, listed_amplitudes
from distbragg.read.text import Reading, read_bytes, shown

_RECORD: Final = 80
_WORD: Final = 4
_BIG_ENDIAN: Final = 0x11

_AMPLITUDES: Final = ("F", "G")
_INTENSITIES: Final = ("J", "K")
_PAIRED: Final = ("G", "K")
_SIGNS: Final = (("(+)", "(-)"), ("+", "-"), ("PLUS", "MINUS"))
_PREFERRED: Final = (
    "F", "FP", "FOBS", "F-OBS", "F-OBS-FILTERED", "FMEAN", "FC", "FCALC", "F-MODEL"
)  # fmt: skip
_MEANS: Final = ("F", "FP", "FOBS", "F-OBS", "FMEAN")
"""Names of a measured |F|, and of the stem of its pair."""

_TYPES: Final = {
    "D": "an anomalous difference",
    "E": "a normalised amplitude",
    "L": "a standard deviation of F(+) or F(-)",
    "M": "a standard deviation of I(+) or I(-)",
    "P": "a phase",
    "Q": "a standard deviation",
    "R": "a real number of no stated kind",
    "W": "a weight or figure of merit",
    "A": "phase probabilities",
    "I": "a whole number or free flag",
}


def read_mtz(path: str, asked: Asked) -> MillerTable:
    """Read amplitudes and expand them to P1, with Friedel mates or anomalous pairs.

    A pair of columns such as F(+) and F(−) (type G) gives each mate its own amplitude, a
    mate that was not measured the other's; a column of mean amplitudes (type F) gives both
    mates the same. Single observations of an unmerged file are averaged where they are amplitudes.

    A column is asked for by its label: of amplitudes (type F, or either of a pair of type G) or,
    where their root is allowed, of intensities (J, K).
    """
    file = Reading(path)
    mtz, operators = _open(file)
    if _is_unmerged(mtz) and not any(item.type == "F" for item in mtz.columns):
        raise file.refusal(
            "the reflections are not merged: single intensities, before scaling, are not |F|",
            "merge and truncate them first, e.g. aimless and ctruncate",
        )
    columns = _columns(mtz)
    chosen = choose(columns, asked, partial(_is_filled, mtz), file)
    if chosen is None and asked.column is None:
        # An empty column is better than none: the error says what is wrong with it.
        empty = (c for c in columns if not (c.intensity or c.problem or c.mates))
        chosen = next(empty, None)
    if chosen is None:
        raise no_column(columns, asked.column, file)
    cell = _cell_of(mtz, chosen.label)
    _tell_choice(mtz, chosen, columns, file)
    with np.errstate(invalid="ignore"):
        data = np.array(mtz, copy=True, dtype=np.float64)
    values, mates = amplitudes(chosen, partial(_values_of, mtz, data), file)
    group = groups.overruled(asked.group, partial(_group_of, mtz, operators), file)
    indices = whole_indices(data[:, :3], file)
    return listed_amplitudes(indices, values, group, file, cell=cell, dmin=asked.dmin, mates=mates)


def _group_of(mtz: gemmi.Mtz, operators: list[str], file: Reading) -> groups.Group | None:
    """Symmetry of a file: operators (SYMM) come before the name or number (SYMINF)."""
    candidates: list[tuple[str, groups.Group | None]] = [
        ("the operators (SYMM)", groups.listed_operations(operators, file)),
        ("the name (SYMINF)", groups.named_group(mtz.spacegroup_name, mtz.cell)),
        ("number", groups.numbered_group(str(mtz.spacegroup_number), mtz.cell)),
    ]
    return groups.chosen_group(candidates, file)


def mtz_group(path: str, _asked: Asked) -> groups.Group | None:
    """Return the space group that an MTZ names."""
    file = Reading(path)
    return _group_of(*_open(file), file)


def mtz_cell(path: str, asked: Asked) -> CellSix:
    """Return the unit cell (Å, degrees) of the dataset of the column that is or would be read."""
    file = Reading(path)
    mtz, _ = _open(file)
    label = asked.column
    if label not in [item.label for item in mtz.columns]:
        chosen = choose(_columns(mtz), NOTHING_ASKED, partial(_is_filled, mtz), file)
        label = None if chosen is None else chosen.label
    return cell_six(mtz.cell if label is None else _cell_of(mtz, label), file)


def _columns(mtz: gemmi.Mtz) -> list[Column]:
    """Columns in the order of preference: pairs, then by their usual names."""
    types = {item.label: item.type for item in mtz.columns}
    found: list[Column] = []
    halves: set[str] = set()
    for label, kind in types.items():
        pair = _pair_of(label, list(types)) if kind in _PAIRED else None
        if pair is not None and pair[0] in halves:
            continue
        halves |= set(pair or ())
        squared, problem = kind in _INTENSITIES, ""
        if kind not in (*_AMPLITUDES, *_INTENSITIES):
            problem = f"has type {kind} ({_TYPES.get(kind, 'something else')}), not F (amplitudes)"
        elif kind in _PAIRED and pair is None:
            problem = "is one half of an anomalous pair, the other is missing"
        plus, minus = pair or (label, "")
        mean = _mean_of(plus, types) if minus and not squared else ""
        found.append(
            Column(plus, minus, mean, squared, squared, problem=problem, kind=f" (type {kind})")
        )
    names = {name: rank for rank, name in enumerate(_PREFERRED)}
    return sorted(found, key=lambda c: (not c.mates, names.get(_stem(c.label), len(names))))


def _pair_of(label: str, columns: list[str]) -> tuple[str, str] | None:
    """Both labels of the anomalous pair that `label` belongs to, F(hkl) first."""
    by_name = {name.upper(): name for name in reversed(columns)}
    for signs in _SIGNS:
        for sign in signs:
            if label.upper().endswith(sign):
                stem = label.upper().removesuffix(sign)
                plus, minus = (by_name.get(stem + end) for end in signs)
                if plus and minus:
                    return plus, minus
    return None


def _mean_of(plus: str, types: dict[str, str]) -> str:
    """Label of the mean amplitudes beside a pair, by its name without the sign; empty without."""
    stem = _stem(plus).strip()
    means = {label.upper(): label for label, kind in types.items() if kind == "F"}
    usual = _MEANS if stem in _MEANS else ()
    return next((means[name] for name in (stem, *usual) if name in means), "")


def _stem(label: str) -> str:
    return re.sub(r"(\(\+\)|\+|PLUS)$", "", label.upper())


def _is_filled(mtz: gemmi.Mtz, label: str) -> bool:
    return bool(np.isfinite(np.array(mtz.column_with_label(label), dtype=np.float64)).any())


def _values_of(mtz: gemmi.Mtz, data: NDArray[np.float64], label: str) -> NDArray[np.float64]:
    """Values of a column; NaN where the file says that there is none."""
    values = data[:, mtz.column_with_label(label).idx]
    return np.where(values == mtz.valm, np.nan, values) if np.isfinite(mtz.valm) else values


def _tell_choice(mtz: gemmi.Mtz, chosen: Column, columns: list[Column], file: Reading) -> None:
    """Say which column is |F|, and where it is probably not in electrons."""
    column = mtz.column_with_label(chosen.label)
    text = f"column {' and '.join(filter(None, (chosen.label, chosen.mates)))}{chosen.kind} is |F|"
    if len(mtz.datasets) > 2:
        text += f", of dataset {shown(column.dataset.dataset_name)}"
    file.note(text)
    if column.type == "F" and any(item.type == "D" for item in mtz.columns):
        file.note("anomalous differences (type D) are not applied: both mates are the mean")
    if _is_unmerged(mtz):
        file.warn("unmerged: observations of one reflection are averaged")
    if _cell_of(mtz, chosen.label).parameters != mtz.cell.parameters:
        file.note("the cell is that of the column's dataset, not the file's")
    others = [c.label for c in columns if not (c.problem or c.intensity)]
    warn_of_scale(chosen.label, others, file)


def _cell_of(mtz: gemmi.Mtz, label: str) -> gemmi.UnitCell:
    """Cell of the dataset that a column belongs to; the file's where that names none."""
    cell = mtz.get_cell(mtz.column_with_label(label).dataset_id)
    return cell if cell.is_crystal() else mtz.cell


def _is_unmerged(mtz: gemmi.Mtz) -> bool:
    """Whether the file lists single observations; ISYM alone is left by truncation."""
    return bool(mtz.batches) or any(
        item.type == "Y" and item.label.upper().startswith("M") for item in mtz.columns
    )


def _open(file: Reading) -> tuple[gemmi.Mtz, list[str]]:
    """Return the file and the operators of its SYMM records, of which gemmi keeps the count."""
    header = _checked_header(read_bytes(file.path), file)
    records = [header[place : place + _RECORD] for place in range(0, len(header), _RECORD)]
    operators = [
        record[len("SYMM") :].decode("latin-1").strip()
        for record in records
        if record.upper().startswith(b"SYMM")
    ]
    with damage_is_input_error(file.path, "not a readable MTZ file"):
        mtz = gemmi.read_mtz_file(file.path)
    if mtz.nreflections == 0 or len(mtz.columns) <= 3:
        raise file.refusal("the MTZ file lists no reflections")
    cell_six(mtz.cell, file)
    return mtz, operators


def _checked_header(content: bytes, file: Reading) -> bytes:
    """Return the header; refuse one that promises more data than the file holds."""
    start = _header_start(content) if len(content) >= 5 * _WORD else 0
    header = content[start:] if 5 * _WORD <= start <= len(content) - _RECORD else b""
    size = re.search(rb"NCOL +(\d{1,9}) +(\d{1,12})", header)
    words = 0 if size is None else int(size[1]) * int(size[2])
    whole = content.startswith(b"MTZ ") and b"MTZENDOFHEADERS" in header
    if not whole or words == 0 or 20 * _WORD + words * _WORD > start:
        raise file.refusal("not a complete MTZ file", "the file is truncated or damaged")
    return header


def _header_start(content: bytes) -> int:
    """Place of the header's first record, as the first words of the file say."""
    order = ">" if content[2 * _WORD] == _BIG_ENDIAN else "<"
    (offset,) = struct.unpack(f"{order}i", content[_WORD : 2 * _WORD])
    if offset == -1:
        (offset,) = struct.unpack(f"{order}q", content[3 * _WORD : 5 * _WORD])
    return (int(offset) - 1) * _WORD
