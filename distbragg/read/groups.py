"""Symmetry as files spell it: operators, Hall, Hermann-Mauguin, number, point group."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

import gemmi

from distbragg.read.text import Reading, shown

Group = gemmi.SpaceGroup | gemmi.GroupOps  # a tabulated setting, or operators of one that is not
_HIGHEST_NUMBER: Final = 230
_LARGEST_GROUP: Final = 192

_OLD_NAMES: Final = {"P 1-": "P -1", "P1-": "P -1", "P 1BAR": "P -1"}

_POINT_GROUPS: Final = {
    "2": "P 1 1 2",
    "m": "P 1 1 m",
    "2/m": "P 1 1 2/m",
    "32": "R 3 2:R",
    "3m": "R 3 m:R",
    "-3m": "R -3 m:R",
}
"""Point groups of CrystFEL whose symbol alone is not a space group's, with the unique axis c."""


def operations_of(group: Group) -> gemmi.GroupOps:
    """Operators of a space group, or the operators themselves."""
    return group.operations() if isinstance(group, gemmi.SpaceGroup) else group


def symbol_of(group: Group) -> str:
    """Name of a group for a message."""
    if isinstance(group, gemmi.SpaceGroup):
        return str(group.xhm())
    return f"{len(group.sym_ops)} operators of no tabulated setting"


def named_group(name: str, cell: gemmi.UnitCell | None = None) -> gemmi.SpaceGroup | None:
    """Find a space group by Hermann-Mauguin symbol (any setting, old names), Hall symbol or number.

    A symbol of a rhombohedral group without `:H` or `:R` is told by the angles of the cell.
    """
    text = " ".join(name.strip().strip("'\"").split())
    text = _OLD_NAMES.get(text.upper(), text)
    if not text or text in ("?", "."):
        return None
    if re.fullmatch(r"\d{1,3}", text):
        return numbered_group(text, cell)
    angles = (cell.alpha, cell.gamma) if cell is not None and cell.is_crystal() else (0.0, 0.0)
    for spelling in _spellings(text):
        found = gemmi.find_spacegroup_by_name(spelling, *angles)
        if found is not None:
            return found
    of_hall = hall_group(name)
    return of_hall if isinstance(of_hall, gemmi.SpaceGroup) else None


def crystal_system(name: str) -> str | None:
    """Return the crystal system of a space group by its name or number; None of an unknown one."""
    found = named_group(name)
    return None if found is None else str(found.crystal_system_str())


def _spellings(text: str) -> list[str]:
    """Ways to write a symbol, as it stands first: P2(1)/c, P 2_1/c, R -3 m HR, F d -3 m Z."""
    plain = re.sub(r"\((\d)\)", r"\1", text).replace("_", "")
    # What is in brackets after a space is a remark, such as (standard).
    plain = re.sub(r"\s+\([^)]*\)$", "", plain)
    found = [text, plain]
    flag = re.search(r"\s*(?:(O1|S)|(O2|Z)|(HR?)|(R))$", plain)
    if flag is not None:
        choice = next(ext for ext, hit in zip("12HR", flag.groups(), strict=True) if hit)
        found.append(f"{plain[: flag.start()]} :{choice}")
    return found


def numbered_group(number: str, cell: gemmi.UnitCell | None = None) -> gemmi.SpaceGroup | None:
    """Find the standard setting of a number; a rhombohedral one by the cell's angles."""
    if not number.isdecimal() or not 1 <= int(number) <= _HIGHEST_NUMBER:
        return None
    group = gemmi.find_spacegroup_by_number(int(number))
    if cell is not None and cell.is_crystal() and group.ext in ("H", "R"):
        return gemmi.find_spacegroup_by_name(group.hm, cell.alpha, cell.gamma) or group
    return group


def hall_group(symbol: str) -> Group | None:
    """Find the setting of a Hall symbol, or its operators where no table has them."""
    try:
        # A quote at the end is part of a symbol: -P 3 2" is not -P 3 2.
        operations = gemmi.symops_from_hall(symbol.strip())
    except (RuntimeError, ValueError):
        return None
    return gemmi.find_spacegroup_by_ops(operations) or operations


