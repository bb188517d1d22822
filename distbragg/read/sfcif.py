"""Structure-factor amplitudes of CIF: SF-mmCIF, and the .fcf of SHELXL and its kin."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.notes import Note, Notes
from distbragg.read.cif import open_cif
from distbragg.read.groups import Group, overruled
from distbragg.read.intensities import (
    IntensityRule,
    filled_by_mean,
    refused_intensities,
    roots,
)
from distbragg.read.labels import scale_notes
from distbragg.read.miller import MillerTable
from distbragg.read.refln_block import ReflectionBlock, reflection_blocks, spelled
from distbragg.read.symmetry import CellSix, cell_six, listed_amplitudes
from distbragg.read.text import shown

_AMPLITUDES: Final = (
    "F_meas_au",
    "F_meas",
    "F_calc_au",
    "F_calc",
    "pdbx_F_calc_with_solvent",
    "A_calc",
    "F_squared_calc",
)
"""In the order of choice. `A_calc` stands for the modulus of A_calc and B_calc."""

_PAIR: Final = ("pdbx_F_plus", "pdbx_F_minus")
_INTENSITY_PAIR: Final = ("pdbx_I_plus", "pdbx_I_minus")
_INTENSITIES: Final = (*_INTENSITY_PAIR, "intensity_meas", "F_squared_meas", "intensity_calc")
_WAY_OUT: Final = "ctruncate or phenix.french_wilson"
_LEFT_OUT: Final = {"x": "not used", "-": "systematically absent"}
_SETS: Final = ("crystal_id", "wavelength_id")


def read_sfcif(
    path: str,
    *,
    column: str | None,
    dmin: float | None,
    intensities: IntensityRule = "refuse",
    group: Group | None = None,
) -> MillerTable:
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
    intensities : {"refuse", "root"}
    group : Group, optional
        In place of the symmetry of the file.

    Raises
    ------
    InputError
        Not a readable file, no amplitudes (intensities are refused), unmerged data.
    """
    blocks = reflection_blocks(open_cif(path), path)
    block, label = _choose(blocks, column, intensities, path)
    indices = block.indices()
    amplitude, mates, notes = _values(block, label)
    if amplitude.shape[0] != indices.shape[0]:
        raise InputError("reflections without three indices each", source=path)
    keep, more = _kept(block, indices)
    notes = (*_choice_notes(blocks, block, label), *notes, *more)
    if any(b.block.find_loop("_atom_site.Cartn_x") for b in blocks):
        text = "the file holds atoms too: structure_factors.format: model computes |F| of them"
        notes += (Note("note", path, text),)
    cell = next((b.cell() for b in (block, *blocks) if b.cell().is_crystal()), block.cell())
    cell_six(cell, path)
    group, doubts = overruled(group, *_group(block, blocks), path)
    notes += doubts
    return listed_amplitudes(
        indices[keep],
        amplitude[keep],
        cell=cell,
        group=group,
        dmin=dmin,
        source=path,
        mates=None if mates is None else mates[keep],
        notes=notes,
    )


def sfcif_cell(path: str) -> CellSix:
    """Return the unit cell (Å, degrees) of a CIF of reflections.

    Raises
    ------
    InputError
    """
    blocks = reflection_blocks(open_cif(path), path)
    cells = [block.cell() for block in blocks]
    return cell_six(next((cell for cell in cells if cell.is_crystal()), cells[0]), path)


def _group(block: ReflectionBlock, blocks: Sequence[ReflectionBlock]) -> tuple[Group | None, Notes]:
    """Symmetry of the block, or of the first that names one: later blocks often do not."""
    for candidate in (block, *blocks):
        group, notes = candidate.group()
        if group is not None:
            return group, notes
    return None, ()


def _choose(
    blocks: list[ReflectionBlock], column: str | None, intensities: IntensityRule, path: str
) -> tuple[ReflectionBlock, str]:
    named = column is not None
    label = "" if column is None else spelled(re.sub(r"(?i)^_refln[._]", "", column))
    if label in _INTENSITIES and intensities == "refuse":
        raise refused_intensities(label, path, _WAY_OUT)
    extra = _INTENSITIES if intensities == "root" else ()
    wanted = (label,) if named else (*_AMPLITUDES, *extra)
    for block in blocks:
        labels = set(block.labels())
        pair = (not named or label in _PAIR) and set(_PAIR) <= labels
        if pair and any(_has_values(block, half) for half in _PAIR):
            return block, _PAIR[0]
        for candidate in wanted:
            # Deposited files declare columns that hold no value.
            listed = candidate in labels and candidate not in _PAIR
            if listed and (named or _has_values(block, candidate)):
                _check_readable(candidate, labels, path)
                return block, _INTENSITY_PAIR[0] if candidate in _INTENSITY_PAIR else candidate
    known = list(dict.fromkeys(name for block in blocks for name in block.labels()))
    if not named and set(known) & set(_INTENSITIES):
        found = next(name for name in known if name in _INTENSITIES)
        raise refused_intensities(found, path, _WAY_OUT)
    usable = [name for name in known if name in (*_AMPLITUDES, *_PAIR)]
    raise InputError(
        f"no merged column '{shown(label)}'" if named else "no merged amplitudes",
        source=path,
        field="structure_factors.column",
        remedy=f"known tags: {' '.join(_AMPLITUDES)}; the file has {' '.join(usable) or 'none'}",
    )


