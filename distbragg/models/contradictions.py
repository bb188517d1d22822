"""Two sources of one number that disagree: which one is used, and what the other says."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from distbragg.models.beam_spot import beam_spot
from distbragg.models.cell import measured_cell
from distbragg.models.experiment import Experiment
from distbragg.models.headers import HeaderValues
from distbragg.models.presets import with_preset
from distbragg.notes import Note, Notes
from distbragg.read.geometry.model import FileGeometry
from distbragg.read.structure_factors import file_cell
from distbragg.spec.crystal import Cell
from distbragg.spec.experiment import ExperimentSpec
from distbragg.units import energy_ev_to_wavelength_angstrom

_MM_PER_M: Final = 1e3
_RELATIVE: Final = 1e-3
"""Numbers in headers are rounded: what is closer than this is one number."""

_ANGLE_DEG: Final = 1e-3
_PLACE_MM: Final = 0.05
_CELL_RELATIVE: Final = 5e-3
_CELL_DEG: Final = 0.5
"""Cells of one crystal form differ from data set to data set by less."""


@dataclass(frozen=True, slots=True)
class _Said:
    """One number as several sources state it, the one that is used first; None: not stated."""

    place: str
    unit: str
    values: tuple[tuple[str, float | None], ...]
    absolute: float = 0.0

    def notes(self) -> Iterator[Note]:
        stated = [(source, value) for source, value in self.values if value is not None]
        for source, value in stated[1:]:
            first = stated[0][1]
            apart = abs(value - first)
            if apart > max(self.absolute, _RELATIVE * abs(first)):
                used = f"{first:.6g} {self.unit} is used"
                by = "" if stated[0][0] == self.place else f" ({stated[0][0]})"
                text = f"{used}{by}, where {source} says {value:.6g} {self.unit}"
                yield Note("warning", self.place, " ".join(text.split()))


def contradictions(
    spec: ExperimentSpec,
    experiment: Experiment,
    headers: tuple[HeaderValues, ...],
    geometry: FileGeometry | None,
) -> Notes:
    """Return a warning for every number that two sources state differently.

    Parameters
    ----------
    spec : ExperimentSpec
    experiment : Experiment
        What it was resolved to.
    headers : tuple of HeaderValues
        Of each header file alone, the one that wins first.
    geometry : FileGeometry, optional
    """
    listed = geometry if geometry is not None and geometry.source else None
    said = [
        *_of_beam(spec, headers, listed),
        *_of_rotation(spec, headers, listed),
        *_of_detector(spec, headers, listed),
    ]
    cells = _of_cells(spec, experiment, listed)
    return tuple(dict.fromkeys([note for one in said for note in one.notes()] + list(cells)))


def _of_headers(
    headers: tuple[HeaderValues, ...], name: str, factor: float = 1.0
) -> list[tuple[str, float | None]]:
    values = [(header.source, getattr(header, name)) for header in headers]
    return [(source, None if value is None else value * factor) for source, value in values]


def _of_beam(
    spec: ExperimentSpec, headers: tuple[HeaderValues, ...], geometry: FileGeometry | None
) -> Iterator[_Said]:
    given, place = spec.beam.wavelength_angstrom, "beam.wavelength_angstrom"
    if spec.beam.energy_ev is not None:
        given, place = energy_ev_to_wavelength_angstrom(spec.beam.energy_ev), "beam.energy_ev"
    file = [] if geometry is None else [(geometry.source, geometry.wavelength)]
    yield _Said(place, "Å", ((place, given), *file, *_of_headers(headers, "wavelength")))


def _of_rotation(
    spec: ExperimentSpec, headers: tuple[HeaderValues, ...], geometry: FileGeometry | None
) -> Iterator[_Said]:
    degrees = math.degrees(1.0)
    for name in ("phi", "oscillation"):
        place = f"goniometer.{name}_deg"
        file = [] if geometry is None else [(geometry.source, getattr(geometry, name))]
        own = (place, getattr(spec.goniometer, f"{name}_deg"))
        values = (own, *file, *_of_headers(headers, name, degrees))
        yield _Said(place, "degrees", values, _ANGLE_DEG)
    place = "detector.twotheta_deg"
    swung = _of_headers(headers, "twotheta", degrees)
    yield _Said(place, "degrees", ((place, spec.detector.twotheta_deg), *swung), _ANGLE_DEG)


def _of_detector(
    spec: ExperimentSpec, headers: tuple[HeaderValues, ...], geometry: FileGeometry | None
) -> Iterator[_Said]:
    detector = spec.detector
    distance, place = detector.distance_mm, "detector.distance_mm"
    if geometry is not None:
        stated = _file_distance(geometry)
        values = (
            (place, distance),
            (geometry.source, stated),
            *_of_headers(headers, "distance", _MM_PER_M),
        )
        yield _Said(place, "mm", values)
        return
    shape = [(header.source, header.shape) for header in headers]
    own = with_preset(detector)[0] if detector.panels is None else detector
    owner = "detector.preset" if detector.preset is not None else "detector.pixel_size_mm"
    pixels = _of_headers(headers, "pixel_size", _MM_PER_M)
    yield _Said("detector.pixel_size_mm", "mm", ((owner, own.pixel_size_mm), *pixels))
    for index, side in enumerate(("slow", "fast")):
        name = f"detector.pixels_{side}"
        count = getattr(own, f"pixels_{side}")
        sides = [(source, None if size is None else float(size[index])) for source, size in shape]
        used = "detector.preset" if detector.preset is not None else name
        yield _Said(name, "pixels", ((used, count), *sides))
    yield _Said(place, "mm", ((place, distance), *_of_headers(headers, "distance", _MM_PER_M)))
    place = "detector.close_distance_mm"
    close = _of_headers(headers, "close_distance", _MM_PER_M)
    yield _Said(place, "mm", ((place, detector.close_distance_mm), *close))
    for name in ("xbeam", "ybeam"):
        place = f"detector.{name}_mm"
        values = ((place, getattr(detector, f"{name}_mm")), *_of_headers(headers, name, _MM_PER_M))
        yield _Said(place, "mm", values, _PLACE_MM)
    for name in ("orgx", "orgy"):
        place = f"detector.{name}_px"
        values = ((place, getattr(detector, f"{name}_px")), *_of_headers(headers, name))
        yield _Said(place, "pixels", values, 0.5)


def _file_distance(geometry: FileGeometry) -> float | None:
    if not geometry.distance_stated or geometry.beam is None:
        return None
    return beam_spot(geometry.panels, geometry.beam).distance


def _of_cells(
    spec: ExperimentSpec, experiment: Experiment, geometry: FileGeometry | None
) -> Iterator[Note]:
    """Compare the crystal's cell with those of the files that name one."""
    used = np.array(experiment.crystal.cell)
    used[3:] = np.degrees(used[3:])
    others: list[tuple[str, Cell]] = []
    crystal, factors = spec.crystal, spec.structure_factors
    if crystal.matrix_file is not None and crystal.cell is not None:
        others.append(("crystal.cell", crystal.cell))
    if geometry is not None and geometry.real_space is not None:
        a, b, c, *angles = measured_cell(geometry.real_space)
        alpha, beta, gamma = (math.degrees(angle) for angle in angles)
        others.append((geometry.source, (a, b, c, alpha, beta, gamma)))
    if factors.file is not None and (
        of_file := file_cell(factors.file, factors.format, factors.column)
    ):
        others.append((factors.file, of_file))
    place = "crystal.matrix_file" if crystal.matrix_file is not None else "crystal.cell"
    for source, cell in others:
        other = np.array(cell)
        lengths = np.abs(other[:3] / used[:3] - 1.0) > _CELL_RELATIVE
        if lengths.any() or (np.abs(other[3:] - used[3:]) > _CELL_DEG).any():
            text = f"{_shown(used)} is used, where {source} says {_shown(other)}"
            yield Note("warning", place, text)


def _shown(cell: np.ndarray[tuple[int], np.dtype[np.float64]]) -> str:
    return " ".join(f"{value:.6g}" for value in cell.tolist())
