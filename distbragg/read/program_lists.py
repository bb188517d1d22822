"""Merged reflection lists of other programs in text: CrystFEL, XDS and XSCALE, SHELX."""

from __future__ import annotations

import re
from functools import partial
from typing import Final

import gemmi
import numpy as np
from numpy.typing import NDArray

from distbragg.read.amplitudes import is_amplitude, is_intensity, refused_intensities, roots
from distbragg.read.groups import Group, numbered_group, overruled, point_group, symbol_of
from distbragg.read.hkl import read_reflections
from distbragg.read.miller import Asked, IntensityRule, MillerTable, check_box, repeated
from distbragg.read.symmetry import CellSix, cell_six, listed_amplitudes
from distbragg.read.table import Table, head_lines
from distbragg.read.text import Reading, read_bytes, shown

_TO_MTZ: Final = (
    "get_hkl --output-format=mtz (or CrystFEL's create-mtz) and ctruncate, and give the MTZ"
)
_XDSCONV: Final = (
    "XDSCONV with OUTPUT_FILE=x.hkl CCP4_I+F and f2mtz, or pointless, aimless and ctruncate, "
    "and give the MTZ"
)
_MEASURED: Final = "measured: the scale is arbitrary unless it was put on one"
_HEAD_BYTES: Final = 1 << 16
_ITEMS: Final = ("H", "K", "L", "IOBS")
_TOUCHING: Final = re.compile(
    rb"(?m)^(?!#)(?=.{3}\S\S|.{7}\S\S|.{11}\S\S|.{19}\S\S|.{27}\S\S|.{12}[^.\r\n]{8})"
    rb"(.{4})(.{4})(.{4})(.{8})(.{8})([^\r\n]{0,4}).*$"
)
_WITHOUT_POINT: Final = re.compile(rb"(?m)^(.{14} *[-+]?\d+)(?= .{8} )")
_ZEROS: Final = re.compile(rb"(?m)^[ \t]*(?:[-+]?0+[ \t]+){3}")
_TERMINATOR: Final = re.compile(
    rb"(?m)^[ \t]*0[ \t]+0[ \t]+0[ \t]+[+-]?0*\.?0*[ \t]+[+-]?0*\.?0*(?:[ \t]+-?\d+)?[ \t]*\r?$"
)
_FIXED_LINE: Final = re.compile(
    r"(?=.{28})(?: *-?\d+)(?<=^.{4})(?: *-?\d+)(?<=^.{8})(?: *-?\d+)(?<=^.{12})"
    r"(?: *-?\d*\.\d*)(?<=^.{20})(?: *-?\d*\.\d*)(?<=^.{28})(?: *-?\d+)?(?:\s.*)?$"
)


def read_crystfel_list(path: str, asked: Asked) -> MillerTable:
    """Read a merged list of CrystFEL (h k l I phase sigma(I) nmeas); its point group expands it."""
    file = Reading(path)
    content = read_bytes(path)
    symmetry, names, rows = _crystfel_header(content, file)
    own = point_group(symmetry)
    group = own if asked.group is None else asked.group
    if group is None:
        problem = f"unknown point group '{shown(symmetry)}'"
        raise file.refusal(problem, "give structure_factors.space_group")
    label = names[3]
    if is_intensity(label) and asked.intensities == "refuse":
        what = f"column '{label}' of this merged list of CrystFEL"
        raise refused_intensities(what, file, _TO_MTZ)
    if not is_intensity(label) and not is_amplitude(label):
        raise file.refusal(f"column '{shown(label)}' is neither I nor F")
    end = re.search(rb"(?m)^[ \t]*End[ \t]+of[ \t]+reflections", content)
    indices, table = read_reflections(
        content[: end.start()] if end else content,
        path,
        {3: label},
        widths=[len(names)],
        expected=" ".join(names),
        after=rows,
    )
    if end is None:
        raise file.refusal("no 'End of reflections': the file is truncated", "fetch it again")
    name = f"point group {symmetry}" if own == group else symbol_of(group)
    file.note(f"column {label} of CrystFEL, expanded by {name}")
    file.warn(_MEASURED)
    overruled(asked.group, lambda _: own, file)
    values = table.values[:, 3]
    if is_intensity(label):
        values = roots(values, label, file)
    return listed_amplitudes(indices, values, group, file)


