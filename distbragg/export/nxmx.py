"""NXmx: a NeXus master file over data files of many frames each, read by DIALS, XDS, nxmx.

Panels stand one below the other in the stored images, each a detector module with its own
origin and axes; one smaller than the largest fills the first rows and columns of its place.
NeXus's frame (McStas) has the beam along +z: imgCIF's with x and z reversed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from distbragg.errors import EnvironmentFailure
from distbragg.export.beams import FrameBeam, write_beams
from distbragg.export.header import FrameHeader, PanelHeader
from distbragg.export.scaling import COUNT_CUTOFF, whole_counts
from distbragg.models.vectors import Vector
from distbragg.store.files import durable_path

Compression = Literal["bitshuffle", "gzip", "none"]

DATA: Final = "/entry/data/data"
_TO_MCSTAS: Final = np.array([-1.0, 1.0, -1.0])
_GZIP_LEVEL: Final = 4
SURFACE_M: Final = 1e-9
"""Sensor thickness written where none absorbs, m: DIALS refuses one of no thickness, and a
nanometre displaces no spot."""

_TRANSFORM: Final = "/entry/sample/transformations/omega"
_DETECTOR: Final = "/entry/instrument/detector"
_BASE: Final = f"{_DETECTOR}/transformations/base"
_DOWNSTREAM: Final = (0.0, 0.0, -1.0)  # along the beam, in the imgCIF frame


def best_compression() -> Compression:
    """Bitshuffle with LZ4 where hdf5plugin is installed, else gzip."""
    try:
        import hdf5plugin  # noqa: F401
    except ImportError:
        return "gzip"
    return "bitshuffle"


def hold_data(master: str | Path) -> None:
    """Put the pixels of a master's one data file into the master, as they are compressed."""
    with h5py.File(master, "r+") as file:
        data = file[str(Path(DATA).parent)]
        link = data.get("data_000001", getlink=True)
        del data["data"], data["data_000001"]
        with h5py.File(Path(master).parent / link.filename) as pixels:
            pixels.copy(DATA, data, "data")


def filters(compression: Compression) -> Mapping[str, Any]:
    """Return what h5py takes for a compression.

    Raises
    ------
    EnvironmentFailure
        hdf5plugin is asked for and missing.
    """
    if compression == "none":
        return {}
    if compression == "gzip":
        return {"compression": "gzip", "compression_opts": _GZIP_LEVEL, "shuffle": True}
    if best_compression() != compression:
        raise EnvironmentFailure(
            "bitshuffle needs hdf5plugin: pip install 'distbragg[export]', or --compression gzip"
        )
    import hdf5plugin

    filters: Mapping[str, Any] = hdf5plugin.Bitshuffle(cname="lz4")
    return filters


def write_data_file(
    path: str | Path,
    frames: Iterator[NDArray[Any]],
    shape: tuple[int, int, int],
    dtype: np.dtype[Any],
    *,
    counts: bool,
    compression: Compression,
    identity: str,
    lowest: int = 0,
) -> int:
    """Write a data file, one chunk a frame, or nothing; return how many pixels were out of range.

    Each frame is (panels, slow, fast) photons; `shape` is frames, panels · slow, fast. `counts` are
    stored as int32, held within `lowest` and `COUNT_CUTOFF`, other pixels as they are. `identity`
    says what the file was made from, to know it again.
    """
    outside = 0
    stored = np.dtype(np.int32) if counts else dtype
    with durable_path(Path(path)) as temporary, h5py.File(temporary, "w") as file:
        entry = _group(file, "entry", "NXentry")
        data = _group(entry, "data", "NXdata", signal="data")
        dataset = data.create_dataset(
            "data", shape=shape, dtype=stored, chunks=(1, *shape[1:]), **filters(compression)
        )
        for index, frame in enumerate(frames):
            image = frame.reshape(shape[1:])
            if counts:
                image, clipped = whole_counts(image, minimum=lowest)
                outside += clipped
            dataset[index] = image.astype(stored, copy=False)
        file.attrs["distbragg_identity"] = identity
    return outside


