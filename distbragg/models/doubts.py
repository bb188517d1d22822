"""Numbers that are probably not what the user meant: one warning each, which names the number.

Nothing here is refused: every one of them can be meant. The limits lie well outside of what
diffraction experiments use, so that a wrong unit is told and an unusual instrument is not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from distbragg.models.arrays import Float64Array
from distbragg.models.beam_spot import meet
from distbragg.models.detector import Detector, Panel
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import Vector, components
from distbragg.notes import Note, Notes
from distbragg.spec.experiment import ExperimentSpec
from distbragg.units import wavelength_angstrom_to_energy_ev

_MM_PER_M: Final = 1e3

_ENERGY_EV: Final = (1_000.0, 120_000.0)
_EDGE_ANGSTROM: Final = (2.0, 5_000.0)
_ANGLE_DEG: Final = 10.0
_DISTANCE_MM: Final = (10.0, 50_000.0)
_PIXEL_MM: Final = (0.005, 3.0)
_FLUENCE_PER_M2: Final = (1e8, 1e31)
_FLUX_PER_S: Final = (1e3, 1e20)
_BEAM_MM: Final = (1e-5, 10.0)
_EXPOSURE_S: Final = (1e-16, 1e5)
_CRYSTAL_MM: Final = 5.0
_SPREAD_DEG: Final = 10.0
_DIVERGENCE_MRAD: Final = 50.0
_DISPERSION_PERCENT: Final = 50.0
_SENSOR_UM: Final = (1.0, 10_000.0)
_DEPTH_UM: Final = 50_000.0
_OSCILLATION_DEG: Final = 90.0


def doubts(spec: ExperimentSpec, experiment: Experiment) -> Notes:
    """Return a warning for every number that looks like a mistake.

    Parameters
    ----------
    spec : ExperimentSpec
        What was written: names the fields.
    experiment : Experiment
        What it was resolved to.
    """
    found = (
        _of_wavelength(spec, experiment),
        _of_cell(spec, experiment),
        _of_crystal(spec),
        _of_intensity(spec, experiment),
        _of_sources(spec),
        _of_detector(spec, experiment),
        _of_rotation(spec, experiment),
        _of_amounts(spec, experiment),
    )
    return tuple(Note("warning", place, text) for group in found for place, text in group)


Doubts = Iterator[tuple[str, str]]


def wavelength_place(spec: ExperimentSpec) -> str:
    """Field or file that gave the wavelength."""
    beam = spec.beam
    if beam.energy_ev is not None:
        return "beam.energy_ev"
    if beam.wavelength_angstrom is not None:
        return "beam.wavelength_angstrom"
    if spec.detector.geometry_file is not None:
        return spec.detector.geometry_file
    if beam.source_file is not None:
        return beam.source_file
    return "beam.spectrum" if beam.spectrum is not None else "header_files"


def _of_wavelength(spec: ExperimentSpec, experiment: Experiment) -> Doubts:
    """Longest and shortest wavelength of the sources, against the cell and the usual energies."""
    edge = float(np.sqrt((experiment.crystal.real_space**2).sum(axis=1)).max())
    lambdas = experiment.beam.sources.wavelength
    place = wavelength_place(spec)
    for number in dict.fromkeys((float(lambdas.max()), float(lambdas.min()))):
        energy = wavelength_angstrom_to_energy_ev(number)
        said = f"{energy:.6g} eV is a wavelength of {number:.6g} Å"
        if number > 2.0 * edge:
            text = (
                f"{said}, more than twice the longest cell edge of {edge:.6g} Å: nothing can "
                "diffract; energies are in eV (keV meant?), wavelengths and cells in Å"
            )
            yield place, text
        elif not _ENERGY_EV[0] <= energy <= _ENERGY_EV[1]:
            text = f"{said}, which is unusual for diffraction; energies are in eV, wavelengths in Å"
            yield place, text
    nominal = experiment.beam.wavelength
    given = spec.beam.wavelength_angstrom is not None or spec.beam.energy_ev is not None
    listed = spec.beam.spectrum is not None or spec.beam.source_file is not None
    low, high = float(lambdas.min()), float(lambdas.max())
    if given and listed and not low * 0.999 <= nominal <= high * 1.001:
        text = (
            f"the nominal wavelength of {nominal:.6g} Å lies outside of the sources' own, "
            f"{low:.6g} to {high:.6g} Å, which are what is rendered"
        )
        yield place, text


def _of_cell(spec: ExperimentSpec, experiment: Experiment) -> Doubts:
    lengths = [float(value) for value in experiment.crystal.cell[:3]]
    angles = [math.degrees(float(value)) for value in experiment.crystal.cell[3:]]
    place = "crystal.matrix_file" if spec.crystal.matrix_file is not None else "crystal.cell"
    wrong = [value for value in lengths if not _EDGE_ANGSTROM[0] <= value <= _EDGE_ANGSTROM[1]]
    if wrong:
        yield place, f"a cell edge of {wrong[0]:.6g} Å; edges are in Å (nm or m meant?)"
    small = [value for value in angles if value < _ANGLE_DEG]
    if small:
        yield place, f"a cell angle of {small[0]:.6g} degrees; angles are in degrees (rad meant?)"


def _of_crystal(spec: ExperimentSpec) -> Doubts:
    sizes = spec.crystal.size_mm
    if sizes is not None and max(sizes) > _CRYSTAL_MM:
        yield "crystal.size_mm", f"a crystal of {max(sizes):.6g} mm; sizes are in mm (µm meant?)"
    spread = spec.crystal.mosaic.spread_deg
    if spread is not None and spread > _SPREAD_DEG:
        text = (
            f"a spread of {spread:.6g} degrees: mosaic crystals have less than "
            f"{_SPREAD_DEG:g}, more is a powder"
        )
        yield "crystal.mosaic.spread_deg", text


def _of_intensity(spec: ExperimentSpec, experiment: Experiment) -> Doubts:
    beam, fluence = spec.beam, float(experiment.beam.fluence)
    given = beam.fluence_photons_per_m2 is not None or beam.flux_photons_per_s is not None
    place = (
        "beam.flux_photons_per_s"
        if beam.flux_photons_per_s is not None
        else "beam.fluence_photons_per_m2"
    )
    if given and not _FLUENCE_PER_M2[0] <= fluence <= _FLUENCE_PER_M2[1]:
        yield place, f"a fluence of {fluence:.6g} photons/m² at the sample is implausible"
    elif not given and experiment.noise.photon:
        text = (
            f"not given: {fluence:.6g} photons/m², on which the counts of noise.photon depend, "
            "is nanoBragg's own scale and no real beam"
        )
        yield place, text
    flux = beam.flux_photons_per_s
    if flux and not _FLUX_PER_S[0] <= flux <= _FLUX_PER_S[1]:
        yield place, f"a flux of {flux:.6g} photons/s is implausible"
    size, exposure = beam.size_mm, beam.exposure_s
    if size and not _BEAM_MM[0] <= size <= _BEAM_MM[1]:
        yield "beam.size_mm", f"a beam of {size:.6g} mm; sizes are in mm (µm or m meant?)"
    if exposure and not _EXPOSURE_S[0] <= exposure <= _EXPOSURE_S[1]:
        yield "beam.exposure_s", f"an exposure of {exposure:.6g} s is implausible"


def _of_sources(spec: ExperimentSpec) -> Doubts:
    for name in ("horizontal", "vertical"):
        extent = getattr(spec.beam.divergence, name).range_mrad
        if extent is not None and extent > _DIVERGENCE_MRAD:
            yield (
                f"beam.divergence.{name}.range_mrad",
                f"a divergence of {extent:.6g} mrad is {math.degrees(extent * 1e-3):.4g} degrees",
            )
    extent = spec.beam.dispersion.range_percent
    if extent is not None and extent > _DISPERSION_PERCENT:
        yield "beam.dispersion.range_percent", f"a dispersion of {extent:.6g} %"


def _of_detector(spec: ExperimentSpec, experiment: Experiment) -> Doubts:
    panels = experiment.detector.panels
    owner = "detector" if spec.detector.geometry_file is None else spec.detector.geometry_file
    pixel = panels[0].pixel_size * _MM_PER_M
    placed = next(
        (name for name in ("distance_mm", "close_distance_mm", "pix0_m", "panels")
         if getattr(spec.detector, name) is not None), None,
    )  # fmt: skip
    place = owner if placed is None else f"detector.{placed}"
    distance = min(abs(panel.distance) for panel in panels) * _MM_PER_M
    if distance < pixel:
        text = (
            f"the distance of {distance:.6g} mm is less than a pixel of {pixel:.6g} mm; "
            "distances are in mm (m meant?)"
        )
        yield place, text
    elif not _DISTANCE_MM[0] <= distance <= _DISTANCE_MM[1]:
        yield place, f"a distance of {distance:.6g} mm; distances are in mm (m or µm meant?)"
    sized = owner if spec.detector.pixel_size_mm is None else "detector.pixel_size_mm"
    if not _PIXEL_MM[0] <= pixel <= _PIXEL_MM[1]:
        yield sized, f"pixels of {pixel:.6g} mm; sizes are in mm (µm or m meant?)"
    missed = beam_off_panels(experiment.detector, experiment.beam.direction)
    if missed:
        centres = ("xbeam_mm", "ybeam_mm", "orgx_px", "orgy_px", "xclose_mm", "yclose_mm")
        given = {name: getattr(spec.detector, name) for name in centres}
        said = [f"{name} = {value:.6g}" for name, value in given.items() if value is not None]
        if said:
            place, missed = f"detector.{said[0].split()[0]}", f"{', '.join(said)}: {missed}"
        yield place, missed
    thickness = spec.detector.sensor.thickness_um
    if thickness and not _SENSOR_UM[0] <= thickness <= _SENSOR_UM[1]:
        text = f"a sensor of {thickness:.6g} µm; thicknesses are in µm (mm meant?)"
        yield "detector.sensor.thickness_um", text


def beam_off_panels(detector: Detector, direction: Float64Array) -> str:
    """Say where the direct beam passes a detector; empty where it does not.

    A beam through a gap between panels, or through a hole in their midst, does not pass them.
    """
    beam = components(direction)
    spots = [spot for panel in detector.panels if (spot := _spot(panel, beam)) is not None]
    if any(inside for *_, inside in spots) or _surround(detector.panels, beam):
        return ""
    if not spots:
        return "the direct beam does not meet the plane of the detector"
    panel, fast, slow, _ = min(spots, key=lambda spot: math.hypot(spot[1], spot[2]))
    edge = panel.pixel_size * _MM_PER_M
    return (
        f"the direct beam is off the detector: {fast:.6g} mm along fast and {slow:.6g} mm along "
        f"slow ({fast / edge:.6g} and {slow / edge:.6g} pixels) from the corner of a panel of "
        f"{panel.pixels[1] * edge:.6g} x {panel.pixels[0] * edge:.6g} mm; check unit and convention"
    )


def _spot(panel: Panel, beam: Vector) -> tuple[Panel, float, float, bool] | None:
    """Where the beam meets a panel's plane, mm from its corner; None where it does not."""
    origin, fast_axis, slow_axis = map(components, (panel.origin, panel.fast, panel.slow))
    met = meet(origin, fast_axis, slow_axis, beam)
    if met is None or met[0] <= 0.0:
        return None
    _, fast, slow = met
    edge = panel.pixel_size
    inside = 0.0 <= fast <= panel.pixels[1] * edge and 0.0 <= slow <= panel.pixels[0] * edge
    return panel, fast * _MM_PER_M, slow * _MM_PER_M, inside


