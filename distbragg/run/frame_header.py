"""What the header of an exported frame says, from the frame's own resolved experiment."""

from __future__ import annotations

import datetime
import math
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from distbragg.engine.context import RunContext, SweepFrames
from distbragg.export.beams import FrameBeam, frame_beam
from distbragg.export.expt import Truth
from distbragg.export.header import FrameHeader, PanelHeader
from distbragg.export.scaling import Recording
from distbragg.export.smv import smv_geometry
from distbragg.kernel.response import bad_pixels
from distbragg.matrices import apply3, dot3, matmul3
from distbragg.models.build_beam import DEFAULT_EXPOSURE_S
from distbragg.models.crystal import NO_TABLE
from distbragg.models.detector import Panel
from distbragg.models.experiment import Experiment
from distbragg.models.file_frames import IMGCIF_TO_CRYSTFEL, imgcif_frame, of_crystfel
from distbragg.models.response import Response
from distbragg.models.setting import geometry_of, sensor_material
from distbragg.models.vectors import Triad, components, rotation_about
from distbragg.read.lattice_names import LatticeName, lattice_name
from distbragg.read.structure_factors import file_group
from distbragg.spec.experiment import ExperimentSpec
from distbragg.store.run_directory import RunDirectory

_MM_PER_M = 1e3
_NO_LIMIT: Final = 1e30
_LITTLE: Final = 1e-6
_FAR_SIGMA: Final = 100.0
"""Readout noise, in standard deviations, that no pixel of a float type falls below."""
_SMV_CONVENTION: Final = "adxv"
"""Of BEAM_CENTER_X/Y: what adxv draws and DIALS reads from images of `BEAMLINE=fake`."""


def frame_geometry(run: RunContext, frame: int) -> tuple[ExperimentSpec, Experiment]:
    """Resolve a frame but for |F|, which no header needs."""
    sweep = run.directory.sweep
    frames = run.kept(
        frame_geometry, lambda: SweepFrames(sweep, sweep.experiment.compute, lambda *_: NO_TABLE)
    )
    ready = frames.frame(frame)
    return ready.spec, ready.experiment


def header_frame(spec: ExperimentSpec, experiment: Experiment) -> NDArray[np.float64]:
    """Return the rotation from the laboratory to the imgCIF frame of an experiment's headers."""
    file = geometry_of(spec.detector)
    if of_crystfel(None if file is None else file.format, experiment.beam.direction):
        return IMGCIF_TO_CRYSTFEL
    return imgcif_frame(
        np.asarray(experiment.beam.direction),
        np.asarray(experiment.crystal.spindle_axis),
        np.asarray(experiment.detector.panels[0].fast),
    )


def frame_header(run: RunContext, frame: int) -> FrameHeader:
    """Return what a header says of one frame; a panel parallel to the beam is refused."""
    spec, experiment = frame_geometry(run, frame)
    rotation, turn = _rotation(spec, experiment), header_frame(spec, experiment)
    exposure = spec.beam.exposure_s
    whole = experiment.noise.photon and not experiment.recorded
    return FrameHeader(
        title=spec.title,
        wavelength=frame_beam(experiment.beam).wavelength,
        phi=rotation[0],
        oscillation=rotation[1],
        spindle=components(apply3(turn, experiment.crystal.spindle_axis)),
        panels=tuple(
            _panel(spec, experiment, index, turn, rotation)
            for index in range(len(experiment.detector.panels))
        ),
        counts=np.dtype(run.directory.layout.dtype).kind != "f" or whole,
        exposure=DEFAULT_EXPOSURE_S if exposure is None else float(exposure),
        date=_date(run.directory),
        recording=recording_of(experiment.response),
    )


def beam_of_frame(run: RunContext, frame: int) -> FrameBeam:
    """Return what files say of the beam of a frame."""
    return frame_beam(frame_geometry(run, frame)[1].beam)


def recording_of(response: Response | None) -> Recording | None:
    """Return how stored values stand to photons, where a response was asked for."""
    if response is None:
        return None
    low = response.lowest
    if math.isinf(low):
        widest = max(zone.readout / abs(zone.gain) for zone in response.zones)
        low = response.offset - _FAR_SIGMA * max(widest * abs(response.gain), 1.0)
    top = min(response.brightest, _NO_LIMIT)
    # A pixel beyond the range may hold the largest value of those within: it is none of them then.
    step = 1.0 if response.rounded else abs(top) * _LITTLE
    highest = top - step if response.overload == top else top
    return Recording(response.gain, response.offset, low, highest, top, response.unit)


def _rotation(spec: ExperimentSpec, experiment: Experiment) -> tuple[float, float]:
    """Start and width of a frame's rotation, degrees; the width of a still is 0."""
    first, last = experiment.crystal.oscillation
    angles = experiment.crystal.phi
    backwards = len(angles) > 1 and angles[1] < angles[0]
    file = geometry_of(spec.detector)
    width, start = spec.goniometer.oscillation_deg, spec.goniometer.phi_deg
    if file is not None:
        width = file.oscillation if width is None else width
        start = file.phi if start is None else start
    if width is None:
        width = round(math.degrees(first - last if backwards else last - first), 9)
    if start is None:
        start = round(math.degrees(last if width < 0.0 else first), 9)
    return float(start), float(width)


def frame_phi(run: RunContext, frame: int) -> float:
    """Return where a frame's rotation starts, degrees."""
    return _rotation(*frame_geometry(run, frame))[0]


