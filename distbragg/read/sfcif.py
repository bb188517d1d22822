"""Structure-factor amplitudes of CIF: SF-mmCIF, and the .fcf of SHELXL and its kin."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import gemmi
import numpy as np
from numpy.typing import NDArray

from distbragg.read.amplitudes import Column, amplitudes, choose, no_column, warn_of_scale
from distbragg.read.cif import NULL, block_cell, block_group, open_cif
from distbragg.read.groups import Group, overruled
from distbragg.read.miller import Asked, MillerTable, repeated, whole_indices
from distbragg.read.symmetry import CellSix, cell_six, listed_amplitudes
from distbragg.read.text import Reading, shown

_MEANS: Final = ("F_meas_au", "F_meas")
_COLUMNS: Final = (
    Column("pdbx_F_plus", mates="pdbx_F_minus"),
    *(Column(label) for label in (*_MEANS, "F_calc_au", "F_calc", "pdbx_F_calc_with_solvent")),
    Column("A_calc"),
    Column("F_squared_calc", squared=True),
    Column("pdbx_I_plus", mates="pdbx_I_minus", squared=True, intensity=True),
    *(
        Column(label, squared=True, intensity=True)
        for label in ("intensity_meas", "F_squared_meas", "intensity_calc")
    ),
)
"""In the order of choice. `A_calc` stands for the modulus of A_calc and B_calc."""

_SETS: Final = ("crystal_id", "wavelength_id")
_MARKS: Final = ("status", "observed_status")
_LEFT_OUT: Final = {"x": "not used", "-": "systematically absent"}
_TAGS: Final = ("B_calc", *_SETS, *_MARKS, *(name for c in _COLUMNS for name in (c.label, c.mates)))
_SPELLING: Final = {tag.lower(): tag for tag in _TAGS if tag}


def read_sfcif(path: str, asked: Asked) -> MillerTable:
    """Read merged amplitudes of the first block that has them, expanded to P1.

    `pdbx_F_plus` and `pdbx_F_minus` together give each Friedel mate its own amplitude and are
    preferred; a mate that was not measured has the other's. A column is asked for by its tag
    without `_refln.`.
    """
    file = Reading(path)
    blocks = _blocks(file)
    if asked.column is not None:
        asked = replace(asked, column=_spelled(re.sub(r"(?i)^_refln[._]", "", asked.column)))
    block, chosen = _choose(blocks, asked, file)
    indices = block.indices()
    _tell_choice(blocks, block, chosen, file)
    amplitude, mates = amplitudes(chosen, block.amplitudes, file)
    if amplitude.shape[0] != indices.shape[0]:
        raise file.refusal("reflections without three indices each")
    keep = _kept(block, indices, file)
    if any(b.block.find_loop("_atom_site.Cartn_x") for b in blocks):
        file.note("the file holds atoms too: structure_factors.format: model computes |F| of them")
    # Later blocks often do not repeat cell and symmetry.
    order = (block, *blocks)
    cell = _first_cell(order)
    cell_six(cell, file)

    return listed_amplitudes(
        indices[keep],
        amplitude[keep],
        overruled(asked.group, partial(_first_group, order), file),
        file,
        cell=cell,
        dmin=asked.dmin,
        mates=None if mates is None else mates[keep],
    )


def _first_group(blocks: Sequence[_Block], file: Reading) -> Group | None:
    groups = (block_group(b.block, block_cell(b.block), file) for b in blocks)
    return next((group for group in groups if group is not None), None)


def sfcif_group(path: str, _asked: Asked) -> Group | None:
    """Return the space group that a CIF of reflections names."""
    file = Reading(path)
    return _first_group(_blocks(file), file)


def sfcif_cell(path: str, _asked: Asked) -> CellSix:
    """Return the unit cell (Å, degrees) of a CIF of reflections."""
    file = Reading(path)
    return cell_six(_first_cell(_blocks(file)), file)


@dataclass(frozen=True, slots=True)
class _Block:
    """One block that lists merged reflections, in tags with a dot or an underscore."""

    block: gemmi.cif.Block
    separator: str
    file: Reading

    def labels(self) -> list[str]:
        """Tags of the list without `_refln.`, known ones as the dictionary spells them."""
        loop = self.block.find_loop(f"_refln{self.separator}index_h").get_loop()
        return [_spelled(str(tag)[len("_refln.") :]) for tag in loop.tags]

    def text(self, label: str) -> list[str]:
        """Values of a column as written, without quotes."""
        tag = f"_refln{self.separator}{label}"
        return [value.strip("'\"") for value in self.block.find_values(tag)]

    def numbers(self, label: str) -> NDArray[np.float64]:
        """Values of a column; `?`, `.` and `nan` are NaN, what is not a number is refused."""
        written = self.text(label)
        values = np.array([gemmi.cif.as_number(text) for text in written], dtype=np.float64)
        for row in np.flatnonzero(np.isnan(values)).tolist():
            if written[row].lower() not in (*NULL, "nan"):
                what = f"{label} '{shown(written[row])}' of reflection {row + 1}"
                raise self.file.refusal(f"{what} is not a number")
        return values

    def amplitudes(self, label: str) -> NDArray[np.float64]:
        values = self.numbers(label)
        return np.hypot(values, self.numbers("B_calc")) if label == "A_calc" else values

    def filled(self, label: str) -> bool:
        return bool(np.isfinite(self.numbers(label)).any())

    def indices(self) -> NDArray[np.int64]:
        """Miller indices (n, 3)."""
        columns = [self.numbers(f"index_{axis}") for axis in "hkl"]
        if len({column.shape[0] for column in columns}) > 1:
            raise self.file.refusal("reflections without three indices each")
        return whole_indices(np.stack(columns, axis=1), self.file)

    def columns(self) -> list[Column]:
        """Columns in the order of preference, other amplitudes and what is none at the end."""
        labels = self.labels()
        mean = next((name for name in _MEANS if name in labels), "")
        found = []
        for column in _COLUMNS:
            names = {column.label, column.mates or column.label}
            names |= {"B_calc"} if column.label == "A_calc" else set()
            if names <= set(labels):
                paired = column.mates and not column.intensity
                found.append(replace(column, mean=mean) if paired else column)
            elif names & set(labels):
                (half,) = [name for name in names if name in labels][:1]
                lacking = " and ".join(sorted(names - {half}))
                found.append(Column(half, intensity=column.intensity, problem=f"needs {lacking}"))
        known = {name for column in found for name in (column.label, column.mates)}
        for label in labels:
            if label not in known:
                other = label.startswith(("F_", "pdbx_F")) and "sigma" not in label.lower()
                problem = "" if other else "is not an amplitude"
                found.append(Column(label, by_name=True, problem=problem))
        return found


def _spelled(tag: str) -> str:
    """Return a known tag as the dictionary spells it: the case of a tag has no meaning."""
    return _SPELLING.get(tag.lower(), tag)


def _first_cell(blocks: Sequence[_Block]) -> gemmi.UnitCell:
    """Return the cell of the first block that names one."""
    cells = [block_cell(b.block) for b in blocks]
    return next((cell for cell in cells if cell.is_crystal()), cells[0])


def _blocks(file: Reading) -> list[_Block]:
    """Return the blocks that list merged reflections."""
    document = open_cif(file.path)

    def listing(prefix: str) -> list[_Block]:
        return [
            _Block(block, separator, file)
            for block in document
            for separator in "._"
            if len(block.find_values(f"{prefix}{separator}index_h"))
            and block.find_loop(f"{prefix}{separator}index_h").get_loop() is not None
        ]

    blocks = listing("_refln")
    if blocks:
        return blocks
    if listing("_diffrn_refln"):
        raise file.refusal(
            "the CIF lists unmerged reflections (_diffrn_refln): single intensities are not |F|",
            "give the merged list (_refln)",
        )
    raise file.refusal("the CIF lists no reflections")


def _choose(blocks: Sequence[_Block], asked: Asked, file: Reading) -> tuple[_Block, Column]:
    every = [block.columns() for block in blocks]
    for block, columns in zip(blocks, every, strict=True):
        chosen = choose(columns, asked, block.filled, file)
        if chosen is not None:
            return block, chosen
    raise no_column([column for columns in every for column in columns], asked.column, file)


def _kept(block: _Block, indices: NDArray[np.int64], file: Reading) -> NDArray[np.bool_]:
    """Tell the reflections that count: of the first crystal and wavelength, not marked unused."""
    keep = np.ones(indices.shape[0], dtype=bool)
    for name in (*_SETS, *_MARKS):
        values = np.array(block.text(name))
        if values.shape != keep.shape:
            continue
        if name in _SETS and np.unique(values).size > 1:
            keep &= values == values[0]
            others = " ".join(sorted({shown(value) for value in values.tolist()}))
            file.warn(f"{name} {shown(str(values[0]))} of {others} is read")
        for mark, meaning in _LEFT_OUT.items() if name in _MARKS else ():
            marked = values == mark
            if marked.any():
                count = int(marked.sum())
                file.note(f"{count} reflections of {name} {mark} ({meaning}) are left out")
                keep &= ~marked
    again = repeated(indices[keep])
    if again:
        file.warn(f"{again} reflections are listed repeatedly and averaged")
    return keep


def _tell_choice(blocks: Sequence[_Block], block: _Block, chosen: Column, file: Reading) -> None:
    name = " and ".join(filter(None, (chosen.label, chosen.mates)))
    text = f"_refln{block.separator}{name} is |F|"
    if len(blocks) > 1:
        name = shown(str(block.block.name))
        text += f", of block {name} ({len(blocks)} blocks list reflections)"
    file.note(text)
    others = [column.label for column in _COLUMNS[1:7] if column.label in block.labels()]
    warn_of_scale(chosen.label, others, file)