def is_whole_data_file(
    path: Path, shape: tuple[int, int, int], identity: str, *, data: str = DATA
) -> bool:
    """Whether a data file of this identity and shape is there; a cut one does not open.

    `data` names its pixels, which CXI keeps in another place.
    """
    try:
        with h5py.File(path, "r") as file:
            same = file.attrs.get("distbragg_identity") == identity
            return bool(same and file[data].shape == shape)
    except (OSError, KeyError):
        return False


def write_master(
    path: str | Path,
    files: Mapping[str, int],
    header: FrameHeader,
    phi: NDArray[np.float64],
    mask: NDArray[np.uint32],
    *,
    beams: Callable[[], Iterator[FrameBeam]],
    dtype: np.dtype[Any],
    program: str,
) -> None:
    """Write the master file over data files beside it, name → number of frames, in order.

    The header is of the first frame; all share its geometry, and `phi` (frames,) are their start
    angles in degrees. `mask` (panels · slow, fast) are NXmx's bits of pixels without signal, dead
    and hot ones; `beams` yields the beams of the frames; `dtype` is that of the stack, and
    `program` name and version of what wrote the file.
    """
    with durable_path(Path(path)) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update(default="entry", NX_class="NXroot")
        entry = _group(file, "entry", "NXentry", default="data")
        date = f"{header.date}Z"
        _put(entry, definition="NXmx", start_time=date, end_time_estimated=date)
        _put(entry, title=header.title, program_name=program)
        entry["definition"].attrs["version"] = "1.0"
        for name, kind in (("source", "NXsource"), ("instrument", "NXinstrument")):
            _put(_group(entry, name, kind), name="distbragg simulation")
            entry[f"{name}/name"].attrs["short_name"] = "simulation"
        instrument = entry["instrument"]
        write_beams(_group(instrument, "beam", "NXbeam"), beams)
        _write_sample(entry, header, phi)
        _write_detector(instrument, header, mask)
        _write_links(entry, files, mask.shape, np.dtype(np.int32) if header.counts else dtype)


def _write_sample(entry: h5py.Group, header: FrameHeader, phi: NDArray[np.float64]) -> None:
    sample = _group(entry, "sample", "NXsample")
    # Of a scan DIALS takes one beam for all frames, and of a still, whose axis does not move too.
    moves = header.oscillation != 0.0
    _put(sample, name=header.title or "simulated crystal", depends_on=_TRANSFORM if moves else ".")
    group = _group(sample, "transformations", "NXtransformations")
    _axis(group, "omega", phi, header.spindle, ".", units="deg", kind="rotation")
    step = header.oscillation
    _put(group, "deg", omega_end=phi + step, omega_increment_set=np.full(phi.shape, step))


