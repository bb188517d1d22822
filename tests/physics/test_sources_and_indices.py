"""Scattering vector, Miller indices and per-source factors, against formulas written out here."""

from __future__ import annotations

import math

import numpy as np
import pytest

from distbragg.models.build import build_experiment
from distbragg.plan.frame import SourceChunk
from distbragg.spec.load import parse_spec
from tools.pixel_trace import trace_pixel

SPEC = {
    "beam": {
        "spectrum": {"wavelengths_angstrom": [0.9, 1.0, 1.15], "weights": [1, 3, 2]},
        "divergence": {
            "shape": "square",
            "horizontal": {"range_mrad": 40, "steps": 2},
            "vertical": {"range_mrad": 60, "steps": 2},
        },
        "polarization": {"kahn_factor": 0.8},
    },
    "crystal": {
        "cell": [25, 31, 34, 80, 95, 105],
        "block_cells": [5, 4, 6],
        "misset_deg": [4, -7, 11],
    },
    "structure_factors": {"default_f_electrons": 10},
    "detector": {
        "distance_mm": 80,
        "pixel_size_mm": 4,
        "pixels_fast": 17,
        "pixels_slow": 13,
        "rotation_deg": [3, -5, 8],
    },
    "sampling": {"oversample": 1},
}
ACCURACY_OF_INDICES = 1e-10
"""The bound of the specification on fractional Miller indices."""
ROUNDING = 1e-12
"""Relative: a few operations in float64 re-associated."""


@pytest.fixture(scope="module")
def experiment():
    return build_experiment(parse_spec(SPEC))


def traces(experiment, slow=3, fast=14):
    chunk = SourceChunk(0, experiment.beam.sources.count)
    return list(trace_pixel(experiment, 0, slow, fast, chunk))


def directions(experiment, trace):
    """Unit vectors: incident, the negative of the source's direction, and towards the pixel."""
    position = np.array(trace.position)
    return (
        -experiment.beam.sources.direction[trace.source],
        position / np.linalg.norm(position),
    )


@pytest.mark.spec("SRC-13")
@pytest.mark.spec("CRY-7")
def test_indices_are_real_space_vectors_times_the_scattering_vector(experiment):
    seen = traces(experiment)
    assert len(seen) == 12
    for trace in seen:
        incident, diffracted = directions(experiment, trace)
        wavelength = experiment.beam.sources.wavelength[trace.source]
        q = (diffracted - incident) / wavelength
        expected = experiment.crystal.real_space @ q
        np.testing.assert_allclose(trace.steps[0].index, expected, rtol=0, atol=ACCURACY_OF_INDICES)
        assert trace.stol == pytest.approx(np.linalg.norm(q) / 2, rel=ROUNDING)


@pytest.mark.spec("CRY-7")
def test_the_nearest_index_is_the_ceiling_of_the_index_less_a_half(experiment):
    for trace in traces(experiment):
        step = trace.steps[0]
        assert step.nearest == tuple(math.ceil(value - 0.5) for value in step.index)


@pytest.mark.spec("SRC-14")
def test_each_source_has_its_own_polarisation(experiment):
    seen = traces(experiment)
    axis = experiment.beam.polarization_axis
    for trace in seen:
        incident, diffracted = directions(experiment, trace)
        across = np.cross(axis, incident)
        across /= np.linalg.norm(across)
        electric = np.cross(incident, across)
        electric /= np.linalg.norm(electric)
        cosine = diffracted @ incident
        psi = -math.atan2(diffracted @ across, diffracted @ electric)
        kahn = 0.8 * math.cos(2 * psi) * (1 - cosine**2)
        expected = 0.5 * (1 + cosine**2 - kahn)
        assert trace.polarization == pytest.approx(expected, rel=ROUNDING)
    assert len({round(trace.polarization, 9) for trace in seen}) == 4


@pytest.mark.spec("SRC-14")
def test_each_source_has_its_own_wavelength(experiment):
    stols = {round(trace.stol, 12) for trace in traces(experiment)}
    assert len(stols) == 12
