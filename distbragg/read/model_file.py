"""Opening atomic models: PDB, mmCIF, small-molecule CIF, checked, with atoms alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import gemmi
import numpy as np

from distbragg.notes import Notes
from distbragg.read.atoms import (
    NO_ATOMS,
    check_cell_frame,
    complete_mmcif,
    complete_sites,
    say_left_out,
    scan_pdb,
    site_orders,
)
from distbragg.read.cif import block_group, damage_is_input_error, open_cif
from distbragg.read.groups import Group, named_group, symbol_of
from distbragg.read.images import expand_sites, expand_strict, share_atoms, share_sites
from distbragg.read.recognise import looks_like_cif
from distbragg.read.symmetry import cell_six, warn_of_metric
from distbragg.read.text import Reading, counted, read_text, shown

_NEEDED: Final = ("id", "type_symbol", "label_alt_id", "label_asym_id", "Cartn_y", "Cartn_z")
"""Columns without which gemmi reads no atom."""

_B_OF_U: Final = 8.0 * math.pi**2

_SMALLEST_B: Final = 1.0  # Å², below which atoms of macromolecules do not lie, not even near 0 K
_LARGEST_U: Final = 0.5
"""Å², a displacement of 0.7 Å, at which small molecules do not diffract to atomic resolution."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A checked model: of a structure the first, with the copies of strict symmetry."""

    content: gemmi.Structure | gemmi.SmallStructure
    group: gemmi.SpaceGroup
    notes: Notes


def load_model(path: str) -> LoadedModel:
    """Open a model and leave out what is not an atom."""
    file = Reading(path)
    text = read_text(path)
    if looks_like_cif(path, text):
        return _load_cif(file)
    text, unknown = scan_pdb(text, file)
    with damage_is_input_error(path, "not a readable PDB file"):
        structure = gemmi.read_pdb_string(text)
        cell_six(structure.cell, file)
        check_cell_frame(structure, file)
        group = named_group(structure.spacegroup_hm, structure.cell)
        return _of_structure(structure, group, unknown, file)


def _load_cif(file: Reading) -> LoadedModel:
    document = open_cif(file.path)
    found = [
        block
        for block in document
        if block.find_loop("_atom_site.Cartn_x") or block.find_loop("_atom_site_fract_x")
    ]
    if not found:
        remedy = "expected _atom_site.Cartn_x or _atom_site_fract_x"
        raise file.refusal("the CIF holds no atoms", remedy)
    block = found[0]
    if len(found) > 1:
        file.note(f"block {shown(block.name)}, the first of {len(found)} with atoms, is used")
    if any(len(b.find_values("_refln_index_h")) for b in document):
        file.note("the file lists reflections too: structure_factors.format: sf-mmcif reads them")
    with damage_is_input_error(file.path, "a damaged model"):
        if block.find_loop("_atom_site.Cartn_x"):
            return _of_mmcif(block, file)
        return _of_small(block, file)


def _of_mmcif(block: gemmi.cif.Block, file: Reading) -> LoadedModel:
    structure = gemmi.make_structure_from_block(block)
    if len(structure) == 0:
        lacking = [name for name in _NEEDED if not len(block.find_values(f"_atom_site.{name}"))]
        problem = f"the atoms lack columns of mmCIF: {' '.join(lacking)}"
        raise file.refusal(problem, "write them, or give a PDB")
    cell_six(structure.cell, file)
    group = block_group(block, structure.cell, file)
    unknown = complete_mmcif(block, structure, file)
    check_cell_frame(structure, file)
    return _of_structure(structure, group, unknown, file)


def _of_structure(
    structure: gemmi.Structure, group: Group | None, unknown: int, file: Reading
) -> LoadedModel:
    """Finish a macromolecule; `unknown` atoms of its first model are marked as such."""
    space_group = _tabulated(group, structure.spacegroup_hm, file)
    structure.spacegroup_hm = space_group.xhm()
    screen_structure(structure, unknown, file)
    share_atoms(structure, file)
    warn_of_metric(structure.cell, space_group, file)
    return LoadedModel(structure, space_group, tuple(file.notes))


def _of_small(block: gemmi.cif.Block, file: Reading) -> LoadedModel:
    small = gemmi.make_small_structure_from_block(block)
    cell_six(small.cell, file)
    complete_sites(block, small, file)
    group = block_group(block, small.cell, file)
    check_sites(small, file)
    if isinstance(group, gemmi.GroupOps):
        expand_sites(small, group, file)
    else:
        small.spacegroup = _tabulated(group, small.spacegroup_hm, file)
    small.setup_cell_images()
    share_sites(small, site_orders(block, small), file)
    if block.find_value("_cell_modulation_dimension") not in (None, "0", "?", "."):
        file.warn("a modulated structure: its average is used, without satellites")
    warn_of_metric(small.cell, small.spacegroup, file)
    return LoadedModel(small, small.spacegroup, tuple(file.notes))


