"""Headerless image files: raw 32-bit floats, and PGM for a quick look."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distbragg.export.files import write_whole
from distbragg.export.scaling import check_image


def write_float32(path: str | Path, image: ArrayLike) -> None:
    """Write one frame as raw little-endian float32, slow rows of fast pixels, no header.

    Parameters
    ----------
    path : path
    image : (slow, fast) array, photons
    """
    write_whole(path, check_image(image).astype("<f4").tobytes())


def write_pgm(path: str | Path, levels: NDArray[np.uint8], scale: float) -> None:
    """Write grey levels as a binary PGM (P5), the scale in a comment.

    Parameters
    ----------
    path : path
    levels : (slow, fast) uint8
    scale : float
        Grey levels per photon, for the comment.
    """
    slow, fast = levels.shape
    header = f"P5\n{fast} {slow}\n# pixels scaled by {scale:g}\n255\n"
    write_whole(path, header.encode("ascii") + np.ascontiguousarray(levels).tobytes())


def write_npy(path: str | Path, images: ArrayLike) -> None:
    """Write an array in numpy's own format, dtype kept."""
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(images), allow_pickle=False)
    write_whole(path, buffer.getvalue())
