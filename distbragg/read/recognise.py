"""What kind of file structure factors come in, told by its content and its name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from distbragg.errors import InputError
from distbragg.read.text import LATIN_MARK, read_head, read_text

Kind = Literal["hkl", "mtz", "sf-mmcif", "model", "hklf4", "hklf3", "crystfel", "xds"]

_HEAD_BYTES: Final = 1 << 16
_MAP_PLACE: Final = 208
"""Byte of the word MAP in the header of CCP4 and MRC maps."""

_SLACK: Final = 8
"""Bytes of framing that may stand before a word."""

_MODEL_SUFFIXES: Final = (".pdb", ".ent", ".pdb1")
_CIF_SUFFIXES: Final = (".cif", ".mmcif", ".fcf")
_CCP4: Final = "merge and truncate them first, e.g. aimless and ctruncate, and give the MTZ"
_INTO_MTZ: Final = (
    "convert it, e.g. phenix.reflection_file_converter FILE --mtz=FILE.mtz, and give the MTZ"
)

_INTO_CIF: Final = "convert it, e.g. gemmi convert FILE FILE.cif, and give the mmCIF"

_REFLECTIONS: Final = re.compile(r"(?mi)^\s*_(?:diffrn_)?refln[._]index_[hkl]\b")
_MACROMOLECULAR_REFLECTIONS: Final = re.compile(r"(?mi)^\s*_refln\.index_[hkl]\b")
_ATOMS: Final = re.compile(r"(?mi)^\s*_atom_site(?:_fract_x|\.Cartn_x)\b")
_PDB: Final = re.compile(r"(?m)^(?:HEADER    |CRYST1 |ATOM  .{24,}|HETATM.{24,})")


@dataclass(frozen=True, slots=True)
class _Foreign:
    """A list that is not read: how its content begins, what it is, the way out."""

    pattern: re.Pattern[str]
    name: str
    remedy: str


_FOREIGN: Final = (
    _Foreign(
        re.compile(r"!OUTPUT_FILE=INTEGRATE\.HKL"),
        "INTEGRATE.HKL of XDS: unmerged intensities before scaling",
        "run CORRECT (and XSCALE), then XDSCONV with OUTPUT_FILE=x.hkl CCP4_I+F and f2mtz",
    ),
    _Foreign(
        re.compile(r"CrystFEL stream format"),
        "a stream of CrystFEL: unmerged intensities",
        "merge it with partialator or process_hkl, and give the merged list",
    ),
    _Foreign(
        re.compile(r"(?mi)^\s*(?:NREF(?:lections?)?=|DECLare\s+NAME=|INDEx?\s+-?\d)"),
        "a reflection file of CNS or X-PLOR",
        "convert it to MTZ with the cell and space group, e.g. cns2mtz, or "
        "phenix.reflection_file_converter FILE --symmetry=MODEL.pdb --mtz=FILE.mtz",
    ),
    _Foreign(
        re.compile(r"\A\s*\d+\s*\n\s*-9\d\d\s*\n"),
        "a merged list of SCALEPACK: intensities",
        "convert and truncate it: scalepack2mtz and ctruncate, and give the MTZ",
    ),
    _Foreign(
        re.compile(r"\A\s*\d{1,3}[ \t]+[PCIFRHABpcifrhab]\S*\s*\n"),
        "an unmerged list of SCALEPACK: intensities",
        _CCP4,
    ),
    _Foreign(re.compile(r"(?m)^nH\s*\n\s*nK\s*\n\s*nL\s*$"), "a list of d*TREK", _INTO_MTZ),
    _Foreign(
        re.compile(r"(?mi)\A(?:REM[^\n]*\n)*\s*TITL\b[\s\S]*?^CELL\s"),
        "instructions of SHELX (.ins or .res), not a list",
        "give the .fcf that SHELXL writes (LIST 6), or the .cif for F of its atoms",
    ),
    _Foreign(re.compile(r'\A\s*\{\s*"data_'), "mmJSON", _INTO_CIF),
    _Foreign(
        re.compile(
            r"@<TRIPOS>MOLECULE|^.*V[23]000\s*$|\A\s*\d+\s*\n[^\n]*\n\s*[A-Z][a-z]?(?:\s+-?\d*\.?\d+){3}",
            re.MULTILINE,
        ),
        "a molecule without a crystal (.mol2, .sdf, .xyz)",
        "give a CIF or PDB that names the unit cell and the space group",
    ),
)
"""In the order of trying; patterns look at the first 64 kB."""

_UNPACK: Final = "unpack it; gzip is read, by the suffix .gz"
_BINARY: Final = (
    (b"\x89HDF\r\n\x1a\n", "HDF5", "export merged amplitudes as MTZ, or a text list 'h k l F'"),
    (b"BZh", "compressed by bzip2", _UNPACK),
    (b"\xfd7zXZ", "compressed by xz", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", _UNPACK),
    (b"PK\x03\x04", "a zip archive", _UNPACK),
    (b"\x1f\x8b", "compressed by gzip", "name it .gz"),
    (b"<!DOCTYPE", "a web page", "fetch the file itself"),
    (b"<html", "a web page", "fetch the file itself"),
)
_MARKED: Final = (
    (_MAP_PLACE, b"MAP ", "a map of CCP4", "gemmi map2sf writes its F as MTZ"),
    *((1, mark, "BinaryCIF", _INTO_CIF) for mark in (b"\xa7encoder", b"\xa7version", b"\xaadata")),
    (
        1,
        b"dials::af::reflection_table",
        "a reflection table of DIALS: unmerged intensities",
        "dials.merge writes merged and truncated amplitudes as MTZ",
    ),
)
"""Word at a place after the start."""


def detect_format(path: str) -> Kind:
    """Tell the format of a file by its content, and where that says nothing by its extension.

    What neither tells is a text list `h k l F`.

    Raises
    ------
    InputError
        The file cannot be read, or is a list of another program: its name and the way out.
    """
    head = read_head(path, _HEAD_BYTES)
    name = path.lower().removesuffix(".gz")
    _refuse_foreign_bytes(head, path)
    if head.startswith(b"MTZ ") or name.endswith(".mtz"):
        return "mtz"
    text = head.decode("latin-1").replace("\r\n", "\n").replace("\r", "\n").removeprefix(LATIN_MARK)
    if looks_like_cif(path, text):
        return _kind_of_cif(path)
    if name.endswith(_MODEL_SUFFIXES) or _PDB.search(text):
        return "model"
    return _kind_of_list(text, path)


def _refuse_foreign_bytes(head: bytes, path: str) -> None:
    start = head.lstrip()
    found = [
        (what, remedy)
        for mark, what, remedy in _BINARY
        if start[: len(mark)].lower() == mark.lower()
    ]
    found += [
        (what, remedy)
        for place, mark, what, remedy in _MARKED
        if mark in head[place : place + len(mark) + _SLACK]
    ]
    for what, remedy in found:
        raise InputError(f"this is {what}", source=path, remedy=remedy)


def looks_like_cif(path: str, text: str) -> bool:
    """Tell a CIF by its name, or by a line that opens a data block."""
    if path.lower().removesuffix(".gz").endswith(_CIF_SUFFIXES):
        return True
    return re.search(r"(?mi)^data_\S*\s*$", text[:_HEAD_BYTES]) is not None


def _kind_of_cif(path: str) -> Kind:
    """Tell reflections from atoms; atoms win where small-molecule tags list both."""
    text = read_text(path)
    if _MACROMOLECULAR_REFLECTIONS.search(text):
        return "sf-mmcif"
    if _REFLECTIONS.search(text) and not _ATOMS.search(text):
        return "sf-mmcif"
    return "model"


def _kind_of_list(text: str, path: str) -> Kind:
    first = text.lstrip()
    if first.startswith("CrystFEL reflection list"):
        return "crystfel"
    if first.startswith("!FORMAT=XDS_ASCII"):
        return "xds"
    for foreign in _FOREIGN:
        if foreign.pattern.search(text):
            raise InputError(
                f"this is {foreign.name}",
                source=path,
                field="structure_factors.file",
                remedy=foreign.remedy,
            )
    return "hkl"