def _tabulated(group: Group | None, name: str, file: Reading) -> gemmi.SpaceGroup:
    if isinstance(group, gemmi.SpaceGroup):
        return group
    problem = f"unknown space group '{shown(name)}'"
    if group is not None:
        problem = f"{symbol_of(group)}, which a model cannot have"
    remedy = "write a Hermann-Mauguin symbol of the tables into the file, e.g. P 21 21 21"
    raise file.refusal(problem, remedy)


def screen_structure(structure: gemmi.Structure, unknown: int, file: Reading) -> None:
    """Leave out what is not an atom, and add the copies of strict symmetry, in the first model.

    `unknown` atoms of it the file itself calls so; one more without an element is an error, and
    so are not atoms, or one at no finite place.
    """
    if len(structure) == 0 or structure[0].count_atom_sites() == 0:
        raise file.refusal("the file holds no atoms")
    if len(structure) > 1:
        file.warn(f"the first of {len(structure)} models is used")
    while len(structure) > 1:
        del structure[1]
    _leave_out(structure, unknown, file)
    atoms = [item.atom for item in structure[0].all()]
    if not atoms:
        raise file.refusal("the file holds no atoms of known elements")
    for count, atom in enumerate(atoms, start=1):
        if not all(map(math.isfinite, (*atom.pos.tolist(), atom.b_iso, atom.occ))):
            raise file.refusal(f"atom {count} is not at a finite place")
    expand_strict(structure, file)
    atoms = [item.atom for item in structure[0].all()]
    factors = [atom.b_iso for atom in atoms]
    middle = float(np.median(factors))
    if 0.0 < middle < _SMALLEST_B:
        file.warn(f"half of the B factors are below {middle:.3g} Å²: are they U?")
    _say_of_values(atoms, factors, file)


def _leave_out(structure: gemmi.Structure, unknown: int, file: Reading) -> None:
    """Remove dummies and unknown atoms; refuse an element that is missing by mistake."""
    dummies = nameless = of_residue = 0
    for chain in structure[0]:
        for residue in chain:
            for position in reversed(range(len(residue))):
                nothing = residue[position].element.atomic_number == 0
                if residue.name == "DUM":
                    dummies += 1
                elif nothing or residue.name in NO_ATOMS:
                    nameless += 1
                else:
                    continue
                of_residue += residue.name in NO_ATOMS
                del residue[position]
    more = nameless + dummies - of_residue - unknown
    if more > 0:
        problem = f"{counted(more, 'atom')} of no known element"
        raise file.refusal(problem, "fill in the element column")
    structure.remove_empty_chains()
    say_left_out(dummies, nameless, file)


def check_sites(small: gemmi.SmallStructure, file: Reading) -> None:
    """Check the sites of a small molecule; none, or one without coordinates, is an error."""
    if len(small.sites) == 0:
        raise file.refusal("the file holds no atoms")
    for count, site in enumerate(small.sites, start=1):
        if not all(map(math.isfinite, (*site.fract.tolist(), site.u_iso, site.occ))):
            raise file.refusal(f"atom {count} lacks coordinates", "remove atoms without a place")
    displacement = [site.u_iso or max(site.aniso.elements_pdb()[:3]) for site in small.sites]
    middle = float(np.median(displacement))
    if middle > _LARGEST_U:
        file.warn(f"half of the displacement parameters U are above {middle:.3g} Å²: are they B?")
    _say_of_values(list(small.sites), [_B_OF_U * value for value in displacement], file)


def _say_of_values(
    atoms: Sequence[gemmi.Atom] | Sequence[gemmi.SmallStructure.Site],
    b_factor: Sequence[float],
    file: Reading,
) -> None:
    """Tell of occupancies and displacement parameters that are probably mistakes, and of ions."""
    occupied, b = np.array([atom.occ for atom in atoms]), np.array(b_factor)
    odd, empty = int(((occupied < 0.0) | (occupied > 1.0)).sum()), int((occupied == 0.0).sum())
    negative, still = int((b < 0.0).sum()), int((b == 0.0).sum())
    ions = sum(atom.charge != 0 for atom in atoms)
    file.tell(
        ("warning", odd, "{} of occupancy below 0 or above 1", "atom"),
        ("note", empty, "{} of occupancy 0: no scattering", "atom"),
        ("warning", negative, "{} of negative displacement parameter", "atom"),
        ("warning", still, "{} without displacement parameter, or of 0: at rest", "atom"),
        ("note", ions, "{}: form factor of the neutral atom", "ion"),
    )
