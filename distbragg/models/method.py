"""Whether Bragg scattering is summed in closed form or step by step, and what is said of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from distbragg.errors import InputError
from distbragg.models.build_cells import largest_spread
from distbragg.models.crystal import Crystal
from distbragg.models.experiment import Method
from distbragg.notes import Note, Notes
from distbragg.shapes import SHAPES
from distbragg.spec.beam import BeamSpec
from distbragg.spec.experiment import ExperimentSpec

_FIELD: Final = "sampling.method"

WIDEST_SPREAD_DEG: Final = 3.0
"""As far as the closed form is known to hold (docs/explanation/closed-form.md)."""

_LONGEST_OSCILLATION_DEG: Final = 30.0
"""A frame of more is not a measurement, and would be cut into many parts."""

_WIDEST_CELLS: Final = 0.02
"""Standard deviation of an edge, of itself, or of an angle, rad: as far as it is known to hold."""

WIDEST_BANDWIDTH_PERCENT: Final = 5.0
"""Beyond it a spot is a long streak that its ellipse, to first order, does not cover."""

ROUNDING: Final = 1e-9

_SAMPLED: Final = {
    "beam.bandwidth_percent": "list the lines in beam.spectrum or give a beam.dispersion",
    "beam.divergence_mrad": "give a grid in beam.divergence or a beam.source_file",
}
"""What is sampled in place of a width of the beam."""


@dataclass(frozen=True, slots=True)
class _Obstacle:
    """What keeps an experiment from being summed in closed form."""

    field: str
    problem: str  # what follows "because"
    remedy: str


@dataclass(frozen=True, slots=True)
class Choice:
    """The method of an experiment, and the notes that tell of it; none where nothing asked."""

    method: Method
    notes: Notes = ()


def choose_method(spec: ExperimentSpec, crystal: Crystal, *, interpolated: bool) -> Choice:
    """Choose how an experiment is summed.

    `auto` is sampled unless a normal distribution is given, of the crystal's domains or of the
    beam. `interpolated`: whether |F| is, between reflections.

    Raises
    ------
    InputError
        The closed form is asked for by name, or needed by the beam, and cannot be.
    """
    asked, widths = spec.sampling.method, list(_widths(spec.beam))
    if asked == "sampled":
        if widths:
            raise _needed(widths[0], _Obstacle(_FIELD, f"{_FIELD} is sampled", "set it to auto"))
        return Choice("sampled")
    normal = spec.crystal.mosaic.distribution == "gaussian"
    wanted = bool(widths) or normal or crystal.cell_roots is not None
    if asked == "auto" and not wanted:
        return Choice("sampled")
    obstacle = next(_obstacles(spec, crystal, interpolated=interpolated), None)
    if obstacle is None:
        return Choice("closed_form", tuple(_told(spec, crystal, widths)))
    if asked == "closed_form":
        problem = f"the closed form is impossible, because {obstacle.problem}"
        raise InputError(problem, field=obstacle.field, remedy=obstacle.remedy)
    if widths:
        raise _needed(widths[0], obstacle)
    told = Note("note", _FIELD, f"sampled, because {obstacle.problem}")
    return Choice("sampled", (told,))


def _widths(beam: BeamSpec) -> Iterator[str]:
    """Yield the fields that give the beam a normal distribution."""
    if beam.bandwidth_percent:
        yield "beam.bandwidth_percent"
    given = beam.divergence_mrad or 0.0
    if any(given) if isinstance(given, tuple) else given > 0.0:
        yield "beam.divergence_mrad"


def _needed(width: str, obstacle: _Obstacle) -> InputError:
    """Refuse a width of the beam where it cannot be integrated."""
    return InputError(
        f"only the closed form has it, which is impossible, because {obstacle.problem}",
        field=width,
        remedy=f"{obstacle.remedy}, or {_SAMPLED[width]}",
    )


def _obstacles(
    spec: ExperimentSpec, crystal: Crystal, *, interpolated: bool
) -> Iterator[_Obstacle]:
    """Yield all that keeps an experiment from being summed in closed form."""
    if spec.physics != "exact":
        problem = "physics: nanobragg is the C program's own sum"
        yield _Obstacle("physics", problem, "set physics: exact")
    if SHAPES[crystal.shape].transform != "gaussian":
        names = [row.name for row in SHAPES.values() if row.transform == "gaussian"]
        problem = f"the transform of crystal.shape: {crystal.shape} is no Gaussian"
        yield _Obstacle("crystal.shape", problem, f"set crystal.shape: {' or '.join(names)}")
    yield from _obstacles_of_spreads(spec, crystal)
    if interpolated:
        field = "structure_factors.interpolate"
        yield _Obstacle(field, "|F| is interpolated between reflections", f"set {field}: false")
    bandwidth = spec.beam.bandwidth_percent or 0.0
    if bandwidth > WIDEST_BANDWIDTH_PERCENT:
        problem = f"a bandwidth of {bandwidth:.6g} % is more than {WIDEST_BANDWIDTH_PERCENT:g}"
        yield _Obstacle("beam.bandwidth_percent", problem, "give a smaller bandwidth")
    first, last = crystal.oscillation
    turned = math.degrees(last - first)
    if turned > _LONGEST_OSCILLATION_DEG * (1.0 + ROUNDING):
        problem = f"a rotation of {turned:.6g} degrees is more than {_LONGEST_OSCILLATION_DEG:g}"
        yield _Obstacle("goniometer.oscillation_deg", problem, "cut it into several frames")


def _obstacles_of_spreads(spec: ExperimentSpec, crystal: Crystal) -> Iterator[_Obstacle]:
    """Yield what of the domains' orientations and cells is not a normal spread, or too wide."""
    if spec.crystal.mosaic.matrices_file is not None:
        field = "crystal.mosaic.matrices_file"
        remedy = "leave it out and give a spread_deg of crystal.mosaic.distribution: gaussian"
        yield _Obstacle(field, "mosaic domains are given one by one", remedy)
    elif spec.crystal.mosaic.distribution != "gaussian" and crystal.mosaic_spread > 0.0:
        field = "crystal.mosaic.distribution"
        yield _Obstacle(field, "mosaic domains fill a cap", f"set {field}: gaussian")
    spread = math.degrees(crystal.mosaic_spread)
    if spread > WIDEST_SPREAD_DEG * (1.0 + ROUNDING):
        problem = f"a mosaic spread of {spread:.6g} degrees is more than {WIDEST_SPREAD_DEG:g}"
        yield _Obstacle("crystal.mosaic.spread_deg", problem, "give a smaller spread")
    cells = largest_spread(crystal)
    if cells > _WIDEST_CELLS * (1.0 + ROUNDING):
        problem = f"a spread of cells of {100.0 * cells:.6g} % is more than {100 * _WIDEST_CELLS:g}"
        yield _Obstacle("crystal.cell_spread", problem, "give a smaller spread")


