"""Images of expected photons, to be added to frames."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.read.smv import NPY_MAGIC, mapped_npy, read_smv_header, read_smv_pixels
from distbragg.read.spectrum import ZARR_SUFFIXES
from distbragg.read.text import first_bytes

_HDF5_MAGIC: Final = b"\x89HDF\r\n\x1a\n"
_MASKED: Final = 2
"""Highest values of an unsigned type that detectors write where nothing is measured."""


@dataclass(frozen=True, slots=True)
class Photons:
    """An image that is asked for."""

    path: str
    frame: int = 0  # of an array of several, in the order they are stored
    dataset: str = ""  # array of a Zarr store, dataset of an HDF5 file
    panels: int = 1


def read_photons(asked: Photons) -> NDArray[np.float64]:
    """Read an image, (panels · slow, fast): of an array, an SMV image or one that fabio reads.

    An array (`.npy`, Zarr, HDF5) may hold several. Pixels below 0 (masked ones, in many formats)
    count as 0, and so do those of HDF5 that hold one of the two highest values of an unsigned type.
    An image that was never written, as those of a run that is not finished, is refused.
    """
    path = asked.path
    pixels: NDArray[Any] | None
    if path.lower().rstrip("/").endswith(ZARR_SUFFIXES) or Path(path).is_dir():
        from distbragg.read.zarr_array import zarr_images

        pixels = zarr_images(path, asked.dataset, lambda array: _one_of_zarr(array, asked))
    elif (magic := first_bytes(path, len(_HDF5_MAGIC))) == _HDF5_MAGIC:
        pixels = _hdf5_image(asked)
    elif magic.startswith(NPY_MAGIC):
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
    if pixels is None or (pixels.dtype.kind == "f" and np.isnan(pixels).all()):
        raise InputError(
            f"image {asked.frame} was never written",
            source=path,
            field="background.image.frame",
            remedy="finish the run that it is of (`distbragg resume`), or name another frame",
        )
    photons = np.maximum(np.asarray(pixels, dtype=np.float64), 0.0)
    if photons.ndim != 2 or not np.isfinite(photons).all():
        raise InputError("photons are finite numbers, rows and columns", source=path)
    return photons


def _one_of_zarr(array: Any, asked: Photons) -> NDArray[Any]:  # noqa: ANN401
    """Return one image of an array; refuse one that says that its numbers are not photons."""
    units = array.attrs.get("units", "photons")
    if units not in ("photons", "photon", "counts", "1"):
        raise InputError(
            f"{asked.dataset!r} is in {str(units)[:40]!r}, not in photons",
            source=asked.path,
            field="background.image.file",
            remedy="give an image without gain and offset",
        )
    return _one_of(array, asked)


def _hdf5_image(asked: Photons) -> NDArray[Any] | None:
    """Return one image of a dataset of an HDF5 file, masked pixels 0; None if never written."""
    from distbragg.read.hdf5 import is_written, open_hdf5, open_member, stored_values

    with open_hdf5(asked.path) as file:
        dataset = open_member(file, asked.dataset, asked.path)
        shape = getattr(dataset, "shape", None) or ()
        if len(shape) < 2 or dataset.dtype.kind not in "fiu":
            raise InputError(
                f"{asked.dataset!r} is not a dataset of images",
                source=asked.path,
                field="background.image.dataset",
                remedy="name one, e.g. entry/data/data",
            )

        written = True

        def values(place: tuple[int, ...]) -> NDArray[Any]:
            nonlocal written
            written = is_written(dataset, place)
            row = stored_values(dataset, asked.path, *place[:1])
            return np.asarray(row[place[1:]])

        pixels = _one_of(dataset, asked, values)
    if pixels.dtype.kind == "u":
        masked = pixels > np.iinfo(pixels.dtype).max - _MASKED
        written = written and not masked.all()
        pixels = np.where(masked, 0, pixels)
    return pixels if written else None


def _one_of(
    array: Any,  # noqa: ANN401
    asked: Photons,
    read: Callable[[tuple[int, ...]], NDArray[Any]] | None = None,
) -> NDArray[Any]:
    """Return one image of an array (…, [panels,] slow, fast), its panels one below the other.

    `read` returns what lies at an index of the leading dimensions, in place of indexing.
    """
    shape = tuple(array.shape)
    own = 3 if asked.panels > 1 and shape[-3:-2] == (asked.panels,) else 2
    several = shape[:-own] if len(shape) >= own else ()
    if asked.frame >= math.prod(several):
        raise InputError(
            f"there is no image {asked.frame}: it holds {math.prod(several)}, counted from 0",
            source=asked.path,
            field="background.image.frame",
        )
    place = tuple(int(part) for part in np.unravel_index(asked.frame, several)) if several else ()
    pixels = np.asarray(array[place] if read is None else read(place))
    return pixels.reshape(-1, shape[-1]) if own == 3 else pixels
