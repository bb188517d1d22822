"""Tables: CSV by the standard library, Parquet by pyarrow; columns by name."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import EnvironmentFailure, InputError

MAXIMUM_ROWS: Final = 10_000_000
MAXIMUM_COLUMNS: Final = 10_000
_MAXIMUM_FIELD: Final = 1 << 16

Column = NDArray[Any]
"""float64, int64, bool, or text, (rows,)."""


def read_table(
    path: str, columns: Sequence[str] | None = None, *, may_be_empty: bool = False
) -> dict[str, Column]:
    """Read a table's columns.

    Parameters
    ----------
    path : str
        `.parquet` is Parquet, anything else CSV with a line of names; there a column is of whole
        numbers, numbers or text, the first of these that holds every field.
    columns : sequence of str, optional
        The columns wanted; all where not given.
    may_be_empty : bool
        Accept a table without rows.

    Returns
    -------
    dict of str to array (rows,)

    Raises
    ------
    InputError
        Names file, and line or column: no such column, missing values, lines of other lengths.
    EnvironmentFailure
        Parquet without pyarrow.
    """
    table = _parquet(path, columns) if path.lower().endswith(".parquet") else _csv(path)
    wanted = list(table) if columns is None else list(columns)
    for name in wanted:
        if name not in table:
            known = ", ".join(list(table)[:20])
            raise InputError(f"has no column {name!r}", source=path, remedy=f"it has {known}")
    rows = len(next(iter(table.values()))) if table else 0
    if rows == 0 and not may_be_empty:
        raise InputError("the table has no rows", source=path)
    return {name: table[name] for name in wanted}


def _csv(path: str) -> dict[str, Column]:
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as handle:
            names, rows = _csv_rows(handle, path)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", source=path) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"is no CSV text ({error})", source=path) from None
    return {
        name: _typed([row[index] for row in rows], name, path) for index, name in enumerate(names)
    }


def _csv_rows(handle: Any, path: str) -> tuple[list[str], list[list[str]]]:  # noqa: ANN401
    csv.field_size_limit(_MAXIMUM_FIELD)
    lines = csv.reader(handle, skipinitialspace=True)
    names: list[str] = []
    rows: list[list[str]] = []
    for line in lines:
        if not line or line[0].lstrip().startswith("#"):
            continue
        fields = [field.strip() for field in line]
        if not names:
            names = fields
            if len(names) > MAXIMUM_COLUMNS or len(set(names)) != len(names) or "" in names:
                raise InputError(
                    "the first line must name every column, each once",
                    source=f"{path}:{lines.line_num}",
                )
            continue
        if len(fields) != len(names):
            raise InputError(
                f"{len(fields)} fields where the first line names {len(names)}",
                source=f"{path}:{lines.line_num}",
            )
        if len(rows) == MAXIMUM_ROWS:
            raise InputError(f"more than {MAXIMUM_ROWS} rows", source=path)
        rows.append(fields)
    return names, rows


def _typed(fields: list[str], name: str, path: str) -> Column:
    """Return the fields as the simplest type that holds them all."""
    if any(not field for field in fields):
        raise InputError(
            f"column {name!r} lacks a value in row {fields.index('') + 1}", source=path
        )
    for kind, dtype in ((int, np.int64), (float, np.float64)):
        try:
            values = np.array([kind(field) for field in fields], dtype=dtype)
        except (ValueError, OverflowError):
            continue
        return _checked(values, name, path)
    return np.array(fields)


def _checked(values: Column, name: str, path: str) -> Column:
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0]) + 1
        raise InputError(f"column {name!r} has no finite number in row {row}", source=path)
    return values


def _parquet(path: str, columns: Sequence[str] | None) -> dict[str, Column]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise EnvironmentFailure(
            f"{path}: Parquet needs pyarrow: pip install 'distbragg[tables]'"
        ) from None
    try:
        file = pq.ParquetFile(path)
        known = file.schema_arrow.names
        if file.metadata.num_rows > MAXIMUM_ROWS or len(known) > MAXIMUM_COLUMNS:
            raise InputError("the table is too large", source=path)
        wanted = known if columns is None else [name for name in columns if name in known]
        table = file.read(columns=wanted)
    except (OSError, pa.ArrowException) as error:
        text = " ".join(str(error).split())[:200]
        raise InputError(f"cannot be read as Parquet ({text})", source=path) from None
    if columns is not None and len(wanted) < len(columns):
        lacking = next(name for name in columns if name not in known)
        raise InputError(
            f"has no column {lacking!r}", source=path, remedy=f"it has {', '.join(known[:20])}"
        )
    return {name: _arrow_column(table[name], name, path) for name in wanted}


def _arrow_column(column: Any, name: str, path: str) -> Column:  # noqa: ANN401
    if column.null_count:
        raise InputError(f"column {name!r} lacks {column.null_count} values", source=path)
    values = column.to_numpy()
    if values.dtype.kind == "f":
        return _checked(values.astype(np.float64), name, path)
    if values.dtype.kind in "iu":
        return np.asarray(values, dtype=np.int64)
    if values.dtype.kind == "b":
        return np.asarray(values, dtype=np.bool_)
    if values.dtype.kind in "OU" and all(isinstance(value, str) for value in values):
        return np.asarray(values, dtype=np.str_)
    raise InputError(
        f"column {name!r} holds {column.type}", source=path, remedy="use numbers, booleans or text"
    )
