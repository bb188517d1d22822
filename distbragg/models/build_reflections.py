"""Resolve |F|: a box of Miller indices from a list, and the identity of its inputs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.models.arrays import Float64Array, IntArray
from distbragg.models.build_beam import nominal_wavelength
from distbragg.models.crystal import Crystal, Reflections
from distbragg.notes import Note, Notes
from distbragg.read.miller import MillerTable
from distbragg.read.structure_factors import (
    WITHOUT_CELL,
    detect_format,
    read_structure_factors,
)
from distbragg.spec.crystal import StructureFactorsSpec
from distbragg.spec.experiment import ExperimentSpec

_INTERPOLATE_UP_TO: Final = 2
_BLOCK: Final = 1 << 20
_AS_IT_STANDS: Final = ("hkl", "hklf4", "hklf3")
"""Text lists, which are of the P1 cell unless a space group is given."""


def build_reflections(spec: ExperimentSpec) -> Reflections:
    """Read or compute |F| as the spec says.

    `interpolate` is left False where it is automatic: `resolve_interpolation` decides once
    the crystal is known, so that one table serves a whole sweep.

    Raises
    ------
    InputError
        An unusable file, or neither a file nor an amplitude.
    """
    factors = spec.structure_factors
    default = factors.default_f_electrons
    if factors.file is None:
        if default is None:
            raise InputError(
                "no structure factors are given",
                field="structure_factors.file",
                remedy="name a list or a model, or give structure_factors.default_f_electrons "
                "(0 for an image of the background alone)",
            )
        return empty_reflections(default)
    table = read_structure_factors(
        factors.file,
        format=factors.format,
        column=factors.column,
        dmin=_resolution(spec),
        intensities=factors.intensities,
        space_group=factors.space_group,
        bulk_solvent=factors.bulk_solvent,
        solvent_k=factors.solvent_k_e_per_a3,
        solvent_b=factors.solvent_b_angstrom2,
        wavelength=_anomalous_wavelength(spec),
    )
    # What is expanded to P1 holds every index once; a text list is taken as it stands.
    kind = _kind(factors)
    listed = kind in _AS_IT_STANDS and factors.space_group is None
    if listed and spec.physics == "exact":
        _check_repeated(table, factors.file)
    box = reflections_from_list(table.indices, table.amplitude, default or 0.0, unique=not listed)
    return replace(box, notes=(*table.notes, *_uncut(factors, kind)))


def _uncut(factors: StructureFactorsSpec, kind: str) -> Notes:
    """Say that a list without a cell is not cut at the resolution asked for."""
    if factors.dmin_angstrom is None or kind not in WITHOUT_CELL or factors.file is None:
        return ()
    text = "the list names no cell and is kept whole: structure_factors.dmin_angstrom is not used"
    return (Note("note", factors.file, text),)


def _anomalous_wavelength(spec: ExperimentSpec) -> float | None:
    """Wavelength that f′ and f″ are taken at, Å; None without anomalous scattering.

    Raises
    ------
    InputError
        The file is a list, or the experiment names no wavelength.
    """
    factors, beam = spec.structure_factors, spec.beam
    if not factors.anomalous or factors.file is None:
        return None
    if _kind(factors) != "model":
        raise InputError(
            "f′ and f″ are added to the atoms of a model; a list holds the pairs it holds",
            field="structure_factors.anomalous",
            remedy="leave it out, or give a model",
        )
    if beam.wavelength_angstrom is None and beam.energy_ev is None:
        raise InputError(
            "f′ and f″ need a wavelength",
            field="structure_factors.anomalous",
            remedy="give beam.wavelength_angstrom or beam.energy_ev",
        )
    return nominal_wavelength(beam, None)


def _kind(factors: StructureFactorsSpec) -> str:
    if factors.format != "auto" or factors.file is None:
        return factors.format
    return detect_format(factors.file)


def _check_repeated(table: MillerTable, source: str) -> None:
    """Refuse a list that gives one reflection two amplitudes; the same one twice is harmless.

    Raises
    ------
    InputError
    """
    if table.count == 0:
        return
    low = table.indices.min(axis=0)
    shape = table.indices.max(axis=0) - low + 1
    places = np.ravel_multi_index(tuple((table.indices - low).T), tuple(shape.tolist()))
    order = np.argsort(places, kind="stable")
    again = np.flatnonzero(np.diff(places[order]) == 0)
    differ = table.amplitude[order[again]] != table.amplitude[order[again + 1]]
    if differ.any():
        h, k, l = table.indices[order[again[np.flatnonzero(differ)[0]]]].tolist()  # noqa: E741
        raise InputError(
            f"reflection {h} {k} {l} is listed with two amplitudes",
            source=source,
            remedy="merge the list; physics: nanobragg takes the last, as the C program does",
        )


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
    indices: IntArray, amplitude: Float64Array, default_amplitude: float, *, unique: bool = False
) -> Reflections:
    """Put listed reflections into their bounding box; the last of a repeated index counts.

    Parameters
    ----------
    indices : (n, 3) int
    amplitude : (n,) float, electrons
    default_amplitude : float
        Fills the points that are not listed.
    unique : bool
        No index is repeated: nothing is sorted to find out.
    """
    if indices.shape[0] == 0:
        return empty_reflections(default_amplitude)
    low = indices.min(axis=0)
    shape = tuple(int(extent) for extent in indices.max(axis=0) - low + 1)
    flat = np.ravel_multi_index(tuple((indices - low).T), shape)
    box = np.full(shape, default_amplitude, dtype=np.float64)
    if unique:
        box.reshape(-1)[flat] = amplitude
    else:
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
        "default": float(factors.default_f_electrons or 0.0).hex(),
        "dmin": "" if dmin is None else float(dmin).hex(),
        "bulk_solvent": factors.bulk_solvent,
        **_list_key(factors),
        **_anomalous_key(spec),
        "solvent": [
            float(factors.solvent_k_e_per_a3).hex(),
            float(factors.solvent_b_angstrom2).hex(),
        ],
    }
    digest = hashlib.sha256(json.dumps(fields, sort_keys=True).encode("ascii"))
    if factors.file is not None:
        digest.update(_file_digest(factors.file))
    return digest.hexdigest()


def _list_key(factors: StructureFactorsSpec) -> dict[str, str]:
    """Fields that are seldom given: absent they leave the identity as it was without them."""
    key = {} if factors.space_group is None else {"space_group": factors.space_group}
    return key if factors.intensities == "refuse" else {**key, "intensities": factors.intensities}


def _anomalous_key(spec: ExperimentSpec) -> dict[str, str]:
    wavelength = _anomalous_wavelength(spec)
    return {} if wavelength is None else {"anomalous": wavelength.hex()}


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
