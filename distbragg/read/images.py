"""Images of atoms: strict symmetry, special positions, settings that no table has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import gemmi
import numpy as np

from distbragg.matrices import apply3, matmul3, transposed
from distbragg.read.text import Reading

_SAME_PLACE: Final = 0.5  # Å within which a copy of an atom is one that is already in the cell
_SHARE: Final = 0.25  # share of atoms on others' places that no two molecules reach
_SAMPLE: Final = 2000  # atoms that are looked at: enough to tell a share
_BOXES: Final = 100  # along the longest edge of the cell, into which its atoms are sorted

_SAME: Final = 0.1  # Å between images of an atom that lies on the position, its digits cut
_NEAR: Final = 0.4  # Å within which two whole atoms never lie
_TENSOR: Final = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
_FULL: Final = 1.01  # occupancy of one place at most, and what rounding may add


def expand_strict(structure: gemmi.Structure, file: Reading) -> None:
    """Add the copies that are not listed, to the first model.

    A copy that lies on atoms of the cell, listed or made by the space group, is not added:
    files exist that list all copies and do not say so.
    """
    missing = [operator for operator in structure.ncs if not operator.given]
    if not missing:
        return
    there = _already_there(structure, missing, file)
    for operator, known in zip(missing, there, strict=True):
        operator.given = known
    if not all(there):
        structure.expand_ncs(gemmi.HowToNameCopiedChain.Dup)
    file.tell(
        ("warning", sum(there),
         "already in the cell, not added again: {} by strict symmetry (MTRIX)", "copy/copies"),
        ("note", there.count(False), "added: {} by strict symmetry (MTRIX)", "copy/copies"),
    )  # fmt: skip


def _already_there(
    structure: gemmi.Structure, missing: Sequence[gemmi.NcsOp], file: Reading
) -> list[bool]:
    """Tell for each operator whether images of the atoms lie on atoms of the space group."""
    for operator in missing:
        operator.given = True  # else the images of the cell are of strict symmetry too
    structure.setup_cell_images()
    cell, atoms = structure.cell, [item.atom for item in structure[0].all()]
    box = max(_SAME_PLACE, max(cell.a, cell.b, cell.c) / _BOXES)
    search = gemmi.NeighborSearch(structure[0], cell, box).populate()
    sample = atoms[:: max(1, len(atoms) // _SAMPLE)]
    there = []
    for operator in missing:
        images = [operator.tr.apply(atom.pos) for atom in sample]
        if not all(math.isfinite(part) for image in images for part in image.tolist()):
            raise file.refusal("a copy by strict symmetry (MTRIX) is at no finite place")
        found = [
            search.find_nearest_atom(gemmi.Position(image), _SAME_PLACE) is not None
            for image in images
        ]
        there.append(sum(found) > _SHARE * len(found))
    return there


def share_sites(small: gemmi.SmallStructure, orders: Sequence[int | None], file: Reading) -> None:
    """Divide occupancies of sites on special positions by their number of images there.

    The occupancy of a CIF is of the site. An atom disordered about a special position lies
    beside it with a part occupancy, and each of its images counts.

    `orders` are those of each site's symmetry where the file gives them
    (`_atom_site_site_symmetry_order`).
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
    text = "{} beside a special position, disordered: every image counts"
    file.tell(("note", beside, text, "site"))


def share_atoms(structure: gemmi.Structure, file: Reading) -> None:
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
    text = (
        "{} on special positions where images add up to more than one atom: their occupancy is "
        "divided by the number of images"
    )
    file.tell(("warning", shared, text, "atom"))


def _images(same: int, near: int, occupancy: float) -> int:
    """Images that are one atom: all that are near where their occupancies exceed one."""
    return near if occupancy * near / same > _FULL else same


def expand_sites(small: gemmi.SmallStructure, group: gemmi.GroupOps, file: Reading) -> None:
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
    file.note(f"{len(operators)} operators of no tabulated setting: every image is a site of P 1")
