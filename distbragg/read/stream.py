"""CrystFEL streams: the crystals that indexing found, chunk by chunk.

A chunk is one frame: its photon energy, and between `--- Begin crystal` and `--- End crystal` each
lattice, whose `astar`, `bstar` and `cstar` are in nm⁻¹ in CrystFEL's frame: z along the beam, y up,
x so that it is right-handed. Peaks and reflections are passed over.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import unreadable
from distbragg.matrices import determinant3
from distbragg.read.text import Reading, remembered, shown

MAXIMUM_CRYSTALS: Final = 10_000_000
_LONGEST_LINE: Final = 1 << 16
_HEAD: Final = b"CrystFEL stream format 2."
_ANGSTROM_PER_NM: Final = 10.0
_STARS: Final = (b"astar", b"bstar", b"cstar")


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """A frame of a stream."""

    number: int  # from 1
    energy: float  # eV
    crystals: tuple[NDArray[np.float64], ...]  # (3, 3) each: rows a*, b*, c*, 1/Å


@remembered(2)
def read_stream(path: str) -> tuple[Chunk, ...]:
    """Read the chunks of a stream, those without crystals too."""
    return tuple(_Stream(path).chunks())


class _Stream(Reading):
    """A stream that is read line by line: its reflections may be many gigabytes."""

    def chunks(self) -> Iterator[Chunk]:
        """Yield the chunks in order."""
        number, crystals = 0, 0
        lines = self._lines()
        for _, text in lines:
            if text.startswith(b"----- Begin chunk"):
                number += 1
                chunk = self._chunk(number, lines)
                crystals += len(chunk.crystals)
                if crystals > MAXIMUM_CRYSTALS:
                    raise self.refusal(f"more than {MAXIMUM_CRYSTALS} crystals")
                yield chunk

    def _chunk(self, number: int, lines: Iterator[tuple[int, bytes]]) -> Chunk:
        """Read on to the end of a chunk."""
        energy, found = math.nan, list[dict[bytes, list[float]]]()
        for line, text in lines:
            name, _, value = text.partition(b" = ")
            if name == b"photon_energy_eV":
                energy = self._number(value, line)
            elif text.startswith(b"--- Begin crystal"):
                found.append({})
            elif name in _STARS and found:
                *numbers, unit = value.split() or [b""]
                if unit != b"nm^-1":
                    raise self.refusal(f"{name.decode()} is not in nm^-1", line=line)
                found[-1][name] = [self._number(word, line) for word in numbers]
            elif text.startswith(b"----- Begin chunk"):
                raise self.refusal(f"chunk {number} has no end before the next", line=line)
            elif text.startswith(b"----- End chunk"):
                if not energy > 0.0:
                    raise self.refusal(f"chunk {number} has no photon energy", line=line)
                return Chunk(number, energy, tuple(self._basis(one, line) for one in found))
        raise self.refusal("ends within a chunk", "the file was cut off: remove its last chunk")

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        try:
            with Path(self.path).open("rb") as handle:
                for number, text in enumerate(iter(lambda: handle.readline(_LONGEST_LINE), b""), 1):
                    if number == 1 and not text.startswith(_HEAD):
                        raise self.refusal("is no CrystFEL stream of format 2")
                    if len(text) == _LONGEST_LINE:
                        raise self.refusal(
                            f"a line of more than {_LONGEST_LINE} bytes", line=number
                        )
                    yield number, text
        except OSError as error:
            raise unreadable(error, self.path) from error

    def _number(self, text: bytes, line: int) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            word = shown(text.decode("ascii", "replace").strip())
            raise self.refusal(f"{word!r} is not a finite number", line=line)
        return value

    def _basis(self, stars: dict[bytes, list[float]], line: int) -> NDArray[np.float64]:
        if any(len(stars.get(name, ())) != len(_STARS) for name in _STARS):
            raise self.refusal("a crystal of this chunk lacks astar, bstar or cstar", line=line)
        basis = np.array([stars[name] for name in _STARS]) / _ANGSTROM_PER_NM
        if not determinant3(basis) > 0.0:
            raise self.refusal(
                "the axes of a crystal are left-handed or lie in one plane", line=line
            )
        return basis
