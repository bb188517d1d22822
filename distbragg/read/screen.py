"""What of a model is an atom: dummies and unknown atoms are left out, odd values told."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import gemmi
import numpy as np

from distbragg.errors import InputError
from distbragg.notes import Note, Notes
from distbragg.read.pdb_records import NO_ATOMS
from distbragg.read.strict_symmetry import expand_strict
from distbragg.read.text import counted

_B_OF_U: Final = 8.0 * math.pi**2

_SMALLEST_B: Final = 1.0
"""Å², below which atoms of macromolecules do not lie, not even near 0 K."""

_LARGEST_U: Final = 0.5
"""Å², a displacement of 0.7 Å, at which small molecules do not diffract to atomic resolution."""


def screen_structure(structure: gemmi.Structure, unknown: int, path: str) -> Notes:
    """Leave out what is no atom, and add the copies of strict symmetry, in the first model.

    Parameters
    ----------
    structure : gemmi.Structure
        Changed in place.
    unknown : int
        Atoms of the first model that the file itself calls unknown; one more without an
        element is an error.
    path : str

    Raises
    ------
    InputError
        No atoms, an atom without a known element or at no finite place.
    """
    if len(structure) == 0 or structure[0].count_atom_sites() == 0:
        raise InputError("the file holds no atoms", source=path)
    notes: Notes = ()
    if len(structure) > 1:
        text = f"the first of {len(structure)} models is used"
        notes += (Note("warning", path, text),)
        while len(structure) > 1:
            del structure[1]
    notes += _leave_out(structure, unknown, path)
    if structure[0].count_atom_sites() == 0:
        raise InputError("the file holds no atoms of known elements", source=path)
    atoms = [item.atom for item in structure[0].all()]
    for count, atom in enumerate(atoms, start=1):
        numbers = (atom.pos.x, atom.pos.y, atom.pos.z, atom.b_iso, atom.occ)
        if not all(math.isfinite(value) for value in numbers):
            raise InputError(f"atom {count} is not at a finite place", source=path)
    notes += expand_strict(structure, path)
    atoms = [item.atom for item in structure[0].all()]
    factors = [atom.b_iso for atom in atoms]
    middle = float(np.median(factors))
    if 0.0 < middle < _SMALLEST_B:
        text = f"half of the B factors are below {middle:.3g} Å²: are they U?"
        notes += (Note("warning", path, text),)
    return notes + _value_notes(
        [atom.occ for atom in atoms],
        factors,
        sum(atom.charge != 0 for atom in atoms),
        path,
    )


def _leave_out(structure: gemmi.Structure, unknown: int, path: str) -> Notes:
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
    if nameless + dummies > of_residue + unknown:
        raise InputError(
            f"{counted(nameless + dummies - of_residue - unknown, 'atom')} of no known element",
            source=path,
            remedy="fill in the element column",
        )
    structure.remove_empty_chains()
    return left_out(dummies, nameless, path)


def left_out(dummies: int, nameless: int, path: str) -> Notes:
    """Say how many dummy and unknown atoms a model does without."""
    notes = []
    if dummies:
        notes.append(Note("note", path, f"left out: {counted(dummies, 'dummy atom')}"))
    if nameless:
        text = f"left out: {counted(nameless, 'atom')} of unknown element (X, UNX)"
        notes.append(Note("warning", path, text))
    return tuple(notes)


def check_sites(small: gemmi.SmallStructure, path: str) -> Notes:
    """Check the sites of a small molecule.

    Raises
    ------
    InputError
        No atoms, or a site without coordinates.
    """
    if len(small.sites) == 0:
        raise InputError("the file holds no atoms", source=path)
    for count, site in enumerate(small.sites, start=1):
        numbers = (site.fract.x, site.fract.y, site.fract.z, site.u_iso, site.occ)
        if not all(math.isfinite(value) for value in numbers):
            raise InputError(
                f"atom {count} lacks coordinates",
                source=path,
                remedy="remove atoms without a place",
            )
    displacement = [site.u_iso or max(site.aniso.elements_pdb()[:3]) for site in small.sites]
    middle = float(np.median(displacement))
    notes: Notes = ()
    if middle > _LARGEST_U:
        text = f"half of the displacement parameters U are above {middle:.3g} Å²: are they B?"
        notes = (Note("warning", path, text),)
    return notes + _value_notes(
        [site.occ for site in small.sites],
        [_B_OF_U * value for value in displacement],
        sum(site.charge != 0 for site in small.sites),
        path,
    )


def _value_notes(
    occupancy: Sequence[float], b_factor: Sequence[float], ions: int, path: str
) -> Notes:
    """Tell of occupancies and displacement parameters that are probably mistakes, and of ions."""
    notes: list[Note] = []
    odd = sum(not 0.0 <= value <= 1.0 for value in occupancy)
    if odd:
        text = f"{counted(odd, 'atom')} of occupancy below 0 or above 1"
        notes.append(Note("warning", path, text))
    empty = sum(value == 0.0 for value in occupancy)
    if empty:
        notes.append(Note("note", path, f"{counted(empty, 'atom')} of occupancy 0: no scattering"))
    negative = sum(value < 0.0 for value in b_factor)
    if negative:
        text = f"{counted(negative, 'atom')} of negative displacement parameter"
        notes.append(Note("warning", path, text))
    still = sum(value == 0.0 for value in b_factor)
    if still:
        text = f"{counted(still, 'atom')} without displacement parameter, or of 0: at rest"
        notes.append(Note("warning", path, text))
    if ions:
        notes.append(Note("note", path, f"{counted(ions, 'ion')}: form factor of the neutral atom"))
    return tuple(notes)