def _crystfel_header(content: bytes, file: Reading) -> tuple[str, list[str], int]:
    """Return the point group, the names of the columns, and their line number."""
    symmetry = ""
    for number, line in enumerate(head_lines(content, _HEAD_BYTES), start=1):
        if line.startswith("Symmetry:"):
            symmetry = line.split(":", 1)[1].strip()
        names = line.split()
        if [name.lower() for name in names[:3]] == ["h", "k", "l"] and len(names) > 3:
            if symmetry:
                return symmetry, names, number
            break
        if re.match(r"\s*-?\d", line):
            break
    raise file.refusal(
        "a list of CrystFEL without 'Symmetry:' or the names of its columns",
        "fetch the file again, or write 'h k l F' lines",
    )


def read_xds_ascii(path: str, asked: Asked) -> MillerTable:
    """Read a merged list of XDS or XSCALE, without its misfits, which a negative σ marks."""
    file = Reading(path)
    content = read_bytes(path)
    header = _xds_header(content)
    if header.get("MERGE", "FALSE").upper() != "TRUE":
        problem = "this is an unmerged list of XDS (MERGE=FALSE): single intensities are not |F|"
        raise file.refusal(problem, _XDSCONV)
    if asked.intensities == "refuse":
        raise refused_intensities("IOBS of this merged list of XDS", file, _XDSCONV)
    cell = _xds_cell(header, file)
    own = numbered_group(header.get("SPACE_GROUP_NUMBER", ""), cell)
    indices, table = _xds_rows(content, header, file)
    rejected = (table.values[:, 4:] < 0.0).any(axis=1)
    amplitude = roots(np.where(rejected, np.nan, table.values[:, 3]), "IOBS", file)
    group = overruled(asked.group, lambda _: own, file)
    file.warn(_MEASURED)
    if group is not None:
        file.note(f"expanded by {symbol_of(group)}")
    if rejected.any():
        file.note(f"{int(rejected.sum())} misfits (negative σ) are left out")
    return listed_amplitudes(indices, amplitude, group, file, cell=cell, dmin=asked.dmin)


def xds_ascii_cell(path: str, _asked: Asked) -> CellSix:
    """Return the unit cell (Å, degrees) of a list of XDS."""
    file = Reading(path)
    return cell_six(_xds_cell(_xds_header(read_bytes(path)), file), file)


def xds_ascii_group(path: str, _asked: Asked) -> Group | None:
    """Return the space group that a list of XDS names."""
    header = _xds_header(read_bytes(path))
    return numbered_group(header.get("SPACE_GROUP_NUMBER", ""), _xds_cell(header, Reading(path)))


def _xds_header(content: bytes) -> dict[str, str]:
    """Values by name of the lines that begin with `!`, up to the end of the header."""
    fields: dict[str, str] = {}
    pattern = r"([A-Z][A-Z0-9_()'/<>.-]*)=\s*([^=]*?)(?=\s+[A-Z'_]+=|\s*$)"
    for line in head_lines(content, _HEAD_BYTES):
        if line.startswith("!END_OF_HEADER") or not line.startswith("!"):
            break
        for name, value in re.findall(pattern, line[1:].rstrip("\n")):
            fields.setdefault(name, value.strip())
    return fields


def _xds_cell(header: dict[str, str], file: Reading) -> gemmi.UnitCell:
    try:
        a, b, c, *angles = (float(word) for word in header["UNIT_CELL_CONSTANTS"].split())
        alpha, beta, gamma = angles
    except (KeyError, ValueError) as error:
        raise file.refusal("a header of XDS without UNIT_CELL_CONSTANTS") from error
    return gemmi.UnitCell(a, b, c, alpha, beta, gamma)


