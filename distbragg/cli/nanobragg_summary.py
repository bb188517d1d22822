"""The lines that nanoBragg.c writes on standard output, for scripts that read them.

Names, order and number formats are that program's. Left out are its progress in per cent, its
advice (ours goes to standard error) and the files that are not written; the solid angle is that
of the detector, which the program multiplies by layers and divides by sources, domains and steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distbragg._version import __version__
from distbragg.cli.image_files import header_geometry
from distbragg.constants import AVOGADRO_PER_MOL, SOURCE_DISTANCE_M
from distbragg.matrices import determinant3, dot3, norm3
from distbragg.models.build_detector import pivot_of
from distbragg.models.rotations import Ran1, random_misset
from distbragg.models.steps import NOMINAL_ANGLE, resolve_grid
from distbragg.models.vectors import cell_parameters, components, cross, dot, unit
from distbragg.physics.factors import panel_solid_angle
from distbragg.read.table import read_sources
from distbragg.units import angstrom_to_m, if_given, mm_to_m, mrad_to_rad, um_to_m

if TYPE_CHECKING:
    from distbragg.export.scaling import ImageStatistics
    from distbragg.models.experiment import Experiment
    from distbragg.spec.experiment import ExperimentSpec

_DENSITY_G_PER_M3 = 1.2e6
"""Of a protein crystal: what the program's molecular weight is estimated with."""

_SHAPES = {"square": "parallelpiped", "round": "ellipsoidal", "gauss": "gaussian"}


def parameter_lines(spec: ExperimentSpec, experiment: Experiment, *, noise: bool) -> Iterator[str]:
    """Yield what the program says before it renders; of `experiment` |F| is not needed."""
    reflections = _reflections(spec)
    yield f"distbragg {__version__}: what nanoBragg says of the same command"
    yield from _geometry_lines(spec, experiment)
    yield from _crystal_lines(spec, experiment)
    if reflections is not None:
        name = spec.structure_factors.file
        yield f"counting entries in {name}"
        yield f"re-reading {name}"
    yield from _step_lines(spec, experiment)
    default = spec.structure_factors.default_f_electrons or 0.0
    yield f"  {reflections or 0} initialized hkls (all others ={default:g})"
    yield from _setting_lines(spec, experiment)
    yield from _detector_lines(spec, experiment)
    yield from _sampling_lines(spec, experiment)
    if noise:
        yield ""
        yield "  noise image paramters:"
        yield f"  seed: {-spec.noise.seed}"
        yield f"  water droplet size: {um_to_m(spec.background.water_um):g} m"


def _geometry_lines(spec: ExperimentSpec, experiment: Experiment) -> Iterator[str]:
    panel, beam = experiment.detector.panels[0], components(experiment.beam.direction)
    yield f"{spec.detector.convention or 'mosflm'} convention selected."
    where = "direct beam spot" if pivot_of(spec) == "beam" else "sample"
    yield f"pivoting detector around {where}"
    within = [dot(beam, components(axis)) for axis in (panel.fast, panel.slow, panel.normal)]
    yield f"XDS incident beam: {_plain(within)}"
    if spec.structure_factors.interpolate == "auto":
        narrow = min(spec.crystal.block_cells or (1, 1, 1)) <= 2
        chosen = "tricubic interpolation of structure factors" if narrow else "no interpolation"
        yield f"auto-selected {chosen}"


