"""Opening atomic models: PDB, mmCIF, small-molecule CIF, checked before anything computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import gemmi

from distbragg.errors import InputError
from distbragg.notes import Note, Notes
from distbragg.read.atom_sites import mmcif_notes, read_small_sites, site_orders
from distbragg.read.cif import PARSER_ERRORS, open_cif
from distbragg.read.groups import Group, named_group, symbol_of
from distbragg.read.pdb_records import check_cell_frame, scan_pdb
from distbragg.read.recognise import looks_like_cif
from distbragg.read.refln_block import block_group
from distbragg.read.screen import check_sites, screen_structure
from distbragg.read.special_positions import expand_sites, share_atoms, share_sites
from distbragg.read.symmetry import cell_six, metric_notes
from distbragg.read.text import read_text, shown

_NEEDED: Final = (
    "id",
    "type_symbol",
    "label_alt_id",
    "label_asym_id",
    "Cartn_y",
    "Cartn_z",
)
"""Columns without which gemmi reads no atom."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model with a cell, a space group, and atoms of known elements at known places.

    Attributes
    ----------
    content : gemmi.Structure or gemmi.SmallStructure
        Of a structure, the first model, with the copies of strict symmetry.
    group : gemmi.SpaceGroup
    notes : tuple of Note
    """

    content: gemmi.Structure | gemmi.SmallStructure
    group: gemmi.SpaceGroup
    notes: Notes


def load_model(path: str) -> LoadedModel:
    """Open a model and leave out what is no atom.

    Raises
    ------
    InputError
        Not a readable model, or one that lacks a cell, a space group or known atoms.
    """
    text = read_text(path)
    if looks_like_cif(path, text):
        return _load_cif(path)
    text, notes, unknown = scan_pdb(text, path)
    try:
        structure = gemmi.read_pdb_string(text)
        cell_six(structure.cell, path)
        notes += check_cell_frame(structure, path)
        group = named_group(structure.spacegroup_hm, structure.cell)
        return _of_structure(structure, group, notes, unknown, path)
    except PARSER_ERRORS as error:
        raise InputError(f"not a readable PDB file ({shown(str(error))})", source=path) from error


def _load_cif(path: str) -> LoadedModel:
    document = open_cif(path)
    found = [
        block
        for block in document
        if block.find_loop("_atom_site.Cartn_x") or block.find_loop("_atom_site_fract_x")
    ]
    if not found:
        raise InputError(
            "the CIF holds no atoms",
            source=path,
            remedy="expected _atom_site.Cartn_x or _atom_site_fract_x",
        )
    block = found[0]
    notes: Notes = ()
    if len(found) > 1:
        text = f"block {shown(block.name)}, the first of {len(found)} with atoms, is used"
        notes += (Note("note", path, text),)
    if any(len(b.find_values("_refln_index_h")) for b in document):
        text = "the file lists reflections too: structure_factors.format: sf-mmcif reads them"
        notes += (Note("note", path, text),)
    try:
        if block.find_loop("_atom_site.Cartn_x"):
            return _of_mmcif(block, notes, path)
        return _of_small(block, notes, path)
    except PARSER_ERRORS as error:
        raise InputError(f"a damaged model ({shown(str(error))})", source=path) from error


def _of_mmcif(block: gemmi.cif.Block, notes: Notes, path: str) -> LoadedModel:
    structure = gemmi.make_structure_from_block(block)
    if len(structure) == 0:
        lacking = [name for name in _NEEDED if not len(block.find_values(f"_atom_site.{name}"))]
        raise InputError(
            f"the atoms lack columns of mmCIF: {' '.join(lacking)}",
            source=path,
            remedy="write them, or give a PDB",
        )
    cell_six(structure.cell, path)
    group, doubts = block_group(block, structure.cell, path)
    more, unknown = mmcif_notes(block, structure, path)
    notes = (*notes, *doubts, *more, *check_cell_frame(structure, path))
    return _of_structure(structure, group, notes, unknown, path)


def _of_structure(
    structure: gemmi.Structure, group: Group | None, notes: Notes, unknown: int, path: str
) -> LoadedModel:
    """Finish a macromolecule; `unknown` atoms of its first model are marked as such."""
    space_group = _tabulated(group, structure.spacegroup_hm, path)
    structure.spacegroup_hm = space_group.xhm()
    notes += screen_structure(structure, unknown, path)
    notes += share_atoms(structure, path)
    notes += metric_notes(structure.cell, space_group, path)
    return LoadedModel(structure, space_group, notes)


def _of_small(block: gemmi.cif.Block, notes: Notes, path: str) -> LoadedModel:
    small = gemmi.make_small_structure_from_block(block)
    cell_six(small.cell, path)
    notes += read_small_sites(block, small, path)
    group, doubts = block_group(block, small.cell, path)
    notes += (*doubts, *check_sites(small, path))
    if isinstance(group, gemmi.GroupOps):
        notes += expand_sites(small, group, path)
    else:
        small.spacegroup = _tabulated(group, small.spacegroup_hm, path)
    small.setup_cell_images()
    notes += share_sites(small, site_orders(block, small), path)
    if block.find_value("_cell_modulation_dimension") not in (None, "0", "?", "."):
        text = "a modulated structure: its average is used, without satellites"
        notes += (Note("warning", path, text),)
    notes += metric_notes(small.cell, small.spacegroup, path)
    return LoadedModel(small, small.spacegroup, notes)


def _tabulated(group: Group | None, name: str, path: str) -> gemmi.SpaceGroup:
    if isinstance(group, gemmi.SpaceGroup):
        return group
    problem = f"unknown space group '{shown(name)}'"
    if group is not None:
        problem = f"{symbol_of(group)}, which a model cannot have"
    raise InputError(
        problem,
        source=path,
        remedy="write a Hermann-Mauguin symbol of the tables into the file, e.g. P 21 21 21",
    )
