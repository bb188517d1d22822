"""A frame that is taken over from another run is drawn by the number that it had there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import distbragg as db
from distbragg.errors import InputError
from distbragg.spec.load import parse_sweep
from distbragg.spec.sweep import SweepSpec
from tests.invariance.test_response_bits import RESPONSE

PHI = (0.0, 1.0, 2.0, 3.0)
SECTIONS: dict[str, dict[str, Any]] = {
    "kernel": {"noise": {"photon": True, "seed": 3}},
    "response": {
        "noise": {"photon": True, "seed": 3},
        "detector": {"response": RESPONSE, "point_spread": {"kind": "gauss", "fwhm_px": 1.5}},
    },
    "flicker": {"detector": {"response": RESPONSE}},
    "pulses": {"beam": {"pulse_energy_fraction": 0.2}},
    "domains": {"crystal": {"mosaic": {"spread_deg": 0.5, "domains": 3, "per_frame": True}}},
    "lattices": {"crystal": {"drawn_lattices": {"count": 2}}},
}


def sweep_of(section: str, frames: tuple[int, ...], shifts: tuple[int, ...] = ()) -> SweepSpec:
    plain: dict[str, Any] = {
        "beam": {"wavelength_angstrom": 1.0, "fluence_photons_per_m2": 3e24},
        "crystal": {"cell": [31, 37, 41, 90, 90, 90], "block_cells": [5, 6, 7]},
        "structure_factors": {"default_f_electrons": 100.0},
        "detector": {
            "distance_mm": 60,
            "pixel_size_mm": 2.0,
            "pixels_fast": 13,
            "pixels_slow": 11,
        },
    }
    for name, fields in SECTIONS[section].items():
        plain[name] = {**plain.get(name, {}), **fields}
    values = [PHI[frame] for frame in frames]
    axes = [{"name": "phi", "path": "goniometer.phi_deg", "values": values}]
    if shifts:
        shift = {"path": "noise.frame_shift", "values": list(shifts), "dim": "phi"}
        axes.append({"name": "shift", **shift})
    return parse_sweep({"experiment": plain, "axes": axes})


@pytest.mark.spec("NOI-4")
@pytest.mark.parametrize("form", ["unit", "graph"])
@pytest.mark.parametrize("section", SECTIONS)
def test_shifted_frames_have_the_bits_of_the_frames_they_were(
    section: str, form: Any, tmp_path: Path
) -> None:
    whole, part = tmp_path / "whole.zarr", tmp_path / "part.zarr"
    db.sweep(sweep_of(section, (0, 1, 2, 3)), whole, cluster="serial")
    db.sweep(sweep_of(section, (3, 1), (3, 0)), part, cluster="serial", form=form)
    images, shifted = (db.open_stack(path).images.values for path in (whole, part))
    np.testing.assert_array_equal(shifted, images[[3, 1]])
    # What is drawn by the frame's own number is another image.
    db.sweep(sweep_of(section, (3, 1)), tmp_path / "plain.zarr", cluster="serial")
    assert (db.open_stack(tmp_path / "plain.zarr").images.values[0] != images[3]).any()


@pytest.mark.spec("NOI-4")
def test_a_shift_below_the_first_frame_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="frame -1 is negative"):
        db.create(sweep_of("kernel", (0, 1), (-1, 0)), tmp_path / "none.zarr")
