"""Clauses of `specs/amplitudes.md`, with numbers by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from distbragg.models.crystal import Spectral
from distbragg.models.vectors import frozen_float64
from tests.clauses.scene import SOLID_ANGLE, beam, reflections, scene, sources
from tests.clauses.test_closed_form import CELLS, closed

UP = (0.0, 0.0, -1.0)
LINES = sources((UP, 1.0, 0.25), (UP, 1.0, 0.5), (UP, 1.0, 0.25))
"""Three lines of one wavelength: only their |F| differs."""

TABLES = frozen_float64(np.array([100.0, 8.0, -6.0]).reshape(3, 1, 1, 1))
COEFFICIENTS = frozen_float64([[1.0, -2.0, 0.5], [1.0, 1.0, 4.0], [1.0, 1.0, 4.0]])
MEAN = 0.25 * (100.0 - 16.0 - 3.0) + 0.75 * (100.0 + 8.0 - 24.0)
"""¼ · 81 + ¾ · 84 electrons²."""


def table():
    """The reflection 1 1 1 alone, whose |F|² follows the energy."""
    plain = reflections([[[np.sqrt(MEAN)]]], (1, 1, 1))
    return replace(plain, spectral=Spectral("anomalous", TABLES, COEFFICIENTS))


@pytest.mark.spec("AMP-1")
def test_each_source_has_its_own_squared_amplitude(kernel) -> None:
    experiment = scene(table=table(), beam_of=beam(LINES))
    assert kernel.pixel(experiment) / SOLID_ANGLE == pytest.approx(83.25, rel=kernel.relative)


@pytest.mark.spec("AMP-1")
def test_each_source_has_its_own_squared_amplitude_in_closed_form(kernel) -> None:
    experiment = closed(table=table(), beam_of=beam(LINES))
    found = kernel.pixel(experiment) / SOLID_ANGLE / CELLS**6
    assert found == pytest.approx(83.25, rel=1e-4 if "mixed" in str(kernel) else kernel.relative)
