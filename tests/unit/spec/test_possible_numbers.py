"""Numbers that no frame ever had are refused by field; all that frames have are taken."""

from __future__ import annotations

from typing import Any

import pytest

from distbragg.errors import InputError
from distbragg.spec.load import parse_spec

pytestmark = pytest.mark.spec("UNI-6")

PLAIN: dict[str, dict[str, Any]] = {
    "beam": {"wavelength_angstrom": 1.0},
    "crystal": {"cell": [50, 60, 70, 90, 90, 90], "block_cells": 5},
    "structure_factors": {"default_f_electrons": 1.0},
    "detector": {"distance_mm": 100.0},
}

IMPOSSIBLE: list[tuple[str, str, Any]] = [
    ("crystal", "cell", [40, 1e-12, 50, 90, 90, 90]),
    ("crystal", "cell", [40, 50, 0.9, 90, 90, 90]),
    ("crystal", "cell", [40, 50, 1e7, 90, 90, 90]),
    ("crystal", "cell", [40, 50, 50, 90, 90, 179.9999999]),
    ("crystal", "cell", [40, 50, 50, 60, 60, 119.9999999]),
    ("crystal", "cell", [40, 50, 50, 120, 120, 119.9999999]),
    ("crystal", "misset_deg", [0, 1e30, 0]),
    ("crystal", "block_cells", 0),
    ("beam", "wavelength_angstrom", 1e9),
    ("beam", "wavelength_angstrom", 1e-9),
    ("beam", "wavelength_angstrom", float("nan")),
    ("beam", "energy_ev", 1e40),
    ("beam", "size_mm", 1e9),
    ("beam", "divergence", {"horizontal": {"range_mrad": 1e5}}),
    ("detector", "distance_mm", 0),
    ("detector", "distance_mm", 1e-30),
    ("detector", "distance_mm", 1e30),
    ("detector", "distance_mm", float("inf")),
    ("detector", "close_distance_mm", -1e30),
    ("detector", "pixel_size_mm", 1e-12),
    ("detector", "pixel_size_mm", 1e12),
    ("detector", "xbeam_mm", 1e30),
    ("detector", "origin_mm", [0, 0, 1e30]),
    ("detector", "twotheta_deg", 1e30),
    ("detector", "rotation_deg", [1e40, 0, 0]),
    ("detector", "sensor", {"thickness_um": 1e60}),
    ("goniometer", "phi_deg", 1e50),
    ("goniometer", "oscillation_deg", -1e9),
    ("background", "water_um", 1e60),
]


def changed(section: str, field: str, value: Any) -> dict[str, Any]:
    plain = {name: dict(fields) for name, fields in PLAIN.items()}
    plain.setdefault(section, {})[field] = value
    if field == "energy_ev":
        del plain["beam"]["wavelength_angstrom"]
    if field == "close_distance_mm":
        del plain["detector"]["distance_mm"]
    return plain


@pytest.mark.parametrize(("section", "field", "value"), IMPOSSIBLE)
def test_what_no_frame_has_is_refused_by_field(section: str, field: str, value: Any) -> None:
    with pytest.raises(InputError) as caught:
        parse_spec(changed(section, field, value))
    assert caught.value.field.startswith(f"{section}.{field}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        ("crystal", "cell", [2.46, 2.46, 6.7, 90, 90, 120]),  # graphite
        ("crystal", "cell", [3, 3, 3, 60, 60, 60]),
        ("crystal", "cell", [20, 20, 20, 12, 12, 12]),  # a long, flat rhombohedron
        ("crystal", "cell", [1100, 1100, 1100, 90, 90, 90]),  # a virus
        ("beam", "wavelength_angstrom", 0.0197),  # electrons of 300 kV
        ("beam", "wavelength_angstrom", 20.0),  # cold neutrons
        ("beam", "energy_ev", 280.0),  # the water window
        ("detector", "distance_mm", 40_000.0),  # ultra-small angles
        ("detector", "distance_mm", 0.5),
        ("detector", "pixel_size_mm", 0.0005),  # a microscope behind a scintillator
        ("goniometer", "phi_deg", 720.0),
        ("detector", "twotheta_deg", -178.0),
        ("detector", "close_distance_mm", -50.0),
    ],
)
def test_what_frames_have_is_taken(section: str, field: str, value: Any) -> None:
    assert parse_spec(changed(section, field, value))