def _surround(panels: tuple[Panel, ...], beam: Vector) -> bool:
    """Whether the beam passes within the box about several panels, seen along it."""
    if len(panels) == 1:
        return False
    corners = np.array(
        [
            panel.origin
            + panel.pixel_size
            * (panel.pixels[1] * i * panel.fast + panel.pixels[0] * j * panel.slow)
            for panel in panels
            for i in (0, 1)
            for j in (0, 1)
        ]
    )
    axis = np.array(beam)
    depth = corners @ axis
    if (depth <= 0.0).any():
        return True
    across = np.linalg.svd(axis[np.newaxis])[2][1:]
    seen = (corners @ across.T) / depth[:, np.newaxis]
    return bool((seen.min(axis=0) <= 0.0).all() and (seen.max(axis=0) >= 0.0).all())


def _of_rotation(spec: ExperimentSpec, experiment: Experiment) -> Doubts:
    goniometer, steps = spec.goniometer, spec.goniometer.steps
    if steps is not None and steps > 1 and not np.ptp(experiment.crystal.phi):
        yield "goniometer.steps", f"{steps} steps of an oscillation of 0 degrees are one still"
    width = goniometer.oscillation_deg
    if width is not None and abs(width) > _OSCILLATION_DEG:
        yield "goniometer.oscillation_deg", f"one frame of {width:.6g} degrees"


def _of_amounts(spec: ExperimentSpec, experiment: Experiment) -> Doubts:
    """Depths of scattering material, resolution, and crystals that scatter nothing."""
    for name in ("water_um", "thickness_um"):
        depth = getattr(spec.background, name)
        if depth is not None and depth > _DEPTH_UM:
            yield f"background.{name}", f"{depth:.6g} µm of material; depths are in µm"
    edge = float(np.sqrt((experiment.crystal.real_space**2).sum(axis=1)).max())
    dmin = spec.sampling.dmin_angstrom
    if dmin > edge:
        text = (
            f"a cut at {dmin:.6g} Å leaves no reflection of a cell whose longest edge is "
            f"{edge:.6g} Å"
        )
        yield "sampling.dmin_angstrom", text
    table = experiment.reflections
    if table.amplitude.size == 0 and table.default_amplitude == 0.0:
        left = "the background alone" if experiment.background.molecules > 0.0 else "all 0"
        text = f"0 and no file: the crystal scatters nothing, the image is {left}"
        yield "structure_factors.default_f_electrons", text
