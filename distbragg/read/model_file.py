"""Opening atomic models: PDB, mmCIF, small-molecule CIF, checked before anything computes."""

from __future__ import annotations

import logging
import math

import gemmi

from distbragg.errors import InputError
from distbragg.read.cif import PARSER_ERRORS, open_cif
from distbragg.read.symmetry import cell_six
from distbragg.read.text import read_text, shown

logger = logging.getLogger("distbragg")

_COORDINATE_COLUMNS = 54
"""Columns of an ATOM record up to the end of its z coordinate (PDB format 3.3)."""


def load_model(path: str) -> gemmi.Structure | gemmi.SmallStructure:
    """Return the model of a file, with a cell, a space group, and atoms at known places.

    Raises
    ------
    InputError
        Not a readable model, or one that lacks any of these.
    """
    name = path.lower().removesuffix(".gz")
    if name.endswith((".cif", ".mmcif")):
        loaded = _load_cif(path)
    else:
        text = read_text(path)
        _check_pdb_end(text, path)
        try:
            loaded = gemmi.read_pdb_string(text)
        except PARSER_ERRORS as error:
            raise InputError(
                f"not a readable PDB file ({shown(str(error))})", source=path
            ) from error
    cell_six(loaded.cell, path)
    if isinstance(loaded, gemmi.Structure):
        _check_structure(loaded, path)
    else:
        _check_small(loaded, path)
    return loaded


def _check_pdb_end(text: str, path: str) -> None:
    """Refuse a last atom without its coordinates; tell of a deposited entry without END."""
    lines = text.rstrip().splitlines()
    last = lines[-1] if lines else ""
    if last.startswith(("ATOM", "HETATM")) and len(last) < _COORDINATE_COLUMNS:
        raise InputError(
            "the last atom has no coordinates: the file is truncated",
            source=f"{path}:{len(lines)}",
            remedy="fetch the file again",
        )
    if lines and lines[0].startswith("HEADER") and last.split()[:1] != ["END"]:
        logger.warning("%s: no END record; is the file truncated?", path)


def _load_cif(path: str) -> gemmi.Structure | gemmi.SmallStructure:
    document = open_cif(path)
    try:
        for block in document:
            if block.find_loop("_atom_site.Cartn_x"):
                return gemmi.make_structure_from_block(block)
            if block.find_loop("_atom_site_fract_x"):
                return gemmi.make_small_structure_from_block(block)
    except PARSER_ERRORS as error:
        raise InputError(f"a damaged model ({shown(str(error))})", source=path) from error
    raise InputError(
        "the CIF holds no atoms", source=path, remedy="expected _atom_site records of a model"
    )


def _check_structure(structure: gemmi.Structure, path: str) -> None:
    if len(structure) == 0 or structure[0].count_atom_sites() == 0:
        raise InputError("the file holds no atoms", source=path)
    if structure.find_spacegroup() is None:
        raise InputError(f"unknown space group '{shown(structure.spacegroup_hm)}'", source=path)
    if len(structure) > 1:
        logger.warning("%s: the first of %d models is used", path, len(structure))
    for count, item in enumerate(structure[0].all(), start=1):
        atom = item.atom
        numbers = (atom.pos.x, atom.pos.y, atom.pos.z, atom.b_iso, atom.occ)
        if not all(math.isfinite(value) for value in numbers):
            raise InputError(f"atom {count} is not at a finite place", source=path)
        if atom.element.atomic_number == 0:
            raise InputError(
                f"atom {count} has no known element",
                source=path,
                remedy="fill in the element column",
            )


def _check_small(small: gemmi.SmallStructure, path: str) -> None:
    if len(small.sites) == 0:
        raise InputError("the file holds no atoms", source=path)
    if small.spacegroup is None:
        raise InputError(f"unknown space group '{shown(small.spacegroup_hm)}'", source=path)
    for count, site in enumerate(small.sites, start=1):
        numbers = (site.fract.x, site.fract.y, site.fract.z, site.u_iso, site.occ)
        if not all(math.isfinite(value) for value in numbers):
            raise InputError(
                f"atom {count} lacks coordinates", source=path,
                remedy="remove atoms without a place",
            )  # fmt: skip
        if site.element.atomic_number == 0:
            raise InputError(f"atom {count} has no known element", source=path)
