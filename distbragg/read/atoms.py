"""What files of atoms say that gemmi does not read, passes over or mends in silence."""

from __future__ import annotations

import math
import re
from typing import Final

import gemmi
import numpy as np

from distbragg.matrices import matmul3
from distbragg.read.cif import NULL
from distbragg.read.text import Reading, shown

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

RESIDUAL: Final = (
    "the B factors are residual, without the part of TLS: |F| falls too little with resolution; "
    "add it first, e.g. tlsanl or phenix.tls"
)
NO_ATOMS: Final = ("DUM", "UNX")
"""Residues of dummy atoms (membrane planes, free atoms) and of unknown ones."""

_U_OF_B: Final = 1.0 / (8.0 * math.pi**2)
_NO_B: Final = 20.0  # Å², of an atom without any displacement parameter: gemmi's
_TENSOR: Final = ("11", "22", "33", "12", "13", "23")
_NO_ELEMENT: Final = ("X", "XX", "Q", "DU", "DUM")
_OTHER_SYMBOLS: Final = {"T": "H", "CVAL": "C", "SIVA": "Si"}
"""Tritium, and the valence forms of the International Tables."""


def scan_pdb(text: str, file: Reading) -> tuple[str, int]:
    """Return the text of a PDB as gemmi should read it, and the number of unknown atoms.

    What old files write where elements and charges stand today (an entry's name and line numbers
    in columns 73 to 80) is left out, blank occupancies and B factors are filled in. Counted are
    atoms of the first model whose element field, not their residue, says that they are unknown.
    """
    lines = text.rstrip().splitlines()
    last = lines[-1] if lines else ""
    if last.startswith(("ATOM", "HETATM")) and len(last) < _COORDINATE_COLUMNS:
        raise file.refusal(
            "the last atom has no coordinates: the file is truncated",
            "fetch the file again",
            line=len(lines),
        )
    unknown = guessed = bare = models = full = 0
    for number, line in enumerate(lines, start=1):
        models += line.startswith("ENDMDL")
        if not _is_atom(line):
            continue
        symbol = line[_ELEMENT].strip()
        bare += not line[_B_FACTOR].strip()
        full += not line[_OCCUPANCY].strip()
        line = lines[number - 1] = _filled(line, number, file)
        if not re.search("[A-Za-z]", symbol):
            guessed += line[_RESIDUE].strip() not in NO_ATOMS
            lines[number - 1] = line[: _ELEMENT.start]
        elif symbol.upper() in UNKNOWN_ELEMENTS:
            unknown += models == 0 and line[_RESIDUE].strip() not in NO_ATOMS
        elif gemmi.Element(symbol).atomic_number == 0:
            remedy = "write the element into columns 77-78; X, an unknown atom, is left out"
            raise file.refusal(f"unknown element '{shown(symbol)}'", remedy, line=number)
    file.tell(
        ("note", guessed, "{} without element column: the name tells the element", "atom"),
        ("warning", bare, "{} without B factor: 20 Å² is taken", "atom"),
        ("warning", full, "{} without occupancy: 1 is taken", "atom"),
    )
    _check_remarks(lines, file)
    return "\n".join(lines) + "\n", unknown


def _is_atom(line: str) -> bool:
    """Tell an atom as gemmi does: in any case, and with a serial that reaches into column 6."""
    return line[:4].upper() in ("ATOM", "HETA")


def _filled(line: str, number: int, file: Reading) -> str:
    """Check the numbers of an atom, as gemmi reads what is none as 0; fill in blank ones."""
    if len(line) < _COORDINATE_COLUMNS:
        return line
    for field, usual in _USUAL:
        if not line[field].strip():
            line = line[: field.start].ljust(field.start) + usual + line[field.stop :]
    for field in (*_PLACES, _OCCUPANCY, _B_FACTOR):
        if not _NUMBER.fullmatch(line[field]):
            columns = f"columns {field.start + 1}-{field.stop}"
            raise file.refusal(
                f"'{shown(line[field].strip())}' in {columns} is not a number",
                "keep to the columns of PDB: x y z in 31-54, occupancy 55-60, B 61-66",
                line=number,
            )
    return line


def warn_of_method(method: str, predicted: str, file: Reading) -> None:
    """Warn of a method (EXPDTA) without crystals, and of a prediction's confidence in B's place."""
    if _NO_CRYSTAL.search(method.upper()):
        said = shown(method.strip().lower())
        file.warn(f"a model by {said}: is its cell that of a crystal?")
    if _PREDICTED.search(predicted):
        file.warn(
            "a predicted model: its B factors are probably a confidence (pLDDT); convert them "
            "first, e.g. phenix.process_predicted_model"
        )


