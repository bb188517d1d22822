"""What the name of a column says: measured or calculated, amplitude or intensity."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from distbragg.notes import Note, Notes

_CALCULATED: Final = re.compile(
    r"(?i)^(fc\w*|f[-_]?calc.*|f[-_]?model.*|a_calc|f_squared_calc|pdbx_f_calc.*)"
    r"(\(\+\)|\(-\)|\+|-|plus|minus)?$"
)
_MAP: Final = re.compile(r"(?i)^(pdbx_)?(.*fofc.*|.*fwt.*|.*delfwt.*|ph?del.*)$")
_PART: Final = re.compile(r"(?i)^(?!.*with_solvent).*(mask|bulk|solv|part)")
_ELECTRONS: Final = ("F_meas", "F_squared_meas")
"""Tags that the CIF dictionaries define in electrons; `F_meas_au` is in arbitrary units."""

_AMPLITUDE: Final = re.compile(
    r"(?i)^\|?(f|fp|fo|fobs|f[-_]?obs.*|fmean|f[-_]?meas.*|fc|fcalc|f[-_]?calc.*|f[-_]?model"
    r"|famp|amplitudes?|ftot|famplitude)\|?(?:[\[({].*)?$"
)
_MEASURED: Final = re.compile(r"(?i)^(fp|fo|f[-_]?obs.*|fmean|f[-_]?meas.*)(?:[\[({].*)?$")
_INTENSITY: Final = re.compile(
    r"(?i)^(i|io|iobs|i[-_]?obs|imean|i[-_]?mean|intensity.*|iint|ipr|f2|f\^2|f\*\*2|\|f\|\^2"
    r"|\|f\|\*\*2|f[oc]2|f[oc]\^2|f[oc]\*\*2|f[oc]?sq.*|f[-_]?sq.*|f[-_]?squared.*|i[-_]?calc)"
    r"(?:[\[({].*)?$"
)


def is_calculated(label: str) -> bool:
    """Whether a column of this name holds amplitudes of a model, in electrons."""
    return _CALCULATED.match(label) is not None


def is_amplitude(label: str) -> bool:
    """Whether a column of this name in a text list holds |F|."""
    return _AMPLITUDE.match(label) is not None


def is_measured(label: str) -> bool:
    """Whether the name of a column in a text list says that its |F| was measured."""
    return _MEASURED.match(label) is not None


def is_intensity(label: str) -> bool:
    """Whether a column of this name in a text list holds I or F²."""
    return _INTENSITY.match(label) is not None


def scale_notes(label: str, others: Sequence[str], source: str) -> Notes:
    """Warn where a column is probably not |F| in electrons.

    Parameters
    ----------
    label : str
        The column read.
    others : sequence of str
        Further columns that `structure_factors.column` could name.
    source : str
    """
    if _MAP.match(label):
        text = f"{label} holds coefficients of a map, weighted: no |F| of the crystal"
        return (Note("warning", source, text + _advice(label, others)),)
    if _PART.search(label):
        text = f"{label} is of a part of the crystal, such as its solvent"
        return (Note("warning", source, text + _advice(label, others)),)
    if is_calculated(label) or label in _ELECTRONS:
        return ()
    text = (
        f"{label} is a measured |F|: its scale is arbitrary unless it was put on one, and "
        "photons go with its square"
    )
    return (Note("warning", source, text + _advice(label, others)),)


def _advice(label: str, others: Sequence[str]) -> str:
    calculated = [name for name in others if is_calculated(name) and name != label]
    if not calculated:
        return "; a model, or a column of calculated amplitudes, is in electrons"
    best = max(calculated, key=lambda name: ("ALL_LS" in name.upper(), "ALL" in name.upper()))
    return f"; calculated, in electrons: {' '.join(calculated)} (structure_factors.column: {best})"
