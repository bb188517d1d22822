"""Planned cost: nominal seconds of work, from constants, never from a measurement.

The plan must be the same on every machine and in every later year of a run's life, so
the rates below are round numbers of one ordinary core, not a calibration.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

NOMINAL_STEPS_PER_S: Final[Mapping[str, float]] = MappingProxyType(
    {"mixed": 1.0e8, "float64": 4.0e7}
)
"""Steps (pixel × sub-pixel × layer × source × phi × domain) per second of one core with the
native kernel, by precision: a third of what an AVX-512 core reaches, twice a core without."""

NOMINAL_GPU_RATE: Final = 500.0
"""How many cores a GPU counts as: 5e10 mixed steps per second, a quarter of what is hoped for."""

NOMINAL_PIXEL_S: Final = 1.0e-7
"""Seconds per pixel of a frame for finalizing, compressing and writing it."""

NOMINAL_NOISE_S: Final = 3.0e-7
"""Seconds per pixel for drawing photon noise."""

NOMINAL_FRAME_S: Final = 0.02
"""Seconds per frame for resolving its specification."""

UNIT_SECONDS: Final = 30.0
"""Planned cost that the frames of one unit stay within."""

UNIT_BYTES: Final = 512_000_000
"""Raw bytes that the frames of one unit stay within."""

TASK_SECONDS: Final = 2.0
"""Planned cost wished for one automatic tile × source chunk."""

GRAPH_FORM_SECONDS: Final = 120.0
"""A one-frame unit of more planned cost than this is rendered as a graph of its own."""


def steps_per_second(precision: str, *, on_gpu: bool = False) -> float:
    """Nominal rate of one core, or of a GPU."""
    return NOMINAL_STEPS_PER_S[precision] * (NOMINAL_GPU_RATE if on_gpu else 1.0)


def frame_seconds(
    steps: int, pixels: int, precision: str, *, noisy_pixels: int = 0, on_gpu: bool = False
) -> float:
    """Nominal seconds of one frame of `steps` steps and `pixels` pixels on one core or GPU."""
    after = pixels * NOMINAL_PIXEL_S + noisy_pixels * NOMINAL_NOISE_S
    return steps / steps_per_second(precision, on_gpu=on_gpu) + after + NOMINAL_FRAME_S


def pixels_per_task(
    samples_per_pixel: int, sources: int, precision: str, *, on_gpu: bool = False
) -> int:
    """Pixels that a chunk of `sources` sources renders in `TASK_SECONDS`."""
    steps = max(1, samples_per_pixel * sources)
    return int(TASK_SECONDS * steps_per_second(precision, on_gpu=on_gpu) / steps)
