"""Text structure factors: one reflection `h k l F` a line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from distbragg.read.amplitudes import (
    is_amplitude,
    is_intensity,
    is_measured,
    refused_intensities,
    roots,
    warn_of_scale,
)
from distbragg.read.miller import MAXIMUM_INDEX, NOTHING_ASKED, Asked, MillerTable, check_box
from distbragg.read.symmetry import listed_amplitudes
from distbragg.read.table import Table, head_lines, read_table
from distbragg.read.text import Reading, read_bytes, shown

MAXIMUM_REFLECTIONS: Final = 50_000_000
_WIDTHS: Final = (4, 5, 6)  # columns of a list that does not name them
_INDICES: Final = ("h", "k", "l")
_HEAD_BYTES: Final = 1 << 14
_SEPARATORS: Final = re.compile(r"[\s,;]+")
_SPEAKS_OF_INTENSITY: Final = re.compile(
    r"(?i)[^#]*#.*(\bintensit(y|ies)\b|\bF(\^|\*\*)2|F²|\bFsq)"
)


def read_hkl(path: str, asked: Asked = NOTHING_ASKED) -> MillerTable:
    """Read a text list of reflections, of the P1 cell where no group is asked for.

    Four columns h, k, l, F; a fifth and sixth (standard deviation, phase) are accepted and not
    used. Where an index is listed twice the last line counts. A line of names `h k l …`, first or
    in a comment, is believed.
    """
    file = Reading(path)
    content = read_bytes(path)
    head = head_lines(content, _HEAD_BYTES)
    names, after = _names(head, asked.column)
    position = _position(names, asked.column, file)
    label = names[position] if names else "F"
    if is_intensity(label) and asked.intensities == "refuse":
        raise refused_intensities(f"column '{label}'", file)
    indices, table = read_reflections(
        content,
        path,
        {position: label},
        widths=[width for width in {*_WIDTHS, len(names)} if width > position],
        expected=" ".join(names) or "h k l F",
        after=after,
    )
    amplitude = table.values[:, 3]
    check_box(indices, file)
    if is_intensity(label):
        amplitude = roots(amplitude, label, file)
    else:
        _tell_column(head, names, label, file)
        negative = int((amplitude < 0.0).sum())
        if negative:
            text = "amplitudes are negative: only squares count; are they intensities?"
            file.warn(f"{negative} {text}")
    if asked.group is None:
        return MillerTable(indices, amplitude, tuple(file.notes))
    return listed_amplitudes(indices, np.abs(amplitude), asked.group, file)


def read_reflections(
    content: bytes,
    path: str,
    columns: Mapping[int, str],
    *,
    indices: Sequence[int] = (0, 1, 2),
    **options: Any,  # noqa: ANN401
) -> tuple[NDArray[np.int64], Table]:
    """Return indices (n, 3), and a table of them and more columns; options as of `read_table`."""
    places = {**dict(zip(indices, _INDICES, strict=True)), **columns}
    table = read_table(content, path, places, most=MAXIMUM_REFLECTIONS, of="reflections", **options)
    for at, name in enumerate(_INDICES):
        values = table.values[:, at]
        table.refuse(
            values != np.rint(values),
            f"index {name} = {{{at}:g}} is not a whole number",
            "list reflections at whole Miller indices",
        )
        table.refuse(np.abs(values) > MAXIMUM_INDEX, f"index {name} = {{{at}:g}} is out of range")
    return table.values[:, :3].astype(np.int64), table


def _names(head: list[str], column: str | None) -> tuple[tuple[str, ...], int]:
    """Find the names of the columns, and the number of their line where it is not a comment.

    A comment that begins `h k l` somewhere counts where it names |F|, an intensity, or the
    column asked for; other comments are prose.
    """
    for number, line in enumerate(head, start=1):
        comment = line.lstrip().startswith("#")
        words = [word.strip("\"'") for word in _SEPARATORS.split(line.strip(" \t\n#!")) if word]
        lower = [word.lower() for word in words]
        starts = [at for at in range(len(words) - 3) if lower[at : at + 3] == list(_INDICES)]
        if comment and starts:
            names = tuple(words[starts[0] :])
            asked = column is not None and column.lower() in lower
            if asked or any(is_amplitude(name) or is_intensity(name) for name in names[3:]):
                return names, 0
        elif starts[:1] == [0]:
            return tuple(words), number
        if line.strip() and not comment:
            break
    return (), 0


def _position(names: tuple[str, ...], column: str | None, file: Reading) -> int:
    """Place of the column that is asked for, or whose name is that of |F|; else the fourth."""
    lower = [name.lower() for name in names]
    found = [place for place in range(3, len(names)) if is_amplitude(names[place])]
    found += [place for place in range(3, len(names)) if is_intensity(names[place])]
    if column is not None and not names:
        problem = "the list does not name its columns"
        remedy = "leave it out, or write a first line such as '# h k l F sigma'"
    elif column is not None:
        if column.lower() in lower[3:]:
            return lower.index(column.lower(), 3)
        problem, remedy = f"no column '{shown(column)}'", f"it has {' '.join(names[3:])}"
    elif found or len(names) <= _WIDTHS[0]:
        return found[0] if found else 3
    else:
        problem = f"none of its columns is named |F|: {shown(' '.join(names[3:]))}"
        remedy = "name the one that is"
    raise file.refusal(problem, remedy, "structure_factors.column")


def _tell_column(head: list[str], names: tuple[str, ...], label: str, file: Reading) -> None:
    """Say which column was taken where that is not plain."""
    if names:
        file.note(f"column {label} is |F|")
        if is_measured(label):
            warn_of_scale(label, names[3:], file)
        return
    data = (line.split("#", 1)[0].strip(" \t\n,;") for line in head)
    if len(_SEPARATORS.split(next(filter(None, data), ""))) > _WIDTHS[0]:
        file.warn(
            "the fourth of more than four columns without names is taken as |F| in electrons; for "
            "F² and σ give structure_factors.format: hklf4"
        )
    spoken = next((line for line in head if _SPEAKS_OF_INTENSITY.match(line)), None)
    if spoken is not None:
        text = f"a comment speaks of intensities ('{shown(spoken.strip())}'), yet F is read"
        file.warn(f"{text}; name the columns: # h k l I")
