"""Pixel masks: zero means the pixel is not rendered."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.read.smv import MAXIMUM_PIXELS, read_smv_header, read_smv_pixels

_NPY_MAGIC: Final = b"\x93NUMPY"
_DIMENSIONS: Final = 2


def read_mask(path: str) -> NDArray[np.bool_]:
    """Read a mask from an SMV image or a two-dimensional `.npy` array of numbers.

    Returns
    -------
    (slow, fast) bool
        True where the pixel is to be rendered (the stored value is not zero).

    Raises
    ------
    InputError
        Not such a file, or a damaged one.
    """
    file = Path(path)
    try:
        with file.open("rb") as handle:
            magic = handle.read(len(_NPY_MAGIC))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read ({error})", source=path) from error
    if magic == _NPY_MAGIC:
        return _read_npy(path)
    if not magic.startswith(b"{"):
        raise InputError(
            "neither an .npy array nor an SMV image",
            source=path,
            remedy="save the mask with numpy.save: 0 where a pixel is not to be rendered",
        )
    pixels = read_smv_pixels(read_smv_header(path))
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise InputError("the mask holds NaN or infinite values", source=path)
    return np.asarray(pixels != 0)


def _read_npy(path: str) -> NDArray[np.bool_]:
    try:
        # Mapped, so that a header promising a huge array allocates nothing.
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError, OverflowError, TypeError) as error:
        raise InputError(f"not a readable .npy array ({error})", source=path) from error
    if array.ndim != _DIMENSIONS or array.dtype.kind not in "biuf" or array.size == 0:
        raise InputError(
            f"an array of shape {array.shape} and type {array.dtype}",
            source=path,
            remedy="a mask is a two-dimensional array of numbers",
        )
    if array.size > MAXIMUM_PIXELS:
        raise InputError(f"the array has {array.size} pixels", source=path)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError("the mask holds NaN or infinite values", source=path)
    active: NDArray[np.bool_] = np.asarray(array != 0)
    return active
