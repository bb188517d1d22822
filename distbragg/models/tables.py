"""Sweeps from files whose axes may come from tables: CSV, Parquet, DIALS experiment lists."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from distbragg.errors import InputError
from distbragg.matrices import inverse3, matmul3, orthogonal_part
from distbragg.models.arrays import Float64Array
from distbragg.models.cell import cell_parameters, measured_cell, standard_reciprocal
from distbragg.spec import load
from distbragg.spec.sweep import SweepSpec

_EXPERIMENT_LIST: Final = ".expt"


def load_sweep(
    path: str | Path, overrides: Sequence[str] = (), *, root: str | Path | None = None
) -> SweepSpec:
    """Read a sweep, tables of its axes included; see `distbragg.spec.load.load_sweep`."""
    return load.load_sweep(path, overrides, root=root, tables=table_rows)


def load_any(
    path: str | Path, overrides: Sequence[str] = (), *, root: str | Path | None = None
) -> SweepSpec:
    """Read a sweep, or a single experiment as a sweep without axes."""
    return load.load_any(path, overrides, root=root, tables=table_rows)


def table_rows(path: Path, columns: Sequence[str] | None) -> list[list[Any]]:
    """Return the rows of some columns of a table; of an experiment list its crystals' U.

    Raises
    ------
    InputError
        The file cannot be read, has no such column, or no columns were named.
    EnvironmentFailure
        Parquet without pyarrow.
    """
    if path.suffix == _EXPERIMENT_LIST:
        return [matrix.ravel().tolist() for matrix in crystal_orientations(str(path))]
    if not columns:
        raise InputError(
            "names no columns of its table", field="table", remedy="give column or columns"
        )
    from distbragg.read.columns import read_table

    table = read_table(str(path), columns)
    return [list(row) for row in zip(*(table[name].tolist() for name in columns), strict=True)]


def crystal_orientations(path: str) -> list[Float64Array]:
    """Return U of every crystal of a DIALS experiment list, in the file's frame.

    U turns the crystal's standard setting, a* along x and b* in the xy plane as `crystal.cell`
    gives it, into the orientation of the file.

    Raises
    ------
    InputError
        An experiment has no crystal.
    """
    from distbragg.read.geometry.expt import read_expt  # few sweeps have a table of this kind

    found: list[Float64Array] = []
    count = 1
    while len(found) < count:
        geometry = read_expt(path, experiment=len(found))
        if geometry.real_space is None:
            raise InputError(f"experiment {len(found)} has no crystal", source=path)
        count = geometry.experiments
        real = np.array(geometry.real_space, dtype=np.float64)
        found.append(orientation_of(real))
    return found


def orientation_of(real: Float64Array) -> Float64Array:
    """Return the rotation from the standard setting of a cell to these rows a, b, c (Å)."""
    first, second, third = ((float(x), float(y), float(z)) for x, y, z in real)
    a, b, c, *angles = measured_cell((first, second, third))
    alpha, beta, gamma = (float(np.degrees(angle)) for angle in angles)
    cell = cell_parameters((a, b, c, alpha, beta, gamma))
    standard = np.array(standard_reciprocal(cell, "exact"), dtype=np.float64).T
    return orthogonal_part(matmul3(inverse3(real), inverse3(standard)))
