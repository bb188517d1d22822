"""Sweeps from files whose axes may come from tables: CSV, Parquet, lists of crystals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from distbragg.errors import InputError
from distbragg.spec.load import CRYSTAL_LISTS, TableOf, is_sweep, load_spec, parse_sweep
from distbragg.spec.sweep import SweepSpec
from distbragg.spec.yaml_text import read_yaml_mapping

_LONGEST_VECTOR: Final = 1000  # whose covariance is read


def load_sweep(
    path: str | Path, overrides: Sequence[str] = (), *, root: str | Path | None = None
) -> SweepSpec:
    """Read a sweep, tables of its axes included.

    Parameters
    ----------
    path : path of a YAML file
        With `experiment:` (inline, or the path of its own file) and `axes:`.
    overrides : sequence of "dotted.path=value"
        Fields of the experiment (`beam.energy_ev=9000`, with or without a leading `experiment.`)
        or of the axes (`axes.0.linspace.count=5`).
    root : path, optional
        As in `load_spec`.

    Returns
    -------
    SweepSpec
        Checked, with the values of its tables.

    Raises
    ------
    InputError
        A file cannot be read, or a field cannot be used.
    """
    data = read_yaml_mapping(path)
    if not is_sweep(data):
        raise InputError(
            "has no `experiment:` and no `axes:`",
            source=str(path),
            remedy="use `distbragg render` for a single experiment",
        )
    place: dict[str, Any] = {"source": str(path), "base_dir": Path(path).parent, "root": root}
    return parse_sweep(data, overrides=overrides, tables=table_rows, **place)


def load_any(
    path: str | Path, overrides: Sequence[str] = (), *, root: str | Path | None = None
) -> SweepSpec:
    """Read a sweep, or a single experiment as a sweep without axes."""
    if is_sweep(read_yaml_mapping(path)):
        return load_sweep(path, overrides, root=root)
    return SweepSpec(experiment=load_spec(path, overrides, root=root))


def table_rows(path: Path, columns: Sequence[str] | None, of: TableOf | None = None) -> list[Any]:
    """Return the rows of some columns of a table; of a list of crystals what an axis sets.

    Of no columns, not even None: rows of numbers without names, as of a covariance.
    """
    if columns is not None and not columns:
        from distbragg.read.kernel import read_rows

        rows: list[list[Any]] = read_rows(str(path), _LONGEST_VECTOR, "covariance").tolist()
        return rows
    if of is not None and path.suffix in CRYSTAL_LISTS:
        from distbragg.models.crystal_tables import crystal_rows  # few sweeps have such a table

        return crystal_rows(path, columns, of)
    if not columns:
        raise InputError(
            "names no columns of its table", field="table", remedy="give column or columns"
        )
    from distbragg.read.columns import read_table

    table = read_table(str(path), columns)
    return [list(row) for row in zip(*(table[name].tolist() for name in columns), strict=True)]