def _xds_rows(
    content: bytes, header: dict[str, str], file: Reading
) -> tuple[NDArray[np.int64], Table]:
    """Read indices, and columns h, k, l, I, and σ where the header names it."""
    sigma = header.get("ITEM_SIGMA(IOBS)", "")
    try:
        places = [int(header[f"ITEM_{name}"]) - 1 for name in _ITEMS]
    except (KeyError, ValueError) as error:
        raise file.refusal("a header of XDS without ITEM_H to ITEM_IOBS") from error
    places += [int(sigma) - 1] if sigma.isdecimal() else []
    if min(places) < 0:
        raise file.refusal("a header of XDS that counts its items from 0")
    indices, table = read_reflections(
        content,
        file.path,
        dict.fromkeys(places[3:], "value"),
        indices=places[:3],
        widths=range(max(places) + 1, 1 << 20),
        comment=rb"![^\n]*",
    )
    if b"!END_OF_DATA" not in content:
        raise file.refusal("no !END_OF_DATA: the file is truncated", "fetch it again")
    return indices, table


def holds_shelx(path: str, intensities: IntensityRule) -> bool:
    """Tell a list of SHELX by a last line of zeros or fixed columns; its kind must be said."""
    content = read_bytes(path)
    lines = [line for line in _first_lines(content) if line.strip() and not line.startswith("#")]
    if _TERMINATOR.search(content):
        evidence = "it ends with a line of zeros"
    elif lines and all(_FIXED_LINE.match(line) for line in lines[:-1] or lines):
        evidence = "its columns are fixed (3I4,2F8.2)"
    else:
        return False
    if intensities == "refuse":
        raise Reading(path).refusal(
            f"this is a list of SHELX ({evidence}), of F² or F",
            "give hklf4 where it holds F² and σ (as nearly all do), hklf3 where it holds F, "
            "or hkl to take the fourth column as |F|",
            "structure_factors.format",
        )
    return True


def _first_lines(content: bytes) -> list[str]:
    return content[: 1 << 14].decode("latin-1").splitlines()[:50]


def _read_shelx(path: str, asked: Asked, *, squared: bool) -> MillerTable:
    """Read a merged list of SHELX (h k l, F² or F, σ, batch) up to its line of zeros.

    Of `squared` values the root is taken. The list names no symmetry, and is of the P1 cell
    where none is asked for.
    """
    file = Reading(path)
    content = read_bytes(path)
    if any(_FIXED_LINE.match(line) is not None for line in _first_lines(content)):
        apart = _TOUCHING.sub(rb"\1 \2 \3 \4 \5 \6", content)
        # Digits without a point are hundredths.
        content = apart if apart is content else _WITHOUT_POINT.sub(rb"\1e-2", apart)
    end = _ZEROS.search(content)
    indices, table = read_reflections(
        content[: end.start()] if end else content,
        path,
        {3: "F² or F", 4: "σ", 5: "batch"},
        widths=range(5, 1 << 20),
        expected="h k l, F² or F, σ",
        comment=rb"(?m:^#[^\n]*)",
    )
    if (table.values[:, 5] < -1).any():
        raise file.refusal(
            "a list of overlapping reflections (HKLF 5, negative batch numbers)",
            "give the .fcf of the refinement, whose F are of one crystal",
        )
    again = repeated(indices)
    if again:
        raise file.refusal(
            f"the list is not merged: {again} reflections are listed repeatedly",
            "merge it (XPREP, or MERG in SHELXL), or give the .fcf of the refinement",
        )
    check_box(indices, file)
    amplitude = table.values[:, 3]
    if squared:
        amplitude = roots(amplitude, "F² (SHELX HKLF 4)", file)
    else:
        amplitude = np.abs(amplitude)
        file.note("the fourth column is |F| (SHELX HKLF 3)")
    file.warn(_MEASURED)
    if asked.group is None:
        file.warn(
            "the list names no symmetry: reflections that it does not list have the default |F|; "
            "structure_factors.space_group expands it"
        )
        return MillerTable(indices, amplitude, tuple(file.notes))
    file.note(f"expanded by {symbol_of(asked.group)}")
    return listed_amplitudes(indices, amplitude, asked.group, file)


read_hklf4: Final = partial(_read_shelx, squared=True)
read_hklf3: Final = partial(_read_shelx, squared=False)
