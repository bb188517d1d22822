"""Lattices as CrystFEL names them: type, centering and unique axis of a space group's cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from distbragg.read.groups import Group


@dataclass(frozen=True, slots=True)
class LatticeName:
    """A lattice in CrystFEL's words; the default is of no known symmetry."""

    system: str = "triclinic"
    centering: str = "P"  # R: on rhombohedral axes; H: a rhombohedral lattice on hexagonal ones
    unique_axis: str = "*"  # a, b or c of those with one


_RHOMBOHEDRAL: Final = {
    "R": LatticeName("rhombohedral", "R"),
    "H": LatticeName("hexagonal", "H", "c"),
}
"""By the axes of the setting."""


def lattice_name(group: Group | None) -> LatticeName:
    """Name the lattice of a space group; of operators that no table has, none is known."""
    from gemmi import SpaceGroup

    if not isinstance(group, SpaceGroup):
        return LatticeName()
    if (known := _RHOMBOHEDRAL.get(group.ext)) is not None:
        return known
    system, axis = group.crystal_system_str(), "*"
    if system == "monoclinic":
        axis = group.monoclinic_unique_axis()
    elif system in ("tetragonal", "trigonal", "hexagonal"):
        axis = "c"
    return LatticeName(system.replace("trigonal", "hexagonal"), group.centring_type(), axis)
