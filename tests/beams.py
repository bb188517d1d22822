"""The beam of a test that is about something else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_NAMES = ("wavelength_angstrom", "energy_ev", "spectrum", "source_file")


def beam_of(given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the given beam section, of 1 Å where it names no wavelength."""
    beam = dict(given or {})
    return beam if any(name in beam for name in _NAMES) else {**beam, "wavelength_angstrom": 1.0}
