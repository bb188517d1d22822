"""Resolve |F|: a box of Miller indices from a list, and the identity of its inputs."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.models.arrays import Float64Array, IntArray
from distbragg.models.crystal import Crystal, Reflections
from distbragg.read.structure_factors import read_structure_factors
from distbragg.spec.crystal import StructureFactorsSpec
from distbragg.spec.experiment import ExperimentSpec

_INTERPOLATE_UP_TO: Final = 2
_BLOCK: Final = 1 << 20


def build_reflections(spec: ExperimentSpec) -> Reflections:
    """Read or compute |F| as the spec says.

    `interpolate` is left False where it is automatic: `resolve_interpolation` decides once
    the crystal is known, so that one table serves a whole sweep.

    Raises
    ------
    InputError
        An unusable file.
    """
    factors = spec.structure_factors
    if factors.file is None:
        return empty_reflections(factors.default_f_electrons)
    table = read_structure_factors(
        factors.file,
        format=factors.format,
        column=factors.column,
        dmin=_resolution(spec),
        bulk_solvent=factors.bulk_solvent,
        solvent_k=factors.solvent_k_e_per_a3,
        solvent_b=factors.solvent_b_angstrom2,
    )
    return reflections_from_list(table.indices, table.amplitude, factors.default_f_electrons)


def _resolution(spec: ExperimentSpec) -> float | None:
    """Resolution of the table, Å: as asked for, else the cut on rendered pixels."""
    if spec.structure_factors.dmin_angstrom is not None:
        return spec.structure_factors.dmin_angstrom
    return spec.sampling.dmin_angstrom or None


def empty_reflections(default_amplitude: float) -> Reflections:
    """Return a table without entries: every reflection has the default amplitude."""
    amplitude = np.zeros((0, 0, 0), dtype=np.float64)
    amplitude.setflags(write=False)
    return Reflections(amplitude, (0, 0, 0), default_amplitude, interpolate=False)


def reflections_from_list(
    indices: IntArray, amplitude: Float64Array, default_amplitude: float
) -> Reflections:
    """Put listed reflections into their bounding box; the last of a repeated index counts.

    Parameters
    ----------
    indices : (n, 3) int
    amplitude : (n,) float, electrons
    default_amplitude : float
        Fills the points that are not listed.
    """
    if indices.shape[0] == 0:
        return empty_reflections(default_amplitude)
    low = indices.min(axis=0)
    shape = tuple(int(extent) for extent in indices.max(axis=0) - low + 1)
    flat = np.ravel_multi_index(tuple((indices - low).T), shape)
    box = np.full(shape, default_amplitude, dtype=np.float64)
    last = _last_of_each(flat)
    box.reshape(-1)[flat[last]] = amplitude[last]
    box.setflags(write=False)
    origin = (int(low[0]), int(low[1]), int(low[2]))
    return Reflections(box, origin, default_amplitude, interpolate=False)


def _last_of_each(flat: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions of the last entry of each value (assignment order is not promised by numpy)."""
    _, first_reversed = np.unique(flat[::-1], return_index=True)
    return np.asarray(flat.shape[0] - 1 - first_reversed, dtype=np.int64)


def resolve_interpolation(spec: ExperimentSpec, reflections: Reflections, crystal: Crystal) -> bool:
    """Decide on tricubic look-up: automatic means a table and at most two cells on some axis.

    `physics: nanobragg` looks at the cells as given (1 where not), before a sample size
    replaces them, because the program decides there.
    """
    asked = spec.structure_factors.interpolate
    if reflections.amplitude.size == 0:
        return False
    if isinstance(asked, bool):
        return asked
    if spec.physics == "nanobragg":
        return min(spec.crystal.cells or (1, 1, 1)) <= _INTERPOLATE_UP_TO
    return bool((crystal.cells <= _INTERPOLATE_UP_TO).any())


def reflections_key(spec: ExperimentSpec) -> str:
    """Name the table: SHA-256 (hex) of the structure-factor fields and of the file's content.

    `interpolate` and the path do not enter: they do not change the table.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    factors = spec.structure_factors
    dmin = _resolution(spec)
    fields = {
        "format": factors.format if factors.file is not None else "",
        "suffix": _format_suffix(factors),
        "column": factors.column or "",
        "default": float(factors.default_f_electrons).hex(),
        "dmin": "" if dmin is None else float(dmin).hex(),
        "bulk_solvent": factors.bulk_solvent,
        "solvent": [
            float(factors.solvent_k_e_per_a3).hex(),
            float(factors.solvent_b_angstrom2).hex(),
        ],
    }
    digest = hashlib.sha256(json.dumps(fields, sort_keys=True).encode("ascii"))
    if factors.file is not None:
        digest.update(_file_digest(factors.file))
    return digest.hexdigest()


def _format_suffix(factors: StructureFactorsSpec) -> str:
    if factors.file is None or factors.format != "auto":
        return ""
    return "".join(Path(factors.file).suffixes[-2:]).lower()


def _file_digest(path: str) -> bytes:
    """Hash a file; remembered while it keeps its size and time, since every frame asks."""
    try:
        status = Path(path).stat()
        return _digest(path, (status.st_size, status.st_mtime_ns, status.st_ino))
    except (OSError, ValueError) as error:
        raise InputError(
            f"cannot be read ({error})", source=path, field="structure_factors.file"
        ) from error


@lru_cache(maxsize=32)
def _digest(path: str, _identity: tuple[int, int, int]) -> bytes:
    digest = hashlib.sha256()
    with Path(path).open("rb") as handle:
        while block := handle.read(_BLOCK):
            digest.update(block)
    return digest.digest()
