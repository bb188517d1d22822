"""What one export is, as plain data, the work of one of its units, and what comes last.

A unit of NXmx and CXI is one data file, of every other format one frame. Doing a unit twice
writes the same files twice, each time whole.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from distbragg._version import __version__
from distbragg.engine.context import RunContext
from distbragg.engine.work import TaskSettings
from distbragg.export.files import write_whole
from distbragg.run.frame_header import (
    beam_of_frame,
    blind_pixels,
    frame_crystals,
    frame_geometry,
    frame_header,
    frame_lattice,
    frame_phi,
    frame_truth,
)
from distbragg.run.frames import parse_frames, series_of, stem
from distbragg.spec.axis import label_items
from distbragg.spec.canonical import canonical_json
from distbragg.store.files import durable_path
from distbragg.store.layout import OVERLOADS
from distbragg.store.open import FrameReader, open_stack
from distbragg.store.spots import has_labels, labels_of

if TYPE_CHECKING:
    from distbragg.export.spots import Columns, TrueSpots

ExportFormat = Literal["smv", "cbf", "nxmx", "tiff", "png", "npy", "zarr2", "expt", "cxi"]
FORMATS: Final[tuple[ExportFormat, ...]] = get_args(ExportFormat)

BY_SERIES: Final = ("nxmx", "expt", "cxi")  # files are of a series rather than of a frame
IN_BLOCKS: Final = ("nxmx", "cxi")  # formats that keep many frames in a data file
FRAMES_PER_FILE: Final = 100
DATA_FILE_BYTES: Final = 1 << 28  # most bytes of pixels in one NXmx data file, before compression
TABLE: Final = "frames.csv"


@dataclass(frozen=True, slots=True)
class ExportJob:
    """One export; see `export_run` for what is not told here."""

    run: RunContext
    out: str  # absolute path of the folder of the files
    format: ExportFormat
    prefix: str
    asked: str  # selection of frames as given; empty: all
    frames: str
    """Those that were in the stack when the export began, as a selection: a run that grows
    meanwhile does not change what its units hold."""
    scale: float
    adc_offset: int
    compression: Literal["bitshuffle", "gzip", "none"]

    def identity(self) -> dict[str, Any]:
        """Return what decides the content of the files, whichever frames are there."""
        # Their files hold or describe many frames.
        several = {"frames": self.asked, "compression": self.compression}
        return {
            "run_id": self.run.run_id,
            "format": self.format,
            "prefix": self.prefix,
            "scale": self.scale,
            "adc_offset": self.adc_offset,
            **(several if self.format in BY_SERIES else {}),
        }

    def fingerprint(self, frames: tuple[int, ...]) -> str:
        """SHA-256 of what decides the content of a file of these frames, hex."""
        content = {**self.identity(), "members": list(frames)}
        return hashlib.sha256(canonical_json(content).encode()).hexdigest()

    @property
    def contents(self) -> Contents:
        """What the export holds, worked out once in each process."""
        return self.run.kept(self, lambda: _contents(self))


class Block(NamedTuple):
    """A data file of many frames: its series, its number in that, from 1, and its frames."""

    series: int
    number: int
    frames: tuple[int, ...]


@dataclass(frozen=True)
class Contents:
    """What an export holds."""

    frames: tuple[int, ...]  # asked for and in the stack
    missing: int  # asked for and not in the stack
    series: tuple[tuple[int, ...], ...]
    place: dict[int, tuple[int, int]]  # series of each frame and position there, both from 0
    blocks: tuple[Block, ...]  # the data files of many frames; of other formats none

    def frames_of(self, unit: int) -> int:
        """Count the frames of a unit."""
        return len(self.blocks[unit].frames) if self.blocks else 1


def _contents(job: ExportJob) -> Contents:
    """Work out what an export holds.

    Frame files are named by their place in the whole run: exports of parts meet in one folder.
    """
    run, layout = job.run.directory, job.run.directory.layout
    asked = parse_frames(job.asked, layout.frames)
    frames = parse_frames(job.frames, layout.frames)
    series = series_of(
        run.sweep,
        frames if job.format in BY_SERIES else range(layout.frames),
        one_beam=job.format not in BY_SERIES,
    )
    frame_bytes = layout.panels * math.prod(layout.shape) * np.dtype(layout.dtype).itemsize
    size = max(1, min(FRAMES_PER_FILE, DATA_FILE_BYTES // frame_bytes))
    blocks = (
        Block(number, 1 + start // size, members[start : start + size])
        for number, members in enumerate(series if job.format in IN_BLOCKS else ())
        for start in range(0, len(members), size)
    )
    place = {
        frame: (number, position)
        for number, members in enumerate(series)
        for position, frame in enumerate(members)
    }
    return Contents(frames, len(asked) - len(frames), series, place, tuple(blocks))


def frame_path(job: ExportJob, frame: int, panel: int, suffix: str) -> Path:
    """Path of the file of one frame and panel."""
    contents = job.contents
    name = stem(job.prefix, contents.place[frame], len(contents.series))
    if job.run.directory.layout.panels > 1:
        name += f"_p{panel:03d}"
    return Path(job.out) / f"{name}{suffix}"


def series_path(job: ExportJob, number: int, suffix: str) -> Path:
    """Path of a file of one series, which has its number where there are several."""
    middle = f"_{number + 1}" if len(job.contents.series) > 1 else ""
    return Path(job.out) / f"{job.prefix}{middle}{suffix}"


def data_path(job: ExportJob, block: Block) -> Path:
    """Path of a data file of many frames."""
    suffix = ".cxi" if job.format == "cxi" else ".h5"
    return series_path(job, block.series, f"_{block.number:06d}{suffix}")


def zarr2_path(job: ExportJob) -> Path:
    """Path of the Zarr 2 copy."""
    return Path(job.out) / f"{job.prefix}.zarr"


def export_unit(
    job: ExportJob, run: RunContext, unit: int, attempt: int, settings: TaskSettings
) -> dict[str, Any]:
    """Write one unit unless it is whole; count files `written`, `skipped`, pixels `outside`."""
    del run, attempt, settings
    forms = {"nxmx": _export_block, "cxi": _export_cxi, "zarr2": _export_zarr2}
    return forms.get(job.format, _export_files)(job, unit)


def _images(job: ExportJob, *frames: int) -> list[NDArray[Any]]:
    """Read frames from the stack: (panels, slow, fast) each, number type kept."""
    run = job.run.directory
    reader = job.run.kept(FrameReader, lambda: FrameReader(run))
    shape = run.layout.panels, *run.layout.shape
    return [np.asarray(image).reshape(shape) for image in reader.read(frames)]


def _export_files(job: ExportJob, frame: int) -> dict[str, int]:
    from distbragg.export.frame_files import FRAME_FORMATS
    from distbragg.export.header import FrameFile

    form, layout = FRAME_FORMATS[job.format], job.run.directory.layout
    dtype, header = np.dtype(layout.dtype), frame_header(job.run, frame)
    paths = [frame_path(job, frame, panel, form.suffix) for panel in range(layout.panels)]
    files = [
        FrameFile(path, header, panel, dtype, job.scale, job.adc_offset)
        for panel, path in enumerate(paths)
    ]
    todo = [file for file in files if not form.is_whole(file)]
    outside = 0
    if todo:
        (image,), blind = _images(job, frame), blind_pixels(frame_geometry(job.run, frame)[1]) != 0
        for file in todo:
            slow, fast = file.plate.shape
            own = np.ascontiguousarray(image[file.panel, :slow, :fast])
            outside += form.write(file, own, blind[file.panel, :slow, :fast])
    return {"written": len(todo), "skipped": len(files) - len(todo), "outside": outside}


def _export_block(job: ExportJob, unit: int) -> dict[str, int]:
    from distbragg.export.nxmx import is_whole_data_file, write_data_file
    from distbragg.export.scaling import COUNT_CUTOFF

    layout, block = job.run.directory.layout, job.contents.blocks[unit]
    shape = (len(block.frames), layout.panels * layout.shape[0], layout.shape[1])
    path, identity = data_path(job, block), job.fingerprint(block.frames)
    if is_whole_data_file(path, shape, identity):
        return {"skipped": 1}
    header = frame_header(job.run, block.frames[0])
    own = header.recording
    outside = write_data_file(
        path,
        (image for frame in block.frames for image in _images(job, frame)),
        shape,
        np.dtype(layout.dtype),
        counts=header.counts,
        lowest=0 if own is None else int(max(own.lowest, -COUNT_CUTOFF)),
        compression=job.compression,
        identity=identity,
    )
    return {"written": 1, "outside": outside}


def _export_cxi(job: ExportJob, unit: int) -> dict[str, int]:
    from distbragg.export.crystfel import DATA
    from distbragg.export.cxi import write_cxi
    from distbragg.export.nxmx import filters, is_whole_data_file

    layout, block = job.run.directory.layout, job.contents.blocks[unit]
    shape = (len(block.frames), layout.panels * layout.shape[0], layout.shape[1])
    path, identity = data_path(job, block), job.fingerprint(block.frames)
    if is_whole_data_file(path, shape, identity, data=DATA):
        return {"skipped": 1}
    write_cxi(
        path,
        (image for frame in block.frames for image in _images(job, frame)),
        frame_header(job.run, block.frames[0]),
        [beam_of_frame(job.run, frame).wavelength for frame in block.frames],
        np.concatenate(blind_pixels(frame_geometry(job.run, block.frames[0])[1])),
        peaks=frame_spots(job, block.frames),
        dtype=np.dtype(layout.dtype),
        compression=filters(job.compression),
        identity=identity,
    )
    return {"written": 1}


def _export_zarr2(job: ExportJob, frame: int) -> dict[str, int]:
    from distbragg.export.zarr2 import is_whole_zarr2_frame, write_zarr2_frame

    run, path = job.run.directory, zarr2_path(job)
    position = run.sweep.frame_index(frame)
    index = tuple(position[name] for name, _ in run.layout.dims)
    if is_whole_zarr2_frame(path, index):
        return {"skipped": 1}
    (image,) = _images(job, frame)
    write_zarr2_frame(path, index, image[0] if image.shape[0] == 1 else image)
    return {"written": 1}


def finish_export(job: ExportJob, *, complete: bool) -> Path:
    """Write what needs all files: the table of frames, the masters; return what to open."""
    contents = job.contents
    _write_table(job)
    if job.format == "zarr2":
        return zarr2_path(job)
    if job.format not in BY_SERIES:
        from distbragg.export.frame_files import FRAME_FORMATS

        return frame_path(job, contents.frames[0], 0, FRAME_FORMATS[job.format].suffix)
    suffix, write = {
        "expt": (".expt", _write_expt),
        "nxmx": ("_master.h5", _write_master),
        "cxi": (".geom", _write_crystfel),
    }[job.format]
    if complete:
        for number in range(len(contents.series)):
            write(job, number, series_path(job, number, suffix))
    return series_path(job, 0, suffix)


def _write_expt(job: ExportJob, number: int, path: Path) -> None:
    """Write a list of experiments, and the true spots beside it where the run keeps labels."""
    from distbragg.export.expt import experiment_names, write_expt

    members = job.contents.series[number]
    header = frame_header(job.run, members[0])
    of_crystals = members[:1] if header.oscillation != 0.0 else members
    truths = [frame_truth(job.run, frame) for frame in of_crystals]
    write_expt(path, header, truths, len(members))
    if has_labels(job.run.directory):
        from distbragg.export.refl import write_refl

        names = experiment_names(truths)
        ids = {pair: number for number, pair in enumerate(names)}
        write_refl(path.with_suffix(".refl"), series_spots(job, number), list(names.values()), ids)


def series_spots(job: ExportJob, number: int) -> TrueSpots:
    """Return the true spots of a series of a run that keeps labels."""
    from distbragg.export.spots import true_spots

    members = job.contents.series[number]
    header = frame_header(job.run, members[0])
    labels = labels_of(job.run.directory, members)
    place = {frame: position for position, frame in enumerate(members)}
    places = np.array([place[frame] for frame in labels["frame"].tolist()], dtype=np.int64)
    return true_spots(labels, places, phi=header.phi, oscillation=header.oscillation)


def frame_spots(job: ExportJob, frames: tuple[int, ...]) -> list[Columns]:
    """Return the true spots of each frame; an empty list where the run keeps no labels."""
    from distbragg.export.spots import true_spots

    if not has_labels(job.run.directory):
        return []
    labels = labels_of(job.run.directory, frames)
    own = (labels["frame"] == frame for frame in frames)
    rows = ({name: values[chosen] for name, values in labels.items()} for chosen in own)
    return [true_spots(table, np.zeros(len(table["h"]), np.int64)).columns for table in rows]


def _write_crystfel(job: ExportJob, number: int, path: Path) -> None:
    """Write a series's geometry, its list of files, and a stream of the true crystals."""
    from distbragg.export.crystfel import Shot, geometry_text, stream_text

    layout = job.run.directory.layout
    blocks = [block for block in job.contents.blocks if block.series == number]
    first, rows = blocks[0].frames[0], layout.shape[0]
    header, bandwidth = frame_header(job.run, first), beam_of_frame(job.run, first).spread
    write_whole(path, geometry_text(header, rows, bandwidth).encode())
    names = "".join(f"{data_path(job, block).name}\n" for block in blocks)
    write_whole(path.with_suffix(".lst"), names.encode())
    shots = (
        Shot(
            data_path(job, block).name,
            event,
            frame + 1,
            beam_of_frame(job.run, frame),
            frame_crystals(job.run, frame),
            frame_lattice(job.run, frame),
            spots,
        )
        for block in blocks
        for event, (frame, spots) in enumerate(
            zip_longest(block.frames, frame_spots(job, block.frames))
        )
    )
    with durable_path(path.with_suffix(".stream")) as temporary, temporary.open("w") as stream:
        stream.writelines(stream_text(header, rows, shots, bandwidth))


