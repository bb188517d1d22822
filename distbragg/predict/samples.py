"""The samples a frame's sum runs over: sources × spindle steps × mosaic domains, and their span."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from distbragg.matrices import matmul3, norm3, transposed
from distbragg.models.arrays import Float64Array
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import components, rotation_about
from distbragg.physics.orientation import domain_rotations

_SAMPLES: Final = 1 << 12

MARGIN: Final = 1.25
"""First-order bounds on how far a lattice point travels, enlarged for what is beyond them."""


@dataclass(frozen=True, slots=True)
class Span:
    """How far the samples of a frame lie from its middle.

    Attributes
    ----------
    incident : (3,) float64
        Mean direction of the beam.
    wave_number : float, 1/Å
        Middle of the range of 1/λ.
    wave_numbers : float, 1/Å
        Half of that range.
    divergence, mosaic, turn : float, rad
        Largest angle from the mean beam; of a domain; half of the rotation.
    reciprocal : (3, 3) float64, 1/Å
        Rows a*, b*, c* at the middle of the rotation.
    """

    incident: Float64Array
    wave_number: float
    wave_numbers: float
    divergence: float
    mosaic: float
    turn: float
    reciprocal: Float64Array


@dataclass(frozen=True, slots=True)
class Block:
    """Some samples of a frame, each an orientation of the crystal seen by one source.

    Attributes
    ----------
    incident : (samples, 3) float64
        Direction of the beam.
    wave_number : (samples,) float64, 1/Å
    weight : (samples,) float64
        Weight of the source times λ², Å².
    phi : (samples,) float64, rad
    turn : (samples, 3, 3) float64
        Rotation from the crystal at rest: spindle, then mosaic domain.
    seen : (samples, 3) float64, 1/Å
        The beam's wave vector as the crystal at rest would see it.
    """

    incident: Float64Array
    wave_number: Float64Array
    weight: Float64Array
    phi: Float64Array
    turn: Float64Array
    seen: Float64Array


def blocks(experiment: Experiment) -> Iterator[Block]:
    """Yield all samples in a fixed order: spindle steps outermost, then sources, then domains."""
    sources, crystal = experiment.beam.sources, experiment.crystal
    domains = int(crystal.mosaic_rotations.shape[0])
    step = max(1, _SAMPLES // domains)
    for phi, turns in zip(crystal.phi.tolist(), domain_rotations(crystal), strict=True):
        for start in range(0, sources.count, step):
            chosen = slice(start, min(start + step, sources.count))
            count = chosen.stop - start
            wave_number = np.repeat(1.0 / sources.wavelength[chosen], domains)
            incident = np.repeat(-sources.direction[chosen], domains, axis=0)
            turn = np.tile(turns, (count, 1, 1))
            beam = incident * wave_number[:, np.newaxis]
            yield Block(
                incident=incident,
                wave_number=wave_number,
                weight=np.repeat(sources.weight[chosen], domains) / wave_number**2,
                phi=np.full(wave_number.shape, phi),
                turn=turn,
                seen=(turn * beam[:, :, np.newaxis]).sum(axis=1),
            )


def span(experiment: Experiment) -> Span:
    """Return how far the samples of a frame lie apart."""
    sources, crystal = experiment.beam.sources, experiment.crystal
    incident = -sources.direction.sum(axis=0)
    incident = incident / norm3(incident)
    cosines = np.clip(-(sources.direction * incident).sum(axis=1), -1.0, 1.0)
    wave_numbers = 1.0 / sources.wavelength
    low, high = float(wave_numbers.min()), float(wave_numbers.max())
    traces = np.trace(crystal.mosaic_rotations, axis1=1, axis2=2)
    angles = np.arccos(np.clip((traces - 1.0) / 2.0, -1.0, 1.0))
    first, last = float(crystal.phi.min()), float(crystal.phi.max())
    middle = rotation_about(components(crystal.spindle_axis), 0.5 * (first + last))
    return Span(
        incident=incident,
        wave_number=0.5 * (low + high),
        wave_numbers=0.5 * (high - low),
        divergence=float(np.arccos(cosines).max()),
        mosaic=float(angles.max()),
        turn=min(0.5 * (last - first), math.pi),
        reciprocal=matmul3(crystal.reciprocal, transposed(middle)),
    )