def _check_remarks(lines: list[str], file: Reading) -> None:
    end = next((at for at, line in enumerate(lines) if line.rstrip() == "END"), len(lines))
    lost = sum(map(_is_atom, lines[end:]))
    file.tell(("warning", lost, "{} after the first END record: not read", "atom"))
    method = " ".join(line[10:] for line in lines if line.startswith("EXPDTA"))
    named = " ".join(line for line in lines if line.startswith(("TITLE", "HEADER")))
    warn_of_method(method, "" if "DIFFRACTION" in method else named, file)
    if any(line.startswith("REMARK   3") and "RESIDUAL B FACTORS ONLY" in line for line in lines):
        file.warn(RESIDUAL)
    if lines and lines[0].startswith("HEADER") and lines[-1].split()[:1] != ["END"]:
        file.warn("no END record; is the file truncated?")


def check_cell_frame(structure: gemmi.Structure, file: Reading) -> None:
    """Judge SCALEn (`_atom_sites.fract_transf_matrix`) where it is not the cell's own.

    Another orientation or origin of the same cell places the atoms as the file says. Another
    metric is damage: the cell wins.
    """
    if not structure.cell.explicit_matrices:
        return
    plain = gemmi.UnitCell(*structure.cell.parameters)
    own = np.array(structure.cell.frac.mat.tolist())
    expected = np.array(plain.frac.mat.tolist())
    # Damaged numbers overflow to a metric that agrees with none.
    with np.errstate(all="ignore"):
        metric, wanted = matmul3(own, own.T), matmul3(expected, expected.T)
        agrees = np.abs(metric - wanted).max() <= _METRIC_RELATIVE * np.abs(wanted).max()
    if agrees:
        file.note("SCALEn place the atoms in another frame than CRYST1 alone would, and are used")
    else:
        structure.cell = plain
        file.warn("SCALEn are of another cell than CRYST1, and are not used")


def complete_mmcif(block: gemmi.cif.Block, structure: gemmi.Structure, file: Reading) -> int:
    """Complete the atoms of an mmCIF model; count those of its first model that are of type X."""
    _isotropic_of_mmcif(block, structure, file)
    _anisotropic_of_mmcif(block, structure)
    flag = block.find_value("_refine.pdbx_TLS_residual_ADP_flag") or ""
    if "RESIDUAL" in flag.upper():
        file.warn(RESIDUAL)
    method = " ".join(value.strip("'\"") for value in block.find_values("_exptl.method"))
    warn_of_method(method, " ".join(block.find_values("_ma_qa_metric.name")), file)
    return _unknown_of_mmcif(block, structure, file)


def _unknown_of_mmcif(block: gemmi.cif.Block, structure: gemmi.Structure, file: Reading) -> int:
    if len(structure) == 0:
        return 0
    lost = {
        item.atom.serial
        for item in structure[0].all()
        if item.atom.element.atomic_number == 0 and item.residue.name not in NO_ATOMS
    }
    if not lost:
        return 0
    symbols = _by_serial(block, "_atom_site.", "type_symbol")
    unknown = 0
    for serial in sorted(lost):
        (symbol,) = symbols.get(serial, [""])
        symbol = symbol.upper()
        if symbol in UNKNOWN_ELEMENTS:
            unknown += 1
        elif symbol not in NULL:
            problem = f"atom {serial} has no known element ('{shown(symbol)}')"
            raise file.refusal(
                problem, "write the element as _atom_site.type_symbol; X is left out"
            )
    return unknown


def _by_serial(block: gemmi.cif.Block, prefix: str, *tags: str) -> dict[int, list[str]]:
    """Values of columns of atoms by their `id`; none where a column is missing."""
    return {
        int(row[0]): [row.str(at) for at in range(1, len(row))]
        for row in block.find(prefix, ["id", *tags])
        if row[0].isdecimal()
    }


