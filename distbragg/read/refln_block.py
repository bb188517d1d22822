"""Columns, cell and symmetry of a CIF block of reflections, in dotted or core tags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import gemmi
import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.notes import Notes
from distbragg.read.groups import (
    Group,
    chosen_group,
    hall_operations,
    listed_operations,
    named_group,
    numbered_group,
    origin_notes,
)
from distbragg.read.miller import MAXIMUM_INDEX
from distbragg.read.text import shown

_NULL: Final = ("?", ".")
_TAGS: Final = """
    status observed_status crystal_id wavelength_id F_meas_au F_meas F_calc_au F_calc A_calc B_calc
    pdbx_F_calc_with_solvent F_squared_calc F_squared_meas intensity_meas intensity_calc
    pdbx_F_plus pdbx_F_minus pdbx_I_plus pdbx_I_minus
"""
_SPELLING: Final = {tag.lower(): tag for tag in _TAGS.split()}
_CELL: Final = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
_OPERATORS: Final = (
    "_space_group_symop{}operation_xyz",
    "_symmetry_equiv{}pos_as_xyz",
)
_HALL: Final = ("_space_group{}name_Hall", "_symmetry{}space_group_name_Hall")
_SYMBOLS: Final = (
    "_symmetry{}space_group_name_H-M",
    "_space_group{}name_H-M_alt",
    "_space_group{}name_H-M_full",
)
_NUMBERS: Final = ("_symmetry{}Int_Tables_number", "_space_group{}IT_number")


@dataclass(frozen=True, slots=True)
class ReflectionBlock:
    """One block that lists merged reflections.

    Attributes
    ----------
    block : gemmi.cif.Block
    separator : {".", "_"}
        Of SF-mmCIF tags (`_refln.index_h`) or of core tags (`_refln_index_h`).
    path : str
    """

    block: gemmi.cif.Block
    separator: str
    path: str

    @property
    def name(self) -> str:
        """Name of the block."""
        return str(self.block.name)

    def labels(self) -> list[str]:
        """Tags of the list without `_refln.`, known ones as the dictionary spells them."""
        prefix = len("_refln") + 1
        loop = self.block.find_loop(f"_refln{self.separator}index_h").get_loop()
        return [spelled(str(tag)[prefix:]) for tag in loop.tags]

    def text(self, label: str) -> list[str]:
        """Values of a column as written, without quotes."""
        tag = f"_refln{self.separator}{label}"
        return [value.strip("'\"") for value in self.block.find_values(tag)]

    def numbers(self, label: str) -> NDArray[np.float64]:
        """Values of a column; `?`, `.` and `nan` are NaN.

        Raises
        ------
        InputError
            A value that is no number.
        """
        written = self.text(label)
        values = np.array([gemmi.cif.as_number(text) for text in written], dtype=np.float64)
        for row in np.flatnonzero(np.isnan(values)).tolist():
            if written[row].lower() not in (*_NULL, "nan"):
                raise InputError(
                    f"{label} '{shown(written[row])}' of reflection {row + 1} is not a number",
                    source=self.path,
                )
        return values

    def indices(self) -> NDArray[np.int64]:
        """Miller indices (n, 3).

        Raises
        ------
        InputError
        """
        columns = [self.numbers(f"index_{axis}") for axis in "hkl"]
        if len({column.shape[0] for column in columns}) > 1:
            raise InputError("reflections without three indices each", source=self.path)
        values = np.stack(columns, axis=1)
        if not np.isfinite(values).all() or (values != np.rint(values)).any():
            raise InputError("a Miller index is not a whole number", source=self.path)
        if values.size and np.abs(values).max() > MAXIMUM_INDEX:
            raise InputError("a Miller index is out of range", source=self.path)
        return values.astype(np.int64)

    def cell(self) -> gemmi.UnitCell:
        """Return the unit cell; of no crystal where the block names none."""
        return block_cell(self.block)

    def group(self) -> tuple[Group | None, Notes]:
        """Symmetry of the block in its most explicit spelling, and what contradicts it."""
        return block_group(self.block, self.cell(), self.path)


def spelled(tag: str) -> str:
    """Return a known tag as the dictionary spells it: the case of a tag has no meaning."""
    return _SPELLING.get(tag.lower(), tag)


def reflection_blocks(document: gemmi.cif.Document, path: str) -> list[ReflectionBlock]:
    """Return the blocks that list merged reflections.

    Raises
    ------
    InputError
        None does.
    """
    blocks = [
        ReflectionBlock(block, separator, path)
        for block in document
        for separator in "._"
        if len(block.find_values(f"_refln{separator}index_h"))
        and block.find_loop(f"_refln{separator}index_h").get_loop() is not None
    ]
    if blocks:
        return blocks
    unmerged = any(
        len(block.find_values(f"_diffrn_refln{separator}index_h"))
        for block in document
        for separator in "._"
    )
    if unmerged:
        raise InputError(
            "the CIF lists unmerged reflections (_diffrn_refln): single intensities are no |F|",
            source=path,
            remedy="give the merged list (_refln)",
        )
    raise InputError("the CIF lists no reflections", source=path)


def block_cell(block: gemmi.cif.Block) -> gemmi.UnitCell:
    """Return the unit cell of a block; of no crystal where it names none."""
    numbers = [gemmi.cif.as_number(_value(block, (f"_cell{{}}{name}",)) or "?") for name in _CELL]
    if not all(np.isfinite(numbers)):
        return gemmi.UnitCell()
    return gemmi.UnitCell(*numbers)


def block_group(
    block: gemmi.cif.Block, cell: gemmi.UnitCell, path: str
) -> tuple[Group | None, Notes]:
    """Symmetry of a block of any dictionary, the origin included.

    Operators come before a Hall symbol, a Hermann-Mauguin symbol and a number; one that
    contradicts the one used is told.

    Raises
    ------
    InputError
        Operators that make no group.
    """
    hall = _value(block, _HALL)
    of_hall: Group | None = None
    if hall:
        operations = hall_operations(hall)
        if operations is not None:
            of_hall = gemmi.find_spacegroup_by_ops(operations) or operations
    symbol, number = _value(block, _SYMBOLS), _value(block, _NUMBERS)
    candidates: Sequence[tuple[str, Group | None]] = (
        ("the listed operators", listed_operations(_operators(block), path)),
        ("the Hall symbol", of_hall),
        ("the symbol", named_group(symbol, cell) if symbol else None),
        ("number", numbered_group(int(number), cell) if number.isdecimal() else None),
    )
    group, notes = chosen_group(candidates, path)
    if all(found is None for _, found in candidates[:2]):
        notes += origin_notes(group, symbol, path)
    return group, notes


def _operators(block: gemmi.cif.Block) -> list[str]:
    for tag in _OPERATORS:
        for separator in "._":
            found = [value.strip("'\"") for value in block.find_values(tag.format(separator))]
            if found and found[0] not in _NULL:
                return found
    return []


def _value(block: gemmi.cif.Block, tags: Sequence[str]) -> str:
    """First value that is given under any of the tags (`{}` stands for the separator)."""
    for tag in tags:
        for separator in "._":
            for value in block.find_values(tag.format(separator)):
                text = gemmi.cif.as_string(value).strip()
                if text and text not in _NULL:
                    return str(text)
    return ""
