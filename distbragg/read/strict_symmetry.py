"""Copies by strict non-crystallographic symmetry (MTRIX, `_struct_ncs_oper`)."""

from __future__ import annotations

from typing import Final

import gemmi
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from distbragg.errors import InputError
from distbragg.matrices import apply3
from distbragg.notes import Note, Notes
from distbragg.read.text import counted

_SAME_PLACE: Final = 0.5
"""Å within which a copy of an atom is one that is already in the cell."""

_SHARE: Final = 0.25
"""Share of atoms on others' places that no two molecules reach."""

_SAMPLE: Final = 2000
"""Atoms that are looked at: enough to tell a share."""


def expand_strict(structure: gemmi.Structure, path: str) -> Notes:
    """Add the copies that are not listed, to the first model.

    A copy that lies on atoms of the cell, listed or made by the space group, is not added:
    files exist that list all copies and do not say so.

    Raises
    ------
    InputError
        A copy at no finite place.
    """
    missing = [operator for operator in structure.ncs if not operator.given]
    if not missing:
        return ()
    cell = _Occupied(structure, path)
    there = [cell.holds(operator) for operator in missing]
    notes: list[Note] = []
    if any(there):
        for operator, known in zip(missing, there, strict=True):
            operator.given = known
        copies = counted(sum(there), "copy", "copies")
        text = f"already in the cell, not added again: {copies} by strict symmetry (MTRIX)"
        notes.append(Note("warning", path, text))
    if not all(there):
        structure.expand_ncs(gemmi.HowToNameCopiedChain.Dup)
        copies = counted(len(missing) - sum(there), "copy", "copies")
        notes.append(Note("note", path, f"added: {copies} by strict symmetry (MTRIX)"))
    return tuple(notes)


class _Occupied:
    """Places of atoms in the unit cell, of all symmetry images."""

    def __init__(self, structure: gemmi.Structure, path: str) -> None:
        self._path = path
        cell = structure.cell
        self._frac = np.array(cell.frac.mat.tolist())
        self._shift = np.array(cell.frac.vec.tolist())
        self._places = np.array([item.atom.pos.tolist() for item in structure[0].all()])
        self._reach = _SAME_PLACE / max(cell.a, cell.b, cell.c)
        own = self._fractional(self._places)
        images = [
            apply3(np.array(op.rot) / gemmi.Op.DEN, own) + np.array(op.tran) / gemmi.Op.DEN
            for op in structure.find_spacegroup().operations()
        ]
        self._tree = cKDTree(_wrapped(np.concatenate(images)), boxsize=np.ones(3))

    def holds(self, operator: gemmi.NcsOp) -> bool:
        """Tell whether images of the atoms lie on atoms."""
        step = max(1, self._places.shape[0] // _SAMPLE)
        matrix = np.array(operator.tr.mat.tolist())
        with np.errstate(all="ignore"):
            images = apply3(matrix, self._places[::step]) + np.array(operator.tr.vec.tolist())
        distance, _ = self._tree.query(_wrapped(self._fractional(images)))
        return bool((np.asarray(distance) < self._reach).mean() > _SHARE)

    def _fractional(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        with np.errstate(all="ignore"):
            found = apply3(self._frac, places) + self._shift
        if not np.isfinite(found).all():
            raise InputError(
                "a copy by strict symmetry (MTRIX) is at no finite place", source=self._path
            )
        return np.asarray(found)


def _wrapped(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fractional coordinates within [0, 1)."""
    inside = places % 1.0
    return np.where(inside >= 1.0, 0.0, inside)