def _told(spec: ExperimentSpec, crystal: Crystal, widths: list[str]) -> Iterator[Note]:
    """Yield what is integrated, and what was given and has no effect on that."""
    first, last = crystal.oscillation
    over = {
        "mosaicity": crystal.mosaic_spread > 0.0,
        "cells": crystal.cell_roots is not None,
        "sizes": spec.crystal.size_spread_fraction > 0.0,
        "bandwidth": "beam.bandwidth_percent" in widths,
        "divergence": "beam.divergence_mrad" in widths,
        "rotation": last > first,
    }
    names = [name for name, there in over.items() if there]
    if spec.sampling.oversample == "auto":
        names.append("the area of a pixel")
    told = " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
    yield Note("note", _FIELD, "closed form" + (f": integrated over {told}" if told else ""))
    mosaic, goniometer = spec.crystal.mosaic, spec.goniometer
    unused = {
        "crystal.mosaic.domains": crystal.mosaic_spread > 0.0 and (mosaic.domains or 0) > 1,
        "compute.source_chunk": spec.compute.source_chunk != "auto",
        "goniometer.steps": (goniometer.steps or 0) > 1 and goniometer.step_deg is None,
        "sampling.tolerance_photons": spec.sampling.tolerance_photons > 0.0,
    }
    for field in (name for name, given in unused.items() if given):
        yield Note("note", field, "not used: the closed form takes no samples")
