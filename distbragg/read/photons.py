"""Images of expected photons, to be added to frames."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.read.smv import NPY_MAGIC, mapped_npy, read_smv_header, read_smv_pixels
from distbragg.read.text import first_bytes


def read_photons(path: str) -> NDArray[np.float64]:
    """Read an image, (slow, fast), of an `.npy` array, an SMV image or one that fabio reads.

    Pixels below 0 (masked ones, in many formats) count as 0.
    """
    magic = first_bytes(path, len(NPY_MAGIC))
    if magic == NPY_MAGIC:
        pixels = mapped_npy(path, "an image of photons")
    elif magic.startswith(b"{"):
        pixels = read_smv_pixels(read_smv_header(path))
    else:
        import fabio

        try:
            with fabio.open(path) as image:
                pixels = np.asarray(image.data)
        except Exception as error:  # fabio raises what its many readers do
            text = " ".join(str(error).split())[:200]
            raise InputError(f"no image that can be read ({text})", source=path) from None
    photons = np.maximum(np.asarray(pixels, dtype=np.float64), 0.0)
    if photons.ndim != 2 or not np.isfinite(photons).all():
        raise InputError("photons are finite numbers, rows and columns", source=path)
    return photons
