"""Spectra of single shots: one row of an array in an HDF5 or NetCDF-4 file, or in a Zarr store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.read import spectrum
from distbragg.read.hdf5 import DAMAGE, Attributes, open_hdf5, open_member, stored_values
from distbragg.read.text import Reading
from distbragg.read.units import SpectralUnit, spectral_unit, unit_attribute

MAXIMUM_CHANNELS: Final = 1_000_000

_MISSING: Final = ("_FillValue", "missing_value")
_PACKING: Final = ("scale_factor", "add_offset", *_MISSING)


def read_shot(
    path: str, shot: int | None, *, weights: str, channels: str, unit: str | None = None
) -> spectrum.Spectrum:
    """Read the spectrum of one shot.

    `shot` is a row, from 0, of the array `weights` (shots, channels), or (channels,) of a single
    shot; None takes the first, and a note says so. `channels` names the wavelengths or photon
    energies, (channels,) or (shots, channels), in `unit`, else in that of the `units` attribute
    or of the name (`energy_kev`).
    """
    file = Reading(path)
    with _open_arrays(file, weights, channels) as (array, axis):
        for each in (array, axis):
            if not 0 < each.shape[-1] <= MAXIMUM_CHANNELS:
                raise file.refusal(f"{each.name!r} has {each.shape[-1]} channels")
        found = _unit_of(axis, unit, file)
        if shot is None and array.ndim > 1 and array.shape[0] > 1:
            file.notes.append(spectrum.first_of_many(path, array.shape[0]))
        weight, values = (_unpacked(each, _row(each, shot or 0, file), file)
                          for each in (array, axis))  # fmt: skip
    if values.shape != weight.shape:
        raise file.refusal(f"{channels} has {values.size} channels, {weights} has {weight.size}")
    if not (np.isfinite(values).all() and (values > 0.0).all()):
        raise file.refusal(f"{channels} holds values that are not positive numbers")
    weight, more = spectrum.usable_weights(weight, path, f"{weights} in shot {shot or 0}")
    return spectrum.Spectrum(found.angstroms(values.tolist()), weight, (*file.notes, *more))


@contextmanager
def _open_arrays(file: Reading, *names: str) -> Iterator[list[Any]]:
    """Open arrays of a file of HDF5 or of a Zarr store."""
    if not file.path.lower().endswith(spectrum.ZARR_SUFFIXES):
        with open_hdf5(file.path) as stored:
            yield [_dataset(stored, name, file) for name in names]
        return
    from distbragg.read.zarr_array import open_zarr_array

    try:
        yield [open_zarr_array(file.path, name) for name in names]
    except DAMAGE as error:
        text = " ".join(str(error).split())[:200]
        raise file.refusal(f"cannot be read as Zarr ({text})") from None


def _unpacked(dataset: Any, row: NDArray[np.float64], file: Reading) -> NDArray[np.float64]:  # noqa: ANN401
    """Unpack values as CF packs them, scale_factor · stored + add_offset; missing ones are NaN."""
    found, attributes = {}, _attributes(dataset)
    for name in _PACKING:
        value = np.asarray(attributes.get(name, ()))
        if value.size == 1 and value.dtype.kind in "iuf":
            found[name] = float(value.reshape(-1)[0])
        elif name in attributes and name in ("scale_factor", "add_offset"):
            raise file.refusal(f"{name} of {dataset.name} is not a number")
    missing = np.isin(row, [found[name] for name in _MISSING if name in found])
    values = row * found.get("scale_factor", 1.0) + found.get("add_offset", 0.0)
    return np.where(missing, np.nan, values)


def _attributes(array: Any) -> Any:  # noqa: ANN401
    return Attributes(array) if isinstance(array, h5py.Dataset) else array.attrs


def _dataset(stored: h5py.File, name: str, file: Reading) -> Any:  # noqa: ANN401
    node = open_member(stored, f"/{name}", file.path)
    if node is None:
        known = ", ".join(_names(stored)) or "none"
        raise file.refusal(f"there is no dataset {name!r}", f"there are {known}")
    if not isinstance(node, h5py.Dataset):
        raise file.refusal(f"{name!r} is not a dataset")
    if node.dtype.kind not in "fiu" or node.ndim not in (1, 2):
        raise file.refusal(f"{name!r} is not an array of numbers in one or two dimensions")
    return node


def _names(stored: h5py.File) -> list[str]:
    found: list[str] = []

    def visit(name: str, node: object) -> bool | None:
        if isinstance(node, h5py.Dataset):
            found.append(name)
        return True if len(found) >= 10 else None

    stored.visititems(visit)
    return found


def _row(dataset: Any, shot: int, file: Reading) -> NDArray[np.float64]:  # noqa: ANN401
    if dataset.ndim > 1 and not 0 <= shot < dataset.shape[0]:
        problem = f"there is no shot {shot}; {dataset.name} has {dataset.shape[0]}"
        raise file.refusal(problem, field="beam.spectrum.shot")
    row = None if dataset.ndim == 1 else shot
    if isinstance(dataset, h5py.Dataset):
        return stored_values(dataset, file.path, row).astype(np.float64)
    return np.asarray(dataset[... if row is None else row], dtype=np.float64)


def _unit_of(dataset: Any, given: str | None, file: Reading) -> SpectralUnit:  # noqa: ANN401
    """Return the unit of an axis: as given, of its attribute, or of its name, which must agree."""
    name = str(dataset.name).rpartition("/")[2]
    text = unit_attribute(_attributes(dataset))
    stated = None if text is None else spectral_unit(text)
    quantity = named = None
    with suppress(InputError):
        quantity, named = spectrum.quantity_and_unit(name, file)
    problem = ""
    if given is not None:
        unit = spectral_unit(given)
        if unit is None:
            problem = f"the unit '{given}'"
        elif stated is not None and stated != unit:
            said = f"as asked for; the file says {stated.name}"
            file.warn(f"{name} is taken in {unit.name} {said}")
    else:
        unit = stated if text is not None else named
        if unit is None:
            problem = f"{dataset.name} has no known unit ({(text or '')[:20]!r})"
        elif (named and named != unit) or quantity not in (None, unit.quantity):
            problem = f"the name {name} and its unit {unit.name} contradict one another"
    if unit is None or problem:
        remedy = "give one of angstrom, nm, m, ev, kev, j"
        raise file.refusal(problem, remedy, "beam.spectrum.channels_unit")
    return unit
