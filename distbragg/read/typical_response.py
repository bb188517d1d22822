"""Typical figures of common detectors, each family a data file that names its sources."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any, Final, Literal

_FOLDER: Final = "responses"

Family = Literal["agipd", "eiger", "epix10ka", "jungfrau", "pilatus", "rayonix"]


@dataclass(frozen=True, slots=True)
class TypicalZone:
    """A gain of a detector that measures charge, from a charge on; keV of photons, ADU."""

    adu_per_kev: float
    readout_adu: float
    from_kev: float = 0.0
    offset_adu: float = 0.0
    gain_code: int = 0


@dataclass(frozen=True, slots=True)
class TypicalResponse:
    """What a kind of detector makes of photons; without zones it counts them."""

    title: str
    source: str
    zones: tuple[TypicalZone, ...] = ()
    calibration_fraction: float = 0.0
    stored_as: Literal["adu", "photons"] = "adu"
    adc_bits: int = 0
    saturation_adu: float | None = None
    saturation_counts: float | None = None
    saturation_kev: float | None = None


def family_of(preset: str) -> Family | None:
    """Return the family that a preset belongs to by its name."""
    begins: dict[str, Family] = {
        "agipd": "agipd", "eiger": "eiger", "jungfrau": "jungfrau", "pilatus": "pilatus",
        "rayonix": "rayonix",
    }  # fmt: skip
    return next((family for start, family in begins.items() if preset.startswith(start)), None)


@lru_cache(maxsize=8)
def typical_response(family: Family) -> TypicalResponse:
    """Return the figures of a family."""
    file = resources.files("distbragg.read").joinpath(_FOLDER, f"{family}.toml")
    data: dict[str, Any] = tomllib.loads(file.read_text("utf-8"))
    zones = tuple(TypicalZone(**zone) for zone in data.pop("zones", ()))
    return TypicalResponse(zones=zones, **data)
