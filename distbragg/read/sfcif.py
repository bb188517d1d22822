"""Structure-factor amplitudes of SF-mmCIF files."""

from __future__ import annotations

from typing import Final

import gemmi
import numpy as np

from distbragg.errors import InputError
from distbragg.read.cif import PARSER_ERRORS, open_cif
from distbragg.read.miller import MAXIMUM_INDEX, MillerTable
from distbragg.read.symmetry import CellSix, cell_six, listed_amplitudes
from distbragg.read.text import read_text, shown

_AMPLITUDES: Final = (
    "F_meas_au",
    "F_meas",
    "F_calc_au",
    "F_calc",
    "pdbx_F_calc_with_solvent",
)
_PAIR: Final = ("pdbx_F_plus", "pdbx_F_minus")
_INTENSITIES: Final = ("intensity_meas", "F_squared_meas", "intensity_calc", "F_squared_calc")


def holds_reflections(path: str) -> bool:
    """Tell whether a CIF lists reflections rather than atoms.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    text = read_text(path)
    return "_refln.index_h" in text or "_refln.index_k" in text


def read_sfcif(path: str, *, column: str | None, dmin: float | None) -> MillerTable:
    """Read merged amplitudes of the first block that has them, expanded to P1.

    `pdbx_F_plus` and `pdbx_F_minus` together give each Friedel mate its own amplitude and are
    preferred; a mate that was not measured has the other's.

    Parameters
    ----------
    path : str
        May be compressed (`.gz`).
    column : str, optional
        Tag without `_refln.`, such as `F_meas_au`; found by its usual names where not given.
    dmin : float, optional
        Å; reflections of smaller spacing are left out.

    Raises
    ------
    InputError
        Not a readable file, no amplitudes (intensities are refused), unmerged data.
    """
    blocks = _blocks(path)
    block, label = _choose(blocks, column, path)
    try:
        indices = np.array(block.make_miller_array(), dtype=np.int64)
        amplitude = np.array(block.make_float_array(label), dtype=np.float64)
        mates = (
            np.array(block.make_float_array(_PAIR[1]), dtype=np.float64)
            if label == _PAIR[0]
            else None
        )
    except PARSER_ERRORS as error:
        raise InputError(f"damaged reflections ({shown(str(error))})", source=path) from error
    if indices.ndim != 2 or indices.shape[0] != amplitude.shape[0]:
        raise InputError("reflections without three indices each", source=path)
    if indices.size and np.abs(indices).max() > MAXIMUM_INDEX:
        raise InputError("a Miller index is out of range", source=path)
    cell_six(block.cell, path)
    return listed_amplitudes(
        indices,
        amplitude,
        cell=block.cell,
        spacegroup=block.spacegroup,
        dmin=dmin,
        source=path,
        mates=mates,
    )


def sfcif_cell(path: str) -> CellSix:
    """Return the unit cell (Å, degrees) of an SF-mmCIF file.

    Raises
    ------
    InputError
    """
    return cell_six(_blocks(path)[0].cell, path)


def _blocks(path: str) -> list[gemmi.ReflnBlock]:
    document = open_cif(path)
    try:
        blocks = [block for block in gemmi.as_refln_blocks(document) if block]
    except PARSER_ERRORS as error:
        raise InputError(f"damaged reflections ({shown(str(error))})", source=path) from error
    if not blocks:
        raise InputError("the CIF lists no reflections", source=path)
    return blocks


def _choose(
    blocks: list[gemmi.ReflnBlock], column: str | None, path: str
) -> tuple[gemmi.ReflnBlock, str]:
    wanted = _AMPLITUDES if column is None else (column.removeprefix("_refln."),)
    if wanted[0] in _INTENSITIES:
        raise _intensities(path)
    for block in blocks:
        labels = set(block.column_labels())
        asked = column is None or wanted[0] in _PAIR
        if asked and set(_PAIR) <= labels and block.is_merged() and _has_values(block):
            return block, _PAIR[0]
        for label in wanted:
            if label in _PAIR:
                continue
            if label in labels and block.is_merged():
                return block, label
    labels = {label for block in blocks for label in block.column_labels()}
    if column is None and labels & set(_INTENSITIES):
        raise _intensities(path)
    raise InputError(
        "no merged amplitudes" if column is None else f"no merged column '{shown(column)}'",
        source=path,
        field="structure_factors.column",
        remedy=f"known tags: {' '.join(_AMPLITUDES)}",
    )


def _has_values(block: gemmi.ReflnBlock) -> bool:
    values = np.array(block.make_float_array(_PAIR[0]), dtype=np.float64)
    return bool(np.isfinite(values).any())


def _intensities(path: str) -> InputError:
    return InputError(
        "intensities, no amplitudes",
        source=path,
        remedy="weak intensities need a truncation step (French and Wilson) to become |F|",
    )
