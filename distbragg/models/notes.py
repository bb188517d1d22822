"""What is to be said of a resolved experiment: one line each, by the rules of `distbragg.notes`.

What files say that was ignored, what was given and does nothing, two sources of one number
that disagree, numbers that look like mistakes (`doubts`), and numbers that nobody gave.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from distbragg.models.beam_spot import beam_spot
from distbragg.models.build_background import told_of_materials
from distbragg.models.build_beam import DEFAULT_BEAM_SIZE_MM, DEFAULT_EXPOSURE_S
from distbragg.models.build_cells import changed_cell
from distbragg.models.build_diffuse import told_of_diffuse
from distbragg.models.build_panels import with_preset
from distbragg.models.build_point_spread import file_sum, written_spreads
from distbragg.models.conventions import CONVENTIONS, convention_of
from distbragg.models.doubts import Lines, doubts
from distbragg.models.experiment import Experiment
from distbragg.models.sensor import THINNEST_MM, known_material
from distbragg.models.setting import (
    HeaderValues,
    Setting,
    is_wavelength_of,
    resolve_spectrum,
    takes_file_spectrum,
)
from distbragg.models.vectors import cell_of, components, dot, norm
from distbragg.notes import Note, Notes, distinct
from distbragg.read.geometry.model import FileGeometry
from distbragg.read.structure_factors import file_cell
from distbragg.read.text import shown
from distbragg.spec.compute import FORMER_KERNELS
from distbragg.spec.crystal import Cell
from distbragg.spec.detector import DetectorSpec, SensorSpec
from distbragg.spec.experiment import ExperimentSpec
from distbragg.spec.paths import value_at
from distbragg.units import MM_PER_METRE, energy_ev_to_wavelength_angstrom

_RIGHT_ANGLE: Final = 1e-6
_RELATIVE: Final = 1e-3  # numbers in headers are rounded: what is closer is one number
_ANGLE_DEG: Final = 1e-3
_PLACE_MM: Final = 0.05
_CELL_RELATIVE: Final = 5e-3
_CELL_DEG: Final = 0.5  # cells of one form differ from data set to data set by less than the two

_STATED: Final = (
    ("beam.wavelength_angstrom", "wavelength", "Å", 1.0, 0.0),
    ("goniometer.phi_deg", "phi", "degrees", math.degrees(1.0), _ANGLE_DEG),
    ("goniometer.oscillation_deg", "oscillation", "degrees", math.degrees(1.0), _ANGLE_DEG),
    ("detector.twotheta_deg", "twotheta", "degrees", math.degrees(1.0), _ANGLE_DEG),
    ("detector.pixel_size_mm", "pixel_size", "mm", MM_PER_METRE, 0.0),
    ("detector.pixels_slow", "pixels_slow", "pixels", 1.0, 0.0),
    ("detector.pixels_fast", "pixels_fast", "pixels", 1.0, 0.0),
    ("detector.distance_mm", "distance", "mm", MM_PER_METRE, 0.0),
    ("detector.close_distance_mm", "close_distance", "mm", MM_PER_METRE, 0.0),
    ("detector.xbeam_mm", "xbeam", "mm", MM_PER_METRE, _PLACE_MM),
    ("detector.ybeam_mm", "ybeam", "mm", MM_PER_METRE, _PLACE_MM),
    ("detector.orgx_px", "orgx", "pixels", 1.0, 0.5),
    ("detector.orgy_px", "orgy", "pixels", 1.0, 0.5),
)
"""What a specification and headers both may state: field, name in `HeaderValues`, unit, what the
header's number is multiplied by, and how far two numbers may lie apart."""

_SIDES: Final = {"pixels_slow": 0, "pixels_fast": 1}
_OF_PRESET: Final = ("pixel_size", *_SIDES)
_BESIDE_PANELS: Final = ("wavelength", "phi", "oscillation", "twotheta", "distance")
"""What headers say of an experiment whose panels come from a geometry file."""

NOT_GIVEN: Final = "not given, default used"
"""Place of the note of all numbers that stand in for what nobody gave."""

_AND: Final = ", "


