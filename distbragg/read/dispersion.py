"""f′ and f″ of an element by energy: from a table, or after Cromer and Liberman by gemmi."""

from __future__ import annotations

from typing import Final

import gemmi
import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.read.table import read_table
from distbragg.read.text import read_bytes, remembered

_MOST_ROWS: Final = 1_000_000
_HEAVIEST: Final = 92  # the tables of f′ and f″ end at uranium
_LOWEST_EV, _HIGHEST_EV = 2_000.0, 124_000.0
"""Where the tables of Cromer and Liberman are meant to be used."""


@remembered(32)
def read_dispersion(path: str) -> NDArray[np.float64]:
    """Read a table of energy (eV, increasing), f′ and f″ (electrons), (3, n)."""
    table = read_table(
        read_bytes(path),
        path,
        {0: "energy", 1: "f'", 2: "f''"},
        widths=(3,),
        most=_MOST_ROWS,
        of="rows",
        expected="energy in eV, f' and f''",
    )
    energy = table.values[:, 0]
    table.refuse(
        (energy <= 0.0) | (np.diff(energy, prepend=0.0) <= 0.0),
        "the energy {0:g} does not increase",
        "sort the table by its first column, in eV",
    )
    return np.ascontiguousarray(table.values.T)


def from_table(path: str, energies: NDArray[np.float64], field: str) -> NDArray[np.float64]:
    """Return f′ and f″ at energies (n,), eV, as straight lines between the points, (2, n)."""
    energy, *columns = read_dispersion(path)
    for outside in energies[(energies < energy[0]) | (energies > energy[-1])][:1]:
        raise InputError(
            f"no f′ and f″ at {outside:.6g} eV: the table ends at {energy[0]:g} and "
            f"{energy[-1]:g} eV",
            source=path,
            field=field,
            remedy="give a table that covers every source",
        )
    return np.stack([np.interp(energies, energy, column) for column in columns])


def by_gemmi(element: str, energies: NDArray[np.float64], field: str) -> NDArray[np.float64]:
    """Return f′ and f″ of a free atom at energies (n,), eV, after Cromer and Liberman, (2, n)."""
    number = gemmi.Element(element).atomic_number
    if number == 0 or number > _HEAVIEST:
        problem = f"no f′ and f″ are known for '{element}'"
        raise InputError(problem, field=field, remedy="give a table_file, or another element")
    for outside in energies[(energies < _LOWEST_EV) | (energies > _HIGHEST_EV)][:1]:
        raise InputError(
            f"no f′ and f″ at {outside:.6g} eV",
            field=field,
            remedy=f"{_LOWEST_EV:g} to {_HIGHEST_EV:g} eV, or give a table_file",
        )
    pairs = [gemmi.cromer_liberman(number, energy) for energy in energies.tolist()]
    return np.array(pairs, dtype=np.float64).reshape(-1, 2).T
