"""Spectra of single shots: one row of an array in an HDF5 or NetCDF-4 file, or in a Zarr store."""

from __future__ import annotations

import zipfile
import zlib
from typing import Any, Final, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.read.heaps import check_heaps
from distbragg.read.spectrum import ZARR_SUFFIXES
from distbragg.read.zarr_array import ZarrArray, open_place, open_zarr_array
from distbragg.units import energy_ev_to_wavelength_angstrom, metres_to_angstrom

MAXIMUM_CHANNELS: Final = 1_000_000

AxisUnit = Literal["angstrom", "m", "ev", "kev"]

_UNITS: Final[dict[str, AxisUnit]] = {
    "angstrom": "angstrom",
    "angstroms": "angstrom",
    "å": "angstrom",
    "m": "m",
    "ev": "ev",
    "kev": "kev",
}

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

Spectrum = tuple[NDArray[np.float64], NDArray[np.float64]]


def read_shot(
    path: str, shot: int, *, weights: str, channels: str, unit: AxisUnit | None = None
) -> Spectrum:
    """Read the spectrum of one shot.

    Parameters
    ----------
    path : str
    shot : int
        Row of the array of weights, from 0.
    weights : str
        Dataset (shots, channels), or (channels,) for a single shot.
    channels : str
        Dataset of wavelengths or photon energies, (channels,) or (shots, channels).
    unit : {"angstrom", "m", "ev", "kev"}, optional
        Of `channels`; its `units` attribute where not given.

    Returns
    -------
    wavelength : (channels,) float64, Å
    weight : (channels,) float64
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
        weight, values, found = read(path, shot, weights, channels, unit)
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
    if not np.isfinite(weight).all():
        raise InputError(f"{weights} is not finite in shot {shot}", source=path)
    weight = np.maximum(weight, 0.0)
    if not weight.any():
        raise InputError(f"{weights} has no positive weight in shot {shot}", source=path)
    return _wavelengths(values, found), weight


def _read_hdf5(
    path: str, shot: int, weights: str, channels: str, unit: AxisUnit | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], AxisUnit]:
    check_heaps(path)
    with h5py.File(path, "r", locking=False) as file:
        weight = _row(_dataset(file, weights, path), shot, path)
        axis = _dataset(file, channels, path)
        return weight, _row(axis, shot, path), unit or _unit_of(axis, path)


def _read_zarr(
    path: str, shot: int, weights: str, channels: str, unit: AxisUnit | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], AxisUnit]:
    place = open_place(path)
    weight = _row(_few_channels(open_zarr_array(place, weights, path), path), shot, path)
    axis = _few_channels(open_zarr_array(place, channels, path), path)
    return weight, _row(axis, shot, path), unit or _unit_of(axis, path)


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


def _unit_of(dataset: Any, path: str) -> AxisUnit:  # noqa: ANN401
    text = dataset.attrs.get("units", "")
    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    found = _UNITS.get(text.strip().lower())
    if found is None:
        raise InputError(
            f"{dataset.name} says no unit that is known ({text[:20]!r})",
            source=path,
            field="beam.spectrum.channels_unit",
            remedy=f"give one of {', '.join(sorted(set(_UNITS.values())))}",
        )
    return found


def _wavelengths(values: NDArray[np.float64], unit: AxisUnit) -> NDArray[np.float64]:
    if unit == "angstrom":
        return values
    if unit == "m":
        return np.array([metres_to_angstrom(value) for value in values.tolist()])
    factor = 1000.0 if unit == "kev" else 1.0
    return np.array([energy_ev_to_wavelength_angstrom(value * factor) for value in values.tolist()])
