"""NXmx: a NeXus master file over data files of many frames each, read by DIALS, XDS, nxmx.

Panels stand one below the other in the stored images, each a detector module with its own
origin and axes; one smaller than the largest fills the first rows and columns of its place.
NeXus's frame (McStas) has the beam along +z: imgCIF's with x and z reversed.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from distbragg.errors import EnvironmentFailure
from distbragg.export.header import COUNT_CUTOFF, FrameHeader, PanelHeader, Triple, whole_counts

Compression = Literal["bitshuffle", "gzip", "none"]

DATA: Final = "/entry/data/data"
_TO_MCSTAS: Final = np.array([-1.0, 1.0, -1.0])
_GZIP_LEVEL: Final = 4
SURFACE_M: Final = 1e-9
"""Sensor thickness written where none absorbs, m: DIALS refuses one of no thickness, and a
nanometre displaces no spot."""

_TRANSFORM: Final = "/entry/sample/transformations/omega"
_DETECTOR: Final = "/entry/instrument/detector"


@dataclass(frozen=True, slots=True)
class DataFile:
    """A data file as the master links it: name beside the master, and frames."""

    name: str
    frames: int


def best_compression() -> Compression:
    """Bitshuffle with LZ4 where hdf5plugin is installed, else gzip."""
    try:
        import hdf5plugin  # noqa: F401
    except ImportError:
        return "gzip"
    return "bitshuffle"


def stored_dtype(counts: bool, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return int32 for counts, else the stack's own type."""
    return np.dtype(np.int32) if counts else dtype


def _filters(compression: Compression) -> Mapping[str, Any]:
    if compression == "none":
        return {}
    if compression == "gzip":
        return {"compression": "gzip", "compression_opts": _GZIP_LEVEL, "shuffle": True}
    try:
        import hdf5plugin
    except ImportError:
        raise EnvironmentFailure(
            "bitshuffle needs hdf5plugin: pip install 'distbragg[export]', or --compression gzip"
        ) from None
    filters: Mapping[str, Any] = hdf5plugin.Bitshuffle(cname="lz4")
    return filters


