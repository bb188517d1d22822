"""Spectra: a text or CSV table of wavelength or photon energy, and weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.notes import Note, Notes
from distbragg.read.spectrum_columns import COMMENTS, Columns, columns_of
from distbragg.read.text import Line, data_lines, parse_number
from distbragg.read.units import ANGSTROM, EV, KEV, METRE, Quantity, SpectralUnit

MAXIMUM_LINES: Final = 10_000_000

ZARR_SUFFIXES: Final = (".zarr", ".zarr.zip")
SHOT_SUFFIXES: Final = (".h5", ".hdf5", ".nxs", ".cxi", ".nc", ".nc4", *ZARR_SUFFIXES)
"""Names of files that hold the spectra of many shots as arrays; see `read.shots`."""

_BY_SIZE: Final[dict[Quantity | None, tuple[tuple[SpectralUnit, float, float], ...]]] = {
    "wavelength": ((METRE, 1e-12, 1e-8), (ANGSTROM, 0.01, 100.0)),
    "energy": ((KEV, 0.1, 150.0), (EV, 150.0, 1.5e6)),
    None: ((METRE, 1e-12, 1e-8), (ANGSTROM, 0.01, 6.0), (EV, 150.0, 1.5e6)),
}
"""Unit of a column that names none, and the range in which its values must all lie.

From 6 to 150 a column that says neither wavelength nor energy may be in Å or in keV.
"""

_REMEDY: Final = "name the column, e.g. wavelength_angstrom or energy_kev"
_WORTH_A_WARNING: Final = 0.01
"""Share of the weights that a baseline about zero does not reach."""


@dataclass(frozen=True, slots=True, eq=False)
class Spectrum:
    """Weighted wavelengths.

    Attributes
    ----------
    wavelength : (n,) float64, Å
    weight : (n,) float64
        Not negative, one at least positive.
    notes : tuple of Note
        What was assumed or left out.
    """

    wavelength: NDArray[np.float64]
    weight: NDArray[np.float64]
    notes: Notes = ()


def read_spectrum(path: str) -> Spectrum:
    """Read a spectrum.

    One or two columns separated by white space, commas or semicolons; `#` starts a comment, and
    so does `%`, `!` or `//` at the beginning of a line. A
    first line of names, or a comment, may say what the columns hold and in which unit, in any
    usual spelling: `energy_ev`, `E (keV)`, `wavelength [nm]`, `# energies in keV`. What is said
    is believed. A column without a unit is taken by its size, which a note says; sizes that no
    or more than one unit makes plausible are refused. A missing weight column means weight 1
    each; negative weights count as 0.

    Raises
    ------
    InputError
        Names file and line: wrong columns, no finite number, a wavelength or energy that is
        not positive, a unit that is not known; or no positive weight, or an empty table.
    """
    lines = [line for line in data_lines(path) if not line.fields[0].startswith(COMMENTS)]
    if not lines:
        raise InputError("the spectrum is empty", source=path)
    if len(lines) > MAXIMUM_LINES:
        raise InputError(f"more than {MAXIMUM_LINES} lines", source=path)
    columns, lines = columns_of(path, lines)
    rows = [_parse(line, columns) for line in lines]
    values = [value for value, _ in rows]
    notes = list(columns.notes)
    unit = columns.unit
    if unit is None:
        unit = unit_by_size(values, columns.quantity, path, "the column")
        notes.append(_taken(path, "the column", values, unit))
    wavelengths = unit.angstroms(values)
    if not (np.isfinite(wavelengths).all() and (wavelengths > 0.0).all()):
        raise InputError("a wavelength is zero or not finite", source=path)
    weights, more = usable_weights(np.array([weight for _, weight in rows]), path, "the spectrum")
    return Spectrum(wavelengths, weights, (*notes, *more))


def unit_by_size(
    values: Sequence[float], quantity: Quantity | None, source: str, what: str
) -> SpectralUnit:
    """Return the one unit in which all values are plausible.

    Raises
    ------
    InputError
        There is none.
    """
    least, most = min(values), max(values)
    for unit, low, high in _BY_SIZE[quantity]:
        if low <= least and most <= high:
            return unit
    raise InputError(
        f"{what} says no unit, and {least:g} to {most:g} is plausible in none or in several",
        source=source,
        remedy=_REMEDY,
    )


def _taken(source: str, what: str, values: Sequence[float], unit: SpectralUnit) -> Note:
    return Note(
        "note",
        source,
        f"{what} says no unit: {min(values):g} to {max(values):g} is taken as {unit.name} by its "
        "size",
    )


def usable_weights(
    weight: NDArray[np.float64], source: str, what: str
) -> tuple[NDArray[np.float64], Notes]:
    """Return weights with the negative ones, as a measured baseline leaves them, set to 0.

    The one rule for text, HDF5, NetCDF, Zarr and NXmx (clause SRC-24). A note says how many
    there were; where they amount to more than one per cent of the rest it is a warning.

    Parameters
    ----------
    weight : (n,) float64
    source, what : str
        For the note.

    Raises
    ------
    InputError
        A weight that is not finite, or none that is positive.
    """
    if not np.isfinite(weight).all():
        raise InputError(f"a weight of {what} is not finite", source=source)
    if not (weight > 0.0).any():
        problem = "every weight" if not weight.any() else "no weight"
        said = "is zero" if not weight.any() else "is positive"
        raise InputError(f"{problem} of {what} {said}", source=source)
    negative = weight < 0.0
    if not negative.any():
        return weight, ()
    share = float(-weight[negative].sum() / weight[~negative].sum())
    count = int(np.count_nonzero(negative))
    note = Note(
        "warning" if share > _WORTH_A_WARNING else "note",
        source,
        f"{count} of {weight.size} weights of {what} are negative ({share:.2g} of the sum of the "
        f"others; the first is number {int(np.argmax(negative)) + 1}) and count as 0",
    )
    return np.maximum(weight, 0.0), (note,)


def first_of_many(source: str, shots: int) -> Note:
    """Return the note that no shot was chosen."""
    return Note("note", source, f"shot 0 of {shots} is used; beam.spectrum.shot chooses another")


def _parse(line: Line, columns: Columns) -> tuple[float, float]:
    if len(line.fields) != columns.count:
        raise InputError(
            f"{len(line.fields)} columns where the first line has {columns.count}",
            source=line.place,
            remedy="name the columns in a first line" if len(line.fields) > 2 else "",
        )
    value = parse_number(_unquoted(line, columns.value), line, "wavelength or energy")
    if value <= 0.0:
        raise InputError(f"wavelength or energy {value:g} is not positive", source=line.place)
    if columns.weight is None:
        return value, 1.0
    return value, parse_number(_unquoted(line, columns.weight), line, "weight")


def _unquoted(line: Line, column: int) -> str:
    return line.fields[column].strip("\"'")
