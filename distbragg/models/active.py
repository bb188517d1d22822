"""Which pixels are rendered: region of interest and mask."""

from __future__ import annotations

import numpy as np

from distbragg.errors import InputError
from distbragg.models.arrays import BoolArray
from distbragg.read.geometry.model import PanelGeometry
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


def panel_masks(
    mask_file: str | None, shape: tuple[int, int], panels: int
) -> tuple[BoolArray | None, ...]:
    """Cut a mask of a whole detector, its panels one below the other, into those of the panels.

    Parameters
    ----------
    mask_file : str or None
        Holds (panels · slow, fast) pixels.
    shape : (int, int)
        Pixels (slow, fast) of every panel.
    panels : int

    Raises
    ------
    InputError
        A mask of another shape.
    """
    if mask_file is None:
        return (None,) * panels
    mask = read_mask(mask_file)
    if mask.shape != (panels * shape[0], shape[1]):
        raise InputError(
            f"the mask has {mask.shape[1]} x {mask.shape[0]} pixels, the detector "
            f"{shape[1]} x {panels * shape[0]}",
            source=mask_file,
            field="detector.mask_file",
            remedy="give a mask of all panels, one below the other",
        )
    return tuple(mask.reshape(panels, *shape))


def panel_active(
    shape: tuple[int, int],
    panel: PanelGeometry,
    *,
    roi: tuple[int, int, int, int] | None,
    mask_file: str | None,
    mask: BoolArray | None,
) -> BoolArray:
    """Return the active pixels of one of several panels.

    Parameters
    ----------
    shape : (int, int)
        Pixels (slow, fast) of every panel; those this one does not have are not active.
    panel : PanelGeometry
        With the masks of its file.
    roi : four ints or None
        As in `active_pixels`.
    mask_file : str or None
        Of this panel alone, of its own size.
    mask : (slow, fast) bool or None
        This panel's part of the detector's mask.

    Returns
    -------
    (slow, fast) bool, read-only
        A view of one value where every pixel is active.

    Raises
    ------
    InputError
        As `active_pixels`.
    """
    own = active_pixels(panel.shape, roi, mask_file)
    if panel.shape == shape and mask is None and panel.mask is None and not panel.masked:
        return own
    active = np.zeros(shape, dtype=np.bool_)
    inside = active[: panel.shape[0], : panel.shape[1]]
    inside[...] = own
    if panel.mask is not None:
        inside &= panel.mask
    for area in panel.masked:
        rows = slice(max(area.slow_start, 0), max(area.slow_stop, 0))
        inside[rows, max(area.fast_start, 0) : max(area.fast_stop, 0)] = False
    if mask is not None:
        active &= mask
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
