"""Spec to experiment: the only place that resolves `auto` and what was left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from distbragg.errors import InputError
from distbragg.models.beam import Beam
from distbragg.models.build_background import (
    build_background,
    oversample_of_rings,
    with_beam_stop,
)
from distbragg.models.build_beam import build_beam, with_pulse_energy
from distbragg.models.build_crystal import build_crystal, whole_up
from distbragg.models.build_detector import build_detector
from distbragg.models.build_lattices import Lattice, build_lattices
from distbragg.models.build_point_spread import with_point_spread
from distbragg.models.build_reflections import build_reflections, reflections_key
from distbragg.models.build_response import build_response
from distbragg.models.build_spectral import in_frame
from distbragg.models.crystal import Crystal, Reflections
from distbragg.models.detector import Detector
from distbragg.models.experiment import Background, Experiment, Method, Noise, Sampling
from distbragg.models.method import Choice, choose_method
from distbragg.models.notes import notes_of
from distbragg.models.origins import Kind, tell
from distbragg.models.origins import asked as asked_for
from distbragg.models.response import Response
from distbragg.models.setting import Resolved, Setting
from distbragg.models.vectors import Physics, components, norm, scale
from distbragg.notes import Notes, distinct
from distbragg.spec.experiment import ExperimentSpec
from distbragg.units import METRES_PER_ANGSTROM, angstrom_to_m

__all__ = ["Resolved", "build_experiment", "build_reflections", "reflections_key", "resolve"]

_MAXIMUM_OVERSAMPLE: Final = 100_000
_LARGEST_INDEX: Final = 1e6  # beyond it float64 no longer holds (h, k, l) to the promised 1e-10
_INTERPOLATE_UP_TO: Final = 2


def build_experiment(
    spec: ExperimentSpec,
    *,
    reflections: Reflections | None = None,
    frame: int = 0,
    like: Resolved | None = None,
    checked: bool | None = None,
) -> Experiment:
    """Resolve one frame; the parameters are those of `resolve`.

    Raises
    ------
    InputError
        Names the file or field that cannot be used, and what to do about it.
    """
    return resolve(
        spec, reflections=reflections, frame=frame, like=like, checked=checked
    ).experiment


def resolve(
    spec: ExperimentSpec,
    *,
    reflections: Reflections | None = None,
    frame: int = 0,
    like: Resolved | None = None,
    checked: bool | None = None,
) -> Resolved:
    """Resolve one frame; return what the next frame may be `like`.

    Parameters
    ----------
    spec : ExperimentSpec
        Of this frame.
    reflections : Reflections, optional
        A table built before for the same structure-factor fields (`reflections_key`); read
        from the spec's file where not given. Whether it is interpolated is decided here.
    frame : int
        Index of the frame in its sweep; enters the seed of `mosaic.per_frame` and of drawn
        lattices alone.
    like : Resolved, optional
        Another frame of the same sweep, of which is taken over what nothing that differs
        decides: beam and detector, background, reflections. The result is the same, sooner.
    checked : bool, optional
        Whether the numbers are looked at for mistakes, which become `Experiment.notes`; default:
        where no table is given, as for the first frame of a sweep.
    """
    frame += spec.noise.frame_shift or 0
    if frame < 0:
        raise InputError(f"frame {frame} is negative", field="noise.frame_shift")
    shared = like if like is not None and _same_geometry(spec, like.spec) else None
    setting = Setting.of(spec) if shared is None or shared.setting is None else shared.setting
    beam, detector = _beam_and_detector(spec, setting, shared)
    if spec.beam.pulse_energy_fraction:
        beam = with_pulse_energy(beam, spec, frame)
    crystal = build_crystal(spec, setting, beam.wavelength, frame, like)
    lattices, alone = [Lattice(spec, crystal)], _is_alone(spec)
    if not alone:
        lattices += build_lattices(spec, setting, beam.wavelength, frame)
    if spec.physics == "exact":
        for lattice in lattices:
            _check_indices(lattice.crystal, beam)
    table = build_reflections(spec) if reflections is None else reflections
    interpolate = _resolve_interpolation(spec, table, crystal)
    noted = reflections is None if checked is None else checked
    chosen = _choice(lattices, None if noted else like, interpolated=interpolate)
    others: list[Crystal] = []
    if not (alone and _is_as_it_stands(spec, crystal, chosen.method)):
        crystal, *others = (lattice.by(chosen.method, frame) for lattice in lattices)
    if table.interpolate != interpolate:
        table = replace(table, interpolate=interpolate)
    reflections = table
    if table.spectral is not None or spec.structure_factors.delta_b_angstrom2:
        reflections = in_frame(table, spec, beam, crystal, like)
    background = _background(spec, detector, like, shared)
    response, told = _response(spec, detector, beam, None if noted else shared)
    experiment = Experiment(
        physics=spec.physics,
        beam=beam,
        crystal=crystal,
        reflections=reflections,
        detector=detector,
        sampling=_build_sampling(spec, beam, (crystal, *others), detector, chosen.method),
        background=background,
        noise=Noise(spec.noise.photon, spec.noise.seed, spec.noise.frame_shift or 0),
        response=response,
        others=tuple(others),
    )
    if noted:
        notes = notes_of(spec, experiment, setting)
        experiment = replace(experiment, notes=distinct(notes, chosen.notes, told))
    return Resolved(spec, experiment, setting, table)


def _beam_and_detector(
    spec: ExperimentSpec, setting: Setting, shared: Resolved | None
) -> tuple[Beam, Detector]:
    """Resolve beam and detector, or take those of a frame that shares them."""
    if shared is not None:
        return shared.experiment.beam, shared.experiment.detector
    beam = build_beam(spec.beam, spec.physics, setting.rule, setting.headers)
    detector = build_detector(spec, setting, components(beam.direction), beam.wavelength)
    detector = with_point_spread(detector, spec.detector)
    return beam, with_beam_stop(detector, spec.detector, beam.direction)


def _background(
    spec: ExperimentSpec, detector: Detector, like: Resolved | None, shared: Resolved | None
) -> Background:
    """Resolve the background, or take that of a frame of which nothing that decides it differs."""
    if (
        like is not None
        and spec.physics == like.spec.physics
        and spec.beam is like.spec.beam
        and (shared is not None or spec.background.image is None)
        and spec.background is like.spec.background
    ):
        return like.experiment.background
    return build_background(spec, detector)


def _response(
    spec: ExperimentSpec, detector: Detector, beam: Beam, shared: Resolved | None
) -> tuple[Response | None, Notes]:
    """Resolve what the detector makes of photons, or take that of a frame that shares it."""
    if shared is not None and spec.output is shared.spec.output:
        return shared.experiment.response, ()
    return build_response(spec, detector, beam.wavelength)


def _is_alone(spec: ExperimentSpec) -> bool:
    """Whether a frame has the crystal for its only lattice, and has it."""
    crystal = spec.crystal
    return crystal.present and crystal.lattices is None and crystal.drawn_lattices is None


def _is_as_it_stands(spec: ExperimentSpec, crystal: Crystal, method: Method) -> bool:
    """Whether a crystal is summed as it was resolved: no domain is drawn or averaged over."""
    drawn = spec.crystal.mosaic.distribution != "cap" or crystal.cell_roots is not None
    return method == "sampled" and not drawn and spec.crystal.size_spread_fraction == 0.0


def _choice(lattices: Sequence[Lattice], like: Resolved | None, *, interpolated: bool) -> Choice:
    """Choose the method of a frame: that of another where nothing that decides it differs.

    Lattices are summed by one method: in closed form where all of them can be.
    """
    spec, crystal = lattices[0]
    if (
        like is not None
        and spec.physics == like.spec.physics
        and spec.beam is like.spec.beam
        and spec.sampling is like.spec.sampling
        and spec.output is like.spec.output
        and spec.crystal.mosaic is like.spec.crystal.mosaic
        and spec.crystal.lattices is like.spec.crystal.lattices
        and (crystal.diffuse is None) == (like.experiment.crystal.diffuse is None)
        and spec.crystal.cell_spread is like.spec.crystal.cell_spread
        and spec.goniometer is like.spec.goniometer
        and crystal.shape == like.experiment.crystal.shape
        and interpolated == like.experiment.reflections.interpolate
    ):
        return Choice(like.experiment.sampling.method)
    choices = [choose_method(*lattice, interpolated=interpolated) for lattice in lattices]
    return next((choice for choice in choices if choice.method == "sampled"), choices[0])


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


def _check_indices(crystal: Crystal, beam: Beam) -> None:
    """Refuse indices whose fraction float64 cannot hold: a wavelength or cell in another unit.

    |q| is at most 2/λ, so no index exceeds 2·a/λ.
    """
    longest = float(np.linalg.norm(crystal.real_space, axis=-1).max())
    shortest = float(beam.sources.wavelength.min())
    if longest > 0.5 * _LARGEST_INDEX * shortest:
        raise InputError(
            f"a wavelength of {shortest:g} Å and a cell edge of {longest:g} Å make Miller indices "
            f"beyond {_LARGEST_INDEX:g}",
            field="beam.wavelength_angstrom",
            remedy="both are in ångström: check their units",
        )


def _build_sampling(
    spec: ExperimentSpec,
    beam: Beam,
    crystals: tuple[Crystal, ...],
    detector: Detector,
    method: Method,
) -> Sampling:
    """Resolve oversampling and which corrections are per sample."""
    asked, exact = spec.sampling, spec.physics == "exact"
    oversample, integrate = 1, False
    if asked_for() is not None:
        how = "3 · block width / (λ · distance / pixel)"
        if method == "closed_form":
            how = "closed form: integrated over the pixel"
        if spec.background.ice_rings is not None:
            how += ", and as ice rings need"
        tell("sampling.oversample", *(("rule", how) if asked.oversample == "auto" else ("given",)))
        tell("sampling.method", "given" if asked.method != "auto" else "rule")
    if asked.oversample != "auto":
        oversample = asked.oversample
    elif method == "closed_form":
        integrate = True
    else:
        oversample = _automatic_oversample(spec.physics, beam, crystals, detector)
    if spec.background.ice_rings is not None and asked.oversample == "auto":
        finest = oversample_of_rings(spec.background.ice_rings, beam, detector)
        oversample = max(oversample, finest)
    return Sampling(
        oversample=oversample,
        dmin=asked.dmin_angstrom,
        per_sample_polarization=exact or asked.per_sample_polarization,
        per_sample_solid_angle=exact or asked.per_sample_solid_angle,
        per_sample_capture=exact or asked.per_sample_capture,
        tolerance=asked.tolerance_photons,
        method=method,
        integrate=integrate,
    )


def _automatic_oversample(
    physics: Physics, beam: Beam, crystals: tuple[Crystal, ...], detector: Detector
) -> int:
    """Return ceil(3·width/(λ·distance/pixel)), at least 1.

    Of the largest crystal width, and the panel whose pixels are coarsest seen from the sample.
    """
    resolved = min(
        angstrom_to_m(beam.wavelength) * abs(panel.distance) / panel.pixel_size
        for panel in detector.panels
    )
    widths = [
        norm(scale(components(row), METRES_PER_ANGSTROM)) * float(count)
        for crystal in crystals
        for block in crystal.blocks or (crystal,)
        for row, count in zip(block.real_space, block.cells, strict=True)
    ]
    ratio = 3.0 * max(widths) / resolved
    if ratio < _MAXIMUM_OVERSAMPLE and (number := whole_up(ratio, physics)) < _MAXIMUM_OVERSAMPLE:
        return max(number, 1)
    raise InputError(
        f"automatic oversampling of {ratio:.3g} sub-pixels a side",
        field="sampling.oversample",
        remedy="give sampling.oversample, or a smaller crystal",
    )


def _resolve_interpolation(
    spec: ExperimentSpec, reflections: Reflections, crystal: Crystal
) -> bool:
    """Decide on tricubic look-up: automatic means a table and at most two cells on some axis.

    `physics: nanobragg` looks at the cells as given (1 where not), before a sample size
    replaces them, because the program decides there.
    """
    asked = spec.structure_factors.interpolate
    if asked_for() is not None:
        told: Kind = "rule" if asked == "auto" else "given"
        tell("structure_factors.interpolate", told, "of at most 2 cells" if asked == "auto" else "")
    if reflections.amplitude.size == 0 or reflections.spectral is not None:
        return False
    if isinstance(asked, bool):
        return asked
    if spec.physics == "nanobragg":
        return min(spec.crystal.block_cells or (1, 1, 1)) <= _INTERPOLATE_UP_TO
    return bool((crystal.cells <= _INTERPOLATE_UP_TO).any())
