"""What one export is, as plain data, and the work of one of its units: module-level, idempotent.

A unit of a format of one file a frame is that frame; of NXmx, one data file; of Zarr 2, a
frame. Doing a unit twice writes the same file twice, each time whole.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import DamageError
from distbragg.graph.work import TaskSettings
from distbragg.run.frame_header import frame_geometry, frame_header, masked_pixels
from distbragg.run.series import Place, parse_frames, places, series_of, stem
from distbragg.spec.canonical import canonical_json
from distbragg.store.layout import IMAGES
from distbragg.store.open import open_stack
from distbragg.store.run_directory import RunDirectory, open_run

if TYPE_CHECKING:
    import xarray as xr

ExportFormat = Literal["smv", "cbf", "nxmx", "tiff", "png", "npy", "zarr2", "expt"]
FORMATS: Final[tuple[ExportFormat, ...]] = get_args(ExportFormat)

BY_SERIES: Final = ("nxmx", "expt")
"""Formats whose files are of a series rather than of a frame."""

FRAMES_PER_FILE: Final = 100
DATA_FILE_BYTES: Final = 1 << 28
"""Most bytes of pixels in one NXmx data file, before compression."""


@dataclass(frozen=True, slots=True)
class ExportJob:
    """One export.

    Attributes
    ----------
    run, out : str
        Absolute paths: the run, the folder of the files.
    format : {"smv", "cbf", "nxmx", "tiff", "png", "npy", "zarr2", "expt"}
    prefix : str
        What file names begin with.
    frames : str
        Selection; empty for all.
    scale : float
        Counts per photon of SMV and CBF.
    adc_offset : int
        Added to every count of SMV.
    compression : {"bitshuffle", "gzip", "none"}
        Of NXmx.
    """

    run: str
    out: str
    format: ExportFormat
    prefix: str
    frames: str = ""
    scale: float = 1.0
    adc_offset: int = 40
    compression: Literal["bitshuffle", "gzip", "none"] = "gzip"

    def identity(self) -> dict[str, Any]:
        """Return what decides the content of the files, whichever frames are asked for.

        The data files of NXmx hold many frames, and an experiment list describes many, so there
        the selection belongs to it.
        """
        plain = asdict(self)
        for place in ("run", "out"):
            del plain[place]
        if self.format not in BY_SERIES:
            del plain["frames"], plain["compression"]
        return {**plain, "run_id": open_run(self.run).run_id}

    def fingerprint(self) -> str:
        """SHA-256 of the identity, hex."""
        return hashlib.sha256(canonical_json(self.identity()).encode()).hexdigest()


@dataclass(frozen=True)
class Contents:
    """What an export holds: the frames that are there, their series, blocks and places.

    Attributes
    ----------
    frames : tuple of int
        Asked for and in the stack.
    missing : int
        Asked for and not in the stack.
    series : tuple of tuple of int
    place : dict of int to Place
    blocks : tuple of (int, tuple of int)
        Data files of NXmx: number of the series, frames.
    """

    frames: tuple[int, ...]
    missing: int
    series: tuple[tuple[int, ...], ...]
    place: dict[int, Place]
    blocks: tuple[tuple[int, tuple[int, ...]], ...]


@lru_cache(maxsize=4)
def stack_of(run: str) -> xr.Dataset:
    """Open a stack once in each process."""
    return open_stack(run)


@lru_cache(maxsize=4)
def contents_of(job: ExportJob) -> Contents:
    """Work out what an export holds.

    Frame files are named by their place in the whole run, so that exports of parts of it meet
    in one folder; the data files of NXmx by the selection.

    Raises
    ------
    InputError
        The selection is none.
    """
    directory = open_run(job.run)
    asked = parse_frames(job.frames, directory.layout.frames)
    rendered = np.asarray(stack_of(job.run)["rendered"].values).reshape(-1)
    frames = tuple(frame for frame in asked if rendered[frame])
    named = frames if job.format in BY_SERIES else tuple(range(directory.layout.frames))
    series = series_of(directory.sweep, named)
    size = frames_per_file(directory)
    blocks = tuple(
        (number, members[start : start + size])
        for number, members in enumerate(series)
        for start in range(0, len(members), size)
    )
    return Contents(frames, len(asked) - len(frames), series, places(series), blocks)


def frames_per_file(run: RunDirectory) -> int:
    """Frames in a data file of NXmx."""
    layout = run.layout
    size = layout.panels * layout.shape[0] * layout.shape[1] * np.dtype(layout.dtype).itemsize
    return max(1, min(FRAMES_PER_FILE, DATA_FILE_BYTES // size))


def image_of(run: str, frame: int) -> NDArray[Any]:
    """Read one frame from the stack: (panels, slow, fast), number type kept."""
    layout = open_run(run).layout
    try:
        image = stack_of(run)[IMAGES].isel(_position(run, frame)).values
    except (ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise DamageError(f"{run}: frame {frame} cannot be read ({reason})") from error
    return np.asarray(image).reshape(layout.panels, *layout.shape)


def _position(run: str, frame: int) -> dict[str, int]:
    position: dict[str, int] = open_run(run).sweep.frame_index(frame)
    return position


def frame_path(job: ExportJob, frame: int, panel: int, suffix: str) -> Path:
    """Path of the file of one frame and panel."""
    contents = contents_of(job)
    name = stem(job.prefix, contents.place[frame], len(contents.series))
    if open_run(job.run).layout.panels > 1:
        name += f"_p{panel:03d}"
    return Path(job.out) / f"{name}{suffix}"


def data_path(job: ExportJob, block: int) -> Path:
    """Path of a data file of NXmx: numbered within its series, from 1."""
    contents = contents_of(job)
    number = contents.blocks[block][0]
    first = next(i for i, (other, _) in enumerate(contents.blocks) if other == number)
    name = series_name(job, number)
    return Path(job.out) / f"{name}_{block - first + 1:06d}.h5"


def series_name(job: ExportJob, number: int) -> str:
    """Name of a series: the prefix, with its number where there are several."""
    several = len(contents_of(job).series) > 1
    return f"{job.prefix}_{number + 1}" if several else job.prefix


def zarr2_path(job: ExportJob) -> Path:
    """Path of the Zarr 2 copy."""
    return Path(job.out) / f"{job.prefix}.zarr"


def export_unit(
    job: ExportJob, run: str, unit: int, attempt: int, settings: TaskSettings
) -> dict[str, Any]:
    """Write one unit unless it is there, whole and with the same header; return its receipt.

    Parameters
    ----------
    job : ExportJob
    run : str
        Path of the run.
    unit : int
        The frame, or the block of NXmx.
    attempt : int
    settings : TaskSettings
        Not used: one thread writes a file.

    Returns
    -------
    dict
        `written` and `skipped` files, `outside`: pixels beyond the range of the format.
    """
    del attempt, settings
    if job.format == "nxmx":
        return _export_block(job, run, unit)
    if job.format == "zarr2":
        return _export_zarr2(job, run, unit)
    return _export_files(job, run, unit)


def _export_files(job: ExportJob, run: str, frame: int) -> dict[str, Any]:
    from distbragg.export.frame_files import FRAME_FORMATS, FileSettings, Pixels

    directory = open_run(run)
    form, settings = FRAME_FORMATS[job.format], FileSettings(job.scale, job.adc_offset)
    header, dtype = frame_header(directory, frame), np.dtype(directory.layout.dtype)
    panels = range(directory.layout.panels)
    paths = {panel: frame_path(job, frame, panel, form.suffix) for panel in panels}
    todo = [p for p in panels if not form.is_whole(paths[p], header, p, settings, dtype)]
    outside = 0
    if todo:
        image, plates = image_of(run, frame), frame_geometry(directory, frame)[1].detector.panels
        for panel in todo:
            slow, fast = header.panels[panel].shape
            own = np.ascontiguousarray(image[panel, :slow, :fast])
            pixels = Pixels(own, masked_pixels(plates[panel]))
            outside += form.write(paths[panel], pixels, header, panel, settings)
    return {"written": len(todo), "skipped": len(panels) - len(todo), "outside": outside}


def _export_block(job: ExportJob, run: str, block: int) -> dict[str, Any]:
    from distbragg.export.nxmx import is_whole_data_file, write_data_file

    layout = open_run(run).layout
    frames = contents_of(job).blocks[block][1]
    shape = (len(frames), layout.panels * layout.shape[0], layout.shape[1])
    path, identity = data_path(job, block), f"{job.fingerprint()}-{block}"
    if is_whole_data_file(path, shape, identity):
        return {"written": 0, "skipped": 1, "outside": 0}
    outside = write_data_file(
        path,
        _images(run, frames),
        shape,
        np.dtype(layout.dtype),
        counts=frame_header(open_run(run), frames[0]).counts,
        compression=job.compression,
        identity=identity,
    )
    return {"written": 1, "skipped": 0, "outside": outside}


def _images(run: str, frames: tuple[int, ...]) -> Iterator[NDArray[Any]]:
    return (image_of(run, frame) for frame in frames)


def _export_zarr2(job: ExportJob, run: str, frame: int) -> dict[str, Any]:
    from distbragg.export.zarr2 import is_whole_zarr2_frame, write_zarr2_frame

    path, position = zarr2_path(job), _position(run, frame)
    index = tuple(position[name] for name, _ in open_run(run).layout.dims)
    if is_whole_zarr2_frame(path, index):
        return {"written": 0, "skipped": 1, "outside": 0}
    image = image_of(run, frame)
    write_zarr2_frame(path, index, image[0] if image.shape[0] == 1 else image)
    return {"written": 1, "skipped": 0, "outside": 0}
