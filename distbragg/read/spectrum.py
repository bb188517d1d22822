"""Spectra: text tables of wavelength or photon energy, and weight, named in any usual way."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.notes import Note, Notes
from distbragg.read.table import head_lines, read_table
from distbragg.read.text import Reading, check_table, read_bytes, shown
from distbragg.read.units import ANGSTROM, EV, KEV, METRE, Quantity, SpectralUnit, spectral_unit

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

_NAMES_REMEDY: Final = "expected e.g. 'wavelength_angstrom,weight' or 'energy_ev,weight'"
_MOST_COMMENTS: Final = 100
_HEAD_BYTES: Final = 1 << 20
_FIELDS: Final = re.compile(r"[\s,;\"']+")
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

_REMEDY: Final = "name the column, e.g. wavelength_angstrom or energy_kev"
_WORTH_A_WARNING: Final = 0.01  # share of the weights that a baseline about zero does not reach


@dataclass(frozen=True, slots=True, eq=False)
class Spectrum:
    """Wavelengths (n,), Å, and their weights (n,): not negative, one at least positive."""

    wavelength: NDArray[np.float64]
    weight: NDArray[np.float64]
    notes: Notes = ()


def read_spectrum(path: str) -> Spectrum:
    """Read a table of wavelengths or photon energies, and weights, 1 each where there are none.

    A first line of names, or a comment (`#`, or a line of `%`, `!` or `//`), may say what the
    columns hold and in which unit, in any usual spelling: `energy_ev`, `E (keV)`, `# energies in
    keV`. What is said is believed. A column without a unit is taken by its size, which is noted.
    """
    file = Reading(path)
    content = read_bytes(path)
    check_table(content, path)
    columns = columns_of(content, file)
    places = [columns.value] if columns.weight is None else [columns.value, columns.weight]
    table = read_table(
        content.translate(None, b"\"'"),
        path,
        dict(zip(places, ("wavelength or energy", "weight"), strict=False)),
        widths=(columns.count,),
        most=MAXIMUM_LINES,
        of="wavelengths",
        expected="a value and its weight, or a first line of names",
        comment=rb"#[^\n]*|(?m:^[ \t]*(?:%|!|//)[^\n]*)",
        after=columns.after,
    )
    values = table.values[:, 0]
    table.refuse(values <= 0.0, "wavelength or energy {0:g} is not positive")
    unit = columns.unit
    if unit is None:
        unit = unit_by_size(values, columns.quantity, path, "the column")
        text = f"{values.min():g} to {values.max():g} is taken as {unit.name} by its size"
        file.note(f"the column has no unit: {text}")
    wavelengths = unit.angstroms(values)
    if not (np.isfinite(wavelengths).all() and (wavelengths > 0.0).all()):
        raise file.refusal("a wavelength is zero or not finite")
    listed = np.ones(values.size) if columns.weight is None else table.values[:, 1]
    weights, more = usable_weights(listed, path, "the spectrum")
    return Spectrum(wavelengths, weights, (*file.notes, *more))


def unit_by_size(
    values: Sequence[float] | NDArray[np.float64], quantity: Quantity | None, source: str, what: str
) -> SpectralUnit:
    """Return the one unit in which all values are plausible."""
    least, most = np.min(values), np.max(values)
    for unit, low, high in _BY_SIZE[quantity]:
        if low <= least and most <= high:
            return unit
    raise InputError(
        f"{what} has no unit, and {least:g} to {most:g} is plausible in none or in several",
        source=source,
        remedy=_REMEDY,
    )


def usable_weights(
    weight: NDArray[np.float64], source: str, what: str
) -> tuple[NDArray[np.float64], Notes]:
    """Return weights with the negative ones, as a measured baseline leaves them, set to 0.

    The one rule for text, HDF5, NetCDF, Zarr and NXmx (clause SRC-24). A note says how many
    there were; where they amount to more than one per cent of the rest it is a warning.
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


@dataclass(frozen=True, slots=True)
class Columns:
    """Where value and weight stand, and what is said of the value."""

    value: int
    weight: int | None  # without one every line weighs 1
    count: int  # of all columns
    quantity: Quantity | None = None
    unit: SpectralUnit | None = None
    aside: tuple[str, ...] = ()  # names of those left aside, of more than two
    after: int = 0  # lines above the data


def columns_of(content: bytes, file: Reading) -> Columns:
    """Return the columns of a table.

    A line of names wins over comments above the data; what the names leave open (the unit, or
    everything where there are none) is taken from the comments.
    """
    raw = head_lines(content, _HEAD_BYTES)
    data = [
        (number, line)
        for number, line in enumerate(raw, start=1)
        if line.split("#", 1)[0].strip(" \t\n,;\f\v") and not line.lstrip().startswith(COMMENTS)
    ]
    if not data:
        raise file.refusal("the spectrum is empty")
    number, first = data[0]
    if any(_DECIMAL_COMMAS.match(line) for _, line in data[:2]):
        raise file.refusal("the numbers have decimal commas", "write decimal points", line=number)
    text = first.split("#", 1)[0]
    fields = [field for field in _FIELDS.split(text) if field]
    comments = _comments(raw[:number])
    if _is_number(fields[0]):
        columns = replace(_from_comments(comments, len(fields), file), after=number - 1)
        number = 0
    else:
        named = _named(_names(text), file, number)
        if named is None:
            raise file.refusal(f"column names '{shown(text.strip())}'", _NAMES_REMEDY, line=number)
        columns = replace(named, after=number)
    if columns.aside:
        names = ", ".join(shown(name) for name in columns.aside)
        file.note(f"columns ignored: {names}", line=number)
    return columns if columns.unit is not None else _with_said_unit(columns, comments, file)


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
            found.append(line.split("#", 1)[1].rstrip("\n"))
        elif line.lstrip().startswith(COMMENTS):
            found.append(line.strip().lstrip("%!/"))
    return found


