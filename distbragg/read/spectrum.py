"""Spectra: a text or CSV table of wavelength or photon energy, and weight."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.read.text import Line, data_lines, parse_number, shown
from distbragg.units import energy_ev_to_wavelength_angstrom, metres_to_angstrom

MAXIMUM_LINES: Final = 10_000_000

ZARR_SUFFIXES: Final = (".zarr", ".zarr.zip")
SHOT_SUFFIXES: Final = (".h5", ".hdf5", ".nxs", ".cxi", ".nc", ".nc4", *ZARR_SUFFIXES)
"""Names of files that hold the spectra of many shots as arrays; see `read.shots`."""

_LARGEST_METRES: Final = 1.0e-6
_LARGEST_ANGSTROM: Final = 100.0
_COLUMNS: Final = 2
_UNITS: Final[dict[str, str]] = {
    "wavelength": "by size",
    "lambda": "by size",
    "energy": "by size",
    "wavelength_angstrom": "angstrom",
    "wavelength_a": "angstrom",
    "lambda_angstrom": "angstrom",
    "wavelength_m": "metre",
    "lambda_m": "metre",
    "energy_ev": "ev",
    "energy_kev": "kev",
}
_WEIGHTS: Final = frozenset({"weight", "weights", "intensity", "flux", "counts"})


def read_spectrum(path: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Read a spectrum.

    One or two columns separated by white space, commas or semicolons; `#` starts a comment.
    A first line of names may say what they hold: `wavelength_angstrom`, `wavelength_m`,
    `energy_ev` or `energy_kev`, and `weight` (or `intensity`, `flux`, `counts`), in either
    order. Without names, or with a bare `wavelength`, `lambda` or `energy`, the whole column
    is taken by its largest value: up to 1e-6 metres, up to 100 ångström, above that
    electronvolts. A missing weight column means weight 1 each.

    Returns
    -------
    wavelength : (n,) float64, Å
    weight : (n,) float64

    Raises
    ------
    InputError
        Names file and line: wrong columns, no finite number, a wavelength or energy that is
        not positive, a negative weight; or only zero weights, or an empty table.
    """
    lines = list(data_lines(path))
    if not lines:
        raise InputError("the spectrum is empty", source=path)
    unit, position, weighted, lines = _columns(lines, path)
    values: list[float] = []
    weights: list[float] = []
    for line in lines:
        value, weight = _parse(line, position, weighted)
        values.append(value)
        weights.append(weight)
        if len(values) > MAXIMUM_LINES:
            raise InputError(f"more than {MAXIMUM_LINES} lines", source=path)
    if not any(weights):
        raise InputError("every weight of the spectrum is zero", source=path)
    wavelengths = _to_angstrom(values, unit)
    if not all(0.0 < value < float("inf") for value in wavelengths):
        raise InputError("a wavelength is zero or not finite", source=path)
    return np.array(wavelengths, dtype=np.float64), np.array(weights, dtype=np.float64)


def _columns(lines: list[Line], path: str) -> tuple[str, int, bool, list[Line]]:
    """Return the unit, the column of the value, whether weights are there, and the data."""
    first = lines[0]
    if _is_number(first.fields[0]):
        return "by size", 0, len(first.fields) >= _COLUMNS, lines
    names = [name.strip("\"'").lower() for name in first.fields]
    found = [index for index, name in enumerate(names) if name in _UNITS]
    weights = [index for index, name in enumerate(names) if name in _WEIGHTS]
    if len(found) != 1 or len(names) > _COLUMNS or len(found) + len(weights) != len(names):
        raise InputError(
            f"column names '{shown(' '.join(first.fields))}'",
            source=first.place,
            remedy="expected e.g. 'wavelength_angstrom,weight' or 'energy_ev,weight'",
        )
    if len(lines) == 1:
        raise InputError("the spectrum has names but no lines", source=path)
    return _UNITS[names[found[0]]], found[0], bool(weights), lines[1:]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _parse(line: Line, position: int, weighted: bool) -> tuple[float, float]:
    expected = _COLUMNS if weighted else 1
    if len(line.fields) != expected:
        raise InputError(
            f"{len(line.fields)} columns where the first line has {expected}", source=line.place
        )
    value = parse_number(line.fields[position], line, "wavelength or energy")
    if value <= 0.0:
        raise InputError(f"wavelength or energy {value:g} is not positive", source=line.place)
    if not weighted:
        return value, 1.0
    weight = parse_number(line.fields[1 - position], line, "weight")
    if weight < 0.0:
        raise InputError(
            f"the weight {weight:g} is negative", source=line.place, remedy="weights are >= 0"
        )
    return value, weight


def _to_angstrom(values: list[float], unit: str) -> list[float]:
    if unit == "by size":
        largest = max(values)
        unit = "metre" if largest <= _LARGEST_METRES else "ev"
        if _LARGEST_METRES < largest <= _LARGEST_ANGSTROM:
            unit = "angstrom"
    if unit == "angstrom":
        return values
    if unit == "metre":
        return [metres_to_angstrom(value) for value in values]
    factor = 1000.0 if unit == "kev" else 1.0
    return [energy_ev_to_wavelength_angstrom(value * factor) for value in values]
