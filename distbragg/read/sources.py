"""Tables of X-ray sources: position, weight and wavelength a line, in SI units."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from distbragg.constants import MAXIMUM_WAVELENGTH_M, SOURCE_DISTANCE_M
from distbragg.errors import InputError
from distbragg.read.text import Line, data_lines, parse_number

MAXIMUM_SOURCES: Final = 10_000_000
_COLUMNS = ("X", "Y", "Z", "weight", "wavelength")


def read_sources(
    path: str, *, beam_direction: tuple[float, float, float], wavelength_m: float | None
) -> NDArray[np.float64]:
    """Read a source table `X Y Z weight wavelength`.

    Positions and wavelengths are in metres, from the sample. Trailing columns may be
    missing: a coordinate is then that of a point 10 m up the beam, the weight 1 and the
    wavelength the nominal one. `#` starts a comment; blank lines, CRLF and a last line
    without an end are accepted.

    Parameters
    ----------
    path : str
    beam_direction : 3 floats
        Unit vector along the nominal beam.
    wavelength_m : float or None
        Nominal wavelength, m; None where there is none, and every line must state its own.

    Returns
    -------
    (sources, 5) float64
        Columns X, Y, Z (m), weight, wavelength (m).

    Raises
    ------
    InputError
        Names file and line: not a number, NaN or infinite (in any column, the weight
        included), a negative weight, a source at the sample, a wavelength that is not
        positive or too long to have been written in metres, or missing where there is no
        nominal one, or no source at all.
    """
    position = (-SOURCE_DISTANCE_M * part for part in beam_direction)
    nominal = () if wavelength_m is None else (wavelength_m,)
    defaults = (*position, 1.0, *nominal)
    rows: list[tuple[float, ...]] = []
    for line in data_lines(path):
        rows.append(_parse_line(line, defaults))
        if len(rows) > MAXIMUM_SOURCES:
            raise InputError(f"more than {MAXIMUM_SOURCES} sources", source=path)
    if not rows:
        raise InputError(
            "the file lists no source", source=path, remedy="expected 'X Y Z weight wavelength'"
        )
    return np.array(rows, dtype=np.float64).reshape(-1, len(_COLUMNS))


def _parse_line(line: Line, defaults: tuple[float, ...]) -> tuple[float, ...]:
    if len(line.fields) > len(_COLUMNS):
        raise InputError(
            f"{len(line.fields)} columns",
            source=line.place,
            remedy="expected at most 'X Y Z weight wavelength'",
        )
    given = tuple(
        parse_number(text, line, name) for text, name in zip(line.fields, _COLUMNS, strict=False)
    )
    row = given + defaults[len(given) :]
    if len(row) < len(_COLUMNS):
        raise InputError(
            "states no wavelength, and the experiment names none",
            source=line.place,
            remedy="give beam.wavelength_angstrom or beam.energy_ev, or a fifth column in metres",
        )
    x, y, z, weight, wavelength = row
    length = (x * x + y * y + z * z) ** 0.5
    if not 0.0 < length < float("inf"):
        raise InputError(
            "the source lies at the sample or at no finite distance",
            source=line.place,
            remedy="X Y Z point from the sample to the source, in metres",
        )
    if weight < 0.0:
        raise InputError(
            f"the weight {weight:g} is negative", source=line.place, remedy="weights are >= 0"
        )
    check_wavelength_m(wavelength, line)
    return row


def check_wavelength_m(wavelength: float, line: Line) -> None:
    """Refuse a wavelength in metres that cannot be one.

    Raises
    ------
    InputError
    """
    if wavelength <= 0.0:
        raise InputError(f"the wavelength {wavelength:g} is not positive", source=line.place)
    if wavelength > MAXIMUM_WAVELENGTH_M:
        raise InputError(
            f"the wavelength {wavelength:g} m is longer than {MAXIMUM_WAVELENGTH_M:g} m",
            source=line.place,
            remedy="the column is in metres; did you mean ångström?",
        )