def _names(text: str) -> list[str]:
    """Split a line of names; a bracketed unit belongs to the name before it."""
    # Tables of pandas begin with a column of row numbers that has no name.
    index = [_INDEX] if re.match(r" *[,;\t]", text) else []
    text = text.strip(" \t,;\f\v")
    parts = _NAME.findall(text)
    if re.search(r"[,;\t]", text):
        parts = [*index, *(part for part in re.split(r"[,;\t]+", text) if part.strip())]
    return _joined_names([part.strip("\"' ") for part in parts])


def _joined_names(names: list[str]) -> list[str]:
    """Join the words of one name that blanks part: `photon energy`, `wavelength nm`."""
    joined: list[str] = []
    before = ""
    for name in names:
        if all(word.casefold() in _ASIDE for word in _words(name)):
            before += f"{name} "
            continue
        if joined and joined[-1].casefold() in _QUANTITIES and spectral_unit(name) is not None:
            joined[-1] = f"{joined[-1]} {before}{name}"
        else:
            joined.append(f"{before}{name}")
        before = ""
    return joined


def _named(names: list[str], file: Reading, line: int = 0) -> Columns | None:
    """Return the columns of a list of names, or None if one is not understood."""
    values: list[tuple[int, Quantity, SpectralUnit | None]] = []
    weights: list[int] = []
    for index, name in enumerate(names):
        if _is_weight(name):
            weights.append(index)
            continue
        quantity, unit = quantity_and_unit(name, file, line)
        if quantity is not None:
            values.append((index, quantity, unit))
        elif len(names) <= _COLUMNS:
            return None
    if len(values) != 1 or len(weights) > 1 or (len(names) > _COLUMNS and not weights):
        return None
    ((value, quantity, unit),) = values
    aside = tuple(name for index, name in enumerate(names) if index not in (value, *weights))
    return Columns(value, weights[0] if weights else None, len(names), quantity, unit, aside)


def _words(name: str) -> list[str]:
    return [word for word in _BETWEEN.split(name.strip()) if word]


def _is_weight(name: str) -> bool:
    words = [word.casefold() for word in _words(name)]
    return any(word in _WEIGHTS for word in words) and not any(
        word in _QUANTITIES or word in _ERRORS for word in words
    )


def quantity_and_unit(
    name: str, file: Reading, line: int = 0
) -> tuple[Quantity | None, SpectralUnit | None]:
    """Return what a name such as `photon_energy_keV` says, if anything; refuse an energy in nm."""
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
        elif quantity is None and unit is None and (joined := _joined(word)) is not None:
            quantity, unit = joined
        else:
            return None, None
    if unit is None:
        return quantity, None
    if quantity not in (None, unit.quantity):
        raise file.refusal(
            f"'{shown(name)}' is not a unit of its quantity", _NAMES_REMEDY, line=line
        )
    return unit.quantity, unit


def _joined(word: str) -> tuple[Quantity, SpectralUnit] | None:
    """Take `energykeV` apart."""
    for name, quantity in _QUANTITIES.items():
        if len(name) > 2 and word.casefold().startswith(name):
            unit = spectral_unit(word[len(name) :])
            return None if unit is None else (quantity, unit)
    return None


def _from_comments(comments: list[str], fields: int, file: Reading) -> Columns:
    """Columns of a table without names: those that the last comment of names gives."""
    for comment in reversed(comments):
        names = _names(comment)
        columns = _named(names, file) if len(names) == fields else None
        if columns is not None:
            file.note(f"the columns are those of the comment '{shown(comment)}'")
            return columns
    return Columns(0, 1 if fields >= _COLUMNS else None, min(fields, _COLUMNS))


def _with_said_unit(columns: Columns, comments: list[str], file: Reading) -> Columns:
    """Add the one unit that the comments name; a unit after a number is that of the number."""
    found: dict[SpectralUnit, SpectralUnit] = {}
    for comment in comments:
        if not any(word.casefold() in (*_QUANTITIES, "unit", "units") for word in _words(comment)):
            continue
        words = [
            match[0]
            for match in _SAID.finditer(comment)
            if not _NUMBER_BEFORE.search(comment[: match.start()])
        ]
        for word in words + _SINGLE.findall(comment):
            unit = spectral_unit(word)
            if unit is not None and columns.quantity in (None, unit.quantity):
                found[unit] = unit
    if len(found) > 1:
        names = " and ".join(unit.name for unit in found.values())
        raise file.refusal(f"the comments name {names}", _NAMES_REMEDY)
    for unit in found.values():
        file.note(f"the unit {unit.name} is that of a comment")
        return replace(columns, quantity=unit.quantity, unit=unit)
    return columns
