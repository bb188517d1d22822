"""|F| that is made of several: of elements by energy, of the models of an ensemble, of channels."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.models.crystal import Reflections, Spectral
from distbragg.models.scattering import tables
from distbragg.models.vectors import Float64Array, IntArray
from distbragg.notes import Note, Notes, distinct
from distbragg.read.miller import MAXIMUM_BOX_POINTS, Asked
from distbragg.read.structure_factors import read_structure_factors
from distbragg.spec.structure_factors import StructureFactorsSpec

_CELLS_ALIKE: Final = 0.05
"""Of an edge, and in radians of an angle: as far as models of one ensemble may differ."""


def build_mixture(
    factors: StructureFactorsSpec, dmin: float | None, wavelength: float | None
) -> Reflections:
    """Return |F| that depends on the energy or is a mean over models.

    `dmin` is in Å; f′ and f″ of all atoms are added at a wavelength, Å. What depends on the beam
    is left open: see `in_frame`.
    """
    if factors.channels is not None:
        return _of_channels(factors, dmin)
    models = factors.models
    files = [(factors.file, 1.0)] if models is None else [(m.file, m.weight) for m in models]
    return _of_models(
        [(file, weight) for file, weight in files if file is not None],
        factors,
        Asked(
            dmin=dmin,
            bulk_solvent=factors.bulk_solvent,
            solvent_k=factors.solvent_k_e_per_a3,
            solvent_b=factors.solvent_b_angstrom2,
            wavelength=wavelength,
        ),
    )


def _of_models(
    files: list[tuple[str, float]], factors: StructureFactorsSpec, asked: Asked
) -> Reflections:
    """Average models, each split into the part that depends on the energy and the rest."""
    from distbragg.read.model_parts import Choice, model_parts

    if not files:
        raise InputError(
            "f′ and f″ are added to the atoms of a model",
            field="structure_factors.file",
            remedy="name a model",
        )
    entries = factors.anomalous_elements or ()
    choices = tuple(Choice(entry.element, entry.label) for entry in entries)
    _check_models([file for file, _ in files], factors)
    found = [model_parts(file, asked, choices) for file, _ in files]
    for (file, _), part in zip(files, found, strict=True):
        _check_alike(found[0].cell, part.cell, file)
    shares = np.array([weight for _, weight in files])
    shares = shares / math.fsum(shares.tolist())
    low, shape = _box_of([part.indices for part in found])
    _check_size(shape, 2 * (1 + len(choices)))
    coherent = factors.average == "amplitudes"
    total: NDArray[Any] | None = None
    for part, share in zip(found, shares.tolist(), strict=True):
        values: NDArray[Any] = np.concatenate([part.normal[np.newaxis], part.parts])
        if not coherent:
            values = tables(values[0], values[1:])
        if total is None:
            total = np.zeros((len(values), *shape), dtype=values.dtype)
        h, k, l = (part.indices - low).T  # noqa: E741 - Miller indices
        total[:, h, k, l] += share * values
    assert total is not None
    squares = total
    if coherent:
        flat = total.reshape(len(total), -1)
        squares = tables(flat[0], flat[1:]).reshape(-1, *shape)
    notes = distinct(*(part.notes for part in found), _told(factors))
    return _as_reflections(squares, low, notes, "anomalous" if entries else None)


def _check_models(files: list[str], factors: StructureFactorsSpec) -> None:
    """Refuse what is not a model."""
    from distbragg.read.structure_factors import detect_format

    for file in files:
        kind = factors.format if factors.format != "auto" else detect_format(file)
        if kind != "model":
            raise InputError(
                "f′, f″ and the mean over models need atoms; a list holds none",
                source=file,
                field="structure_factors.models" if factors.models else "structure_factors.file",
                remedy="give a model (PDB, mmCIF, CIF), or structure_factors.channels",
            )


def _check_alike(one: tuple[float, ...], other: tuple[float, ...], file: str) -> None:
    """Refuse models of another cell."""
    edges = [abs(b / a - 1.0) for a, b in zip(one[:3], other[:3], strict=True)]
    turns = [math.radians(abs(b - a)) for a, b in zip(one[3:], other[3:], strict=True)]
    if max(edges + turns) > _CELLS_ALIKE:
        raise InputError(
            "its cell is not that of the first model",
            source=file,
            field="structure_factors.models",
            remedy="models of one ensemble share a cell",
        )


def _told(factors: StructureFactorsSpec) -> Notes:
    """Tell where f′ and f″ come from."""
    entries = factors.anomalous_elements or ()
    free = [entry.element for entry in entries if entry.table_file is None]
    if not free:
        return ()
    text = "of free atoms, after Cromer and Liberman by gemmi: no fine structure at an edge"
    place = "structure_factors.anomalous_elements"
    return (Note("note", place, f"f′ and f″ of {', '.join(dict.fromkeys(free))} are those {text}"),)


def _of_channels(factors: StructureFactorsSpec, dmin: float | None) -> Reflections:
    """Read the list or model of each channel."""
    channels = factors.channels or ()
    found = [
        read_structure_factors(
            channel.file,
            format=factors.format,
            column=factors.column,
            dmin=dmin,
            intensities=factors.intensities,
            space_group=factors.space_group,
            bulk_solvent=factors.bulk_solvent,
            solvent_k=factors.solvent_k_e_per_a3,
            solvent_b=factors.solvent_b_angstrom2,
        )
        for channel in channels
    ]
    low, shape = _box_of([table.indices for table in found])
    _check_size(shape, len(channels))
    squares = np.zeros((len(channels), *shape))
    for number, (table, channel) in enumerate(zip(found, channels, strict=True)):
        h, k, l = (table.indices - low).T  # noqa: E741 - Miller indices
        squares[number, h, k, l] = channel.factor * table.amplitude**2
    if not np.isfinite(squares).all():
        raise InputError("|F| of a channel is not finite", field="structure_factors.channels")
    return _as_reflections(squares, low, distinct(*(table.notes for table in found)), "channels")


def _box_of(lists: list[NDArray[np.int64]]) -> tuple[IntArray, tuple[int, int, int]]:
    """Return the lowest indices and the size of the box that holds all lists."""
    low = np.min([indices.min(axis=0) for indices in lists], axis=0)
    high = np.max([indices.max(axis=0) for indices in lists], axis=0)
    first, second, third = (high - low + 1).tolist()
    return low, (first, second, third)


def _check_size(shape: tuple[int, int, int], count: int) -> None:
    points = math.prod(shape) * count
    if points > MAXIMUM_BOX_POINTS:
        raise InputError(
            f"{count} tables of {math.prod(shape)} reflections are too large to hold",
            field="structure_factors.dmin_angstrom",
            remedy="ask for a lower resolution, or for fewer elements or channels",
        )


def _as_reflections(
    squares: Float64Array,
    low: IntArray,
    notes: Notes,
    kind: Any,  # noqa: ANN401
) -> Reflections:
    """Make tables (m, nh, nk, nl), electrons², a box; of one alone |F| is the root."""
    amplitude = np.sqrt(np.maximum(squares[0], 0.0))
    for array in (squares, amplitude):
        array.setflags(write=False)
    origin = (int(low[0]), int(low[1]), int(low[2]))
    plain = Reflections(amplitude, origin, 0.0, interpolate=False, notes=notes)
    return plain if kind is None else replace(plain, spectral=Spectral(kind, squares))