def _check_readable(label: str, labels: set[str], path: str) -> None:
    known = (*_AMPLITUDES, *_INTENSITIES)
    other = not label.startswith(("F_", "pdbx_F")) or "sigma" in label.lower()
    if label not in known and other:
        raise InputError(
            f"column '{shown(label)}' is no amplitude",
            source=path,
            field="structure_factors.column",
            remedy=f"known tags: {' '.join(_AMPLITUDES)}",
        )
    for pair in (("A_calc", "B_calc"), _INTENSITY_PAIR):
        if label in pair and not set(pair) <= labels:
            raise InputError(
                f"{pair[0]} or {pair[1]} alone", source=path, remedy="give a file with both"
            )


def _has_values(block: ReflectionBlock, label: str) -> bool:
    return bool(np.isfinite(block.numbers(label)).any())


def _values(
    block: ReflectionBlock, label: str
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None, Notes]:
    """Amplitudes, those of the mates of a pair, and what was done to get them."""
    values = block.numbers(label)
    if label == _PAIR[0]:
        minus = block.numbers(_PAIR[1])
        mean = next((name for name in ("F_meas_au", "F_meas") if name in block.labels()), None)
        if mean is None:
            return values, minus, ()
        plus, notes = filled_by_mean(values, minus, block.numbers(mean), mean, block.path)
        return plus, minus, notes
    if label == _INTENSITY_PAIR[0]:
        plus, notes = roots(values, label, block.path)
        minus, more = roots(block.numbers(_INTENSITY_PAIR[1]), _INTENSITY_PAIR[1], block.path)
        return plus, minus, notes + more
    if label == "A_calc":
        return np.hypot(values, block.numbers("B_calc")), None, ()
    if label in (*_INTENSITIES, "F_squared_calc"):
        amplitude, notes = roots(values, label, block.path)
        return amplitude, None, notes
    return values, None, ()


def _kept(block: ReflectionBlock, indices: NDArray[np.int64]) -> tuple[NDArray[np.bool_], Notes]:
    """Tell the reflections that count: of the first crystal and wavelength, not marked unused."""
    keep = np.ones(indices.shape[0], dtype=bool)
    notes: list[Note] = []
    labels = block.labels()
    for name in _SETS:
        values = np.array(block.text(name)) if name in labels else np.array([])
        if np.unique(values).size > 1 and values.shape == keep.shape:
            keep &= values == values[0]
            others = " ".join(sorted({shown(value) for value in values.tolist()}))
            text = f"{name} {shown(str(values[0]))} of {others} is read"
            notes.append(Note("warning", block.path, text))
    for name in ("status", "observed_status"):
        marks = np.array(block.text(name)) if name in labels else np.array([])
        for mark, meaning in _LEFT_OUT.items():
            marked = (marks == mark) if marks.shape == keep.shape else np.zeros_like(keep)
            if marked.any():
                text = f"{int(marked.sum())} reflections of {name} {mark} ({meaning}) are left out"
                notes.append(Note("note", block.path, text))
                keep &= ~marked
    _, counts = np.unique(indices[keep], axis=0, return_counts=True)
    if (counts > 1).any():
        text = f"{int((counts > 1).sum())} reflections are listed repeatedly and averaged"
        notes.append(Note("warning", block.path, text))
    return keep, tuple(notes)


def _choice_notes(blocks: Sequence[ReflectionBlock], block: ReflectionBlock, label: str) -> Notes:
    pair = next((pair for pair in (_PAIR, _INTENSITY_PAIR) if label in pair), (label,))
    name = " and ".join(pair)
    text = f"_refln{block.separator}{name} is |F|"
    if len(blocks) > 1:
        text += f", of block {shown(block.name)} ({len(blocks)} blocks list reflections)"
    others = [other for other in block.labels() if other in _AMPLITUDES]
    return (Note("note", block.path, text), *scale_notes(label, others, block.path))
