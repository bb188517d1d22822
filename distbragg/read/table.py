"""The reader of all text tables of numbers; sources, stol tables, MOSFLM orientation matrices."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Container, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from distbragg.constants import MAXIMUM_WAVELENGTH_M, SOURCE_DISTANCE_M
from distbragg.errors import InputError
from distbragg.read.text import check_table, check_text, read_bytes, shown

_MAXIMUM_SOURCES: Final = 10_000_000
_MAXIMUM_STOL_ROWS: Final = 1_000_000
_SOURCE_COLUMNS: Final = ("X", "Y", "Z", "weight", "wavelength")
_MAXIMUM_MATRIX_BYTES: Final = 1 << 20
_BLOCK_BYTES: Final = 1 << 22
_SPACES: Final = bytes.maketrans(b",;\f\v\t", b"     ")
_MARK: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Table:
    """Values (rows, columns), finite or NaN where a row is shorter, and their lines, from 1."""

    source: str
    values: NDArray[np.float64]
    lines: NDArray[np.int64]

    def refuse(self, rows: NDArray[np.bool_], problem: str, remedy: str = "") -> None:
        """Raise `InputError` at the first of some rows; `{0:g}` is the number of its column 0."""
        if rows.any():
            row = int(np.argmax(rows))
            problem = problem.format(*self.values[row].tolist())
            raise InputError(problem, source=f"{self.source}:{self.lines[row]}", remedy=remedy)


def read_table(
    content: bytes,
    source: str,
    columns: Mapping[int, str],
    *,
    widths: Container[int],
    most: int,
    of: str,
    expected: str = "",
    comment: bytes = rb"#[^\n]*",
    after: int = 0,
) -> Table:
    """Read columns of numbers, separated by white space, commas or semicolons.

    Blank lines, ends of LF, CRLF or CR, and a last line without an end are accepted. Lines are
    taken in blocks, so that a list of millions fits.

    The columns wanted are given by their place, with their names for messages. A line may have
    any of `widths` columns; one that it lacks is NaN. `most` is of rows, `of` what they are,
    `expected` what a line should hold, `comment` a pattern of what is no data, and `after` the
    number of lines to pass over.
    """
    check_table(content, source)
    if b"\r" in content:
        content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    values, lines = [np.empty((0, len(columns)))], [np.empty(0, np.int64)]
    rows = number = 0
    for data in _blocks(content.removeprefix(_MARK)):
        data = re.sub(comment, b"", data).translate(_SPACES)
        counts = _fields_of_each_line(data)
        counts[: max(after - number, 0)] = 0
        passed = data.split(b"\n", after - number)[-1] if number < after else data
        kept = np.flatnonzero(counts)
        lines.append(kept + number + 1)
        odd = [count for count in np.unique(counts[kept]).tolist() if count not in widths]
        if odd:
            row = int(np.argmax(np.isin(counts, odd)))
            place = f"{source}:{row + number + 1}"
            remedy = f"expected '{expected}'" if expected else ""
            raise InputError(f"{counts[row]} columns", source=place, remedy=remedy)
        values.append(_values(passed, counts[kept], lines[-1], columns, source))
        number += counts.size
        rows += kept.size
        if rows > most:
            raise InputError(f"more than {most} {of}", source=source)
    if not rows:
        remedy = f"expected lines '{expected}'" if expected else ""
        raise InputError(f"the file lists no {of}", source=source, remedy=remedy)
    return Table(source, np.concatenate(values), np.concatenate(lines))


def head_lines(content: bytes, size: int) -> list[str]:
    """Lines of the first `size` bytes, without their ends."""
    text = content[:size].decode("utf-8-sig", "surrogateescape")
    return [line.rstrip("\n") for line in io.StringIO(text, newline=None)]


def _blocks(content: bytes) -> Iterator[bytes]:
    """Yield blocks of whole lines, each line with an end."""
    start = 0
    while start < len(content):
        end = content.find(b"\n", start + _BLOCK_BYTES) + 1 or len(content)
        block = content[start:end]
        yield block if block.endswith(b"\n") else block + b"\n"
        start = end


def _fields_of_each_line(data: bytes) -> NDArray[np.int64]:
    text = np.frombuffer(data, np.uint8)
    ends = text == ord("\n")
    field = ~(ends | (text == ord(" ")))
    field[1:] &= ~field[:-1]
    return np.diff(np.searchsorted(np.flatnonzero(field), np.flatnonzero(ends)), prepend=0)


def _values(
    data: bytes,
    counts: NDArray[np.int64],
    lines: NDArray[np.int64],
    columns: Mapping[int, str],
    source: str,
) -> NDArray[np.float64]:
    """Return columns of some rows of which each has so many fields, and its line number."""
    rows, total = counts.size, int(counts.sum())
    if rows and (counts == counts[0]).all():
        # A dash alone is how programs write that there is none.
        with suppress(ValueError):
            flat = np.fromstring(data.replace(b" - ", b" nan "), sep=" ")
            if flat.size == total:
                whole = np.hstack([flat.reshape(rows, -1), np.full((rows, 1), math.nan)])
                width = whole.shape[1] - 1
                if np.isfinite(whole[:, [at for at in columns if at < width]]).all():
                    return whole[:, [min(at, width) for at in columns]]
    words = data.split()
    first = np.cumsum(counts) - counts
    values = np.full((rows, len(columns)), math.nan)
    for into, (at, name) in enumerate(columns.items()):
        present = np.flatnonzero(counts > at)
        taken = [words[place] for place in (first[present] + at).tolist()]
        values[present, into] = _numbers(taken, lines[present], name, source)
    return values


def _numbers(
    words: list[bytes], lines: NDArray[np.int64], name: str, source: str
) -> NDArray[np.float64]:
    try:
        values = np.fromiter(map(float, words), np.float64, len(words))
    except ValueError:
        values = np.full(len(words), math.nan)
    odd = [row for row, word in enumerate(words) if b"_" in word]
    for row in sorted({*np.flatnonzero(~np.isfinite(values)).tolist(), *odd}):
        word = words[row].decode("utf-8", "surrogateescape")
        values[row] = parse_number(word, f"{source}:{lines[row]}", name)
    return values


def parse_number(word: str, place: str, name: str) -> float:
    """Return a finite number."""
    try:
        value = float(word)
    except ValueError as error:
        raise InputError(f"{name} '{shown(word)}' is not a number", source=place) from error
    if not math.isfinite(value) or "_" in word:
        raise InputError(f"{name} '{shown(word)}' is not a finite number", source=place)
    return value


def read_sources(
    path: str, *, beam_direction: tuple[float, float, float], wavelength_m: float | None
) -> NDArray[np.float64]:
    """Read sources (n, 5): X Y Z from the sample (m), weight, wavelength (m).

    Trailing columns may be missing: a coordinate is then that of a point 10 m up the beam, whose
    direction is a unit vector, the weight 1 and the wavelength the nominal one, m; without that
    every line must state its own.
    """
    table = read_table(
        read_bytes(path),
        path,
        dict(enumerate(_SOURCE_COLUMNS)),
        widths=range(1, len(_SOURCE_COLUMNS) + 1),
        most=_MAXIMUM_SOURCES,
        of="sources",
        expected="X Y Z weight wavelength",
    )
    position = [-SOURCE_DISTANCE_M * part for part in beam_direction]
    nominal = math.nan if wavelength_m is None else wavelength_m
    rows = np.where(np.isnan(table.values), [*position, 1.0, nominal], table.values)
    table = replace(table, values=rows)
    x, y, z, weight, wavelength = rows.T
    table.refuse(
        np.isnan(wavelength),
        "states no wavelength, and the experiment names none",
        "give beam.wavelength_angstrom or beam.energy_ev, or a fifth column in metres",
    )
    with np.errstate(over="ignore"):
        length = np.sqrt(x * x + y * y + z * z)
    table.refuse(
        ~((length > 0.0) & np.isfinite(length)),
        "the source lies at the sample or at no finite distance",
        "X Y Z point from the sample to the source, in metres",
    )
    table.refuse(weight < 0.0, "the weight {3:g} is negative", "weights are >= 0")
    table.refuse(wavelength <= 0.0, "the wavelength {4:g} is not positive")
    table.refuse(
        wavelength > MAXIMUM_WAVELENGTH_M,
        f"the wavelength {{4:g}} m is longer than {MAXIMUM_WAVELENGTH_M:g} m",
        "the column is in metres; did you mean ångström?",
    )
    return rows


def read_stol(path: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Read a table of sin(theta)/lambda (n,), 1/Å, increasing, and F (n,), electrons.

    The abscissa is as written: `background.stol_scale` turns other abscissae into stol.
    """
    table = read_table(
        read_bytes(path),
        path,
        {0: "sin(theta)/lambda", 1: "F"},
        widths=(2,),
        most=_MAXIMUM_STOL_ROWS,
        of="rows",
        expected="sin(theta)/lambda F",
    )
    stol, amplitude = table.values.T
    table.refuse(
        (stol < 0.0) | (np.diff(stol, prepend=-1.0) <= 0.0),
        "sin(theta)/lambda = {0:g} does not increase",
        "sort the table by its first column",
    )
    return stol.copy(), amplitude.copy()


def read_matrix(path: str) -> NDArray[np.float64]:
    """Read the nine leading numbers of a MOSFLM matrix file.

    The rows are laboratory x, y, z and the columns a*, b*, c*, in units of 1/wavelength
    (dimensionless), (3, 3) float64 as written; what follows the ninth number (missets, the U
    matrix, the cell) is not used.
    """
    values: list[float] = []
    content = read_bytes(path, _MAXIMUM_MATRIX_BYTES)
    check_text(content, path)
    for number, line in enumerate(head_lines(content, _MAXIMUM_MATRIX_BYTES), start=1):
        words = re.findall(r"[^\s,;]+", line.split("#", 1)[0])
        for at, word in enumerate(words, start=1):
            values.append(parse_number(word, f"{path}:{number}", f"column {at}"))
            if len(values) == 9:
                return np.array(values, dtype=np.float64).reshape(3, 3)
    raise InputError(
        f"{len(values)} numbers where an orientation matrix has nine",
        source=path,
        remedy="expected three rows of a*, b*, c*",
    )
