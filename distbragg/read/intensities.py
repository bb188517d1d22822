"""Intensities where |F| is wanted: refused with the way out, or their root if asked for."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.notes import Note, Notes

IntensityRule = Literal["refuse", "root"]

FIELD: Final = "structure_factors.intensities"


def refused_intensities(what: str, source: str, way_out: str) -> InputError:
    """Build the error for a list of intensities.

    Parameters
    ----------
    what : str
        The column or list.
    source : str
    way_out : str
        Which program turns them into amplitudes.
    """
    return InputError(
        f"{what} holds intensities, not amplitudes",
        source=source,
        remedy=f"weak ones need a truncation step (French and Wilson): {way_out}; "
        f"or {FIELD}: root takes the root as it stands, of negative ones 0",
    )


def filled_by_mean(
    plus: NDArray[np.float64],
    minus: NDArray[np.float64],
    mean: NDArray[np.float64],
    what: str,
    source: str,
) -> tuple[NDArray[np.float64], Notes]:
    """Return |F(hkl)| with the mean where neither mate has a value, and the note that says so."""
    lacking = np.isnan(plus) & np.isnan(minus) & ~np.isnan(mean)
    if not lacking.any():
        return plus, ()
    text = f"{int(lacking.sum())} reflections without either mate have the mean, {what}"
    return np.where(lacking, mean, plus), (Note("note", source, text),)


def roots(
    intensity: NDArray[np.float64], what: str, source: str
) -> tuple[NDArray[np.float64], Notes]:
    """Return √I, 0 where I is negative and NaN where it is NaN, and the note that says so."""
    negative = int((intensity < 0.0).sum())
    text = f"|F| is the root of {what}"
    if negative:
        text += f"; {negative} of {intensity.shape[0]} are negative and taken as 0"
    with np.errstate(invalid="ignore"):
        amplitude = np.sqrt(np.where(intensity < 0.0, 0.0, intensity))
    return amplitude, (Note("warning" if negative else "note", source, text),)