def notes_of(spec: ExperimentSpec, experiment: Experiment, setting: Setting) -> Notes:
    """Return the notes of an experiment; `spec` names the fields, as they were written."""
    of_files = _of_files(spec, setting.geometry, float(experiment.beam.wavelength))
    warnings = (
        *_unused(spec, experiment, setting),
        *_contradictions(spec, experiment, setting),
        *doubts(spec, experiment),
    )
    derived = tuple(Note("note", place, text) for place, text in _derived(spec, experiment))
    given = [f"{field} = {value}" for field, value in _stand_ins(spec, experiment, setting.headers)]
    return distinct(
        experiment.reflections.notes,
        tuple(of_files),
        tuple(Note("warning", place, text) for place, text in warnings),
        derived,
        (Note("note", NOT_GIVEN, _AND.join(given)),) if given else (),
    )


def by_field(note: Note) -> Notes:
    """Return the note of what was not given as one note a field; any other as it is."""
    if note.place != NOT_GIVEN:
        return (note,)
    return tuple(Note(note.kind, NOT_GIVEN, text) for text in note.text.split(_AND))


def in_one_line(notes: Notes) -> Notes:
    """Join the notes of fields to one, in the place of the first."""
    fields = [note.text for note in notes if note.place == NOT_GIVEN]
    one = Note("note", NOT_GIVEN, _AND.join(fields))
    return distinct(tuple(one if note.place == NOT_GIVEN else note for note in notes))


def _of_files(
    spec: ExperimentSpec, geometry: FileGeometry | None, wavelength: float
) -> Iterator[Note]:
    """Yield what the readers of a geometry file and of a spectrum have to say."""
    if geometry is not None:
        if not is_wavelength_of(geometry, wavelength) and any(
            panel.attenuation_length is not None and known_material(panel.material) is None
            for panel in geometry.panels
        ):
            said = f"the sensor's attenuation is that of {geometry.wavelength:g} Å"
            yield Note("warning", geometry.source, f"{said}: detector.sensor gives another")
        for text in geometry.notes:
            yield Note("note", geometry.source, text)
        if said := _transparent_sensor(spec.detector.sensor, geometry):
            yield Note("note", geometry.source, f"{said}: detector.sensor.material")
        if geometry.spectrum is not None and not takes_file_spectrum(spec.beam):
            said = "the spectrum of the file is ignored: the specification gives the wavelength"
            yield Note("note", geometry.source, said)
    if spec.beam.spectrum is not None and spec.beam.source_file is None:
        spectrum = resolve_spectrum(spec.beam.spectrum)
        yield from () if spectrum is None else spectrum.notes
    panels = spec.detector.panels or ()
    for written in (spec.detector.point_spread, *(panel.point_spread for panel in panels)):
        if written.file is not None and written.file_sum is None:
            said = f"the shares add up to {file_sum(written.file):.6g}"
            yield Note("note", written.file, f"{said}; the rest of 1 is spread evenly")


def _transparent_sensor(spec: SensorSpec, geometry: FileGeometry) -> str:
    """Say where a sensor whose thickness a file states absorbs nothing (`merged_sensor`)."""
    if spec.material is not None or spec.attenuation_length_um is not None:
        return ""
    for panel in geometry.panels:
        known = panel.attenuation_length is not None or known_material(panel.material) is not None
        if not known and panel.thickness is not None and panel.thickness >= THINNEST_MM:
            made = "of no material that the file names"
            if panel.material:
                made = f"of '{shown(panel.material)}', which is not known"
            return f"the sensor, {panel.thickness:g} mm {made}, absorbs nothing"
    return ""


def _unused(spec: ExperimentSpec, experiment: Experiment, setting: Setting) -> Lines:
    """Yield what was given and has no effect, or another one than it says."""
    yield from _unused_of_panels(spec.detector, experiment, setting.geometry)
    mosaic, beam = spec.crystal.mosaic, spec.beam.size_mm
    alike = experiment.crystal.mosaic_spread == 0.0 and experiment.crystal.cell_roots is None
    if (mosaic.domains or 0) > 1 and alike:
        text = f"{mosaic.domains} domains without a spread are one aligned domain"
        yield "crystal.mosaic.domains", text
    if beam is None and spec.physics == "nanobragg":
        beam = DEFAULT_BEAM_SIZE_MM
    for axis, size in zip("bc", (spec.crystal.block_size_mm or ())[1:], strict=False):
        if beam is not None and size > beam:
            text = f"clipping the sample along {axis} ({size:g} mm) to the beam ({beam:g} mm)"
            yield "crystal.block_size_mm", text
    if spec.physics == "nanobragg":
        yield from _unused_by_program(spec, experiment)
        if setting.geometry is None:
            yield from _unused_detector(spec.detector, convention_of(spec), setting.headers)
    if spec.compute.kernel in FORMER_KERNELS:
        text = f"{spec.compute.kernel} is now called model; write kernel: model"
        yield "compute.kernel", text


