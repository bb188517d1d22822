"""Which column of an MTZ file is |F|."""

from __future__ import annotations

import re
from typing import Final

import gemmi
import numpy as np

from distbragg.errors import InputError
from distbragg.read.intensities import IntensityRule, refused_intensities
from distbragg.read.text import shown

AMPLITUDES: Final = ("F", "G")
INTENSITIES: Final = ("J", "K")
_WAY_OUT: Final = "ctruncate or phenix.french_wilson"
_FIELD: Final = "structure_factors.column"

_PREFERRED: Final = (
    "F",
    "FP",
    "FOBS",
    "F-OBS",
    "F-OBS-FILTERED",
    "FMEAN",
    "FC",
    "FCALC",
    "F-MODEL",
)
_MEANS: Final = ("F", "FP", "FOBS", "F-OBS", "FMEAN")
"""Names of a measured |F|, and of the stem of its pair."""

_TYPES: Final = {
    "D": "an anomalous difference",
    "E": "a normalised amplitude",
    "L": "a standard deviation of F(+) or F(-)",
    "M": "a standard deviation of I(+) or I(-)",
    "P": "a phase",
    "Q": "a standard deviation",
    "R": "a real number of no stated kind",
    "W": "a weight or figure of merit",
    "A": "phase probabilities",
    "I": "a whole number or free flag",
}


def is_unmerged(mtz: gemmi.Mtz) -> bool:
    """Whether the file lists single observations; ISYM alone is left by truncation."""
    return bool(mtz.batches) or any(
        item.type == "Y" and item.label.upper().startswith("M") for item in mtz.columns
    )


def pair_of(label: str, columns: list[str]) -> tuple[str, str] | None:
    """Both labels of the anomalous pair that `label` belongs to, F(hkl) first."""
    for plus, minus in (("(+)", "(-)"), ("+", "-"), ("PLUS", "MINUS")):
        for sign in (plus, minus):
            if label.upper().endswith(sign):
                stem = label[: len(label) - len(sign)]
                found = [
                    [item for item in columns if item.upper() == (stem + end).upper()]
                    for end in (plus, minus)
                ]
                if found[0] and found[1]:
                    return found[0][0], found[1][0]
    return None


def mean_of(plus: str, types: dict[str, str]) -> str | None:
    """Label of the mean amplitudes beside a pair, by its name without the sign; None without."""
    stem = re.sub(r"\s*(\(\+\)|\+|PLUS)$", "", plus, flags=re.IGNORECASE).upper()
    usual = _MEANS if stem in _MEANS else (stem,)
    means = {label.upper(): label for label, kind in types.items() if kind == "F"}
    return next((means[name] for name in (stem, *usual) if name in means), None)


def choose_column(mtz: gemmi.Mtz, column: str | None, intensities: IntensityRule, path: str) -> str:
    """Return the label of the column to read; of a pair, the one asked for or F(hkl)'s.

    Raises
    ------
    InputError
        No such column, or one that holds something else.
    """
    types = {item.label: item.type for item in mtz.columns}
    kinds = AMPLITUDES + INTENSITIES if intensities == "root" else AMPLITUDES
    if column is not None:
        return _named_column(column, types, kinds, path)
    chosen = first_choice(mtz)
    if chosen is None and intensities == "root":
        chosen = _first_intensity(mtz, types)
    if chosen is None:
        measured = [label for label, kind in types.items() if kind in INTENSITIES]
        if measured:
            raise refused_intensities(f"column '{shown(measured[0])}'", path, _WAY_OUT)
        raise InputError(
            "no column of amplitudes (type F, or a pair of type G)",
            source=path,
            remedy="give a file with amplitudes",
        )
    return chosen


def first_choice(mtz: gemmi.Mtz) -> str | None:
    """Label of the amplitudes that are read where none is named; None where there are none."""
    types = {item.label: item.type for item in mtz.columns}
    labels = list(types)
    pairs = [label for label in labels if types[label] == "G" and pair_of(label, labels)]
    measured = [label for label in pairs if _is_first(label) and _has_values(mtz, label)]
    amplitudes = [label for label, kind in types.items() if kind == "F"]
    filled = [label for label in amplitudes if _has_values(mtz, label)]
    for labels in (measured, filled, amplitudes):
        if labels:
            return _preferred(labels)
    return None


def _first_intensity(mtz: gemmi.Mtz, types: dict[str, str]) -> str | None:
    labels = list(types)
    pairs = [label for label in labels if types[label] == "K" and pair_of(label, labels)]
    measured = [label for label in pairs if _is_first(label) and _has_values(mtz, label)]
    means = [label for label, kind in types.items() if kind == "J"]
    return next(iter(measured or means), None)


def _is_first(label: str) -> bool:
    return _stem(label) != label.upper()


def _has_values(mtz: gemmi.Mtz, label: str) -> bool:
    return bool(np.isfinite(np.array(mtz.column_with_label(label), dtype=np.float64)).any())


def _named_column(column: str, types: dict[str, str], kinds: tuple[str, ...], path: str) -> str:
    usable = [label for label, kind in types.items() if kind in kinds]
    kind = types.get(column)
    if kind is None:
        raise InputError(
            f"no column '{shown(column)}'",
            source=path,
            field=_FIELD,
            remedy=f"columns of amplitudes: {' '.join(usable) or 'none'}",
        )
    if kind in INTENSITIES and kind not in kinds:
        raise refused_intensities(f"column '{shown(column)}' (type {kind})", path, _WAY_OUT)
    if kind not in kinds:
        what = _TYPES.get(kind, "something else")
        raise InputError(
            f"column '{shown(column)}' has type {kind} ({what}), not F (amplitudes)",
            source=path,
            field=_FIELD,
            remedy=f"columns of amplitudes: {' '.join(usable) or 'none'}",
        )
    if kind in ("G", "K") and pair_of(column, list(types)) is None:
        raise InputError(
            f"column '{shown(column)}' is one half of an anomalous pair, the other is not there",
            source=path,
            field=_FIELD,
            remedy="give a file with both, or a column of mean amplitudes",
        )
    return column


def _preferred(labels: list[str]) -> str:
    """Return the first label that has a usual name, less the sign of a pair; else the first."""
    by_name = {_stem(label): label for label in reversed(labels)}
    return next((by_name[name] for name in _PREFERRED if name in by_name), labels[0])


def _stem(label: str) -> str:
    return re.sub(r"(\(\+\)|\+|PLUS)$", "", label.upper())
