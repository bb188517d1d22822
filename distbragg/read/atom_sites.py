"""Columns of CIF atoms that gemmi does not read: dummies, isotopes, B and β for U."""

from __future__ import annotations

import math
import re
from typing import Final

import gemmi

from distbragg.errors import InputError
from distbragg.notes import Note, Notes
from distbragg.read.pdb_records import (
    NO_ATOMS,
    UNKNOWN_ELEMENTS,
    method_notes,
    residual_note,
)
from distbragg.read.screen import left_out
from distbragg.read.text import counted, shown

_U_OF_B: Final = 1.0 / (8.0 * math.pi**2)
_NO_B: Final = 20.0
"""Å², of an atom without any displacement parameter: gemmi's."""

_NULL: Final = ("?", ".", "")
_TENSOR: Final = ("11", "22", "33", "12", "13", "23")
_NO_ELEMENT: Final = ("X", "XX", "Q", "DU", "DUM")
_OTHER_SYMBOLS: Final = {"T": "H", "CVAL": "C", "SIVA": "Si"}
"""Tritium, and the valence forms of the International Tables."""


def mmcif_notes(block: gemmi.cif.Block, structure: gemmi.Structure, path: str) -> tuple[Notes, int]:
    """Complete the atoms of an mmCIF model.

    Returns
    -------
    notes : tuple of Note
    unknown : int
        Atoms of the first model that the file calls unknown (type X), unless their residue does.

    Raises
    ------
    InputError
        An element that does not exist.
    """
    notes = _isotropic_of_mmcif(block, structure, path)
    _anisotropic_of_mmcif(block, structure)
    flag = block.find_value("_refine.pdbx_TLS_residual_ADP_flag") or ""
    if "RESIDUAL" in flag.upper():
        notes += (residual_note(path),)
    method = " ".join(value.strip("'\"") for value in block.find_values("_exptl.method"))
    notes += method_notes(method, " ".join(block.find_values("_ma_qa_metric.name")), path)
    return notes, _unknown_of_mmcif(block, structure, path)


def _unknown_of_mmcif(block: gemmi.cif.Block, structure: gemmi.Structure, path: str) -> int:
    if len(structure) == 0:
        return 0
    lost = {
        item.atom.serial
        for item in structure[0].all()
        if item.atom.element.atomic_number == 0 and item.residue.name not in NO_ATOMS
    }
    if not lost:
        return 0
    symbols = _by_serial(block, "_atom_site.type_symbol")
    unknown = 0
    for serial in sorted(lost):
        symbol = symbols.get(serial, "").upper()
        if symbol in UNKNOWN_ELEMENTS:
            unknown += 1
        elif symbol not in _NULL:
            raise InputError(
                f"atom {serial} has no known element ('{shown(symbol)}')",
                source=path,
                remedy="write the element as _atom_site.type_symbol; X is left out",
            )
    return unknown


def _by_serial(block: gemmi.cif.Block, tag: str) -> dict[int, str]:
    """Values of a column of atoms by `_atom_site.id`."""
    category = tag.split(".")[0]
    serials = block.find_values(f"{category}.id")
    values = block.find_values(tag)
    return {
        int(serial): value.strip("'\"")
        for serial, value in zip(serials, values, strict=False)
        if serial.isdecimal()
    }


def _isotropic_of_mmcif(block: gemmi.cif.Block, structure: gemmi.Structure, path: str) -> Notes:
    """Take U where there is no B; say where there is neither."""
    written = _by_serial(block, "_atom_site.B_iso_or_equiv")
    has_b = len(block.find_values("_atom_site.B_iso_or_equiv")) > 0
    of_u = _by_serial(block, "_atom_site.U_iso_or_equiv")
    bare = 0
    for model in structure:
        for item in model.all():
            # gemmi numbers an atom whose id is no number; it has read its B, if there is one.
            lost = has_b and item.atom.serial not in written
            if lost or written.get(item.atom.serial, "?") not in _NULL:
                continue
            other = of_u.get(item.atom.serial, "?")
            bare += other in _NULL
            item.atom.b_iso = _NO_B if other in _NULL else gemmi.cif.as_number(other) / _U_OF_B
    if not bare:
        return ()
    text = f"{counted(bare, 'atom')} without displacement parameter: B = {_NO_B:g} Å² is taken"
    return (Note("warning", path, text),)


