"""Images of expected photons, to be added to frames."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.read.smv import NPY_MAGIC, mapped_npy, read_smv_header, read_smv_pixels
from distbragg.read.spectrum import ZARR_SUFFIXES
from distbragg.read.text import first_bytes


@dataclass(frozen=True, slots=True)
class Photons:
    """An image that is asked for."""

    path: str
    frame: int = 0  # of an array of several, in the order they are stored
    dataset: str = ""  # array of a Zarr store
    panels: int = 1


def read_photons(asked: Photons) -> NDArray[np.float64]:
    """Read an image, (panels · slow, fast): of an array, an SMV image or one that fabio reads.

    An `.npy` array, or that of a Zarr store, may hold several. Pixels below 0 (masked ones, in many
    formats) count as 0.
    """
    path = asked.path
    if path.lower().rstrip("/").endswith(ZARR_SUFFIXES):
        from distbragg.read.zarr_array import zarr_images

        pixels = zarr_images(path, asked.dataset, lambda array: _one_of(array, asked))
    elif (magic := first_bytes(path, len(NPY_MAGIC))) == NPY_MAGIC:
        pixels = _one_of(mapped_npy(path, "an image of photons", several=True), asked)
    elif magic.startswith(b"{"):
        pixels = _one_of(read_smv_pixels(read_smv_header(path)), asked)
    else:
        import fabio

        try:
            with fabio.open(path) as image:
                pixels = np.asarray(image.data)
        except Exception as error:  # fabio raises what its many readers do
            text = " ".join(str(error).split())[:200]
            raise InputError(f"no image that can be read ({text})", source=path) from None
        pixels = _one_of(pixels, asked)
    photons = np.maximum(np.asarray(pixels, dtype=np.float64), 0.0)
    if photons.ndim != 2 or not np.isfinite(photons).all():
        raise InputError("photons are finite numbers, rows and columns", source=path)
    return photons


def _one_of(array: Any, asked: Photons) -> NDArray[Any]:  # noqa: ANN401
    """Return one image of an array (…, [panels,] slow, fast), its panels one below the other."""
    shape = tuple(array.shape)
    own = 3 if asked.panels > 1 and shape[-3:-2] == (asked.panels,) else 2
    several = shape[:-own] if len(shape) >= own else ()
    if asked.frame >= math.prod(several):
        raise InputError(
            f"there is no image {asked.frame}: it holds {math.prod(several)}, counted from 0",
            source=asked.path,
            field="background.image.frame",
        )
    place = tuple(int(part) for part in np.unravel_index(asked.frame, several)) if several else ...
    pixels = np.asarray(array[place])
    return pixels.reshape(-1, shape[-1]) if own == 3 else pixels