def _isotropic_of_mmcif(block: gemmi.cif.Block, structure: gemmi.Structure, file: Reading) -> None:
    """Take U where there is no B; say where there is neither."""
    written = _by_serial(block, "_atom_site.", "B_iso_or_equiv")
    has_b = len(block.find_values("_atom_site.B_iso_or_equiv")) > 0
    of_u = _by_serial(block, "_atom_site.", "U_iso_or_equiv")
    bare = 0
    for model in structure:
        for item in model.all():
            # gemmi numbers an atom whose id is not a number; it has read its B, if there is one.
            lost = has_b and item.atom.serial not in written
            if lost or written.get(item.atom.serial, [""]) != [""]:
                continue
            (other,) = of_u.get(item.atom.serial, [""])
            bare += not other
            item.atom.b_iso = gemmi.cif.as_number(other) / _U_OF_B if other else _NO_B
    text = f"{{}} without displacement parameter: B = {_NO_B:g} Å² is taken"
    file.tell(("warning", bare, text, "atom"))


def _anisotropic_of_mmcif(block: gemmi.cif.Block, structure: gemmi.Structure) -> None:
    """Take tensors that are written as B, or beside the coordinates, as gemmi takes U."""
    for prefix, name, scale in (
        ("_atom_site_anisotrop.", "B", _U_OF_B),
        ("_atom_site.", "aniso_U", 1.0),
        ("_atom_site.", "aniso_B", _U_OF_B),
    ):
        rows = _by_serial(block, prefix, *(f"{name}[{ij[0]}][{ij[1]}]" for ij in _TENSOR))
        for item in (item for model in structure for item in model.all()):
            words = rows.get(item.atom.serial, [""])
            if all(words) and not item.atom.aniso.nonzero():
                values = [scale * gemmi.cif.as_number(word) for word in words]
                item.atom.aniso = gemmi.SMat33f(*values)


def complete_sites(block: gemmi.cif.Block, small: gemmi.SmallStructure, file: Reading) -> None:
    """Leave dummies out of a small molecule, name its isotopes, and complete its tensors."""
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
            _name_element(site, symbol, position, file)
            continue
        del small.sites[position]
    if not small.sites:
        raise file.refusal("the file holds no atoms of known elements")
    say_left_out(dummies, nameless, file)


def site_orders(block: gemmi.cif.Block, small: gemmi.SmallStructure) -> list[int | None]:
    """Order of the site symmetry of each site where the file gives it."""
    known = {
        row.str(0): int(row[1])
        for row in block.find("_atom_site_", ["label", "site_symmetry_order"])
        if row[1].isdecimal() and int(row[1]) > 0
    }
    return [known.get(site.label) for site in small.sites]


def _name_element(
    site: gemmi.SmallStructure.Site, symbol: str, position: int, file: Reading
) -> None:
    """Give a site the element of its symbol where gemmi finds none; refuse a mixture."""
    plain = re.sub(r"^\d+", "", symbol)
    mixture = re.search(r"[/,;]", symbol) is not None
    if site.element.atomic_number == 0 and not mixture:
        site.element = gemmi.Element(_OTHER_SYMBOLS.get(plain.upper(), plain))
    if site.element.atomic_number == 0 or mixture:
        name = f"atom {position + 1} ({shown(site.label)})"
        raise file.refusal(
            f"{name} has no known element ('{shown(symbol) or '?'}')",
            "write the element as _atom_site_type_symbol; of a mixture, each on its own site with "
            "its occupancy",
        )


def _anisotropic_of_small(block: gemmi.cif.Block, small: gemmi.SmallStructure) -> None:
    """Take tensors that are written as B or β: U = B/8π², U_ij = β_ij/(2π² a*_i a*_j)."""
    star = small.cell.reciprocal()
    lengths = (star.a, star.b, star.c)
    for name in ("B", "beta"):
        tags = ["label", *(f"{name}_{ij}" for ij in _TENSOR)]
        found = block.find("_atom_site_aniso_", tags)
        rows = {row.str(0): [row.str(at) for at in range(1, len(row))] for row in found}
        for site in small.sites:
            words = rows.get(site.label, [""])
            if site.aniso.nonzero() or not all(words):
                continue
            values = []
            for ij, word in zip(_TENSOR, words, strict=True):
                i, j = int(ij[0]) - 1, int(ij[1]) - 1
                scale = 1.0 / (2.0 * math.pi**2 * lengths[i] * lengths[j])
                values.append(gemmi.cif.as_number(word) * (_U_OF_B if name == "B" else scale))
            site.aniso = gemmi.SMat33d(*values)


def say_left_out(dummies: int, nameless: int, file: Reading) -> None:
    """Say how many dummy and unknown atoms a model does without."""
    file.tell(
        ("note", dummies, "left out: {}", "dummy atom"),
        ("warning", nameless, "left out: {} of unknown element (X, UNX)", "atom"),
    )
