"""Small experiments made by hand, for tests that must not depend on how specs are resolved."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from distbragg.models.beam import Beam, Sources
from distbragg.models.build_crystal import spot_form
from distbragg.models.crystal import Crystal, Reflections
from distbragg.models.detector import Detector, Panel, SensorLayers
from distbragg.models.experiment import Background, Experiment, Noise, Sampling
from distbragg.models.vectors import (
    Float64Array,
    frozen_float64,
    rotate_about,
    rotate_xyz,
    rotation_about,
    unit,
)
from distbragg.plan.frame import SourceChunk, Tile

CELL = ((25.0, 0.0, 0.0), (3.0, 31.0, 0.0), (-4.0, 5.0, 34.0))


@dataclass
class Choice:
    """What a test may choose; everything else follows."""

    physics: str = "exact"
    shape: str = "square"
    cells: tuple[float, float, float] = (5, 4, 6)
    fudge: float = 1.0
    cell: tuple[tuple[float, float, float], ...] = CELL
    missets: tuple[float, float, float] = (0.2, -0.4, 0.7)
    interpolate: bool = False
    box: tuple[int, int, int] = (11, 13, 9)
    default_amplitude: float = 3.0
    phi: tuple[float, ...] = (0.0,)
    domains: int = 1
    wavelengths: tuple[float, ...] = (1.0,)
    weights: tuple[float, ...] = (1.0,)
    divergence: float = 0.0
    rule: str = "sum"
    fluence: float = 1.0e24
    polarized: bool = True
    kahn_factor: float = 0.0
    pixels: tuple[int, int] = (13, 17)
    pixel_size: float = 4.0e-3
    distance: float = 0.08
    tilt: tuple[float, float, float] = (0.0, 0.0, 0.0)
    surface: str = "flat"
    point_pixel: bool = False
    layers: int = 0
    masked: float = 0.0
    oversample: int = 1
    dmin: float = 0.0
    per_sample: tuple[bool, bool, bool] = (False, False, False)
    molecules: float = 0.0
    stol: tuple[float, ...] = (0.0,)
    background: tuple[float, ...] = (2.57,)
    photon_noise: bool = False
    noise_seed: int = 0
    seed: int = 0
    extra: dict[str, float] = field(default_factory=dict)


def make_experiment(choice: Choice | None = None, **changes: object) -> Experiment:
    """Build an experiment from a `Choice`, or from the default one with changes."""
    chosen = Choice(**changes) if choice is None else choice  # type: ignore[arg-type]
    exact = chosen.physics == "exact"
    polarization, solid_angle, capture = (True, True, True) if exact else chosen.per_sample
    return Experiment(
        physics=chosen.physics,  # type: ignore[arg-type]
        beam=_beam(chosen),
        crystal=_crystal(chosen),
        reflections=_reflections(chosen),
        detector=Detector((_panel(chosen),)),
        sampling=Sampling(chosen.oversample, chosen.dmin, polarization, solid_angle, capture),
        background=Background(
            chosen.molecules, frozen_float64(chosen.stol), frozen_float64(chosen.background)
        ),
        noise=Noise(chosen.photon_noise, chosen.noise_seed),
    )


def whole_tile(experiment: Experiment) -> Tile:
    """The whole first panel."""
    slow, fast = experiment.detector.panels[0].shape
    return Tile(0, slow, 0, fast)


def all_sources(experiment: Experiment) -> SourceChunk:
    """The whole source table."""
    return SourceChunk(0, experiment.beam.sources.count)


def _beam(chosen: Choice) -> Beam:
    count = len(chosen.wavelengths)
    directions = []
    for index in range(count):
        angle = chosen.divergence * (index - (count - 1) / 2.0)
        turned = rotate_about((-1.0, 0.0, 0.0), unit((0.0, 1.0, 0.4 * index)), angle)
        directions.append(unit(turned))
    weights = np.array(chosen.weights, dtype=np.float64)
    total = {"sum": math.fsum(weights), "count": float(count), "none": 1.0}[chosen.rule]
    sources = Sources(
        direction=frozen_float64(directions),
        wavelength=frozen_float64(chosen.wavelengths),
        weight=frozen_float64(np.ones(count) if chosen.rule == "count" else weights),
        total_weight=total,
        listed=count,
        rule=chosen.rule,  # type: ignore[arg-type]
    )
    return Beam(
        sources=sources,
        wavelength=chosen.wavelengths[0],
        direction=frozen_float64((1.0, 0.0, 0.0)),
        fluence=chosen.fluence,
        polarized=chosen.polarized,
        kahn_factor=chosen.kahn_factor,
        polarization_axis=frozen_float64((0.0, 0.0, 1.0)),
    )


def _crystal(chosen: Choice) -> Crystal:
    real = np.array([rotate_xyz(vector, chosen.missets) for vector in chosen.cell])  # type: ignore[arg-type]
    lengths = np.sqrt((real**2).sum(axis=1))
    reciprocal = np.linalg.inv(real).T
    form = spot_form(
        chosen.shape,  # type: ignore[arg-type]
        chosen.physics,  # type: ignore[arg-type]
        chosen.fudge,
        chosen.cells,
        reciprocal.tolist(),
    )
    return Crystal(
        real_space=frozen_float64(real),
        reciprocal=frozen_float64(reciprocal),
        cell=frozen_float64([*lengths, 1.5, 1.5, 1.5]),
        cells=frozen_float64(chosen.cells[:3]),
        cells_beside=tuple(chosen.cells[3:]),
        shape=chosen.shape,  # type: ignore[arg-type]
        fudge=chosen.fudge,
        spot_form=frozen_float64(form),
        mosaic_spread=0.02 if chosen.domains > 1 else 0.0,
        mosaic_rotations=frozen_float64(_domains(chosen.domains, chosen.seed)),
        phi=frozen_float64(chosen.phi),
        spindle_axis=frozen_float64((0.0, 0.0, 1.0)),
    )


def _domains(count: int, seed: int) -> Float64Array:
    draws = np.random.default_rng(seed + 17).standard_normal((count, 3))
    rotations = [np.eye(3)]
    for x, y, z in draws[1:].tolist():
        rotations.append(rotation_about(unit((x, y, z)), 0.02 * math.sqrt(x * x + y * y + z * z)))
    return np.array(rotations)


def _reflections(chosen: Choice) -> Reflections:
    values = np.random.default_rng(chosen.seed).uniform(1.0, 100.0, chosen.box)
    origin = tuple(-(size // 2) for size in chosen.box)
    return Reflections(
        amplitude=frozen_float64(values),
        origin=(origin[0], origin[1], origin[2]),
        default_amplitude=chosen.default_amplitude,
        interpolate=chosen.interpolate,
    )


def _panel(chosen: Choice) -> Panel:
    slow_count, fast_count = chosen.pixels
    fast = rotate_xyz((0.0, 0.0, 1.0), chosen.tilt)
    slow = rotate_xyz((0.0, -1.0, 0.0), chosen.tilt)
    normal = rotate_xyz((1.0, 0.0, 0.0), chosen.tilt)
    size = chosen.pixel_size
    corner = np.array(normal) * chosen.distance
    corner -= np.array(fast) * size * fast_count * 0.53
    corner -= np.array(slow) * size * slow_count * 0.47
    generator = np.random.default_rng(chosen.seed + 5)
    active = generator.uniform(size=chosen.pixels) >= chosen.masked
    active.setflags(write=False)
    return Panel(
        name="panel",
        shape=chosen.pixels,
        pixels=chosen.pixels,
        pixel_size=size,
        origin=frozen_float64(corner),
        fast=frozen_float64(fast),
        slow=frozen_float64(slow),
        normal=frozen_float64(normal),
        close_distance=chosen.distance,
        distance=chosen.distance,
        surface=chosen.surface,  # type: ignore[arg-type]
        point_pixel=chosen.point_pixel,
        sensor=_sensor(chosen.layers),
        active=active,
    )


def _sensor(layers: int) -> SensorLayers:
    if layers == 0:
        zero = frozen_float64([0.0])
        return SensorLayers(False, 0.0, zero, zero, zero)
    step = 4.5e-4 / layers
    front = np.arange(layers) * step
    return SensorLayers(
        True,
        1.0 / 4.5e-4,
        frozen_float64(front + step / 2.0),
        frozen_float64(front),
        frozen_float64(front + step),
    )