def frame_truth(run: RunContext, frame: int) -> Truth:
    """Return beam and lattices of a frame, in the frame of its header."""
    spec, experiment = frame_geometry(run, frame)
    still = _rotation(spec, experiment)[1] == 0.0
    crystals = frame_crystals(run, frame, whole_scan=not still)
    return Truth(
        wavelength=frame_beam(experiment.beam).wavelength,
        lattices=tuple(rows for _, rows in crystals),
        numbers=tuple(number for number, _ in crystals),
        polarization=components(
            apply3(header_frame(spec, experiment), experiment.beam.polarization_axis)
        ),
        kahn_factor=float(experiment.beam.kahn_factor) if experiment.beam.polarized else 0.0,
    )


def frame_crystals(
    run: RunContext, frame: int, *, whole_scan: bool = False
) -> tuple[tuple[int, Triad], ...]:
    """Return number and cell vectors, Å, header frame, of each crystal that the beam meets.

    They stand as half way through the frame, or as at spindle angle 0 for a `whole_scan`.
    """
    spec, experiment = frame_geometry(run, frame)
    start, width = _rotation(spec, experiment)
    turn = header_frame(spec, experiment)
    if not whole_scan:
        spindle = components(apply3(turn, experiment.crystal.spindle_axis))
        turn = matmul3(rotation_about(spindle, math.radians(start + 0.5 * width)), turn)
    return tuple(
        (number, _turned(turn, crystal.real_space))
        for number, crystal in enumerate(experiment.lattices)
        if crystal.scale > 0.0
    )


def frame_lattice(run: RunContext, frame: int) -> LatticeName:
    """Name the lattice of a frame's crystals by the space group of its structure factors."""
    factors = frame_geometry(run, frame)[0].structure_factors
    if factors.space_group is not None:
        from distbragg.read.groups import named_group

        return lattice_name(named_group(factors.space_group))
    if factors.first_file is None:
        return LatticeName()
    return lattice_name(file_group(factors.first_file, factors.format, factors.column))


def _turned(turn: NDArray[np.float64], rows: NDArray[np.float64]) -> Triad:
    a, b, c = (components(apply3(turn, row)) for row in rows)
    return a, b, c


def blind_pixels(experiment: Experiment) -> NDArray[np.uint32]:
    """Bits of pixels that measure nothing, as NXmx has them: (panels, slow, fast).

    1: no signal, padding too; 2: dead; 8: hot.
    """
    flags = np.stack([~np.asarray(panel.active) for panel in experiment.detector.panels])
    bits = flags.astype(np.uint32)
    if experiment.response is not None:
        for numbers, bit in zip(bad_pixels(experiment.response, bits.size), (2, 8), strict=True):
            bits.reshape(-1)[numbers] |= np.uint32(bit)
    return bits


def _blind_count(experiment: Experiment, index: int) -> int:
    """Count the pixels of one panel that measure nothing, what pads it left out."""
    panel = experiment.detector.panels[index]
    slow, fast = panel.pixels
    active = np.asarray(panel.active)
    count = slow * fast - int(np.count_nonzero(active[:slow, :fast]))
    if experiment.response is None:
        return count
    size = active.size * len(experiment.detector.panels)
    numbers = np.unique(np.concatenate(bad_pixels(experiment.response, size)))
    own = numbers[numbers // active.size == index] % active.size
    # What pads a panel is not active.
    return count + int(np.count_nonzero(active.reshape(-1)[own]))


def _panel(
    spec: ExperimentSpec,
    experiment: Experiment,
    index: int,
    turn: NDArray[np.float64],
    rotation: tuple[float, float],
) -> PanelHeader:
    panel: Panel = experiment.detector.panels[index]
    smv = smv_geometry(
        experiment,
        convention=_SMV_CONVENTION,
        phi_deg=rotation[0],
        oscillation_deg=rotation[1],
        twotheta_deg=spec.detector.twotheta_deg or 0.0,
        panel=index,
    )
    beam = np.asarray(experiment.beam.direction)
    distance = panel.close_distance / float(dot3(beam, panel.normal))
    impact = distance * beam - panel.origin
    smv = replace(smv, wavelength=frame_beam(experiment.beam).wavelength)
    sensor = panel.sensor
    return PanelHeader(
        name=panel.name,
        shape=panel.pixels,
        pixel_size=panel.pixel_size * _MM_PER_M,
        distance=distance * _MM_PER_M,
        beam=(
            float(dot3(impact, panel.fast)) / panel.pixel_size,
            float(dot3(impact, panel.slow)) / panel.pixel_size,
        ),
        origin=components(apply3(turn, panel.origin) * _MM_PER_M),
        fast=components(apply3(turn, panel.fast)),
        slow=components(apply3(turn, panel.slow)),
        thickness=float(sensor.back[-1]) * _MM_PER_M if sensor.absorbs else 0.0,
        smv=smv,
        mu=float(sensor.attenuation) / _MM_PER_M if sensor.absorbs else 0.0,
        material=sensor_material(spec.detector, index),
        masked=_blind_count(experiment, index),
    )


def _date(run: RunDirectory) -> str:
    """When the run was created: a date that makes the same file every time."""
    text = str(run.manifest.provenance.get("created", ""))
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        moment = datetime.datetime.fromtimestamp(0, datetime.UTC)
    if moment.tzinfo is not None:
        moment = moment.astimezone(datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S")
