"""The rotation that an SMV header states where only another header names it."""

from __future__ import annotations

import pytest

from distbragg.cli.image_files import header_geometry
from distbragg.models.build import build_experiment
from distbragg.spec.load import parse_spec


@pytest.mark.parametrize("method", ["sampled", "closed_form"])
@pytest.mark.parametrize(("turned", "start"), [({"step_deg": 0.5, "steps": 4}, 0), ({}, 0)])
def test_a_header_states_start_and_width_of_the_rotation(method, turned, start):
    spec = parse_spec(
        {
            "beam": {"wavelength_angstrom": 1.0},
            "crystal": {
                "cell": [40, 50, 60, 80, 95, 105],
                "block_cells": [24] * 3,
                "shape": "gauss",
            },
            "structure_factors": {"default_f_electrons": 10},
            "goniometer": turned,
            "detector": {"pixels_fast": 9, "pixels_slow": 7},
            "sampling": {"method": method},
        }
    )
    header = header_geometry(spec, build_experiment(spec))
    width = turned.get("step_deg", 0) * turned.get("steps", 0)
    assert (header.phi, header.oscillation) == (start, pytest.approx(width, rel=1e-14))
