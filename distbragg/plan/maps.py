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
    "hkl": "int16",
    "lattice": "int16",
}
COMPONENTS: Final[Mapping[MapName, int]] = {"hkl": 3}
"""Numbers of a pixel, where it has several."""

_STRONGEST_PASSES: Final = (3, 60)
"""As how many times the crystal telling reflections apart takes: in closed form by the native
kernel, and step by step by the model."""

NO_REFLECTION: Final = -32768  # h, k and l of a pixel that no reflection lights
NO_LATTICE: Final = -1  # number of its lattice

HELD_PIXEL_BYTES: Final = 32
"""Bytes per pixel while the maps of a frame are made: Bragg and background as float64, and two
frames that are weighted by the wavelength."""


def map_pixel_bytes(output: OutputSpec) -> int:
    """Return the raw bytes that all maps store of a pixel."""
    return sum(
        np.dtype(MAP_TYPES[name]).itemsize * COMPONENTS.get(name, 1) for name in output.maps or ()
    )


def map_passes(output: OutputSpec, *, spots_drawn: bool) -> int:
    """Return how many times the crystal is rendered again for the maps of a frame, at most.

    `spots_drawn` tells that the frame is in closed form.
    """
    wanted = set(output.maps or ())
    named = wanted & {"hkl", "lattice"}
    passes = 3 if "mean_wavelength" in wanted else int(bool(wanted - named - {"background"}))
    return passes + (_STRONGEST_PASSES[0 if spots_drawn else 1] if named else 0)


def mask_bounds(output: OutputSpec) -> tuple[float, float]:
    """Return the least photons, and the least share of all photons, of a pixel of a spot."""
    photons, share = output.mask_minimum_photons, output.mask_minimum_fraction
    return 1.0 if photons is None else photons, share or 0.0