def _unused_of_panels(
    detector: DetectorSpec, experiment: Experiment, geometry: FileGeometry | None
) -> Lines:
    sensor, panels = detector.sensor, experiment.detector.panels
    for panel in panels[:1] if geometry is None else panels:
        if abs(dot(components(panel.fast), components(panel.slow))) > _RIGHT_ANGLE:
            which = "" if geometry is None else f" of panel '{panel.name}'"
            text = f"the fast and slow axes{which} are not at right angles"
            yield "detector.axes" if geometry is None else "detector", text
    of_file = () if geometry is None else geometry.panels
    thick = sensor.thickness_um or any(panel.thickness for panel in of_file)
    if thick and sensor.attenuation_length_um in (0.0, math.inf):
        text = "an attenuation length of 0 or infinity turns absorption off"
        yield "detector.sensor", f"{text}; the thickness is not used"


def _unused_by_program(spec: ExperimentSpec, experiment: Experiment) -> Lines:
    """Yield where `physics: nanobragg` ignores what the program ignores, or departs from it."""
    if spec.background.stol_file is not None:
        yield "background.stol_file", "read and not used by nanoBragg; ignored"
    sampling, sensor = spec.sampling, experiment.detector.panels[0].sensor
    samples = experiment.sampling.oversample**2 * sensor.count * experiment.beam.sources.count
    samples *= len(experiment.crystal.phi) * len(experiment.crystal.mosaic_rotations)
    for name in ("capture", "polarization", "solid_angle"):
        if samples > 1 and getattr(sampling, f"per_sample_{name}"):
            yield (
                f"sampling.per_sample_{name}",
                "one factor per sample; nanoBragg multiplies the running sum, so that its image "
                "depends on the order of the samples",
            )
    if experiment.reflections.interpolate:
        yield (
            "structure_factors.interpolate",
            "beyond the listed reflections one look-up takes the nearest value; nanoBragg turns "
            "interpolation off for the rest of its run",
        )


def _unused_detector(detector: DetectorSpec, convention: str, headers: HeaderValues) -> Lines:
    def given(*names: str) -> bool:
        return any(getattr(detector, name) is not None for name in names)

    rule, axes, custom = CONVENTIONS[convention], detector.axes, convention == "custom"
    close = given("distance_mm") and not given("close_distance_mm")
    about = {"beam": ("orgx_px", "orgy_px"), "sample": ("xbeam_mm", "ybeam_mm")}[rule.pivot]
    as_there = "as in nanoBragg"
    if given("origin_m"):
        text = (
            f"computed from the beam centre and distance, {as_there}; the given vector is not used"
        )
        yield "detector.origin_mm", text
    if close and headers.close_distance is not None:
        yield "detector.distance_mm", f"CLOSE_DISTANCE of the image header wins, {as_there}"
    if headers.twotheta and not given("twotheta_deg"):
        yield "detector.twotheta_deg", f"that of the image header is not used, {as_there}"
    if custom:
        if axes.normal is not None and norm(axes.normal) != 1.0:
            yield "detector.axes.normal", "not a unit vector; fast × slow is used instead"
        return
    if detector.pivot not in (None, rule.pivot):
        text = f"the {convention} convention sets the pivot to '{rule.pivot}', {as_there}"
        yield "detector.pivot", f"{text}; '{detector.pivot}' is not used"
    if given("xclose_mm", "yclose_mm"):
        yield "detector.xclose_mm, yclose_mm", f"no effect under this convention, {as_there}"
    if given(*about):
        text = f"no effect under a convention that pivots about the {rule.pivot}, {as_there}"
        yield f"detector.{', '.join(about)}", text


