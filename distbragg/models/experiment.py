"""The resolved experiment: pure numbers, nothing left to decide."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from distbragg.models.arrays import Float64Array
from distbragg.models.beam import Beam
from distbragg.models.crystal import Crystal, Reflections
from distbragg.models.detector import Detector
from distbragg.notes import Notes

Physics = Literal["exact", "nanobragg"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sub-pixel sampling and the resolution cut.

    Attributes
    ----------
    oversample : int
        Sub-pixels along each axis of a pixel.
    dmin : float, Å
        Samples of smaller spacing contribute nothing; 0 turns the cut off.
    per_sample_polarization, per_sample_solid_angle, per_sample_capture : bool
        True: the factor is evaluated for every sample inside the sum. All True under
        `physics: exact`. False: one factor per pixel, by the rules of `physics: nanobragg`.
    tolerance : float, photons per pixel
        What a kernel may leave out of a pixel; 0: only exact zeros.
    """

    oversample: int
    dmin: float
    per_sample_polarization: bool
    per_sample_solid_angle: bool
    per_sample_capture: bool
    tolerance: float = 0.0


@dataclass(frozen=True, slots=True)
class Background:
    """Amorphous scattering.

    Attributes
    ----------
    molecules : float
        Number of scattering molecules; 0 turns the background off.
    stol : (n,) float64, 1/Å
        Increasing sin(theta)/lambda; F is interpolated linearly and held beyond the ends.
    amplitude : (n,) float64, electrons
    """

    molecules: float
    stol: Float64Array
    amplitude: Float64Array


@dataclass(frozen=True, slots=True)
class Noise:
    """Photon noise: whether it is drawn, and the seed of the counter-based generator."""

    photon: bool
    seed: int


@dataclass(frozen=True, slots=True)
class Experiment:
    """Everything a frame's numbers depend on, and the notes of what it was resolved from."""

    physics: Physics
    beam: Beam
    crystal: Crystal
    reflections: Reflections
    detector: Detector
    sampling: Sampling
    background: Background
    noise: Noise
    notes: Notes = field(default=(), metadata={"hashed": False})