def _crystal_lines(spec: ExperimentSpec, experiment: Experiment) -> Iterator[str]:
    crystal = experiment.crystal
    if spec.crystal.matrix_file is not None:
        yield f"reading {spec.crystal.matrix_file}"
    if spec.crystal.misset_deg == "random" and spec.physics == "nanobragg":
        x, y, z = np.rad2deg(random_misset(spec.crystal.misset_seed or 0, Ran1(-1)))
        yield f"random orientation misset angles: {x:f} {y:f} {z:f} deg"
    real, reciprocal = (np.asarray(part) for part in (crystal.real_space, crystal.reciprocal))
    volume = float(determinant3(real))
    if spec.crystal.cell is not None:
        volume = cell_parameters(spec.crystal.cell).volume
    yield f"Unit Cell: {_cell(real, reciprocal, volume)}"
    yield f"Recp Cell: {_cell(reciprocal, real, 1.0 / volume)}"
    yield f"volume = {volume:g} A^3"
    yield "real-space cell vectors (Angstrom):"
    yield from _columns(real, ("a", "b", "c"))
    yield "reciprocal-space cell vectors (Angstrom^-1):"
    yield from _columns(reciprocal, ("a_star", "b_star", "c_star"))
    edges = np.asarray(crystal.cell[:3])
    micrometres = edges * np.asarray(crystal.cells) * 1e-4
    yield f"crystal is {' x '.join(f'{size:g}' for size in micrometres)} microns"
    if spec.sampling.oversample == "auto":
        yield f"auto-selected {experiment.sampling.oversample}-fold oversampling"
    weight = math.prod(edges.tolist()) * 1e-30 * _DENSITY_G_PER_M3 * AVOGADRO_PER_MOL
    yield f"approximate MW = {weight:g}"


def _step_lines(spec: ExperimentSpec, experiment: Experiment) -> Iterator[str]:
    """Yield layers, spindle angles, wavelengths, sources and the number of domains."""
    for index, depth in enumerate(experiment.detector.panels[0].sensor.position.tolist()):
        yield f"thick{index} = {depth * 1e6:g} um"
    for index, phi in enumerate(np.rad2deg(experiment.crystal.phi).tolist()):
        yield f"phi{index} = {phi:g}"
    for index, wavelength in enumerate(_wavelengths(spec, experiment)):
        yield f"lambda{index} = {wavelength * 1e-10:.15g}"
    rows = _sources(spec, experiment)
    yield f"  created a total of {len(rows)} sources:"
    for x, y, z, weight, wavelength in rows.tolist():
        yield f"{_plain((x, y, z))}   {weight:g} {wavelength:g}"
    yield f"  created a total of {len(experiment.crystal.mosaic_rotations)} mosaic domains"


def _wavelengths(spec: ExperimentSpec, experiment: Experiment) -> list[float]:
    """Wavelengths (Å) of the dispersion grid; none where a file lists the sources."""
    if spec.beam.source_file is not None:
        return []
    return list(dict.fromkeys(experiment.beam.sources.wavelength.tolist()))


def _sources(spec: ExperimentSpec, experiment: Experiment) -> NDArray[np.float64]:
    """Place (m), weight and wavelength (m) of every source, as its file says or as generated."""
    sources, beam = experiment.beam.sources, experiment.beam
    if spec.beam.source_file is not None:
        direction, nominal = components(beam.direction), angstrom_to_m(beam.wavelength)
        return read_sources(spec.beam.source_file, beam_direction=direction, wavelength_m=nominal)
    columns = (
        np.asarray(sources.direction) * SOURCE_DISTANCE_M,
        np.asarray(sources.weight) / sources.total_weight,
        np.asarray(sources.wavelength) * 1e-10,
    )
    return np.column_stack(columns)


def _setting_lines(spec: ExperimentSpec, experiment: Experiment) -> Iterator[str]:
    crystal, beam = experiment.crystal, experiment.beam
    lines = max(len(_wavelengths(spec, experiment)), 1)
    shape = _SHAPES.get(crystal.shape, "tophat-spot")
    yield f"  {shape} xtal: {'x'.join(f'{count:.0f}' for count in crystal.cells)} cells"
    dispersion = spec.beam.dispersion.range_percent or 0.0 if lines > 1 else 0.0
    yield f"  wave={beam.wavelength * 1e-10:g} meters +/- {dispersion:g}% in {lines} steps"
    if beam.polarized:
        yield f"  Kahn polarization factor: {beam.kahn_factor:f}"
    else:
        yield "  polarization effect disabled"
    if spec.detector.curved:
        yield "  curved detector: all pixels same distance from origin"
    if spec.detector.point_pixel:
        yield "  pixel obliquity effect disabled"
    yield f"  incident fluence: {beam.fluence:g} photons/m^2"