def _contradictions(spec: ExperimentSpec, experiment: Experiment, setting: Setting) -> Lines:
    """Yield which of two sources of one number is used, and what the other says."""
    geometry = setting.geometry
    if geometry is not None and not geometry.source:
        geometry = None
    filled = spec.model_copy(update={"detector": with_preset(spec.detector)[0]})
    for field, name, unit, factor, absolute in _STATED:
        if geometry is not None and name not in _BESIDE_PANELS:
            continue
        place, own = field, value_at(filled, tuple(field.split(".")))
        if name == "wavelength" and spec.beam.energy_ev is not None:
            place = "beam.energy_ev"
            own = energy_ev_to_wavelength_angstrom(spec.beam.energy_ev)
        preset = spec.detector.preset is not None and name in _OF_PRESET
        stated = [("detector.preset" if preset else place, own)]
        if geometry is not None:
            stated.append((geometry.source, _in_file(geometry, name)))
        for header in setting.each:
            value = _in_header(header, name)
            stated.append((header.source, None if value is None else value * factor))
        given = [(source, value) for source, value in stated if value is not None]
        for source, value in given[1:]:
            owner, used = given[0]
            if abs(value - used) > max(absolute, _RELATIVE * abs(used)):
                by = "" if owner == place else f" ({owner})"
                text = f"{used:.6g} {unit} is used{by}, where {source} says {value:.6g} {unit}"
                yield place, " ".join(text.split())
    yield from _other_cells(spec, experiment, geometry)


def _in_header(header: HeaderValues, name: str) -> float | None:
    if name in _SIDES:
        return None if header.shape is None else header.shape[_SIDES[name]]
    value: float | None = getattr(header, name)
    return value


def _in_file(geometry: FileGeometry, name: str) -> float | None:
    """Return what a geometry file says of a number, in the unit of the field."""
    if name == "distance" and geometry.distance_stated and geometry.beam is not None:
        return beam_spot(geometry.panels, geometry.beam).distance
    value: float | None = getattr(geometry, name, None)
    return value


def _other_cells(
    spec: ExperimentSpec, experiment: Experiment, geometry: FileGeometry | None
) -> Lines:
    """Compare the crystal's cell with those of the files that name one."""
    used = np.array(experiment.crystal.cell)
    used[3:] = np.degrees(used[3:])
    others: list[tuple[str, Cell | None]] = []
    crystal, factors = spec.crystal, spec.structure_factors
    if crystal.matrix_file is not None:
        others.append(("crystal.cell", crystal.cell))
    if geometry is not None and geometry.real_space is not None:
        others.append((geometry.source, cell_of(geometry.real_space)))
    if factors.first_file is not None:
        of_file = file_cell(factors.first_file, factors.format, factors.column)
        others.append((factors.first_file, of_file))
    place = "crystal.matrix_file" if crystal.matrix_file is not None else "crystal.cell"
    for source, cell in others:
        if cell is None:
            continue
        other = np.array(changed_cell(spec, cell))
        lengths = np.abs(other[:3] / used[:3] - 1.0) > _CELL_RELATIVE
        if lengths.any() or (np.abs(other[3:] - used[3:]) > _CELL_DEG).any():
            first, second = (" ".join(f"{x:.6g}" for x in one.tolist()) for one in (used, other))
            yield place, f"{first} is used, where {source} says {second}"


def _derived(spec: ExperimentSpec, experiment: Experiment) -> Lines:
    """Yield numbers that follow from others, where it is worth while to look at them."""
    if spec.crystal.specimen is not None and not spec.crystal.is_missed:
        cells = " x ".join(f"{count:g}" for count in experiment.crystal.cells)
        yield (
            "crystal.specimen",
            f"the beam illuminates {experiment.crystal.scale:.4g} blocks of {cells} cells",
        )
    yield from told_of_diffuse(spec, experiment.crystal.diffuse)
    if spec.beam.flux_photons_per_s:
        yield "beam.flux_photons_per_s", f"{experiment.beam.fluence:.4g} photons/m² at the sample"


