"""Crystals of DIALS experiment lists and CrystFEL streams as the values of a sweep's axes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from distbragg.errors import InputError
from distbragg.matrices import inverse3, matmul3, transposed
from distbragg.models.file_frames import IMGCIF_TO_CRYSTFEL, imgcif_frame, setting_frame
from distbragg.models.rotations import orientation_of
from distbragg.models.vectors import Float64Array, cell_of
from distbragg.spec.load import TableOf
from distbragg.units import energy_ev_to_wavelength_angstrom, wavelength_angstrom_to_energy_ev

QUANTITIES: Final = (
    "a_matrix_per_angstrom",
    "u_matrix",
    "cell",
    "energy_ev",
    "wavelength_angstrom",
)
_X: Final = np.array([1.0, 0.0, 0.0])
_FURTHER: Final = re.compile(r"^crystal\.lattices\.(\d+)\.")


@dataclass(frozen=True, slots=True, eq=False)
class _Crystal:
    """A lattice that a file lists, in the laboratory frame of an experiment."""

    frame: int  # which of the file's frames it is of; of a list, which has none, its own
    wavelength: float  # Å
    reciprocal: Float64Array  # (3, 3), 1/Å: columns a*, b*, c*

    def value(self, quantity: str) -> Any:  # noqa: ANN401
        """Return what an axis sets."""
        if quantity == "a_matrix_per_angstrom":
            return self.reciprocal.ravel().tolist()
        if quantity == "wavelength_angstrom":
            return self.wavelength
        if quantity == "energy_ev":
            return wavelength_angstrom_to_energy_ev(self.wavelength)
        real = inverse3(self.reciprocal)
        return list(cell_of(real)) if quantity == "cell" else orientation_of(real).ravel().tolist()


def crystal_rows(path: Path, columns: Sequence[str] | None, of: TableOf) -> list[Any]:
    """Return what an axis sets by the crystals of a file, in their order: a row for each.

    What is not named by a column is what the axis sets. With a number of lattices a row is a frame
    that has so many, of which `crystal.lattices.N` sets one; else a row is a crystal.

    Raises
    ------
    InputError
        The file cannot be read or holds no such crystal, or has nothing for the axis to set.
    """
    quantity = (columns or [of.target.rpartition(".")[2]])[0]
    further = _FURTHER.match(of.target)
    if quantity not in QUANTITIES or len(columns or "x") > 1:
        raise InputError(
            f"has nothing for {of.target or 'no path'}",
            source=str(path),
            field="table",
            remedy=f"crystals of a file have {', '.join(QUANTITIES)}: name one as column",
        )
    place = int(further[1]) + 1 if further else 0
    if place and not place < (of.lattices or 0):
        raise InputError(
            f"lattice {place + 1} of frames of {of.lattices or 'any number of'} lattices",
            source=str(path),
            field="table.lattices",
            remedy=f"give how many the frames are to have, {place + 1} or more",
        )
    found = list(_crystals(path, of))
    if of.lattices is not None:
        found = _of_frames(found, of.lattices, place)
    if not found:
        wanted = "crystal" if of.lattices is None else f"frame of {of.lattices} lattices"
        raise InputError(f"holds no {wanted}", source=str(path), field="table.file")
    return [one.value(quantity) for one in found]


def _of_frames(found: list[_Crystal], lattices: int, place: int) -> list[_Crystal]:
    """Return one crystal of each frame that has so many of them."""
    frames: dict[int, list[_Crystal]] = {}
    for one in found:
        frames.setdefault(one.frame, []).append(one)
    return [members[place] for members in frames.values() if len(members) == lattices]


def _crystals(path: Path, of: TableOf) -> Iterator[_Crystal]:
    """Yield the crystals of a file, turned from its frame into the laboratory's."""
    to_laboratory = transposed(setting_frame(of.experiment))
    if path.suffix == ".stream":
        from distbragg.read.stream import read_stream

        turn = matmul3(to_laboratory, transposed(IMGCIF_TO_CRYSTFEL))
        for chunk in read_stream(str(path)):
            wavelength = energy_ev_to_wavelength_angstrom(chunk.energy)
            for rows in chunk.crystals:
                yield _Crystal(chunk.number, wavelength, matmul3(turn, transposed(rows)))
        return
    from distbragg.read.geometry.expt_crystals import read_crystals

    if of.lattices is not None:
        raise InputError(
            "does not say which crystals are of one frame",
            source=str(path),
            field="table.lattices",
            remedy="leave it out, or give a stream",
        )
    for number, listed in enumerate(read_crystals(str(path))):
        # The list's beam and spindle become the laboratory's.
        beam = np.array(listed.beam)
        spindle = _X if listed.spindle is None else np.array(listed.spindle)
        turn = matmul3(to_laboratory, imgcif_frame(beam, spindle, np.array([0.0, 1.0, 0.0])))
        reciprocal = inverse3(np.array(listed.real_space))
        yield _Crystal(number, listed.wavelength, matmul3(turn, reciprocal))
