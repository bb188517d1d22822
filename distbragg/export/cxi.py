"""CXI files as CrystFEL and Cheetah have them: modules as stored, energies and peaks by frame.

Panels stand one below the other; the geometry file beside them says where each is.
Definition: cxidb.org, version 1.6; peaks as Cheetah writes them, the first pixel's centre at 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from distbragg.constants import JOULES_PER_EV
from distbragg.export.crystfel import DATA, DISTANCE, ENERGY, MASK, PEAKS
from distbragg.export.header import FrameHeader
from distbragg.export.spots import Columns
from distbragg.store.files import durable_path
from distbragg.units import wavelength_angstrom_to_energy_ev

_VERSION: Final = 160
_CENTRE: Final = 0.5
_MM_PER_M: Final = 1e3


def write_cxi(
    path: str | Path,
    frames: Iterator[NDArray[Any]],
    header: FrameHeader,
    wavelengths: Sequence[float],
    mask: NDArray[np.uint32],
    *,
    distances: Sequence[float],
    peaks: Sequence[Columns],
    dtype: np.dtype[Any],
    compression: Mapping[str, Any],
    identity: str,
) -> None:
    """Write frames of one geometry but for its distance, one chunk each.

    Each frame is (panels, slow, fast) in the stack's number type `dtype`. The header is of the
    first; `wavelengths` (frames,) are in Å, `distances` (frames,) in mm. `mask` (panels · slow,
    fast) has bits of pixels without signal. `peaks` are the true spots of each frame; an empty
    sequence where the run keeps none.
    """
    rows = mask.shape[0] // len(header.panels)
    with durable_path(Path(path)) as temporary, h5py.File(temporary, "w") as file:
        file["cxi_version"] = _VERSION
        data = file.create_dataset(
            DATA, (len(wavelengths), *mask.shape), dtype, chunks=(1, *mask.shape), **compression
        )
        data.attrs["axes"] = "experiment_identifier:y:x"
        for index, frame in enumerate(frames):
            data[index] = frame.reshape(mask.shape)
        file.create_dataset(MASK, data=mask.astype(np.uint16), compression="gzip")
        energies = np.array([wavelength_angstrom_to_energy_ev(one) for one in wavelengths])
        file[ENERGY] = energies
        instrument = file.create_group("entry_1/instrument_1")
        instrument["source_1/energy"] = energies * JOULES_PER_EV
        detector = instrument.create_group("detector_1")
        detector["data"], detector["mask"] = h5py.SoftLink(DATA), h5py.SoftLink(MASK)
        file[DISTANCE] = np.asarray(distances) / _MM_PER_M
        for name in ("x_pixel_size", "y_pixel_size"):
            detector[name] = header.panels[0].pixel_size / _MM_PER_M
        file["entry_1/experiment_identifier"] = np.arange(len(wavelengths))
        if peaks:
            _write_peaks(file, peaks, rows)
        file.attrs["distbragg_identity"] = identity


def _write_peaks(file: h5py.File, peaks: Sequence[Columns], rows: int) -> None:
    counts = np.array([len(spots["photons"]) for spots in peaks])
    group = file.create_group(PEAKS)
    group["nPeaks"] = counts
    shape = (len(peaks), max(1, int(counts.max())))
    names = ("peakXPosRaw", "peakYPosRaw", "peakTotalIntensity")
    found = {name: np.zeros(shape, dtype=np.float32) for name in names}
    for index, (spots, count) in enumerate(zip(peaks, counts, strict=True)):
        found["peakXPosRaw"][index, :count] = spots["fast"] - _CENTRE
        found["peakYPosRaw"][index, :count] = spots["slow"] + spots["panel"] * rows - _CENTRE
        found["peakTotalIntensity"][index, :count] = spots["photons"]
    for name, values in found.items():
        group[name] = values
