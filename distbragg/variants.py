"""Smaller pictures of frames: pooled, cropped, as square roots; and where their spots then lie.

Pixel i of an axis covers i to i + 1, as everywhere: positions count from the outer corner of the
panel. Spots are moved with the same numbers as pixels.
"""

from __future__ import annotations

from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError

Pooling = Literal["max", "mean", "sum"]
Box = tuple[int, int, int, int]
"""First slow pixel, end of the slow pixels, first fast pixel, end of the fast pixels."""

ROOT_LIMIT: Final = np.iinfo(np.uint16).max


def pool(images: NDArray[Any], factor: int, how: Pooling = "max") -> NDArray[Any]:
    """Make one pixel of each block of `factor` × `factor` pixels.

    Rows and columns at the far ends that fill no block are dropped.

    Parameters
    ----------
    images : (..., slow, fast)
        Numbers, or truth values.
    factor : int
        Edge of a block in pixels, from 1 to the shorter edge of the image.
    how : {"max", "mean", "sum"}
        What is kept of a block.

    Returns
    -------
    (..., slow // factor, fast // factor)
        "max" keeps the type: of truth values it is whether any is true. "sum" of integers is
        uint64 or int64. "mean" of integers is float32. Fractions keep their type.

    Raises
    ------
    InputError
        No such factor, or no such way.
    """
    if how not in get_args(Pooling):
        raise InputError(f"{how!r} is not a way to pool", source="pool", remedy="max, mean or sum")
    height, width = images.shape[-2:]
    if not (is_whole(factor) and 1 <= factor <= min(height, width)):
        raise InputError(
            f"blocks of {factor} pixels in an image of {height} × {width}",
            source="pool",
            remedy="give a whole number from 1 to the shorter edge",
        )
    kept: Any = images.dtype
    if how != "max" and images.dtype.kind in "biu":
        images = images.astype(np.int64 if images.dtype.kind == "i" else np.uint64)
        kept = images.dtype if how == "sum" else np.float32
    slow, fast = height // factor, width // factor
    combine = np.maximum if how == "max" else np.add
    whole = images[..., : slow * factor, : fast * factor]
    rows = combine.reduce(whole.reshape(*whole.shape[:-2], slow, factor, fast * factor), axis=-2)
    blocks = rows[..., ::factor].copy()
    for column in range(1, factor):
        combine(blocks, rows[..., column::factor], out=blocks)
    found: NDArray[Any] = blocks / factor**2 if how == "mean" else blocks
    return found.astype(kept, copy=False)


def pooled_positions(positions: NDArray[Any], factor: int) -> NDArray[Any]:
    """Return positions (..., 2), slow and fast in pixels, in the image that `pool` makes.

    Those of dropped rows and columns lie at or beyond its far ends. Squares and products of
    lengths, such as the variances of a spot, shrink with the square of `factor`.
    """
    return positions / factor


def crop(images: NDArray[Any], box: Box) -> NDArray[Any]:
    """Cut a box out of images (..., slow, fast); a view.

    Raises
    ------
    InputError
        The box is empty or reaches beyond the image.
    """
    check_box(box, images.shape[-2:])
    return images[..., box[0] : box[1], box[2] : box[3]]


def check_box(box: Box, shape: tuple[int, ...]) -> None:
    """Refuse a box that is empty or reaches beyond an image of `shape` (slow, fast)."""
    within = 0 <= box[0] < box[1] <= shape[0] and 0 <= box[2] < box[3] <= shape[1]
    if not (within and all(map(is_whole, box))):
        raise InputError(
            f"slow {box[0]} to {box[1]}, fast {box[2]} to {box[3]} "
            f"in an image of {shape[0]} × {shape[1]}",
            source="crop",
            remedy="give whole numbers of a box inside the image, ends excluded",
        )


def is_whole(value: object) -> bool:
    """Say whether a number of pixels is a whole number, Python's or numpy's."""
    return isinstance(value, int | np.integer)


def cropped_positions(positions: NDArray[Any], box: Box) -> NDArray[Any]:
    """Return positions (..., 2), slow and fast in pixels, in the image that `crop` makes."""
    moved: NDArray[Any] = positions - np.array([box[0], box[2]], dtype=positions.dtype)
    return moved


def inside(positions: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Say which positions (..., 2) lie in an image of `shape` (slow, fast)."""
    within: NDArray[np.bool_] = np.all((positions >= 0) & (positions < np.asarray(shape)), axis=-1)
    return within


def root_uint16(images: NDArray[Any], scale: float = 1.0) -> NDArray[np.uint16]:
    """Return round(scale √max(x, 0)), ties to even, at most 65535; what is not a number gives 0.

    With a scale of 1 all counts below 65535.5² (4.29e9) are kept apart as far as rounding lets
    them: x comes back as (y/scale)² within (√x/scale) + 1/(4 scale²). Positions stay.

    Raises
    ------
    InputError
        The scale is not above 0.
    """
    if not scale > 0.0:
        raise InputError(f"a scale of {scale:g}", source="root", remedy="give one above 0")
    single = images.dtype.kind == "f" and images.dtype.itemsize <= 4
    values: NDArray[Any] = images.astype(np.float32 if single else np.float64)
    # fmax: of a number and of what is none, the number.
    np.sqrt(np.fmax(values, 0.0, out=values), out=values)
    np.multiply(values, scale, out=values)
    held: NDArray[Any] = np.minimum(np.rint(values, out=values), ROOT_LIMIT, out=values)
    return held.astype(np.uint16)


def squares(roots: NDArray[np.uint16], scale: float = 1.0) -> NDArray[np.float32]:
    """Return (y/scale)² of what `root_uint16` made: counts again, within rounding."""
    counts: NDArray[np.float32] = np.square(roots.astype(np.float32) / np.float32(scale))
    return counts