def _write_detector(instrument: h5py.Group, header: FrameHeader, mask: NDArray[np.uint32]) -> None:
    first = header.panels[0]
    detector = _group(instrument, "detector", "NXdetector")
    _put(
        detector,
        description="simulated detector",
        type="PIXEL",
        sensor_material=first.material,
        depends_on=_BASE,
    )
    pixel = first.pixel_size * 1e-3
    thickness = max(first.thickness * 1e-3, SURFACE_M)
    _put(detector, "m", sensor_thickness=thickness, distance=first.distance * 1e-3)
    _put(detector, "m", x_pixel_size=pixel, y_pixel_size=pixel)
    _put(detector, "pixel", beam_center_x=first.beam[0], beam_center_y=first.beam[1])
    _put(detector, "s", count_time=header.exposure, frame_time=header.exposure)
    own = header.recording
    if own is not None:
        highest, lowest = min(own.highest, COUNT_CUTOFF), max(own.lowest, -COUNT_CUTOFF)
        _put(detector, saturation_value=int(highest), underload_value=int(lowest))
        text = f"{own.gain:.9g} {own.unit} a photon, offset {own.offset:.9g}"
        _put(detector, gain_setting=text)
    elif header.counts:
        _put(detector, saturation_value=COUNT_CUTOFF, underload_value=0)
    if header.counts:
        _put(detector, bit_depth_readout=32, bit_depth_image=32)
    if mask.any():
        detector.create_dataset(
            "pixel_mask", data=mask.astype(np.uint32), compression="gzip", shuffle=True
        )
        _put(detector, pixel_mask_applied=True)
    # One still point all modules hang on: their own offsets say where they are.
    transformations = _group(detector, "transformations", "NXtransformations")
    _axis(transformations, "base", [0.0], _DOWNSTREAM, ".")
    rows = mask.shape[0] // len(header.panels)
    for index, panel in enumerate(header.panels):
        _write_module(detector, f"module_{index:04d}", panel, index * rows)


def _write_module(detector: h5py.Group, name: str, panel: PanelHeader, row: int) -> None:
    module = _group(detector, name, "NXdetector_module")
    _put(module, data_origin=np.array([row, 0]), data_size=np.array(panel.shape))
    # The offset is a translation of length 0 with an offset vector, so that its place does not
    # depend on how a reader rounds a unit vector times a length.
    offset = np.asarray(_mcstas(panel.origin)) * 1e-3
    _axis(module, "module_offset", [0.0], _DOWNSTREAM, _BASE, offset=offset)
    place, pixel = f"{_DETECTOR}/{name}/module_offset", [panel.pixel_size * 1e-3]
    _axis(module, "fast_pixel_direction", pixel, panel.fast, place, offset=np.zeros(3))
    _axis(module, "slow_pixel_direction", pixel, panel.slow, place, offset=np.zeros(3))


def _write_links(
    entry: h5py.Group, files: Mapping[str, int], shape: tuple[int, ...], dtype: np.dtype[Any]
) -> None:
    data = _group(entry, "data", "NXdata", signal="data")
    layout = h5py.VirtualLayout(shape=(sum(files.values()), *shape), dtype=dtype)
    start = 0
    for number, (name, frames) in enumerate(files.items(), start=1):
        layout[start : start + frames] = h5py.VirtualSource(name, DATA, shape=(frames, *shape))
        data[f"data_{number:06d}"] = h5py.ExternalLink(name, DATA)
        start += frames
    data.create_virtual_dataset("data", layout)
    data["omega"] = h5py.SoftLink(_TRANSFORM)
    data.attrs["axes"] = ["omega", ".", "."]
    data.attrs["omega_indices"] = 0


def _axis(
    group: h5py.Group,
    name: str,
    values: ArrayLike,
    vector: Vector,
    depends_on: str,
    *,
    units: str = "m",
    kind: str = "translation",
    offset: NDArray[np.float64] | None = None,
) -> None:
    """Write an axis of a transformation; `vector` in the imgCIF frame."""
    _put(group, units, **{name: np.asarray(values, dtype=np.float64)})
    attrs = group[name].attrs
    attrs.update(transformation_type=kind, vector=_mcstas(vector), depends_on=depends_on)
    if offset is not None:
        attrs.update(offset=offset, offset_units="m")


def _put(group: h5py.Group, units: str = "", /, **values: Any) -> None:  # noqa: ANN401
    for name, value in values.items():
        group[name] = value
        if units:
            group[name].attrs["units"] = units


def _group(parent: h5py.Group, name: str, nx_class: str, **attrs: str) -> h5py.Group:
    group = parent.create_group(name)
    group.attrs.update(NX_class=nx_class, **attrs)
    return group


def _mcstas(vector: Vector) -> tuple[float, ...]:
    return tuple((np.asarray(vector) * _TO_MCSTAS).tolist())
