"""The spectrum of a frame: lists, a table, or a shot of a file of many."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from distbragg.errors import InputError
from distbragg.read.spectrum import SHOT_SUFFIXES, ZARR_SUFFIXES, Spectrum, read_spectrum
from distbragg.spec.beam import BeamSpec, SpectrumSpec
from distbragg.units import energy_ev_to_wavelength_angstrom


def resolve_spectrum(spec: SpectrumSpec) -> Spectrum | None:
    """Return the wavelengths and weights of a spectrum; None where it names the shot alone.

    A shot alone is one of the geometry file (`file_geometry.geometry_of`).

    Raises
    ------
    InputError
        A file that cannot be read, or fields that do not go with it.
    """
    if spec.file is not None:
        return _of_file(spec, spec.file)
    if spec.wavelengths_angstrom is None and spec.energies_ev is None:
        return None
    if spec.wavelengths_angstrom is not None:
        lambdas = list(spec.wavelengths_angstrom)
    else:
        lambdas = [energy_ev_to_wavelength_angstrom(e) for e in spec.energies_ev or ()]
    weights = [1.0] * len(lambdas) if spec.weights is None else list(spec.weights)
    if len(weights) != len(lambdas) or not lambdas:
        raise InputError(
            f"{len(lambdas)} lines but {len(weights)} weights",
            field="beam.spectrum.weights",
            remedy="give one weight a line",
        )
    return Spectrum(np.array(lambdas, dtype=np.float64), np.array(weights, dtype=np.float64))


def takes_file_spectrum(spec: BeamSpec) -> bool:
    """Whether the wavelengths are those of the geometry file, where it has a spectrum."""
    if spec.source_file is not None:
        return False
    if spec.spectrum is not None:
        return spec.spectrum.of_geometry_file
    given = (spec.wavelength_angstrom, spec.energy_ev)
    return given == (None, None) and not spec.dispersion.asked_for


def spectrum_of(spec: BeamSpec, of_file: Spectrum | None) -> Spectrum | None:
    """Return the spectrum of a beam: the specification's, else the geometry file's, or None."""
    if takes_file_spectrum(spec):
        return of_file
    return None if spec.spectrum is None else resolve_spectrum(spec.spectrum)


def _of_file(spec: SpectrumSpec, path: str) -> Spectrum:
    """Read a table, or one shot of a file of many; a file that stays as it is, once."""
    many = path.lower().endswith(SHOT_SUFFIXES)
    for name in ("shot", "weights_dataset", "channels_dataset", "channels_unit"):
        if not many and getattr(spec, name) is not None:
            raise InputError(
                "goes with a file of many shots",
                field=f"beam.spectrum.{name}",
                remedy=f"its name ends with {', '.join(SHOT_SUFFIXES)}",
            )
    try:
        status = Path(path).stat()
        identity = (status.st_size, status.st_mtime_ns, status.st_ino)
    except (OSError, ValueError):
        identity = (0, 0, 0)
    if path.lower().endswith(ZARR_SUFFIXES):
        return _shot_of(spec, path)  # A folder does not show that its files change.
    return _remembered(spec, path, identity)


@lru_cache(maxsize=8)
def _remembered(spec: SpectrumSpec, path: str, _identity: tuple[int, int, int]) -> Spectrum:
    return _shot_of(spec, path) if path.lower().endswith(SHOT_SUFFIXES) else read_spectrum(path)


def _shot_of(spec: SpectrumSpec, path: str) -> Spectrum:
    # Loaded here: few experiments need h5py.
    if spec.weights_dataset is None and spec.channels_dataset is None and not _is_zarr(path):
        from distbragg.read.geometry.nexus_beam import read_nexus_beam

        return read_nexus_beam(path, spec.shot).as_spectrum(path)
    if spec.weights_dataset is None or spec.channels_dataset is None:
        raise InputError(
            "a file of many shots needs weights_dataset and channels_dataset",
            source=path,
            field="beam.spectrum",
            remedy="name the two arrays in it",
        )
    from distbragg.read.shots import read_shot

    return read_shot(
        path,
        spec.shot,
        weights=spec.weights_dataset,
        channels=spec.channels_dataset,
        unit=spec.channels_unit,
    )


def _is_zarr(path: str) -> bool:
    return path.lower().endswith(ZARR_SUFFIXES)
