"""Images of atoms: on and beside special positions, and of settings that no table has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import gemmi
import numpy as np

from distbragg.matrices import apply3, matmul3, transposed
from distbragg.notes import Note, Notes
from distbragg.read.text import counted

_SAME: Final = 0.1
"""Å between images of an atom that lies on the position, its digits cut."""

_NEAR: Final = 0.4
"""Å within which two whole atoms never lie."""

_TENSOR: Final = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
_FULL: Final = 1.01
"""Occupancy of one place at most, and what rounding may add."""


def share_sites(small: gemmi.SmallStructure, orders: Sequence[int | None], path: str) -> Notes:
    """Divide occupancies of sites on special positions by their number of images there.

    The occupancy of a CIF is of the site. An atom disordered about a special position lies
    beside it with a part occupancy, and each of its images counts.

    Parameters
    ----------
    small : gemmi.SmallStructure
        With its images set up; changed in place.
    orders : sequence of int or None
        Order of each site's symmetry where the file gives it (`_atom_site_site_symmetry_order`).
    """
    beside = 0
    for site, order in zip(small.sites, orders, strict=True):
        near = small.cell.is_special_position(site.fract, _NEAR) + 1
        if near == 1:
            continue
        same = small.cell.is_special_position(site.fract, _SAME) + 1
        images = _images(same, near, site.occ) if order is None else max(1, order)
        beside += images < near
        site.occ /= images
    if not beside:
        return ()
    text = f"{counted(beside, 'site')} beside a special position, disordered: every image counts"
    return (Note("note", path, text),)


def share_atoms(structure: gemmi.Structure, path: str) -> Notes:
    """Divide occupancies of a macromolecule that fill a special position more than once.

    The occupancy of a PDB is of each image, so that a water on a twofold axis has 0.5. Where
    images of one place add up to more than one atom it was not divided.
    """
    structure.setup_cell_images()
    cell = structure.cell
    shared = 0
    for item in structure[0].all():
        near = cell.is_special_position(item.atom.pos, _NEAR) + 1
        if near == 1 or item.atom.occ * near <= _FULL:
            continue
        same = cell.is_special_position(item.atom.pos, _SAME) + 1
        images = _images(same, near, item.atom.occ)
        shared += images > 1
        item.atom.occ /= images
    if not shared:
        return ()
    text = (
        f"{counted(shared, 'atom')} on special positions where images add up to more than one "
        "atom: their occupancy is divided by the number of images"
    )
    return (Note("warning", path, text),)


def _images(same: int, near: int, occupancy: float) -> int:
    """Images that are one atom: all that are near where their occupancies exceed one."""
    return near if occupancy * near / same > _FULL else same


def expand_sites(small: gemmi.SmallStructure, group: gemmi.GroupOps, path: str) -> Notes:
    """Write out every image of every site, for operators of no tabulated setting.

    Images at one place share the occupancy of the atom. The structure is of P 1 afterwards.
    """
    orthogonal = np.array(small.cell.orth.mat.tolist())
    star = small.cell.reciprocal()
    lengths = np.diag([star.a, star.b, star.c])
    inverse = np.diag([1.0 / star.a, 1.0 / star.b, 1.0 / star.c])
    operators = list(group)
    images: list[gemmi.SmallStructure.Site] = []
    for site in small.sites:
        places = np.array([op.apply_to_xyz(site.fract.tolist()) for op in operators])
        offsets = places - places[0]
        distance = np.linalg.norm(apply3(orthogonal, offsets - np.rint(offsets)), axis=1)
        same, near = int((distance < _SAME).sum()), int((distance < _NEAR).sum())
        tensor = matmul3(matmul3(lengths, np.array(site.aniso.as_mat33().tolist())), lengths)
        for op, place in zip(operators, places.tolist(), strict=True):
            image = site.clone()
            image.fract = gemmi.Fractional(*place)
            image.occ = site.occ / _images(same, near, site.occ)
            if site.aniso.nonzero():
                turn = np.array(op.rot) / gemmi.Op.DEN
                turned = matmul3(matmul3(turn, tensor), transposed(turn))
                u = matmul3(matmul3(inverse, turned), inverse)
                image.aniso = gemmi.SMat33d(*(float(u[i, j]) for i, j in _TENSOR))
            images.append(image)
    del small.sites[:]
    for image in images:
        small.add_site(image)
    small.spacegroup = gemmi.SpaceGroup("P 1")
    text = f"{len(operators)} operators of no tabulated setting: every image is a site of P 1"
    return (Note("note", path, text),)
