"""Maps beside the images: their stored types, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import numpy as np

from distbragg.spec.compute import Dtype, MapName, OutputSpec

MapType = Dtype | Literal["uint8"]

MAP_TYPES: Final[Mapping[MapName, MapType]] = {
    "bragg": "float32",
    "background": "float32",
    "mean_wavelength": "float32",
    "bragg_share": "float32",
    "spot_mask": "uint8",
}

HELD_PIXEL_BYTES: Final = 32
"""Bytes per pixel while the maps of a frame are made: Bragg and background as float64, and two
frames that are weighted by the wavelength."""


def map_pixel_bytes(output: OutputSpec) -> int:
    """Return the raw bytes that all maps store of a pixel."""
    return sum(np.dtype(MAP_TYPES[name]).itemsize for name in output.maps or ())


def map_passes(output: OutputSpec) -> int:
    """Return how many times the crystal is rendered again for the maps of a frame, at most."""
    if not output.maps:
        return 0
    return 3 if "mean_wavelength" in output.maps else int(output.maps != ("background",))


def mask_bounds(output: OutputSpec) -> tuple[float, float]:
    """Return the least photons, and the least share of all photons, of a pixel of a spot."""
    photons, share = output.mask_minimum_photons, output.mask_minimum_fraction
    return 1.0 if photons is None else photons, share or 0.0
