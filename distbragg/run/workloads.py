"""The workloads that speed is judged on, and the reflection list they need."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from distbragg.errors import InputError

TABLE: Final = Path(__file__).parents[1] / "data" / "workloads.json"
INPUT_FILE: Final = "P1.hkl"

_CELL: Final = (79.1, 79.1, 38.0)
_LARGEST: Final = (40, 40, 20)
_DMIN: Final = 1.9
_B_FACTOR: Final = 10.0
_MEAN_SQUARE: Final = 3.0e5


@dataclass(frozen=True, slots=True)
class Workload:
    """One workload, as a command line of nanoBragg.

    Attributes
    ----------
    name : str
    arguments : tuple of str
        Flags of nanoBragg; input files relative to the folder of inputs.
    steps : int
        Pixels × sources × phi steps × domains × sub-pixels.
    gpu_only : bool
        Too large for a CPU's patience.
    """

    name: str
    arguments: tuple[str, ...]
    steps: int
    gpu_only: bool = False

    def argument(self, flag: str) -> str:
        """Return what follows `flag` last, where the last one counts."""
        places = [i for i, word in enumerate(self.arguments) if word == flag]
        return self.arguments[places[-1] + 1]

    def with_arguments(self, name: str, changes: dict[str, object], steps: int) -> Workload:
        """Return the workload with other values of some flags, added where not there."""
        words = list(self.arguments)
        for flag, value in changes.items():
            if flag in words:
                words[words.index(flag) + 1] = str(value)
            else:
                words += [flag, str(value)]
        return Workload(name, tuple(words), steps, self.gpu_only)


def load_workloads() -> dict[str, Workload]:
    """Return every workload by name."""
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    common = shlex.split(table["common"])
    return {
        name: Workload(
            name,
            (*common, *shlex.split(entry["args"])),
            int(entry["steps"]),
            bool(entry.get("gpu_only", False)),
        )
        for name, entry in table["workloads"].items()
    }


def find_workload(name: str) -> Workload:
    """Return one workload.

    Raises
    ------
    InputError
        There is none of that name.
    """
    known = load_workloads()
    if name not in known:
        raise InputError(
            f"there is no workload {name!r}",
            source="--workload",
            remedy=f"one of {', '.join(known)}",
        )
    return known[name]


def check_inputs(folder: Path) -> Path:
    """Return the absolute folder of inputs.

    Raises
    ------
    InputError
        The reflection list is not in it.
    """
    if not (folder / INPUT_FILE).is_file():
        raise InputError(
            f"holds no {INPUT_FILE}",
            source=str(folder),
            remedy="write it with `distbragg bench --make-inputs FOLDER`",
        )
    return folder.resolve()


def make_inputs(folder: Path) -> Path:
    """Write the reflection list: synthetic, Friedel-symmetric, of a lysozyme-like cell.

    All reflections of a 79.1 × 79.1 × 38.0 Å cell to 1.9 Å, |F|² exponential (Wilson) about
    3·10⁵ exp(−2 B s²/4) with B = 10 Å² and s = 1/d, electrons. The same bytes every time.

    Returns
    -------
    Path
        The file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(1)
    amplitudes: dict[tuple[int, int, int], float] = {}
    lines: list[str] = []
    across, along, up = _LARGEST
    for h in range(-across, across + 1):
        for k in range(-along, along + 1):
            for ell in range(-up, up + 1):
                square = (h / _CELL[0]) ** 2 + (k / _CELL[1]) ** 2 + (ell / _CELL[2]) ** 2
                if square > 1 / _DMIN**2:
                    continue
                value = amplitudes.get((-h, -k, -ell))
                if value is None:
                    mean = _MEAN_SQUARE * np.exp(-2 * _B_FACTOR * square / 4)
                    value = float(np.sqrt(generator.exponential(1.0) * mean))
                amplitudes[h, k, ell] = value
                lines.append(f"{h} {k} {ell} {value:.3f}\n")
    target = folder / INPUT_FILE
    target.write_text("".join(lines), encoding="ascii")
    return target