@contextlib.contextmanager
def _whole_file(path: Path) -> Iterator[h5py.File]:
    """Yield a file under a temporary name that is renamed when all went well."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        with h5py.File(temporary, "w") as file:
            yield file
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_data_file(
    path: str | Path,
    frames: Iterator[NDArray[Any]],
    shape: tuple[int, int, int],
    dtype: np.dtype[Any],
    *,
    counts: bool,
    compression: Compression,
    identity: str,
) -> int:
    """Write a data file, one chunk a frame, or nothing.

    Parameters
    ----------
    path : path
    frames : iterator of (panels, slow, fast) arrays, photons
    shape : (int, int, int)
        Frames, panels · slow, fast.
    dtype : dtype
        Of the stack.
    counts : bool
        Store whole counts as int32, held within 0 and `COUNT_CUTOFF`; else pixels as they are.
    compression : {"bitshuffle", "gzip", "none"}
    identity : str
        What the file was made from, to know it again.

    Returns
    -------
    int
        Pixels out of range.
    """
    outside = 0
    stored = stored_dtype(counts, dtype)
    with _whole_file(Path(path)) as file:
        entry = _group(file, "entry", "NXentry")
        data = _group(entry, "data", "NXdata", signal="data")
        dataset = data.create_dataset(
            "data", shape=shape, dtype=stored, chunks=(1, *shape[1:]), **_filters(compression)
        )
        for index, frame in enumerate(frames):
            image = frame.reshape(shape[1:])
            if counts:
                image, clipped = whole_counts(image)
                outside += clipped
            dataset[index] = image.astype(stored, copy=False)
        file.attrs["distbragg_identity"] = identity
    return outside


def is_whole_data_file(path: Path, shape: tuple[int, int, int], identity: str) -> bool:
    """Whether a data file of this identity and shape is there; a cut one does not open."""
    try:
        with h5py.File(path, "r") as file:
            same = file.attrs.get("distbragg_identity") == identity
            return bool(same and file[DATA].shape == shape)
    except (OSError, KeyError):
        return False


def write_master(
    path: str | Path,
    files: Sequence[DataFile],
    headers: FrameHeader,
    phi: NDArray[np.float64],
    mask: NDArray[np.bool_],
    *,
    dtype: np.dtype[Any],
    program: str,
) -> None:
    """Write the master file over `files`.

    Parameters
    ----------
    path : path
    files : sequence of DataFile
    headers : FrameHeader
        Of the first frame; all share its geometry.
    phi : (frames,) float64, degrees
        Start angles.
    mask : (panels · slow, fast) bool
        Pixels without signal: outside the region of interest, or masked.
    dtype : dtype
        Of the stack.
    program : str
        Name and version of what wrote the file.
    """
    with _whole_file(Path(path)) as file:
        file.attrs["default"] = "entry"
        file.attrs["NX_class"] = "NXroot"
        entry = _group(file, "entry", "NXentry", default="data")
        entry["definition"] = "NXmx"
        entry["definition"].attrs["version"] = "1.0"
        entry["start_time"] = f"{headers.date}Z"
        entry["end_time_estimated"] = f"{headers.date}Z"
        entry["title"] = headers.title
        entry["program_name"] = program
        _write_source(entry)
        _write_sample(entry, headers, phi)
        instrument = _write_instrument(entry, headers)
        _write_detector(instrument, headers, mask)
        _write_links(entry, files, mask.shape, stored_dtype(headers.counts, dtype))


def _write_source(entry: h5py.Group) -> None:
    source = _group(entry, "source", "NXsource")
    source["name"] = "distbragg simulation"
    source["name"].attrs["short_name"] = "simulation"


def _write_sample(entry: h5py.Group, header: FrameHeader, phi: NDArray[np.float64]) -> None:
    sample = _group(entry, "sample", "NXsample")
    sample["name"] = header.title or "simulated crystal"
    sample["depends_on"] = _TRANSFORM
    group = _group(sample, "transformations", "NXtransformations")
    _rotation(group, "omega", phi, _mcstas(header.spindle))
    group["omega_end"] = phi + header.oscillation
    group["omega_end"].attrs["units"] = "deg"
    group["omega_increment_set"] = np.full(phi.shape, header.oscillation)
    group["omega_increment_set"].attrs["units"] = "deg"


def _write_instrument(entry: h5py.Group, header: FrameHeader) -> h5py.Group:
    instrument = _group(entry, "instrument", "NXinstrument")
    instrument["name"] = "distbragg simulation"
    instrument["name"].attrs["short_name"] = "simulation"
    beam = _group(instrument, "beam", "NXbeam")
    beam["incident_wavelength"] = header.wavelength
    beam["incident_wavelength"].attrs["units"] = "angstrom"
    return instrument


def _write_detector(instrument: h5py.Group, header: FrameHeader, mask: NDArray[np.bool_]) -> None:
    first = header.panels[0]
    detector = _group(instrument, "detector", "NXdetector")
    detector["description"] = "simulated detector"
    detector["type"] = "PIXEL"
    detector["sensor_material"] = first.material
    _quantity(detector, "sensor_thickness", max(first.thickness * 1e-3, SURFACE_M), "m")
    _quantity(detector, "distance", first.distance * 1e-3, "m")
    _quantity(detector, "x_pixel_size", first.pixel_size * 1e-3, "m")
    _quantity(detector, "y_pixel_size", first.pixel_size * 1e-3, "m")
    _quantity(detector, "beam_center_x", first.beam[0], "pixel")
    _quantity(detector, "beam_center_y", first.beam[1], "pixel")
    _quantity(detector, "count_time", header.exposure, "s")
    _quantity(detector, "frame_time", header.exposure, "s")
    if header.counts:
        detector["saturation_value"] = COUNT_CUTOFF
        detector["underload_value"] = 0
        detector["bit_depth_readout"] = 32
        detector["bit_depth_image"] = 32
    if mask.any():
        detector.create_dataset(
            "pixel_mask", data=mask.astype(np.uint32), compression="gzip", shuffle=True
        )
        detector["pixel_mask_applied"] = True
    transformations = _group(detector, "transformations", "NXtransformations")
    # One still point all modules hang on: their own offsets say where they are.
    _translation(transformations, "base", 0.0, (0.0, 0.0, 1.0), ".")
    detector["depends_on"] = f"{_DETECTOR}/transformations/base"
    rows = mask.shape[0] // len(header.panels)
    for index, panel in enumerate(header.panels):
        _write_module(detector, f"module_{index:04d}", panel, index * rows)


def _write_module(detector: h5py.Group, name: str, panel: PanelHeader, row: int) -> None:
    module = _group(detector, name, "NXdetector_module")
    module["data_origin"] = np.array([row, 0], dtype=np.int64)
    module["data_size"] = np.array(panel.shape, dtype=np.int64)
    base = f"{_DETECTOR}/transformations/base"
    offset = np.asarray(_mcstas(panel.origin)) * 1e-3
    # The offset is a translation of length 0 with an offset vector, so that its place does not
    # depend on how a reader rounds a unit vector times a length.
    _translation(module, "module_offset", 0.0, (0.0, 0.0, 1.0), base)
    module["module_offset"].attrs["offset"] = offset
    module["module_offset"].attrs["offset_units"] = "m"
    depends = f"{_DETECTOR}/{name}/module_offset"
    pixel = panel.pixel_size * 1e-3
    for axis, vector in (("fast", panel.fast), ("slow", panel.slow)):
        key = f"{axis}_pixel_direction"
        _translation(module, key, pixel, _mcstas(vector), depends)
        module[key].attrs["offset"] = np.zeros(3)
        module[key].attrs["offset_units"] = "m"


def _write_links(
    entry: h5py.Group, files: Sequence[DataFile], shape: tuple[int, ...], dtype: np.dtype[Any]
) -> None:
    data = _group(entry, "data", "NXdata", signal="data")
    total = sum(item.frames for item in files)
    layout = h5py.VirtualLayout(shape=(total, *shape), dtype=dtype)
    start = 0
    for number, item in enumerate(files, start=1):
        source = h5py.VirtualSource(item.name, DATA, shape=(item.frames, *shape))
        layout[start : start + item.frames] = source
        data[f"data_{number:06d}"] = h5py.ExternalLink(item.name, DATA)
        start += item.frames
    data.create_virtual_dataset("data", layout)
    data["omega"] = h5py.SoftLink(_TRANSFORM)
    data.attrs["axes"] = ["omega", ".", "."]
    data.attrs["omega_indices"] = 0


def _rotation(
    group: h5py.Group, name: str, angles: NDArray[np.float64], axis: Sequence[float]
) -> None:
    dataset = group.create_dataset(name, data=angles)
    _describe_axis(dataset, "rotation", axis, "deg", ".")


def _translation(
    group: h5py.Group, name: str, length: float, axis: Sequence[float], depends_on: str
) -> None:
    dataset = group.create_dataset(name, data=np.array([length]))
    _describe_axis(dataset, "translation", axis, "m", depends_on)


def _describe_axis(
    dataset: h5py.Dataset, kind: str, vector: Sequence[float], units: str, depends_on: str
) -> None:
    dataset.attrs["transformation_type"] = kind
    dataset.attrs["vector"] = np.asarray(vector, dtype=np.float64)
    dataset.attrs["units"] = units
    dataset.attrs["depends_on"] = depends_on


def _quantity(group: h5py.Group, name: str, value: float, units: str) -> None:
    group[name] = value
    group[name].attrs["units"] = units


def _group(parent: h5py.Group, name: str, nx_class: str, **attrs: str) -> h5py.Group:
    group = parent.create_group(name)
    group.attrs["NX_class"] = nx_class
    for key, value in attrs.items():
        group.attrs[key] = value
    return group


def _mcstas(vector: Triple) -> tuple[float, ...]:
    return tuple((np.asarray(vector) * _TO_MCSTAS).tolist())
