"""What the names and comments of a table of a spectrum say of its columns and their unit."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from distbragg.errors import InputError
from distbragg.notes import Note, Notes
from distbragg.read.text import Line, read_text, shown, split_lines
from distbragg.read.units import Quantity, SpectralUnit, spectral_unit

_COLUMNS: Final = 2
_QUANTITIES: Final[dict[str, Quantity]] = {
    **dict.fromkeys(
        ("energy", "energies", "e", "hv", "hnu", "photonenergy", "eph", "ephoton"), "energy"
    ),
    **dict.fromkeys(
        ("wavelength", "wavelengths", "lambda", "lambdas", "λ", "wl", "wave"), "wavelength"
    ),
}
_WEIGHTS: Final = frozenset(
    ("weight", "weights", "intensity", "intensities", "flux", "counts", "count", "photons",
     "fluence", "spectrum", "power", "i", "w")
)  # fmt: skip
_ASIDE: Final = frozenset(
    ("photon", "incident", "central", "beam", "mean", "nominal", "x", "ray", "xray", "in", "of",
     "the", "channel", "channels", "axis", "units", "unit")
)  # fmt: skip
"""Words of a name that say nothing of the unit."""

_REMEDY: Final = "expected e.g. 'wavelength_angstrom,weight' or 'energy_ev,weight'"
_MOST_COMMENTS: Final = 100
_NAME = re.compile(r"[^\s([]+(?:\s*[(\[][^)\]]*[)\]])?")
_ERRORS: Final = frozenset(
    ("err", "error", "errors", "sigma", "sigmas", "std", "stdev", "esd", "uncertainty", "variance")
)
"""Words of a column that says how well another is known."""

COMMENTS: Final = ("%", "!", "//")
"""What begins a comment line in tables of other programs, beside `#`."""

_INDEX: Final = "(index)"
_DECIMAL_COMMAS = re.compile(r"\s*[-+]?\d+,\d+(?:[eE][-+]?\d+)?\s*[;\t]\s*\S")
_BETWEEN = re.compile(r"[\s_/()\[\],:;=*^\"'-]+")
_SINGLE = re.compile(r"[(\[/]\s*([AmJ])\s*(?:[)\]]|$)")
_SAID = re.compile(r"(?<![\d.])\b(?:k|M|m)?eV\b|Å|[Åå]ngstr[oö]ms?|\b[Aa]ngstr[oö]ms?\b|\b[np]m\b")
_NUMBER_BEFORE = re.compile(r"\d\.?\s*$")


@dataclass(frozen=True, slots=True)
class Columns:
    """Where value and weight stand, and what is said of the value.

    Attributes
    ----------
    value : int
    weight : int or None
        None: every line weighs 1.
    count : int
        Of all columns; of more than two, whose names say which is which, the rest is left aside.
    quantity : {"wavelength", "energy"} or None
    unit : SpectralUnit or None
    notes : tuple of Note
    """

    value: int
    weight: int | None
    count: int
    quantity: Quantity | None = None
    unit: SpectralUnit | None = None
    notes: Notes = ()


def columns_of(path: str, lines: list[Line]) -> tuple[Columns, list[Line]]:
    """Return the columns of a table and its lines without the one of names.

    A line of names wins over comments above the data; what the names leave open (the unit, or
    everything where there are none) is taken from the comments.

    Raises
    ------
    InputError
        Names that are not understood, or that contradict themselves or one another.
    """
    first = lines[0]
    raw = split_lines(read_text(path))
    if any(_DECIMAL_COMMAS.match(raw[line.number - 1]) for line in lines[:2]):
        raise InputError("the numbers have decimal commas", source=first.place,
                         remedy="write decimal points")  # fmt: skip
    named = not _is_number(first.fields[0])
    comments = _comments(raw[: first.number])
    if named:
        text = raw[first.number - 1].split("#", 1)[0]
        columns = _named(_names(text), first.place)
        if columns is None:
            raise InputError(f"column names '{shown(text.strip())}'", source=first.place,
                             remedy=_REMEDY)  # fmt: skip
        if len(lines) == 1:
            raise InputError("the spectrum has names but no lines", source=path)
        lines = lines[1:]
    else:
        columns = _from_comments(comments, len(first.fields), path)
    if columns.unit is None:
        columns = _with_said_unit(columns, comments, path)
    return columns, lines


def quantity_and_unit(name: str, source: str) -> tuple[Quantity | None, SpectralUnit | None]:
    """Return what a name such as `photon_energy_keV` says; None for what it does not say.

    Raises
    ------
    InputError
        A unit that is not one of its quantity, such as an energy in nm.
    """
    found = _classified(name, source)
    return (None, None) if found is None else found


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _comments(raw: list[str]) -> list[str]:
    found = []
    for line in raw[-_MOST_COMMENTS:]:
        if "#" in line:
            found.append(line.split("#", 1)[1])
        elif line.lstrip().startswith(COMMENTS):
            found.append(line.lstrip().lstrip("%!/"))
    return found


def _names(text: str) -> list[str]:
    """Split a line of names; a bracketed unit belongs to the name before it."""
    # Tables of pandas begin with a column of row numbers that has no name.
    index = [_INDEX] if re.match(r" *[,;\t]", text) else []
    text = text.strip(" \t,;\f\v")
    if re.search(r"[,;\t]", text):
        return index + [part.strip("\"' ") for part in re.split(r"[,;\t]+", text) if part.strip()]
    return [part.strip("\"' ") for part in _NAME.findall(text)]


def _named(names: list[str], place: str) -> Columns | None:
    """Return the columns of a list of names, or None if one is not understood."""
    values: list[tuple[int, Quantity | None, SpectralUnit | None]] = []
    weights: list[int] = []
    names = _joined_names(names)
    for index, name in enumerate(names):
        if _is_weight(name):
            weights.append(index)
            continue
        found = _classified(name, place)
        if found is not None:
            values.append((index, *found))
        elif len(names) <= _COLUMNS:
            return None
    if len(values) != 1 or len(weights) > 1 or (len(names) > _COLUMNS and not weights):
        return None
    ((value, quantity, unit),) = values
    others = [name for i, name in enumerate(names) if i not in (value, *weights)]
    aside = ", ".join(shown(name) for name in others)
    notes = (Note("note", place, f"columns left aside: {aside}"),) if others else ()
    return Columns(value, weights[0] if weights else None, len(names), quantity, unit, notes)


def _joined_names(names: list[str]) -> list[str]:
    """Join the words of one name that blanks part: `photon energy`, `wavelength nm`."""
    joined: list[str] = []
    before = ""
    for name in names:
        if all(word.casefold() in _ASIDE for word in _words(name)):
            before += f"{name} "
        elif joined and joined[-1].casefold() in _QUANTITIES and spectral_unit(name) is not None:
            joined[-1] = f"{joined[-1]} {before}{name}"
            before = ""
        else:
            joined.append(f"{before}{name}")
            before = ""
    return joined


def _words(name: str) -> list[str]:
    return [word for word in _BETWEEN.split(name.strip()) if word]


def _is_weight(name: str) -> bool:
    words = [word.casefold() for word in _words(name)]
    return any(word in _WEIGHTS for word in words) and not any(
        word in _QUANTITIES or word in _ERRORS for word in words
    )


def _classified(name: str, source: str) -> tuple[Quantity | None, SpectralUnit | None] | None:
    """Return quantity and unit of a name, or None for one that is not understood."""
    quantity: Quantity | None = None
    unit: SpectralUnit | None = None
    for word in _words(name):
        low = word.casefold()
        if quantity is None and low in _QUANTITIES:
            quantity = _QUANTITIES[low]
        elif low in _ASIDE:
            continue
        elif unit is None and (found := spectral_unit(word)) is not None:
            unit = found
        else:
            joined = _joined(word) if quantity is None and unit is None else None
            if joined is None:
                return None
            quantity, unit = joined
    if quantity is None and unit is None:
        return None
    if unit is not None and quantity not in (None, unit.quantity):
        raise InputError(f"'{shown(name)}' is no unit of its quantity", source=source,
                         remedy=_REMEDY)  # fmt: skip
    return unit.quantity if unit is not None else quantity, unit


def _joined(word: str) -> tuple[Quantity, SpectralUnit] | None:
    """Take `energykeV` apart."""
    for name, quantity in _QUANTITIES.items():
        if len(name) > 2 and word.casefold().startswith(name):
            unit = spectral_unit(word[len(name) :])
            return None if unit is None else (quantity, unit)
    return None


def _from_comments(comments: list[str], fields: int, path: str) -> Columns:
    """Columns of a table without names: those that the last comment of names gives."""
    plain = Columns(0, 1 if fields >= _COLUMNS else None, min(fields, _COLUMNS))
    for comment in reversed(comments):
        names = _names(comment)
        columns = _named(names, path) if len(_joined_names(names)) == fields else None
        if columns is not None:
            said = Note("note", path, f"the columns are those of the comment '{shown(comment)}'")
            return replace(columns, notes=(said, *columns.notes))
    return plain


def _with_said_unit(columns: Columns, comments: list[str], path: str) -> Columns:
    """Add the one unit that the comments name; a unit after a number is that of the number."""
    found: dict[str, SpectralUnit] = {}
    for comment in comments:
        if not any(word.casefold() in _QUANTITIES or word.casefold() in ("unit", "units")
                   for word in _words(comment)):  # fmt: skip
            continue
        words = [
            match[0]
            for match in _SAID.finditer(comment)
            if not _NUMBER_BEFORE.search(comment[: match.start()])
        ] + _SINGLE.findall(comment)
        for word in words:
            unit = spectral_unit(word)
            if unit is not None and columns.quantity in (None, unit.quantity):
                found[f"{unit.quantity} {unit.factor}"] = unit
    if len(found) > 1:
        names = " and ".join(unit.name for unit in found.values())
        raise InputError(f"the comments name {names}", source=path, remedy=_REMEDY)
    for unit in found.values():
        said = Note("note", path, f"the unit {unit.name} is that of a comment")
        return replace(columns, quantity=unit.quantity, unit=unit, notes=(*columns.notes, said))
    return columns
