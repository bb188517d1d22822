"""Numbers that stand in for what nobody gave, said in one line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from distbragg.models.build_beam import DEFAULT_BEAM_SIZE_MM, DEFAULT_EXPOSURE_S
from distbragg.models.experiment import Experiment
from distbragg.models.headers import HeaderValues
from distbragg.notes import Note, Notes
from distbragg.spec.experiment import ExperimentSpec

PLACE: Final = "not given, so taken as"
_MM_PER_M: Final = 1e3


def stand_ins(spec: ExperimentSpec, experiment: Experiment, headers: HeaderValues) -> Notes:
    """Return one note of all numbers that were chosen because none was given.

    Parameters
    ----------
    spec : ExperimentSpec
    experiment : Experiment
        What it was resolved to.
    headers : HeaderValues
        Of header and geometry files: what they state was given.
    """
    found = [
        *_of_detector(spec, experiment, headers),
        *_of_beam(spec, experiment, headers),
        *_of_crystal(spec, experiment, headers),
    ]
    text = ", ".join(f"{field} = {value}" for field, value in found)
    return (Note("note", PLACE, text),) if found else ()


StandIns = Iterator[tuple[str, str]]


def _of_detector(spec: ExperimentSpec, experiment: Experiment, headers: HeaderValues) -> StandIns:
    detector, panel = spec.detector, experiment.detector.panels[0]
    listed = detector.geometry_file is not None
    placed = (detector.distance_mm, detector.close_distance_mm, detector.pix0_m, detector.panels)
    in_header = headers.distance is not None or headers.close_distance is not None
    if not listed and not in_header and all(value is None for value in placed):
        yield "detector.distance_mm", f"{panel.distance * _MM_PER_M:.6g}"
    own = detector.panels is not None and all(p.pixel_size_mm is not None for p in detector.panels)
    sized = listed or own or detector.preset is not None
    if not sized and detector.pixel_size_mm is None and headers.pixel_size is None:
        yield "detector.pixel_size_mm", f"{panel.pixel_size * _MM_PER_M:.6g}"
    if not listed and detector.panels is None and detector.preset is None:
        for side, index in (("fast", 1), ("slow", 0)):
            sides = (f"pixels_{side}", f"size_{side}_mm")
            if headers.shape is None and all(getattr(detector, name) is None for name in sides):
                yield f"detector.pixels_{side}", f"{panel.pixels[index]}"
    if panel.sensor.absorbs and detector.sensor.layers is None:
        yield "detector.sensor.layers", f"{panel.sensor.count}"


def _of_beam(spec: ExperimentSpec, experiment: Experiment, headers: HeaderValues) -> StandIns:
    beam = spec.beam
    if beam.flux_photons_per_s is None and beam.fluence_photons_per_m2 is None:
        yield "beam.fluence_photons_per_m2", f"{experiment.beam.fluence:.6g}"
    if beam.flux_photons_per_s is not None:
        if beam.exposure_s is None:
            yield "beam.exposure_s", f"{DEFAULT_EXPOSURE_S:g}"
        if beam.size_mm is None:
            yield "beam.size_mm", f"{DEFAULT_BEAM_SIZE_MM:g}"
    kahn = beam.polarization.kahn_factor
    if beam.polarization.enabled and kahn is None and headers.kahn_factor is None:
        yield "beam.polarization.kahn_factor", "0 (not polarised)"
    for name in ("horizontal", "vertical"):
        axis = getattr(beam.divergence, name)
        if axis.range_mrad and axis.step_mrad is None and axis.steps is None:
            yield f"beam.divergence.{name}.steps", "2"
    if beam.dispersion.range_percent and beam.dispersion.steps is None:
        yield "beam.dispersion.steps", "2"


def _of_crystal(spec: ExperimentSpec, experiment: Experiment, headers: HeaderValues) -> StandIns:
    crystal, goniometer = spec.crystal, spec.goniometer
    if crystal.cells is None and not any(crystal.size_mm or ()):
        yield "crystal.cells", "1 1 1"
    if crystal.mosaic.spread_deg and crystal.mosaic.domains is None:
        yield "crystal.mosaic.domains", f"{experiment.crystal.mosaic_rotations.shape[0]}"
    width = goniometer.oscillation_deg
    turns = headers.oscillation if width is None else width
    if turns and goniometer.steps is None and goniometer.step_deg is None:
        yield "goniometer.steps", f"{len(experiment.crystal.phi)}"