def _stand_ins(spec: ExperimentSpec, experiment: Experiment, headers: HeaderValues) -> Lines:
    """Yield the fields that nobody gave, and the numbers that stand in for them."""
    yield from _stand_ins_of_detector(spec.detector, experiment, headers)
    yield from _stand_ins_of_beam(spec, experiment, headers)
    crystal, goniometer = spec.crystal, spec.goniometer
    if crystal.block_cells is None and not any(crystal.block_size_mm or ()):
        yield "crystal.block_cells", "1 1 1"
    lattices = crystal.drawn_lattices
    if lattices is not None and lattices.count > 1 and lattices.seed is None:
        yield "crystal.drawn_lattices.seed", "0"
    if spec.beam.flux_photons_per_s and crystal.illuminated_blocks is None and not crystal.specimen:
        yield "crystal.illuminated_blocks", "1"
    if experiment.sampling.method == "closed_form":
        return  # which takes neither domains nor steps
    spread = experiment.crystal.mosaic_spread > 0.0 or experiment.crystal.cell_roots is not None
    if spread and crystal.mosaic.matrices_file is None and crystal.mosaic.domains is None:
        yield "crystal.mosaic.domains", f"{experiment.crystal.mosaic_rotations.shape[0]}"
    width = goniometer.oscillation_deg
    turns = headers.oscillation if width is None else width
    if turns and goniometer.steps is None and goniometer.step_deg is None:
        yield "goniometer.steps", f"{len(experiment.crystal.phi)}"


def _stand_ins_of_beam(
    spec: ExperimentSpec, experiment: Experiment, headers: HeaderValues
) -> Lines:
    beam = spec.beam
    flux, kahn = beam.flux_photons_per_s is not None, beam.polarization.kahn_factor
    if not flux and beam.fluence_photons_per_m2 is None:
        yield "beam.fluence_photons_per_m2", f"{experiment.beam.fluence:.6g}"
    if flux and beam.exposure_s is None:
        yield "beam.exposure_s", f"{DEFAULT_EXPOSURE_S:g}"
    if beam.size_mm is None and (flux or spec.background.of_beam_size):
        yield "beam.size_mm", f"{DEFAULT_BEAM_SIZE_MM:g}"
    if beam.polarization.enabled and kahn is None and headers.kahn_factor is None:
        yield "beam.polarization.kahn_factor", "0 (not polarised)"
    for name in ("horizontal", "vertical"):
        axis = getattr(beam.divergence, name)
        if axis.range_mrad and axis.step_mrad is None and axis.steps is None:
            yield f"beam.divergence.{name}.steps", "2"
    if beam.dispersion.range_percent and beam.dispersion.steps is None:
        yield "beam.dispersion.steps", "2"
    yield from told_of_materials(spec.background)


def _stand_ins_of_detector(
    detector: DetectorSpec, experiment: Experiment, headers: HeaderValues
) -> Lines:
    panel, panels = experiment.detector.panels[0], detector.panels
    if detector.geometry_file is None:
        in_header = headers.distance is not None or headers.close_distance is not None
        placed = (detector.distance_mm, detector.close_distance_mm, detector.origin_m, panels)
        if not in_header and all(value is None for value in placed):
            yield "detector.distance_mm", f"{panel.distance * MM_PER_METRE:.6g}"
        sized = (detector.preset, detector.pixel_size_mm, headers.pixel_size)
        own = panels is not None and all(one.pixel_size_mm is not None for one in panels)
        if not own and all(value is None for value in sized):
            yield "detector.pixel_size_mm", f"{panel.pixel_size * MM_PER_METRE:.6g}"
        for side, index in (("fast", 1), ("slow", 0)):
            sides = (getattr(detector, f"pixels_{side}"), getattr(detector, f"size_{side}_mm"))
            given = (detector.preset, panels, headers.shape, *sides)
            if all(value is None for value in given):
                yield f"detector.pixels_{side}", f"{panel.pixels[index]}"
    if panel.sensor.absorbs and detector.sensor.layers is None:
        yield "detector.sensor.layers", f"{panel.sensor.count}"
    spreads = written_spreads(detector, len(experiment.detector.panels))
    radii = {
        f"{one.point_spread.radius}"
        for one, written in zip(experiment.detector.panels, spreads, strict=True)
        if one.point_spread is not None and written.kind != "file" and written.radius_px is None
    }
    if radii:
        yield "detector.point_spread.radius_px", " or ".join(sorted(radii, key=int))
