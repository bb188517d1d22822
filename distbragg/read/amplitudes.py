"""|F| out of what a column holds: amplitudes, intensities, pairs; one choice for all formats."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.read.miller import Asked
from distbragg.read.text import Reading, shown

Values = NDArray[np.float64]

_WAY_OUT: Final = "ctruncate or phenix.french_wilson"

is_calculated: Final = re.compile(
    r"(?i)^(fc\w*|f[-_]?calc.*|f[-_]?model.*|a_calc|f_squared_calc|pdbx_f_calc.*)"
    r"(\(\+\)|\(-\)|\+|-|plus|minus)?$"
).match
"""Whether a column of this name holds amplitudes of a model, in electrons."""

is_amplitude: Final = re.compile(
    r"(?i)^\|?(f|fp|fo|fobs|f[-_]?obs.*|fmean|f[-_]?meas.*|fc|fcalc|f[-_]?calc.*|f[-_]?model"
    r"|famp|amplitudes?|ftot|famplitude)\|?(?:[\[({].*)?$"
).match
"""Whether a column of this name in a text list holds |F|."""

is_measured: Final = re.compile(r"(?i)^(fp|fo|f[-_]?obs.*|fmean|f[-_]?meas.*)(?:[\[({].*)?$").match
"""Whether the name of a column in a text list says that its |F| was measured."""

is_intensity: Final = re.compile(
    r"(?i)^(i|io|iobs|i[-_]?obs|imean|i[-_]?mean|intensity.*|iint|ipr|f2|f\^2|f\*\*2|\|f\|\^2"
    r"|\|f\|\*\*2|f[oc]2|f[oc]\^2|f[oc]\*\*2|f[oc]?sq.*|f[-_]?sq.*|f[-_]?squared.*|i[-_]?calc)"
    r"(?:[\[({].*)?$"
).match
"""Whether a column of this name in a text list holds I or F²."""

_MAP: Final = re.compile(r"(?i)^(pdbx_)?(.*fofc.*|.*fwt.*|.*delfwt.*|ph?del.*)$")
_PART: Final = re.compile(r"(?i)^(?!.*with_solvent).*(mask|bulk|solv|part)")
_ELECTRONS: Final = ("F_meas", "F_squared_meas")
"""Tags that the CIF dictionaries define in electrons; `F_meas_au` is in arbitrary units."""


def refused_intensities(what: str, file: Reading, way_out: str = _WAY_OUT) -> InputError:
    """Build the error for a column or list of intensities; `way_out` makes amplitudes of them."""
    return file.refusal(
        f"{what} holds intensities, not amplitudes",
        f"weak ones need a truncation step (French and Wilson): {way_out}; "
        "or structure_factors.intensities: root takes the root as it stands, of negative ones 0",
    )


@dataclass(frozen=True, slots=True)
class Column:
    """A column, or a pair of columns, of a file that says what its columns hold."""

    label: str  # of a pair that of F(h k l)
    mates: str = ""  # of a pair the column of F(-h -k -l)
    mean: str = ""  # of a pair what stands where neither has a value
    squared: bool = False  # the root is taken
    intensity: bool = False  # its root must be asked for
    by_name: bool = False  # it must be asked for
    problem: str = ""  # why it is not an |F|, as it follows "column 'X' "
    kind: str = ""  # what a message adds to the label


def choose(
    columns: Sequence[Column], asked: Asked, filled: Callable[[str], bool], file: Reading
) -> Column | None:
    """Return the column to read, or None where there is none.

    The columns come in the order of preference; intensities follow all amplitudes in any order.
    `filled` tells whether a column holds a value: files declare columns that do not.
    """
    name = asked.column
    if name is not None:
        column = next((item for item in columns if name in (item.label, item.mates)), None)
        if column is not None and column.intensity and asked.intensities == "refuse":
            raise refused_intensities(f"column '{shown(name)}'{column.kind}", file)
        if column is not None and column.problem:
            raise _not_usable(f"column '{shown(name)}' {column.problem}", columns, file)
        return column
    for intensity in (False, True) if asked.intensities == "root" else (False,):
        found = [c for c in columns if c.intensity == intensity and not (c.problem or c.by_name)]
        for column in found:
            if filled(column.label) or (column.mates and filled(column.mates)):
                return column
    return None


def no_column(columns: Sequence[Column], asked: str | None, file: Reading) -> InputError:
    """Build the error for a file in which `choose` found nothing."""
    measured = [column for column in columns if column.intensity]
    if asked is None and measured:
        return refused_intensities(f"column '{shown(measured[0].label)}'", file)
    problem = "no column of amplitudes" if asked is None else f"no column '{shown(asked)}'"
    return _not_usable(problem, columns, file)


def _not_usable(problem: str, columns: Sequence[Column], file: Reading) -> InputError:
    labels = [c.label for c in columns if not c.problem and not c.intensity]
    halves = "".join(f"; {c.label} {c.problem}" for c in columns if c.problem.startswith("needs"))
    remedy = f"columns of amplitudes: {' '.join(labels) or 'none'}{halves}"
    return file.refusal(problem, remedy, "structure_factors.column")


def amplitudes(
    column: Column, values: Callable[[str], Values], file: Reading
) -> tuple[Values, Values | None]:
    """Return |F| of a column (n,), and that of the mates where it is a pair."""
    found = [values(label) for label in (column.label, column.mates) if label]
    if column.squared:
        labels = (column.label, column.mates)
        found = [
            roots(part, label + column.kind, file)
            for part, label in zip(found, labels, strict=False)
        ]
    if len(found) == 1:
        return found[0], None
    plus, minus = found
    if column.mean:
        mean = values(column.mean)
        lacking = np.isnan(plus) & np.isnan(minus) & ~np.isnan(mean)
        if lacking.any():
            plus = np.where(lacking, mean, plus)
            count = int(lacking.sum())
            file.note(f"{count} reflections without either mate have the mean, {column.mean}")
    return plus, minus


def roots(intensity: Values, what: str, file: Reading) -> Values:
    """Return √I, 0 where I is negative and NaN where it is NaN, and say so."""
    negative = int((intensity < 0.0).sum())
    if negative:
        count = f"{negative} of {intensity.shape[0]}"
        file.warn(f"|F| is the root of {what}; {count} are negative and taken as 0")
    else:
        file.note(f"|F| is the root of {what}")
    with np.errstate(invalid="ignore"):
        return np.sqrt(np.where(intensity < 0.0, 0.0, intensity))


def warn_of_scale(label: str, others: Sequence[str], file: Reading) -> None:
    """Warn where a column is probably not |F| in electrons; `others` could be chosen instead."""
    if _MAP.match(label):
        text = f"{label} holds coefficients of a map, weighted: no |F| of the crystal"
    elif _PART.search(label):
        text = f"{label} is of a part of the crystal, such as its solvent"
    elif is_calculated(label) or label in _ELECTRONS:
        return
    else:
        text = (
            f"{label} is a measured |F|: its scale is arbitrary unless it was put on one, and "
            "photons go with its square"
        )
    calculated = [name for name in others if is_calculated(name) and name != label]
    if not calculated:
        file.warn(f"{text}; a model, or a column of calculated amplitudes, is in electrons")
        return
    best = max(calculated, key=lambda name: ("ALL_LS" in name.upper(), "ALL" in name.upper()))
    named = f"{' '.join(calculated)} (structure_factors.column: {best})"
    file.warn(f"{text}; calculated, in electrons: {named}")
