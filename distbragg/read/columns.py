"""Tables: CSV by the standard library, Parquet by pyarrow; columns by name."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TextIO

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import EnvironmentFailure, unreadable
from distbragg.read.text import MAXIMUM_UNPACKED_BYTES, Reading

MAXIMUM_ROWS: Final = 10_000_000
MAXIMUM_COLUMNS: Final = 10_000
_MAXIMUM_FIELD: Final = 1 << 16
_MAXIMUM_LINE: Final = 1 << 24

Column = NDArray[Any]  # float64, int64, bool, or text, (rows,)


def read_table(
    path: str, columns: Sequence[str] | None = None, *, ours: bool = False
) -> dict[str, Column]:
    """Read columns (rows,) of a table by their names; all where none are named.

    `.parquet` is Parquet, anything else CSV with a line of names; there a column is of whole
    numbers, numbers or text, the first of these that holds every field. A table of `ours` may be
    empty, and hold what is not a number.
    """
    file = Reading(path)
    table = _parquet(file, columns) if path.lower().endswith(".parquet") else _csv(file)
    wanted = _known(table, table if columns is None else columns, file)
    rows = len(next(iter(table.values()))) if table else 0
    if rows == 0 and not ours:
        raise file.refusal("the table has no rows")
    return {name: table[name] if ours else _checked(table[name], name, file) for name in wanted}


def _known(names: Collection[str], wanted: Iterable[str], file: Reading) -> list[str]:
    """Return the names wanted; refuse one that the table does not have."""
    for name in wanted:
        if name not in names:
            known = ", ".join(list(names)[:20])
            raise file.refusal(f"has no column {name!r}", f"it has {known}")
    return list(wanted)


def _csv(file: Reading) -> dict[str, Column]:
    try:
        with Path(file.path).open(newline="", encoding="utf-8-sig") as handle:
            names, rows = _csv_rows(handle, file)
    except OSError as error:
        raise unreadable(error, file.path) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise file.refusal(f"is no CSV text ({error})") from None
    return {name: _typed([row[at] for row in rows], name, file) for at, name in enumerate(names)}


def _lines(handle: TextIO, file: Reading) -> Iterator[str]:
    while line := handle.readline(_MAXIMUM_LINE):
        if len(line) == _MAXIMUM_LINE and not line.endswith("\n"):
            raise file.refusal(f"holds a line of more than {_MAXIMUM_LINE} characters")
        yield line


def _csv_rows(handle: TextIO, file: Reading) -> tuple[list[str], list[list[str]]]:
    csv.field_size_limit(_MAXIMUM_FIELD)
    lines = csv.reader(_lines(handle, file), skipinitialspace=True)
    names: list[str] = []
    rows: list[list[str]] = []
    for line in lines:
        if not line or line[0].lstrip().startswith("#"):
            continue
        fields = [field.strip() for field in line]
        if not names:
            names = fields
            if len(names) > MAXIMUM_COLUMNS or len(set(names)) != len(names) or "" in names:
                problem = "the first line must name every column, each once"
                raise file.refusal(problem, line=lines.line_num)
            continue
        if len(fields) != len(names):
            problem = f"{len(fields)} fields where the first line names {len(names)}"
            raise file.refusal(problem, line=lines.line_num)
        if len(rows) == MAXIMUM_ROWS:
            raise file.refusal(f"more than {MAXIMUM_ROWS} rows")
        rows.append(fields)
    return names, rows


def _typed(fields: list[str], name: str, file: Reading) -> Column:
    """Return the fields as the simplest type that holds them all."""
    if any(not field for field in fields):
        raise file.refusal(f"column {name!r} lacks a value in row {fields.index('') + 1}")
    for kind, dtype in ((int, np.int64), (float, np.float64)):
        try:
            values = np.array([kind(field) for field in fields], dtype=dtype)
        except (ValueError, OverflowError):
            continue
        return _checked(values, name, file)
    return np.array(fields)


def _checked(values: Column, name: str, file: Reading) -> Column:
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0]) + 1
        raise file.refusal(f"column {name!r} has no finite number in row {row}")
    return values


def _parquet(file: Reading, columns: Sequence[str] | None) -> dict[str, Column]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise EnvironmentFailure(
            f"{file.path}: Parquet needs pyarrow: pip install 'distbragg[tables]'"
        ) from None
    try:
        stored = pq.ParquetFile(file.path)
        known = stored.schema_arrow.names
        if stored.metadata.num_rows > MAXIMUM_ROWS or len(known) > MAXIMUM_COLUMNS:
            raise file.refusal("the table is too large")
        groups = [stored.metadata.row_group(at) for at in range(stored.metadata.num_row_groups)]
        if sum(group.total_byte_size for group in groups) > MAXIMUM_UNPACKED_BYTES:
            raise file.refusal(f"the table unpacks to more than {MAXIMUM_UNPACKED_BYTES} bytes")
        wanted = _known(known, known if columns is None else columns, file)
        texts = [field.name for field in stored.schema_arrow if pa.types.is_string(field.type)]
        # A text that is repeated is stored, and read, once: a small file may repeat a long one.
        table = pq.ParquetFile(file.path, read_dictionary=texts).read(columns=wanted)
    except (OSError, pa.ArrowException) as error:
        raise unreadable(error, file.path, form="Parquet") from None
    return {name: _arrow_column(table[name], name, file) for name in wanted}


def _arrow_column(column: Any, name: str, file: Reading) -> Column:  # noqa: ANN401
    if column.null_count:
        raise file.refusal(f"column {name!r} lacks {column.null_count} values")
    if str(column.type).startswith("dictionary"):
        each = (text.as_py() for chunk in column.chunks for text in chunk.dictionary)
        # numpy holds each text in as many characters as the longest has.
        longest = max(map(len, each), default=0)
        if 4 * longest * len(column) > MAXIMUM_UNPACKED_BYTES:
            problem = f"column {name!r} holds too much text: {longest} characters in a row"
            raise file.refusal(problem)
        column = column.cast("string")
    values = column.to_numpy()
    kind = values.dtype.kind
    if kind == "f":
        return np.asarray(values, dtype=np.float64)
    if kind in "iub":
        return np.asarray(values, dtype=np.bool_ if kind == "b" else np.int64)
    if kind in "OU" and all(isinstance(value, str) for value in values):
        return np.asarray(values, dtype=np.str_)
    raise file.refusal(f"column {name!r} holds {column.type}", "use numbers, booleans or text")
