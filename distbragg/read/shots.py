"""Spectra of single shots: one row of an array in an HDF5 or NetCDF-4 file, or in a Zarr store."""

from __future__ import annotations

import zipfile
import zlib
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.notes import Note, Notes
from distbragg.read.heaps import check_heaps, load_filters
from distbragg.read.spectrum import ZARR_SUFFIXES, Spectrum, first_of_many, usable_weights
from distbragg.read.spectrum_columns import quantity_and_unit
from distbragg.read.units import SpectralUnit, spectral_unit, unit_attribute
from distbragg.read.zarr_array import ZarrArray, open_place, open_zarr_array

MAXIMUM_CHANNELS: Final = 1_000_000

_MISSING: Final = ("_FillValue", "missing_value")
_PACKING: Final = ("scale_factor", "add_offset", *_MISSING)
_DAMAGE: Final = (
    OSError,
    RuntimeError,
    LookupError,
    ValueError,
    TypeError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What h5py and the decoders of chunks raise on damaged files."""

_Read = tuple[NDArray[np.float64], NDArray[np.float64], SpectralUnit, Notes]
"""Weights, values and the unit of the values."""


def read_shot(
    path: str, shot: int | None, *, weights: str, channels: str, unit: str | None = None
) -> Spectrum:
    """Read the spectrum of one shot.

    Parameters
    ----------
    path : str
    shot : int or None
        Row of the array of weights, from 0; None takes the first, and a note says so.
    weights : str
        Dataset (shots, channels), or (channels,) for a single shot.
    channels : str
        Dataset of wavelengths or photon energies, (channels,) or (shots, channels).
    unit : str, optional
        Of `channels`; that of its `units` attribute or of its name (`energy_kev`) where not
        given.

    Returns
    -------
    Spectrum
        Channels of a negative weight, as a baseline leaves them, count as 0.

    Raises
    ------
    InputError
        Names file and dataset: not there, of another shape, not finite, no such shot, no unit,
        or no positive weight at all.
    """
    zarr = path.lower().endswith(ZARR_SUFFIXES)
    read = _read_zarr if zarr else _read_hdf5
    try:
        weight, values, found, notes = read(path, shot, weights, channels, unit)
    except InputError:
        raise
    except _DAMAGE as error:
        text, kind = " ".join(str(error).split())[:200], "Zarr" if zarr else "HDF5"
        raise InputError(f"cannot be read as {kind} ({text})", source=path) from None
    if values.shape != weight.shape:
        raise InputError(
            f"{channels} has {values.size} channels, {weights} has {weight.size}", source=path
        )
    if not (np.isfinite(values).all() and (values > 0.0).all()):
        raise InputError(f"{channels} holds values that are not positive numbers", source=path)
    weight, more = usable_weights(weight, path, f"{weights} in shot {shot or 0}")
    return Spectrum(found.angstroms(values.tolist()), weight, (*notes, *more))


def _read_hdf5(path: str, shot: int | None, weights: str, channels: str, unit: str | None) -> _Read:
    check_heaps(path)
    load_filters()
    with h5py.File(path, "r", locking=False) as file:
        return _rows(
            _dataset(file, weights, path), _dataset(file, channels, path), shot, unit, path
        )


def _read_zarr(path: str, shot: int | None, weights: str, channels: str, unit: str | None) -> _Read:
    place = open_place(path)
    weight = _few_channels(open_zarr_array(place, weights, path), path)
    axis = _few_channels(open_zarr_array(place, channels, path), path)
    return _rows(weight, axis, shot, unit, path)


def _rows(weight: Any, axis: Any, shot: int | None, unit: str | None, path: str) -> _Read:  # noqa: ANN401
    """Return the row of a shot of both arrays, whatever holds them."""
    found, notes = _unit_of(axis, unit, path)
    if shot is None and weight.ndim > 1 and weight.shape[0] > 1:
        notes = (*notes, first_of_many(path, weight.shape[0]))
    row, values = (_unpacked(array, _row(array, shot or 0, path), path) for array in (weight, axis))
    return row, values, found, notes


def _unpacked(dataset: Any, row: NDArray[np.float64], path: str) -> NDArray[np.float64]:  # noqa: ANN401
    """Return values as CF packs them in integers: scale_factor · stored + add_offset.

    Where one is that of `_FillValue` or `missing_value` there is none: NaN.
    """
    found = {}
    for name in _PACKING:
        value = np.asarray(dataset.attrs.get(name, ()))
        if value.size == 1 and value.dtype.kind in "iuf":
            found[name] = float(value.reshape(-1)[0])
        elif name in dataset.attrs and name in ("scale_factor", "add_offset"):
            raise InputError(f"{name} of {dataset.name} is no number", source=path)
    missing = np.isin(row, [found[name] for name in _MISSING if name in found])
    values = row * found.get("scale_factor", 1.0) + found.get("add_offset", 0.0)
    return np.where(missing, np.nan, values)


def _few_channels(array: ZarrArray, path: str) -> ZarrArray:
    if array.shape[-1] > MAXIMUM_CHANNELS:
        raise InputError(f"{array.name!r} has {array.shape[-1]} channels", source=path)
    return array


def _dataset(file: h5py.File, name: str, path: str) -> Any:  # noqa: ANN401
    """Return a dataset that lies in this file: no link or virtual dataset leads elsewhere."""
    node: Any = file
    for part in name.strip("/").split("/"):
        link = node.get(part, getlink=True) if isinstance(node, h5py.Group) else None
        if link is None:
            raise InputError(
                f"there is no dataset {name!r}",
                source=path,
                remedy=f"there are {', '.join(_names(file)) or 'none'}",
            )
        if isinstance(link, h5py.ExternalLink):
            raise InputError(f"{name!r} is a link to another file", source=path)
        node = node.get(part)
    if not isinstance(node, h5py.Dataset):
        raise InputError(f"{name!r} is no dataset", source=path)
    if node.is_virtual or node.external:
        raise InputError(f"{name!r} keeps its values in other files", source=path)
    if node.dtype.kind not in "fiu" or node.ndim not in (1, 2):
        raise InputError(f"{name!r} is no array of numbers in one or two dimensions", source=path)
    if not 0 < node.shape[-1] <= MAXIMUM_CHANNELS:
        raise InputError(f"{name!r} has {node.shape[-1]} channels", source=path)
    return node


def _names(file: h5py.File) -> list[str]:
    found: list[str] = []

    def visit(name: str, node: object) -> bool | None:
        if isinstance(node, h5py.Dataset):
            found.append(name)
        return True if len(found) >= 10 else None

    file.visititems(visit)
    return found


def _row(dataset: Any, shot: int, path: str) -> NDArray[np.float64]:  # noqa: ANN401
    if dataset.ndim == 1:
        return np.asarray(dataset[...], dtype=np.float64)
    if not 0 <= shot < dataset.shape[0]:
        raise InputError(
            f"there is no shot {shot}; {dataset.name} has {dataset.shape[0]}",
            source=path,
            field="beam.spectrum.shot",
        )
    return np.asarray(dataset[shot], dtype=np.float64)


def _unit_of(dataset: Any, given: str | None, path: str) -> tuple[SpectralUnit, Notes]:  # noqa: ANN401
    """Return the unit of an axis: as given, of its attribute, or of its name, which must agree."""
    name = str(dataset.name).rpartition("/")[2]
    text = unit_attribute(dataset.attrs)
    stated = None if text is None else spectral_unit(text)
    named = None
    try:
        quantity, named = quantity_and_unit(name, path)
    except InputError:
        quantity = None
    remedy = "give one of angstrom, nm, m, ev, kev, j"
    if given is not None:
        unit = spectral_unit(given)
        if unit is None:
            raise InputError(f"the unit '{given}'", source=path,
                             field="beam.spectrum.channels_unit", remedy=remedy)  # fmt: skip
        if stated is None or _same(stated, unit):
            return unit, ()
        said = f"{name} is taken in {unit.name} as asked for; the file says {stated.name}"
        return unit, (Note("warning", path, said),)
    unit = stated if text is not None else named
    if unit is None:
        raise InputError(
            f"{dataset.name} says no unit that is known ({(text or '')[:20]!r})",
            source=path,
            field="beam.spectrum.channels_unit",
            remedy=remedy,
        )
    if (named is not None and not _same(named, unit)) or quantity not in (None, unit.quantity):
        raise InputError(
            f"the name {name} and its unit {unit.name} contradict one another",
            source=path,
            field="beam.spectrum.channels_unit",
            remedy=remedy,
        )
    return unit, ()


def _same(first: SpectralUnit, second: SpectralUnit) -> bool:
    return first.quantity == second.quantity and first.factor == second.factor
