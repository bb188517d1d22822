"""Which pixels are rendered: region of interest and mask."""

from __future__ import annotations

import numpy as np

from distbragg.errors import InputError
from distbragg.models.arrays import BoolArray
from distbragg.read.mask import read_mask


def active_pixels(
    shape: tuple[int, int], roi: tuple[int, int, int, int] | None, mask_file: str | None
) -> BoolArray:
    """Return the active pixels.

    Parameters
    ----------
    shape : (int, int)
        Pixels (slow, fast).
    roi : four ints or None
        First and last fast pixel, first and last slow pixel, all inclusive; what lies
        beyond the detector is cut.
    mask_file : str or None

    Returns
    -------
    (slow, fast) bool, read-only
        A view of one value where every pixel is active, so that it costs no memory.

    Raises
    ------
    InputError
        A mask of another shape, or a region outside the detector or empty.
    """
    if roi is None and mask_file is None:
        return np.broadcast_to(np.array(True), shape)
    active = np.ones(shape, dtype=np.bool_)
    if mask_file is not None:
        mask = read_mask(mask_file)
        if mask.shape != shape:
            raise InputError(
                f"the mask has {mask.shape[1]} x {mask.shape[0]} pixels, "
                f"the detector {shape[1]} x {shape[0]}",
                source=mask_file,
                field="detector.mask_file",
                remedy="give a mask of the detector's size",
            )
        active &= mask
    if roi is not None:
        active &= _inside(shape, roi)
    active.setflags(write=False)
    return active


def _inside(shape: tuple[int, int], roi: tuple[int, int, int, int]) -> BoolArray:
    fast_first, fast_last, slow_first, slow_last = roi
    slow, fast = shape
    empty = fast_last < fast_first or slow_last < slow_first
    outside = fast_first >= fast or slow_first >= slow or fast_last < 0 or slow_last < 0
    if empty or outside:
        raise InputError(
            f"the region {fast_first} {fast_last} {slow_first} {slow_last} holds no pixel "
            f"of a detector of {fast} x {slow}",
            field="detector.roi",
            remedy="the order is first fast, last fast, first slow, last slow",
        )
    inside = np.zeros(shape, dtype=np.bool_)
    inside[max(slow_first, 0) : slow_last + 1, max(fast_first, 0) : fast_last + 1] = True
    return inside
