"""Spec to experiment: the only place that resolves `auto` and what was left out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from distbragg.errors import InputError
from distbragg.models.beam import Beam
from distbragg.models.build_beam import build_beam
from distbragg.models.build_crystal import build_crystal
from distbragg.models.build_detector import build_detector, convention_of
from distbragg.models.build_reflections import (
    build_reflections,
    reflections_key,
    resolve_interpolation,
)
from distbragg.models.build_sampling import build_background, build_sampling
from distbragg.models.contradictions import contradictions
from distbragg.models.conventions import CONVENTIONS
from distbragg.models.crystal import Crystal, Reflections
from distbragg.models.doubts import doubts
from distbragg.models.experiment import Experiment, Noise
from distbragg.models.file_geometry import file_notes, frame_rule, geometry_of, shot_of
from distbragg.models.headers import (
    HeaderValues,
    header_values,
    ingest_headers,
    with_geometry,
)
from distbragg.models.stand_ins import stand_ins
from distbragg.notes import Notes, distinct, logged_warnings
from distbragg.read.geometry.model import FileGeometry
from distbragg.spec.experiment import ExperimentSpec

__all__ = ["Resolved", "build_experiment", "build_reflections", "reflections_key"]

_LARGEST_INDEX: Final = 1e6
"""Beyond it float64 no longer holds (h, k, l) to the promised 1e-10."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """An experiment and the specification it was resolved from."""

    spec: ExperimentSpec
    experiment: Experiment


def build_experiment(
    spec: ExperimentSpec,
    *,
    reflections: Reflections | None = None,
    frame: int = 0,
    like: Resolved | None = None,
    checked: bool | None = None,
) -> Experiment:
    """Resolve one frame.

    Parameters
    ----------
    spec : ExperimentSpec
        Of this frame.
    reflections : Reflections, optional
        A table built before for the same structure-factor fields (`reflections_key`); read
        from the spec's file where not given. Whether it is interpolated is decided here.
    frame : int
        Index of the frame in its sweep; enters the seed of `mosaic.per_frame` alone.
    like : Resolved, optional
        Another frame of the same sweep, of which is taken over what nothing that differs
        decides: beam and detector, background, reflections. The result is the same, sooner.
    checked : bool, optional
        Whether the numbers are looked at for mistakes, which become `Experiment.notes`; default:
        where no table is given, as for the first frame of a sweep.

    Raises
    ------
    InputError
        Names the file or field that cannot be used, and what to do about it.
    """
    if frame < 0:
        raise InputError(f"frame {frame} is negative")
    if not (reflections is None if checked is None else checked):
        return _resolved(spec, reflections, frame, like)[0]
    with logged_warnings() as logged:
        experiment, headers, geometry = _resolved(spec, reflections, frame, like)
    found = _notes(spec, experiment, headers, geometry)
    return replace(experiment, notes=distinct(experiment.notes, tuple(logged), found))


def _resolved(
    spec: ExperimentSpec, reflections: Reflections | None, frame: int, like: Resolved | None
) -> tuple[Experiment, HeaderValues, FileGeometry | None]:
    """Resolve one frame; see `build_experiment`."""
    geometry = geometry_of(spec.detector, shot=shot_of(spec.beam))
    headers = with_geometry(ingest_headers(spec), geometry)
    rule = frame_rule(CONVENTIONS[convention_of(spec)], geometry)
    shared = None if like is None or not _same_geometry(spec, like.spec) else like.experiment
    if shared is None:
        beam = build_beam(spec.beam, spec.physics, rule, headers)
        direction = (float(beam.direction[0]), float(beam.direction[1]), float(beam.direction[2]))
        detector = build_detector(
            spec, rule, headers, direction, wavelength=beam.wavelength, geometry=geometry
        )
    else:
        beam, detector = shared.beam, shared.detector
    crystal = build_crystal(spec, rule, headers, beam.wavelength, frame)
    if spec.physics == "exact":
        _check_indices(crystal, beam)
    table = build_reflections(spec) if reflections is None else reflections
    interpolate = resolve_interpolation(spec, table, crystal)
    experiment = Experiment(
        physics=spec.physics,
        beam=beam,
        crystal=crystal,
        reflections=(
            table if table.interpolate == interpolate else replace(table, interpolate=interpolate)
        ),
        detector=detector,
        sampling=build_sampling(spec, beam, crystal, detector),
        background=(
            build_background(spec)
            if like is None or not _same_background(spec, like.spec)
            else like.experiment.background
        ),
        noise=Noise(photon=spec.noise.photon, seed=spec.noise.seed),
        notes=distinct(table.notes, file_notes(spec, geometry, float(beam.wavelength))),
    )
    return experiment, headers, geometry


def _notes(
    spec: ExperimentSpec,
    experiment: Experiment,
    headers: HeaderValues,
    geometry: FileGeometry | None,
) -> Notes:
    """Look for contradictions, doubtful numbers, and numbers that nobody gave."""
    return distinct(
        contradictions(spec, experiment, header_values(spec), geometry),
        doubts(spec, experiment),
        stand_ins(spec, experiment, headers),
    )


def _same_geometry(spec: ExperimentSpec, other: ExperimentSpec) -> bool:
    """Whether all that decides beam and detector is the very same in both specifications.

    Frames of a sweep share the sections that no axis touches, so that identity tells.
    """
    return (
        spec.physics == other.physics
        and spec.beam is other.beam
        and spec.detector is other.detector
        and spec.header_files is other.header_files
        and spec.goniometer.spindle_axis == other.goniometer.spindle_axis
    )


def _same_background(spec: ExperimentSpec, other: ExperimentSpec) -> bool:
    return (
        spec.physics == other.physics
        and spec.beam is other.beam
        and spec.background is other.background
    )


def _check_indices(crystal: Crystal, beam: Beam) -> None:
    """Refuse indices whose fraction float64 cannot hold: a wavelength or cell in another unit.

    |q| is at most 2/λ, so no index exceeds 2·a/λ.
    """
    longest = float(np.sqrt((crystal.real_space**2).sum(axis=1)).max())
    shortest = float(beam.sources.wavelength.min())
    if longest > 0.5 * _LARGEST_INDEX * shortest:
        raise InputError(
            f"a wavelength of {shortest:g} Å and a cell edge of {longest:g} Å make Miller indices "
            f"beyond {_LARGEST_INDEX:g}",
            field="beam.wavelength_angstrom",
            remedy="both are in ångström: check their units",
        )