def _anisotropic_of_mmcif(block: gemmi.cif.Block, structure: gemmi.Structure) -> None:
    """Take tensors that are written as B, or beside the coordinates, as gemmi takes U."""
    for prefix, scale in (
        ("_atom_site_anisotrop.B", _U_OF_B),
        ("_atom_site.aniso_U", 1.0),
        ("_atom_site.aniso_B", _U_OF_B),
    ):
        columns = [_by_serial(block, f"{prefix}[{ij[0]}][{ij[1]}]") for ij in _TENSOR]
        if not all(columns):
            continue
        for item in (item for model in structure for item in model.all()):
            words = [column.get(item.atom.serial, "?") for column in columns]
            if item.atom.aniso.nonzero() or any(word in _NULL for word in words):
                continue
            values = [scale * gemmi.cif.as_number(word) for word in words]
            item.atom.aniso = gemmi.SMat33f(*values)


def read_small_sites(block: gemmi.cif.Block, small: gemmi.SmallStructure, path: str) -> Notes:
    """Leave dummies out of a small molecule, name its isotopes, and complete its tensors.

    Raises
    ------
    InputError
        A site of no known element, or of a mixture.
    """
    _anisotropic_of_small(block, small)
    flags = [value.lower() for value in block.find_values("_atom_site_calc_flag")]
    symbols = [value.strip("'\"") for value in block.find_values("_atom_site_type_symbol")]
    dummies = nameless = 0
    for position in reversed(range(len(small.sites))):
        site = small.sites[position]
        symbol = symbols[position] if position < len(symbols) else ""
        if position < len(flags) and flags[position] == "dum":
            dummies += 1
        elif symbol.upper() in _NO_ELEMENT:
            nameless += 1
        else:
            _name_element(site, symbol, position, path)
            continue
        del small.sites[position]
    if not small.sites:
        raise InputError("the file holds no atoms of known elements", source=path)
    return left_out(dummies, nameless, path)


def site_orders(block: gemmi.cif.Block, small: gemmi.SmallStructure) -> list[int | None]:
    """Order of the site symmetry of each site where the file gives it."""
    labels = block.find_values("_atom_site_label")
    words = block.find_values("_atom_site_site_symmetry_order")
    known = {
        label.strip("'\""): int(word)
        for label, word in zip(labels, words, strict=False)
        if word.isdecimal() and int(word) > 0
    }
    return [known.get(site.label) for site in small.sites]


def _name_element(site: gemmi.SmallStructure.Site, symbol: str, position: int, path: str) -> None:
    """Give a site the element of its symbol where gemmi finds none; refuse a mixture."""
    plain = re.sub(r"^\d+", "", symbol)
    mixture = re.search(r"[/,;]", symbol) is not None
    if site.element.atomic_number == 0 and not mixture:
        site.element = gemmi.Element(_OTHER_SYMBOLS.get(plain.upper(), plain))
    if site.element.atomic_number == 0 or mixture:
        raise InputError(
            f"atom {position + 1} ({shown(site.label)}) has no known element "
            f"('{shown(symbol) or '?'}')",
            source=path,
            remedy="write the element as _atom_site_type_symbol; of a mixture, each on its own "
            "site with its occupancy",
        )


def _anisotropic_of_small(block: gemmi.cif.Block, small: gemmi.SmallStructure) -> None:
    """Take tensors that are written as B or β: U = B/8π², U_ij = β_ij/(2π² a*_i a*_j)."""
    labels = [value.strip("'\"") for value in block.find_values("_atom_site_aniso_label")]
    star = small.cell.reciprocal()
    lengths = (star.a, star.b, star.c)
    for name in ("B", "beta"):
        columns = [list(block.find_values(f"_atom_site_aniso_{name}_{ij}")) for ij in _TENSOR]
        if not all(len(column) == len(labels) for column in columns) or not labels:
            continue
        rows = dict(zip(labels, zip(*columns, strict=True), strict=True))
        for site in small.sites:
            words = rows.get(site.label)
            if words is None or site.aniso.nonzero() or any(word in _NULL for word in words):
                continue
            values = []
            for ij, word in zip(_TENSOR, words, strict=True):
                i, j = int(ij[0]) - 1, int(ij[1]) - 1
                scale = 1.0 / (2.0 * math.pi**2 * lengths[i] * lengths[j])
                values.append(gemmi.cif.as_number(word) * (_U_OF_B if name == "B" else scale))
            site.aniso = gemmi.SMat33d(*values)
