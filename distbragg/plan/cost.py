"""Planned cost: nominal seconds of work, from constants, never from a measurement.

The plan must be the same on every machine and in every later year of a run's life, so
the nominal rates below are round numbers of one ordinary core, not a calibration. What a run is
expected to take on a machine of today is told by rates of their own, which cut no unit.
"""

from __future__ import annotations

from typing import Final

NOMINAL_STEPS_PER_S: Final = {"mixed": 1.0e8, "float64": 4.0e7}
"""Steps (pixel × sub-pixel × layer × source × phi × domain) per second of one core with the
native kernel, by precision: a third of what an AVX-512 core reaches, twice a core without."""

NOMINAL_GPU_RATE: Final = 500.0
"""How many cores a GPU counts as: 5e10 mixed steps per second, a quarter of what is hoped for."""

NOMINAL_PIXEL_S: Final = 1.0e-7
"""Seconds per pixel of a frame for finalizing, compressing and writing it."""

NOMINAL_SPOT_S: Final = 1.6e-5  # seconds per spot that is drawn in closed form
NOMINAL_ARC_S: Final = 8.0e-3  # the same, for each radian of the spread that makes an arc of it

NOMINAL_NOISE_S: Final = 6.0e-8  # seconds per pixel for drawing photon noise
NOMINAL_SPREAD_S: Final = 1.5e-10  # seconds per pixel and share of a point spread
HALO_STEPS: Final = 0.6  # steps that a halo of diffuse scattering takes as long as, of each step
SPREAD_HALO: Final = 2  # such halos that one takes as long as where it is spread, in closed form
NOMINAL_RESPONSE_S: Final = 2.0e-8  # seconds per pixel for the response of the detector
NOMINAL_FRAME_S: Final = 0.02  # seconds per frame for resolving its specification

EXPECTED_STEPS_PER_S: Final = {"mixed": 3.0e8, "float64": 2.2e8}
"""Steps per second of one core of today with the native kernel, by precision: between a core with
AVX-512 and one without."""

EXPECTED_EAGER_STEPS_PER_S: Final = 1.0e7
EXPECTED_PIXEL_S: Final = 1.1e-8
EXPECTED_NOISE_S: Final = 6.0e-9
EXPECTED_SPREAD_S: Final = 6.0e-11
EXPECTED_RESPONSE_S: Final = 5.0e-9
EXPECTED_FRAME_S: Final = 1.5e-3
EXPECTED_LABEL_S: Final = 3.5e-7
"""Seconds per reflection of the table for predicting the spots of a sampled frame."""

EXPECTED_INTEGRAL_S: Final = {
    (False, False): 8.0e-6,
    (False, True): 2.4e-5,
    (True, False): 1.8e-5,
    (True, True): 7.5e-5,
}
"""Seconds per integral over a spot's rays, of which the labels of a frame in closed form are made:
by whether the crystal rotates, and whether lines have a normal width of their own."""

NUMPY_INTEGRALS: Final = 13.0  # times as long, beside kernels that have no compiled twin

EXPECTED_SPOT_S: Final = 8.0e-6  # seconds per spot that is drawn in closed form
EXPECTED_ARC_S: Final = 4.0e-3
"""Seconds per spot and radian of the spread that makes an arc of it, which is cut into parts."""

PROCESS_START_S: Final = 1.5  # seconds until a process is ready to render
CLUSTER_START_S: Final = 3.5  # the same of local workers, and of closing them
UNIT_SECONDS: Final = 30.0  # planned cost that the frames of one unit stay within
UNIT_BYTES: Final = 512_000_000  # raw bytes that the frames of one unit stay within
TASK_SECONDS: Final = 2.0  # planned cost wished for one automatic tile × source chunk

GRAPH_FORM_SECONDS: Final = 120.0
"""A one-frame unit of more planned cost than this is rendered as a graph of its own."""


def steps_per_second(precision: str, *, on_gpu: bool = False) -> float:
    """Nominal rate of one core, or of a GPU."""
    return NOMINAL_STEPS_PER_S[precision] * (NOMINAL_GPU_RATE if on_gpu else 1.0)