def _detector_lines(spec: ExperimentSpec, experiment: Experiment) -> Iterator[str]:
    panel, header = experiment.detector.panels[0], header_geometry(spec, experiment)
    slow, fast = panel.pixels
    size = panel.pixel_size
    yield (
        f"  distance={panel.distance:g} detsize={fast * size:g}x{slow * size:g}"
        f"  pixel={size:g} meters ({fast}x{slow} pixels)"
    )
    sensor = spec.detector.sensor
    thick, length = um_to_m(sensor.thickness_um or 0.0), sensor.attenuation_length_um
    mu = 1.0 / thick if thick > 0.0 else -1.0
    if length is not None:
        transparent = length == 0.0 or math.isinf(length)
        thick, mu = (0.0, 0.0) if transparent else (thick, 1.0 / um_to_m(length))
    yield f"  sensor is {thick:g} m thick in {panel.sensor.count} layers with mu= {mu:g}"
    asked = spec.detector
    first = _nearest(asked.xclose_mm, asked.orgx_px, fast * size, size)
    second = _nearest(asked.yclose_mm, asked.orgy_px, slow * size, size)
    x, y = (mm_to_m(value) for value in header.beam_center)
    if pivot_of(spec) == "sample":
        # The program names what it was given, wherever the beam meets the panel once turned.
        x = first if asked.xbeam_mm is None else mm_to_m(asked.xbeam_mm)
        y = second if asked.ybeam_mm is None else mm_to_m(asked.ybeam_mm)
    yield f"  Xbeam={x:g} Ybeam={y:g}"
    yield f"  Fbeam={mm_to_m(header.beam_fast):g} Sbeam={mm_to_m(header.beam_slow):g}"
    yield f"  Xclose={first:g} Yclose={second:g}"
    nearest = [(org - 0.5) * size for org in header.origin_px]
    yield f"  Fclose={nearest[0]:g} Sclose={nearest[1]:g}"
    for name, axis in zip("XYZ", (panel.fast, panel.slow, panel.normal), strict=True):
        yield f"  DIRECTION_OF_DETECTOR_{name}-AXIS= {_plain(axis)}"
    beam = components(experiment.beam.direction)
    yield f"  INCIDENT_BEAM_DIRECTION= {_plain(beam)}"
    yield f"  spindle ROTATION_AXIS= {_plain(experiment.crystal.spindle_axis)}"
    across = cross(beam, unit(components(experiment.beam.polarization_axis)))
    yield f"  POLARIZATION_PLANE_NORMAL= {_plain(across)}"
    yield f"  dials origin= {_plain(header.origin)}"
    roi = asked.roi or (0, fast, 0, slow)
    x0, x1, y0, y1 = roi[0], min(roi[1], fast), roi[2], min(roi[3], slow)
    yield f"  roi: {x0} < x < {x1} && {y0} < y < {y1}"


def _sampling_lines(spec: ExperimentSpec, experiment: Experiment) -> Iterator[str]:
    crystal, sampling = experiment.crystal, experiment.sampling
    sources, asked = experiment.beam.sources, spec.beam.divergence
    for name, axis in (("hdiv", asked.horizontal), ("vdiv", asked.vertical)):
        grid = resolve_grid(
            if_given(mrad_to_rad, axis.range_mrad),
            if_given(mrad_to_rad, axis.step_mrad),
            axis.steps,
            nominal=NOMINAL_ANGLE,
            field="beam.divergence",
        )
        yield f"  {name}range={grid.extent:g} {name}step={grid.step:g}  radians"
    lines = len(_wavelengths(spec, experiment))
    yield f"  {sources.count // lines if lines else 0} divergence steps"
    yield f"  {sources.count} sources"
    spread = math.degrees(crystal.mosaic_spread)
    yield (
        f"  {len(crystal.mosaic_rotations)} mosaic domains over mosaic spread of {spread:g} degrees"
    )
    header = header_geometry(spec, experiment)
    end = header.phi + header.oscillation
    yield f"  {len(crystal.phi)} phi steps from {header.phi:g} to {end:g} degrees"
    also = " +thick" * sampling.per_sample_capture
    also += " +polar" * sampling.per_sample_polarization
    also += " +omega" * sampling.per_sample_solid_angle
    yield f"  {sampling.oversample}x{sampling.oversample} pixel oversample steps{also}"
    if spec.detector.mask_file is not None:
        yield f"  skipping zero-flagged pixels in {spec.detector.mask_file}"


