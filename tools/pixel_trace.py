"""Every intermediate of one pixel, from the functions that render it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from distbragg.errors import InputError
from distbragg.kernel.model import Steps, evaluate_steps, make_sample, sample_intensity
from distbragg.kernel.scene import Scene, Source, make_scene
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import Vector
from distbragg.physics.amorphous import amorphous_intensity
from distbragg.physics.arrays import Array
from distbragg.physics.factors import (
    beyond_resolution,
    capture_fraction,
    polarization_factor,
    scattering_vector,
    solid_angle,
    stol_of,
)
from distbragg.physics.lattices import lattices_of
from distbragg.physics.rays import SampleIndex, cosine_to_normal, sample_indices, sample_positions
from distbragg.physics.transform import radius_squared
from distbragg.plan.frame import SourceChunk
from distbragg.shapes import SHAPES


@dataclass(frozen=True, slots=True)
class StepTrace:
    """One spindle step and mosaic domain of one sample."""

    phi: int
    domain: int
    index: Vector  # fractional h, k, l
    nearest: tuple[int, int, int]
    cell_amplitude: float
    lattice_amplitude: float
    radius: float  # r² of the spot shape; 0 for SQUARE
    diffuse: float = 0.0  # electrons²


@dataclass(frozen=True, slots=True)
class SampleTrace:
    """One source seen from one sample of a pixel; its factors, applied inside the sum or not."""

    source: int
    sample: SampleIndex
    position: Vector  # m
    stol: float  # 1/Å
    cut: bool  # beyond the resolution limit: the steps count nothing
    solid_angle: float
    capture: float
    polarization: float
    background: float  # n_phi n_mosaic · molecules · F²; 0 under `physics: nanobragg`
    weight: float
    steps: tuple[StepTrace, ...]
    value: float  # the term of the numerator, without the source's weight
    lattice: int = 0  # its number in the frame, from 0


def trace_pixel(
    experiment: Experiment, panel: int, slow: int, fast: int, chunk: SourceChunk
) -> Iterator[SampleTrace]:
    """Yield every sample of a pixel in the order of the sums: lattice, source, layer, sub-pixel.

    `slow` and `fast` are global indices. In closed form there are no samples to tell of, which
    `InputError` says.
    """
    if experiment.sampling.method == "closed_form":
        raise InputError(
            "a pixel of the closed form is made of no samples that could be traced",
            field="sampling.method",
            remedy="trace it with sampling.method: sampled",
        )
    for lattice in lattices_of(experiment):
        for trace in _trace_lattice(lattice.experiment, panel, slow, fast, chunk):
            yield replace(trace, value=trace.value * lattice.share, lattice=lattice.number)


def _trace_lattice(
    experiment: Experiment, panel: int, slow: int, fast: int, chunk: SourceChunk
) -> Iterator[SampleTrace]:
    scene = make_scene(experiment, panel, slice(chunk.start, chunk.stop), torch.device("cpu"))
    place = (torch.tensor([float(slow)]).double(), torch.tensor([float(fast)]).double())
    samples = list(sample_indices(scene.placement.panel.sensor.count, scene.sampling.oversample))
    for number, source in enumerate(scene.sources, chunk.start):
        for index in samples:
            with torch.inference_mode():
                trace = _trace_sample(experiment, scene, (number, source), index, place)
            yield trace


def _trace_sample(
    experiment: Experiment,
    scene: Scene,
    numbered: tuple[int, Source],
    index: SampleIndex,
    place: tuple[Tensor, Tensor],
) -> SampleTrace:
    number, source = numbered
    beam, panel, sampling = experiment.beam, scene.placement.panel, scene.sampling
    sample = make_sample(scene, *place, index)
    rays = sample.rays
    scattering = scattering_vector(rays.direction, source.incident, source.wavelength)
    steps = evaluate_steps(scene, source, scene.vectors, scattering)
    orientations = int(scene.vectors.shape[0])
    stol = stol_of(scattering)
    cosine = cosine_to_normal(scene.placement, rays)
    position = sample_positions(
        scene.placement, *place, sample=index, oversample=sampling.oversample
    )
    return SampleTrace(
        source=number,
        sample=index,
        position=(position[0].item(), position[1].item(), position[2].item()),
        stol=stol.item(),
        cut=sampling.dmin > 0.0 and bool(beyond_resolution(stol, sampling.dmin)),
        solid_angle=solid_angle(scene.placement, rays).item(),
        capture=capture_fraction(panel.sensor, index.layer, cosine).item(),
        polarization=(
            polarization_factor(source.frame, rays.direction, beam.kahn_factor).item()
            if beam.polarized
            else 1.0
        ),
        background=(
            0.0
            if scene.background is None
            else amorphous_intensity(scene.background, stol).item() * orientations
        ),
        weight=source.weight,
        steps=tuple(_trace_steps(experiment, scene, steps)),
        value=sample_intensity(scene, source, sample, orientations).item(),
    )


def _trace_steps(experiment: Experiment, scene: Scene, steps: Steps) -> Iterator[StepTrace]:
    domains = int(experiment.crystal.mosaic_rotations.shape[0])
    lattice = _listed(steps.lattice)
    count = len(lattice)
    cell = [steps.cell] * count if isinstance(steps.cell, float) else _listed(steps.cell)
    radial = SHAPES[scene.spot.shape].transform != "interference"
    radius = _listed(radius_squared(scene.spot, steps.offsets)) if radial else [0.0] * count
    diffuse = [0.0] * count if steps.diffuse is None else _listed(steps.diffuse)
    h, k, l = (_listed(part) for part in steps.indices)  # noqa: E741 - Miller indices
    whole = [[int(value) for value in _listed(part)] for part in steps.nearest]
    for place in range(count):
        yield StepTrace(
            phi=place // domains,
            domain=place % domains,
            index=(h[place], k[place], l[place]),
            nearest=(whole[0][place], whole[1][place], whole[2][place]),
            cell_amplitude=cell[place],
            lattice_amplitude=lattice[place],
            radius=radius[place],
            diffuse=diffuse[place],
        )


def _listed(values: Array) -> list[float]:
    found: list[float] = values.reshape(-1).tolist()
    return found