def listed_operations(triplets: Sequence[str], file: Reading) -> Group | None:
    """Group of listed operators such as `-x,y+1/2,-z`; completed where only generators stand."""
    if not triplets:
        return None
    try:
        plain = [re.sub(r"\s+", "", text.strip("'\"")).lower() for text in triplets]
        # One operator spelled twice would count twice; without the identity gemmi crashes.
        spelled = {"x,y,z", *(gemmi.Op(text).wrap().triplet() for text in plain)}
        operations = gemmi.GroupOps([gemmi.Op(text) for text in sorted(spelled)])
        if len(triplets) <= _LARGEST_GROUP:
            operations.add_missing_elements()
    except (RuntimeError, ValueError) as error:
        raise file.refusal(f"damaged symmetry operators ({shown(str(error))})") from error
    if len(operations.sym_ops) * len(operations.cen_ops) > _LARGEST_GROUP:
        raise file.refusal("the symmetry operators make no space group")
    return gemmi.find_spacegroup_by_ops(operations) or operations


def chosen_group(candidates: Sequence[tuple[str, Group | None]], file: Reading) -> Group | None:
    """Take the first group known of spellings, the most explicit first; warn of another."""
    known = [(name, group) for name, group in candidates if group is not None]
    if not known:
        return None
    name, group = known[0]
    for other, differing in known[1:]:
        if not _agree(other, group, differing):
            used = f"{symbol_of(group)} by {name}, {symbol_of(differing)} by {other}"
            file.warn(f"{used}: the first is used")
            break
    if name == "number":
        file.note(f"the standard setting of its number: {symbol_of(group)}")
    return group


def overruled(
    given: Group | None, find: Callable[[Reading], Group | None], file: Reading
) -> Group | None:
    """Take the symmetry that the specification gives, and warn where a list names another."""
    if given is None:
        return find(file)
    # Doubts about what is not used are nobody's concern.
    own = find(Reading(file.path))
    if own is not None and not operations_of(given).has_same_rotations(operations_of(own)):
        file.warn(
            f"expanded by {symbol_of(given)} of structure_factors.space_group; the file names "
            f"{symbol_of(own)}"
        )
    return given


def warn_of_origin(group: Group | None, symbol: str, file: Reading) -> None:
    """Warn of a symbol that alone names the group and does not say which of two origins."""
    named = re.search(r"(:\s*[12]|S|Z|O[12])\s*$", symbol.strip("'\" "))
    if isinstance(group, gemmi.SpaceGroup) and group.ext == "1" and not named:
        file.warn(
            f"{symbol_of(group)}, the first of two origins, is taken: list the operators, or "
            f"write '{group.hm} :2' for the other"
        )


def laue_rotations(group: Group) -> list[list[list[int]]]:
    """Return the rotations of a group's Laue class, as matrices that act on columns h, k, l.

    An operator that turns hands stands for its product with the inversion.
    """
    found = set()
    for operator in operations_of(group).sym_ops:
        sign = 1 if operator.det_rot() > 0 else -1
        rows = (tuple(sign * part // operator.DEN for part in row) for row in operator.rot)
        # h' = h R: the matrix of columns is the transposed one.
        found.add(tuple(zip(*rows, strict=True)))
    return [[list(row) for row in matrix] for matrix in sorted(found, reverse=True)]


def _agree(spelling: str, group: Group, other: Group) -> bool:
    """Whether two groups are one; a number names no setting, a symbol often no origin."""
    if (
        isinstance(group, gemmi.SpaceGroup)
        and isinstance(other, gemmi.SpaceGroup)
        and (spelling == "number" or group.hm == other.hm)
    ):
        return bool(group.number == other.number)
    return bool(operations_of(group) == operations_of(other))


def point_group(symbol: str) -> gemmi.GroupOps | None:
    """Operators of a point group as CrystFEL writes it: `4/mmm`, `2/m_uab`, `321_H`, `-3m_R`.

    `_uaX` names the unique axis (c where it is not named), `_H` and `_R` the lattice of a
    trigonal group.
    """
    match = re.fullmatch(r"(-?[\dm/-]+?)(?:_(H|R))?(?:_ua([abc]))?", symbol.strip())
    if match is None:
        return None
    core, lattice, axis = match.groups()
    if lattice == "R" and core in ("3", "-3"):
        found = gemmi.find_spacegroup_by_name(f"R {core}:R")
    elif core in _POINT_GROUPS:
        found = gemmi.find_spacegroup_by_name(_POINT_GROUPS[core])
    else:
        parts = re.findall(r"-?\d(?:/m)?|m", core)
        found = gemmi.find_spacegroup_by_name(" ".join(["P", *parts]))
    if found is None:
        return None
    operations = found.operations()
    turn = {"a": "z,x,y", "b": "y,z,x"}.get(axis or "c")
    if turn is not None:
        operations.change_basis_forward(gemmi.Op(turn))
    return operations