def solid_angle_line(experiment: Experiment) -> str:
    """Say what the rendered pixels subtend, taken at their first sub-pixels as in the program."""
    total = panel_solid_angle(experiment, 0)
    share = 100.0 * total / 4.0 / math.pi
    return f"solid angle subtended by detector = {total:g} steradian ( {share:g}% sphere)"


def statistics_lines(
    statistics: ImageStatistics, experiment: Experiment, scale: float
) -> Iterator[str]:
    """Yield the brightest pixel, mean and deviations, and the scale of the integer image."""
    panel, oversample = experiment.detector.panels[0], experiment.sampling.oversample
    x = y = 0.0
    if statistics.brightest is not None:
        step = panel.pixel_size / oversample
        # The program names the last sub-pixel of the brightest pixel.
        y, x = (
            step * (pixel * oversample + oversample - 1) + step / 2
            for pixel in statistics.brightest
        )
    yield f"max_I = {statistics.peak:g}  at {x:g} {y:g}"
    yield f"mean= {statistics.mean:g} rms= {statistics.rms:g} rmsd= {statistics.rmsd:g}"
    yield f"intfile_scale = {scale:g}"


def noise_line(photons: NDArray[np.float64], offset: float, region: NDArray[np.bool_]) -> str:
    """Say how many photons were drawn, and how many pixels the 16-bit image cannot hold."""
    drawn = photons[region]
    overloads = int(np.count_nonzero(drawn + offset > 65535.0))
    return f"{drawn.sum():.0f} photons on noise image ({overloads} overloads)"


def _reflections(spec: ExperimentSpec) -> int | None:
    """Count the lines of a text list of structure factors; None of other files."""
    name = spec.structure_factors.file
    if name is None or spec.structure_factors.format != "hkl":
        return None
    try:
        with Path(name).open("rb") as lines:
            return sum(1 for line in lines if line.strip() and not line.lstrip().startswith(b"#"))
    except OSError:
        return None


def _nearest(close_mm: float | None, org: float | None, size: float, pixel: float) -> float:
    if close_mm is not None:
        return mm_to_m(close_mm)
    return size / 2.0 if org is None else (org - 0.5) * pixel


def _plain(values: ArrayLike) -> str:
    return " ".join(f"{value:g}" for value in np.asarray(values, dtype=np.float64).tolist())


def _cell(vectors: NDArray[np.float64], dual: NDArray[np.float64], volume: float) -> str:
    """Lengths and angles of three vectors; the program takes sines from dual and volume."""
    lengths, others = norm3(vectors).tolist(), norm3(dual).tolist()
    angles = []
    for index in range(3):
        first, second = (index + 1) % 3, (index + 2) % 3
        area = lengths[first] * lengths[second]
        cosine = float(dot3(vectors[first], vectors[second])) / area
        angles.append(math.degrees(math.atan2(others[index] * volume / area, cosine)))
    return _plain([*lengths, *angles])


def _columns(vectors: NDArray[np.float64], names: tuple[str, str, str]) -> Iterator[str]:
    yield "     " + "  ".join(f"{name:<10}" for name in names)
    for name, row in zip("XYZ", vectors.T.tolist(), strict=True):
        yield f"{name}: " + " ".join(f"{value:11.8f}" for value in row)
