"""The resolved experiment: pure numbers, nothing left to decide, and their identity."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final, Literal

from distbragg.models.beam import Beam
from distbragg.models.crystal import Crystal, Reflections
from distbragg.models.detector import Detector
from distbragg.models.identity import WHERE_GIVEN, update_digest
from distbragg.models.response import Response
from distbragg.models.vectors import Float64Array, Physics
from distbragg.notes import Notes

Method = Literal["sampled", "closed_form", "halos"]
"""`halos`: diffuse scattering alone, beside a crystal in closed form; see `physics.lattices`."""

_DERIVED: Final = {"hashed": False}


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sub-pixel sampling and the resolution cut.

    A factor per sample is evaluated for every sample inside the sum, as all are under
    `physics: exact`; else once per pixel, by the rules of `physics: nanobragg`.
    """

    oversample: int  # sub-pixels along each axis of a pixel
    dmin: float  # Å: samples of smaller spacing contribute nothing; 0 turns the cut off
    per_sample_polarization: bool
    per_sample_solid_angle: bool
    per_sample_capture: bool
    tolerance: float = 0.0  # photons per pixel that a kernel may leave out; 0: only exact zeros
    method: Method = "sampled"
    integrate: bool = False
    """In closed form alone: spots are integrated over the area of each sub-pixel, where otherwise
    its middle stands for it."""


@dataclass(frozen=True, slots=True)
class Material:
    """Amorphous or powdered matter; F is linear and held beyond the ends of its table."""

    molecules: float  # in the beam
    stol: Float64Array  # (n,), 1/Å: increasing sin(theta)/lambda
    amplitude: Float64Array  # (n,), electrons


@dataclass(frozen=True, slots=True)
class PhotonImage:
    """An image of expected photons that is added to a frame, times a scale."""

    photons: Float64Array  # (panels, slow, fast)
    scale: float


@dataclass(frozen=True, slots=True)
class Background:
    """Amorphous scattering: the first material, and others whose intensities add to its own."""

    molecules: float  # 0 turns the material off
    stol: Float64Array  # (n,), 1/Å: increasing sin(theta)/lambda
    amplitude: Float64Array  # (n,), electrons
    others: tuple[Material, ...] = field(default=(), metadata=WHERE_GIVEN)
    image: PhotonImage | None = field(default=None, metadata=WHERE_GIVEN)

    scatters: bool = field(init=False, repr=False, compare=False, metadata=_DERIVED)
    """Whether there is a background at all."""

    def __post_init__(self) -> None:
        lit = any(one.molecules != 0.0 and one.stol.size > 0 for one in self.materials)
        object.__setattr__(self, "scatters", lit)

    @property
    def materials(self) -> tuple[Material, ...]:
        """All of them, those that scatter nothing included."""
        return (Material(self.molecules, self.stol, self.amplitude), *self.others)


@dataclass(frozen=True, slots=True)
class Noise:
    """Photon noise: whether it is drawn, and the seed of the counter-based generator."""

    photon: bool
    seed: int
    frame_shift: int = field(default=0, metadata=WHERE_GIVEN)

    def key(self, frame: int) -> int:
        """Return the number that random numbers of a frame are drawn by, from that in its sweep."""
        return frame + self.frame_shift


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
    response: Response | None = field(default=None, metadata=WHERE_GIVEN)
    notes: Notes = field(default=(), metadata={"hashed": False})
    others: tuple[Crystal, ...] = field(default=(), metadata=WHERE_GIVEN)
    """Further lattices in the beam, whose intensities add up; all turn about one spindle."""

    lattices: tuple[Crystal, ...] = field(init=False, repr=False, compare=False, metadata=_DERIVED)
    """All lattices, in their order; one of scale 0 is a miss: the beam meets no crystal."""
    summed: tuple[Crystal, ...] = field(init=False, repr=False, compare=False, metadata=_DERIVED)
    """What the kernel adds up: the lattices, or their blocks of several sizes."""
    counted_in_kernel: bool = field(init=False, repr=False, compare=False, metadata=_DERIVED)
    """Whether the kernel draws the photon counts: no stage of `kernel.response` is before."""
    recorded: bool = field(init=False, repr=False, compare=False, metadata=_DERIVED)
    """Whether a stage of `kernel.response` is left once all pixels of a frame are there."""

    def __post_init__(self) -> None:
        spreads = [
            panel.point_spread.counted
            for panel in self.detector.panels
            if panel.point_spread is not None
        ]
        flickers = self.response is not None and self.response.pixel_flicker > 0.0
        counted = self.noise.photon and not flickers and False not in spreads
        object.__setattr__(self, "lattices", (self.crystal, *self.others))
        summed = (self.crystal, *self.others)
        if self.crystal.blocks:  # as many as every other lattice has
            summed = tuple(block for lattice in summed for block in lattice.blocks)
        object.__setattr__(self, "summed", summed)
        object.__setattr__(self, "counted_in_kernel", counted)
        object.__setattr__(self, "recorded", self.response is not None or bool(spreads))


def physics_hash(experiment: Experiment) -> str:
    """Return the hash (64 hex digits) of everything a frame's numbers depend on.

    Equal numbers give equal hashes on every machine and in every process, and equal
    specifications give equal numbers wherever the C library's sine and cosine round alike:
    matrices are multiplied in plain sums (`distbragg.matrices`). Settings of compute, output
    and cluster do not enter, nor do notes. Arrays enter by type, shape and little-endian bytes,
    floats by their exact hexadecimal form (negative zero differs from zero).
    """
    digest = hashlib.sha256(b"distbragg experiment 1\n")
    update_digest(digest, experiment)
    return digest.hexdigest()