def _write_master(job: ExportJob, number: int, path: Path) -> None:
    from distbragg.export.nxmx import write_master

    members = job.contents.series[number]
    files = {
        data_path(job, block).name: len(block.frames)
        for block in job.contents.blocks
        if block.series == number
    }
    write_master(
        path,
        files,
        frame_header(job.run, members[0]),
        np.array([frame_phi(job.run, frame) for frame in members]),
        np.concatenate(blind_pixels(frame_geometry(job.run, members[0])[1])),
        beams=lambda: (beam_of_frame(job.run, frame) for frame in members),
        dtype=np.dtype(job.run.directory.layout.dtype),
        program=f"distbragg {__version__}",
    )


def _write_table(job: ExportJob) -> None:
    """Write which frame went where, with the values of the sweep's axes and its overloads."""
    sweep = job.run.directory.sweep
    stack = open_stack(job.run.url)
    overloads = np.ravel(stack[OVERLOADS].values).tolist() if OVERLOADS in stack.coords else []
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\n")
    names = [axis.target or axis.name for axis in sweep.axes]
    table.writerow(["frame", "series", "position", *names, *([OVERLOADS] if overloads else [])])
    labels = [(axis.dimension, label_items(axis)) for axis in sweep.axes]
    for frame, (series, own) in sorted(job.contents.place.items()):
        position = sweep.frame_index(frame)
        values = (items[position[dim]] for dim, items in labels)
        told = [int(overloads[frame])] if overloads else []
        table.writerow([frame, series + 1, own + 1, *values, *told])
    write_whole(Path(job.out) / TABLE, buffer.getvalue().encode())
