"""The plain renderer: one pixel at a time, in float64, with nothing but `math`.

Slow on purpose. It is what the fast kernels are compared with, and the tracer that shows
every step of one pixel.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from distbragg.kernel.geometry import SampleIndex, sample_indices
from distbragg.kernel.orientation import domain_vectors
from distbragg.kernel.polarization import polarization_frame, polarization_of_ray
from distbragg.models.arrays import Float64Array
from distbragg.models.crystal import Crystal, Reflections
from distbragg.models.detector import Panel, SensorLayers
from distbragg.models.experiment import Background, Experiment
from distbragg.models.vectors import Vector, combine, dot, norm, rotate_about, scale
from distbragg.plan.keys import SourceChunk, Tile
from distbragg.shapes import SHAPES


@dataclass(frozen=True, slots=True)
class StepTrace:
    """One spindle step and mosaic domain of one sample.

    Attributes
    ----------
    phi, domain : int
    index : (float, float, float)
        Fractional h, k, l.
    nearest : (int, int, int)
    cell_amplitude, lattice_amplitude : float
    radius : float
        r² of the spot shape (0 for SQUARE).
    """

    phi: int
    domain: int
    index: Vector
    nearest: tuple[int, int, int]
    cell_amplitude: float
    lattice_amplitude: float
    radius: float


@dataclass(frozen=True, slots=True)
class SampleTrace:
    """One source seen from one sample of a pixel.

    Attributes
    ----------
    source : int
    sample : SampleIndex
    position : (float, float, float), m
    stol : float, 1/Å
    cut : bool
        Beyond the resolution limit: the steps count nothing.
    solid_angle, capture, polarization : float
        The factors at this sample, applied inside the sum or not.
    background : float
        n_phi n_mosaic · molecules · F²; 0 under `physics: nanobragg`.
    weight : float
    steps : tuple of StepTrace
    value : float
        The term of the numerator, without the source's weight.
    """

    source: int
    sample: SampleIndex
    position: Vector
    stol: float
    cut: bool
    solid_angle: float
    capture: float
    polarization: float
    background: float
    weight: float
    steps: tuple[StepTrace, ...]
    value: float


def render_reference(
    experiment: Experiment, panel: int, tile: Tile, chunk: SourceChunk
) -> Float64Array:
    """Render the un-normalised numerator of a tile with plain loops; see `render_tile`."""
    view = experiment.detector.panels[panel]
    numerator = np.zeros(tile.pixels, dtype=np.float64)
    place = -1
    for slow in range(tile.slow_start, tile.slow_stop):
        for fast in range(tile.fast_start, tile.fast_stop):
            place += 1
            if view.active[slow, fast]:
                numerator[place] = pixel_numerator(experiment, panel, slow, fast, chunk)
    return numerator


def pixel_numerator(
    experiment: Experiment, panel: int, slow: int, fast: int, chunk: SourceChunk
) -> float:
    """Return the numerator of one pixel."""
    total, contribution, source = 0.0, 0.0, chunk.start
    for trace in trace_pixel(experiment, panel, slow, fast, chunk):
        if trace.source != source:
            total += contribution * float(experiment.beam.sources.weight[source])
            contribution, source = 0.0, trace.source
        contribution += trace.value
    if chunk.count == 0:
        return total
    return total + contribution * float(experiment.beam.sources.weight[source])


def trace_pixel(
    experiment: Experiment, panel: int, slow: int, fast: int, chunk: SourceChunk
) -> Iterator[SampleTrace]:
    """Yield every sample of a pixel in the order of the sums: source, layer, sub-pixel.

    Parameters
    ----------
    experiment : Experiment
    panel : int
    slow, fast : int
        Global pixel indices.
    chunk : SourceChunk
    """
    view = experiment.detector.panels[panel]
    vectors = domain_vectors(experiment.crystal)
    for source in range(chunk.start, chunk.stop):
        for sample in sample_indices(view.sensor.count, experiment.sampling.oversample):
            yield _trace_sample(
                experiment, view, vectors, source=source, sample=sample, pixel=(slow, fast)
            )


def _trace_sample(
    experiment: Experiment,
    panel: Panel,
    vectors: Float64Array,
    *,
    source: int,
    sample: SampleIndex,
    pixel: tuple[int, int],
) -> SampleTrace:
    beam, sampling = experiment.beam, experiment.sampling
    position = sample_position(experiment, panel, sample, pixel)
    distance = norm(position)
    direction = (position[0] / distance, position[1] / distance, position[2] / distance)
    incident = scale(_vector(beam.sources.direction[source]), -1.0)
    wavelength = float(beam.sources.wavelength[source])
    scattering = (
        (direction[0] - incident[0]) / wavelength,
        (direction[1] - incident[1]) / wavelength,
        (direction[2] - incident[2]) / wavelength,
    )
    stol = norm(scattering) * 0.5
    cut = sampling.dmin > 0.0 and stol > 0.0 and sampling.dmin > 0.5 / stol
    steps = tuple(_trace_steps(experiment, vectors, scattering))
    bragg = 0.0
    for step in steps:
        amplitude = step.cell_amplitude * step.lattice_amplitude
        bragg += amplitude * amplitude
    exact = experiment.physics == "exact"
    background = _background(experiment.background, stol) * len(steps) if exact else 0.0
    slope = _slope(panel, position, distance)
    omega = _solid_angle(panel, distance, slope)
    capture = _capture(panel.sensor, sample.layer, slope)
    frame = polarization_frame(incident, _vector(beam.polarization_axis))
    polarization = (
        polarization_of_ray(frame, direction, beam.kahn_factor) if beam.polarized else 1.0
    )
    value = (0.0 if cut else bragg) + background
    value *= polarization if sampling.per_sample_polarization else 1.0
    value *= omega if sampling.per_sample_solid_angle else 1.0
    value *= capture if sampling.per_sample_capture else 1.0
    return SampleTrace(
        source=source,
        sample=sample,
        position=position,
        stol=stol,
        cut=cut,
        solid_angle=omega,
        capture=capture,
        polarization=polarization,
        background=background,
        weight=float(beam.sources.weight[source]),
        steps=steps,
        value=value,
    )


def sample_position(
    experiment: Experiment, panel: Panel, sample: SampleIndex, pixel: tuple[int, int]
) -> Vector:
    """Return where a sample of a pixel (slow, fast) lies, in metres from the crystal."""
    oversample = experiment.sampling.oversample
    size = panel.pixel_size / oversample
    along_slow = (pixel[0] * oversample + sample.slow) * size + size / 2.0
    along_fast = (pixel[1] * oversample + sample.fast) * size + size / 2.0
    depth = float(panel.sensor.position[sample.layer])
    if panel.surface in {"sphere", "cylinder_fast", "cylinder_slow"}:
        return _bent(panel, along_fast, along_slow, depth)
    x, y, z = (
        along_fast * float(panel.fast[axis])
        + along_slow * float(panel.slow[axis])
        + depth * float(panel.normal[axis])
        + float(panel.origin[axis])
        for axis in range(3)
    )
    if panel.surface == "flat":
        return x, y, z
    start = scale(_vector(experiment.beam.direction), panel.distance)
    turned = rotate_about(start, _vector(panel.slow), y / panel.distance)
    return rotate_about(turned, _vector(panel.fast), z / panel.distance)


def _bent(panel: Panel, along_fast: float, along_slow: float, depth: float) -> Vector:
    """Return the place on a panel that is bent about the sample; see `Panel.surface`."""
    fast, slow, normal = _vector(panel.fast), _vector(panel.slow), _vector(panel.normal)
    corner, radius = _vector(panel.origin), panel.close_distance
    u, v = along_fast + dot(corner, fast), along_slow + dot(corner, slow)
    reach = radius + depth
    if panel.surface == "cylinder_slow":
        angle = u / radius
        return combine(
            (reach * math.cos(angle), normal), (reach * math.sin(angle), fast), (v, slow)
        )
    angle = v / radius
    if panel.surface == "cylinder_fast":
        return combine(
            (reach * math.cos(angle), normal), (reach * math.sin(angle), slow), (u, fast)
        )
    ring = reach * math.cos(u / radius)
    return combine(
        (reach * math.sin(u / radius), fast),
        (ring * math.cos(angle), normal),
        (ring * math.sin(angle), slow),
    )


def _slope(panel: Panel, position: Vector, distance: float) -> float:
    """Return the cosine between a ray and the surface it meets."""
    if panel.surface == "sphere":
        return 1.0
    if panel.surface in {"flat", "nanobragg"}:
        return dot(position, _vector(panel.normal)) / distance
    axis = panel.slow if panel.surface == "cylinder_slow" else panel.fast
    share = dot(position, _vector(axis)) / distance
    return math.sqrt(1.0 - share * share)


def _trace_steps(
    experiment: Experiment, vectors: Float64Array, scattering: Vector
) -> Iterator[StepTrace]:
    crystal = experiment.crystal
    domains = int(crystal.mosaic_rotations.shape[0])
    for place, row in enumerate(vectors.tolist()):
        h, k, l = (dot((row[i], row[i + 1], row[i + 2]), scattering) for i in (0, 3, 6))  # noqa: E741
        nearest = (math.ceil(h - 0.5), math.ceil(k - 0.5), math.ceil(l - 0.5))
        offset = (h - nearest[0], k - nearest[1], l - nearest[2])
        lattice, radius = _lattice(crystal, offset)
        yield StepTrace(
            phi=place // domains,
            domain=place % domains,
            index=(h, k, l),
            nearest=nearest,
            cell_amplitude=_cell(experiment.reflections, (h, k, l), nearest),
            lattice_amplitude=lattice,
            radius=radius,
        )


def _lattice(crystal: Crystal, offset: Vector) -> tuple[float, float]:
    """Return F_latt (sign dropped) and the value compared with the top-hat edge."""
    cells = crystal.cells.tolist()
    volume = cells[0] * cells[1] * cells[2]
    row = SHAPES[crystal.shape]
    if row.transform == "interference":
        product = 1.0
        for delta, count in zip(offset, cells, strict=True):
            product *= _interference(delta, count) if count > 1.0 else 1.0
        return product, 0.0
    form, height = crystal.spot_form.tolist(), volume * row.height
    square = math.fsum(offset[i] * form[i][j] * offset[j] for i in range(3) for j in range(3))
    square = max(square, 0.0)
    if row.transform == "sinc3":
        return height * _sinc3(math.sqrt(square)), square
    if row.transform == "gaussian":
        return height * math.exp(-0.5 * row.decay * square), square
    return (height if square < row.zero_radius**2 else 0.0), square


def _interference(delta: float, cells: float) -> float:
    turns = cells * delta
    below = math.sin(math.pi * delta)
    return cells if below == 0.0 else math.sin(math.pi * (turns - round(turns))) / below


def _sinc3(turns: float) -> float:
    """3 (sin x/x − cos x)/x² for x = π · turns; by its series where the terms cancel."""
    x = math.pi * turns
    if x < 0.5:
        u = x * x
        return 1.0 - u / 10.0 * (
            1.0 - u / 28.0 * (1.0 - u / 54.0 * (1.0 - u / 88.0 * (1.0 - u / 130.0)))
        )
    rest = turns - 2.0 * round(turns / 2.0)
    return 3.0 * (math.sin(math.pi * rest) / x - math.cos(math.pi * rest)) / (x * x)


def _cell(table: Reflections, index: Vector, nearest: tuple[int, int, int]) -> float:
    """|F| at an index: tricubic where asked for and supported, else the nearest point."""
    shape, origin = table.amplitude.shape, table.origin
    if table.amplitude.size == 0:
        return table.default_amplitude
    if table.interpolate and all(
        value - low + 3.0 <= size and value - 2.0 >= low
        for value, low, size in zip(index, origin, shape, strict=True)
    ):
        return _tricubic(table, index)
    place = tuple(value - low for value, low in zip(nearest, origin, strict=True))
    if all(0 <= at < size for at, size in zip(place, shape, strict=True)):
        return float(table.amplitude[place])
    return table.default_amplitude


def _tricubic(table: Reflections, index: Vector) -> float:
    """Nested Lagrange polynomials through the 4×4×4 points around `index`."""
    floors = [math.floor(value) for value in index]
    weights = [_lagrange(value - floor) for value, floor in zip(index, floors, strict=True)]
    starts = [floor - 1 - low for floor, low in zip(floors, table.origin, strict=True)]
    total = 0.0
    for i, first in enumerate(weights[0]):
        for j, second in enumerate(weights[1]):
            for m, third in enumerate(weights[2]):
                value = table.amplitude[starts[0] + i, starts[1] + j, starts[2] + m]
                total += first * second * third * float(value)
    return total


def _lagrange(at: float) -> list[float]:
    nodes = (-1.0, 0.0, 1.0, 2.0)
    return [
        math.prod((at - other) / (node - other) for other in nodes if other != node)
        for node in nodes
    ]


def _background(background: Background, stol: float) -> float:
    """Molecules times F², F interpolated linearly and held beyond the ends of its table."""
    if background.molecules == 0.0 or background.stol.shape[0] == 0:
        return 0.0
    amplitude = float(np.interp(stol, background.stol, background.amplitude))
    return background.molecules * amplitude * amplitude


def _solid_angle(panel: Panel, distance: float, slope: float) -> float:
    if panel.point_pixel:
        return 1.0 / distance**2
    if panel.surface not in {"flat", "nanobragg"}:
        return panel.pixel_size**2 / distance**2 * slope
    return panel.pixel_size**2 / distance**2 * panel.close_distance / distance


def _capture(sensor: SensorLayers, layer: int, cosine: float) -> float:
    if not sensor.absorbs:
        return 1.0
    front, back = float(sensor.front[layer]), float(sensor.back[layer])
    path = sensor.attenuation / cosine
    return math.exp(-front * path) - math.exp(-back * path)


def _vector(row: Float64Array) -> Vector:
    return float(row[0]), float(row[1]), float(row[2])
