"""CIF of any flavour: opened, bounded; cell and symmetry of a block in dotted or core tags."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import gemmi
import numpy as np

from distbragg.errors import InputError
from distbragg.read import groups
from distbragg.read.text import Reading, read_text, shown

_PARSER_ERRORS: Final = (
    RuntimeError, ValueError, IndexError, OverflowError, MemoryError, KeyError, OSError
)  # fmt: skip
"""What gemmi raises on damaged input."""

NULL: Final = ("?", ".", "")

_CELL: Final = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
_OPERATORS: Final = ("_space_group_symop{}operation_xyz", "_symmetry_equiv{}pos_as_xyz")
_HALL: Final = ("_space_group{}name_Hall", "_symmetry{}space_group_name_Hall")
_SYMBOLS: Final = (
    "_symmetry{}space_group_name_H-M",
    "_space_group{}name_H-M_alt",
    "_space_group{}name_H-M_full",
)
_NUMBERS: Final = ("_symmetry{}Int_Tables_number", "_space_group{}IT_number")


@contextmanager
def damage_is_input_error(path: str, what: str = "damaged content") -> Iterator[None]:
    """Turn whatever gemmi raises on damaged content (also text that is no UTF-8) into one error."""
    try:
        yield
    except _PARSER_ERRORS as error:
        raise InputError(f"{what} ({shown(str(error))})", source=path) from error


def open_cif(path: str) -> gemmi.cif.Document:
    """Parse a CIF file, compressed or not."""
    text = read_text(path)
    with damage_is_input_error(path, "not a readable CIF"):
        document = gemmi.cif.read_string(text)
    if len(document) == 0:
        raise InputError("the CIF holds no data block", source=path)
    return document


def block_cell(block: gemmi.cif.Block) -> gemmi.UnitCell:
    """Return the unit cell of a block; of no crystal where it names none."""
    numbers = [gemmi.cif.as_number(_value(block, (f"_cell{{}}{name}",)) or "?") for name in _CELL]
    return gemmi.UnitCell(*numbers) if all(np.isfinite(numbers)) else gemmi.UnitCell()


def block_group(block: gemmi.cif.Block, cell: gemmi.UnitCell, file: Reading) -> groups.Group | None:
    """Symmetry of a block of any dictionary, the origin included.

    Operators come before a Hall symbol, a Hermann-Mauguin symbol and a number; one that
    contradicts the one used is told.
    """
    symbol = _value(block, _SYMBOLS)
    candidates: Sequence[tuple[str, groups.Group | None]] = (
        ("the listed operators", groups.listed_operations(_values(block, _OPERATORS), file)),
        ("the Hall symbol", groups.hall_group(_value(block, _HALL) or "?")),
        ("the symbol", groups.named_group(symbol, cell)),
        ("number", groups.numbered_group(_value(block, _NUMBERS), cell)),
    )
    group = groups.chosen_group(candidates, file)
    if all(found is None for _, found in candidates[:2]):
        groups.warn_of_origin(group, symbol, file)
    return group


def _values(block: gemmi.cif.Block, tags: Sequence[str]) -> list[str]:
    """Values under the first of the tags (`{}` stands for the separator) that gives any."""
    for tag in tags:
        for separator in "._":
            found = [
                gemmi.cif.as_string(v).strip() for v in block.find_values(tag.format(separator))
            ]
            if found and found[0] not in NULL:
                return found
    return []


def _value(block: gemmi.cif.Block, tags: Sequence[str]) -> str:
    return next(iter(_values(block, tags)), "")
