"""The work of one unit of an export, and what comes last.

A unit of NXmx, CXI and sets is one data file, of every other format one frame. Doing a unit twice
writes the same files twice, each time whole.
"""

from __future__ import annotations

import csv
import io
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from distbragg._version import __version__
from distbragg.engine.context import RunContext
from distbragg.engine.work import TaskSettings
from distbragg.export.files import write_whole
from distbragg.run.export_plan import (
    BY_SERIES,
    SETS,
    ExportJob,
    data_path,
    frame_path,
    parts_of,
    series_path,
    zarr2_path,
)
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
from distbragg.run.frames import label_texts
from distbragg.spec.axis import label_items
from distbragg.store.files import durable_path
from distbragg.store.layout import OVERLOADS
from distbragg.store.ledger import completed_units
from distbragg.store.open import FrameReader, open_stack, told_of_frames
from distbragg.store.spots import has_labels, labels_of

if TYPE_CHECKING:
    from distbragg.export.spots import Columns, TrueSpots

TABLE: Final = "frames.csv"


def export_unit(
    job: ExportJob, run: RunContext, unit: int, attempt: int, settings: TaskSettings
) -> dict[str, Any]:
    """Write one unit unless it is whole; count files `written`, `skipped`, pixels `outside`."""
    del run, attempt, settings
    forms = {
        "nxmx": _export_block,
        "cxi": _export_cxi,
        "zarr2": _export_zarr2,
        **dict.fromkeys(SETS, _export_set),
    }
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
        distances=[frame_header(job.run, frame).panels[0].distance for frame in block.frames],
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


def _export_set(job: ExportJob, unit: int) -> dict[str, int]:
    from distbragg.run.export_sets import write_samples, write_set_part

    block = job.contents.blocks[unit]
    path, identity = data_path(job, block), job.fingerprint(block.frames)
    if job.format == "webdataset":
        written = write_samples(path, job.frame_set, block.frames, identity)
    else:
        written = write_set_part(path, job.frame_set, block.frames, job.compression, identity)
    return {"written": 1} if written else {"skipped": 1}


def _write_set(job: ExportJob, number: int, path: Path) -> None:
    """Write the master of a set in HDF5 of several files."""
    from distbragg.export.hdf5_set import write_set

    parts = [data_path(job, block) for block in parts_of(job, number)]
    if len(parts) > 1:
        write_set(path, parts)


def finish_export(job: ExportJob, *, complete: bool) -> Path:
    """Write what needs all files: the table of frames, the masters; return what to open."""
    contents = job.contents
    _write_table(job)
    if job.format == "zarr2":
        from distbragg.export.zarr2 import finish_zarr2

        finish_zarr2(zarr2_path(job), open_stack(job.run.url))
        return zarr2_path(job)
    if job.format == "webdataset":
        return data_path(job, contents.blocks[0])
    if job.format not in (*BY_SERIES, *SETS):
        from distbragg.export.frame_files import FRAME_FORMATS

        return frame_path(job, contents.frames[0], 0, FRAME_FORMATS[job.format].suffix)
    suffix, write = {
        "expt": (".expt", _write_expt),
        "nxmx": ("_master.h5", _write_master),
        "cxi": (".geom", _write_crystfel),
        "hdf5": (".h5", _write_set),
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
    blocks = parts_of(job, number)
    first, rows = blocks[0].frames[0], layout.shape[0]
    header, bandwidth = frame_header(job.run, first), beam_of_frame(job.run, first).spread
    corners = {
        frame: -frame_header(job.run, frame).panels[0].origin[2]
        for frame in job.contents.series[number]
    }
    moves = len(set(corners.values())) > 1
    geometry = geometry_text(header, rows, bandwidth, each_distance=moves)
    write_whole(path, geometry.encode())
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
            corners[frame],
        )
        for block in blocks
        for event, (frame, spots) in enumerate(
            zip_longest(block.frames, frame_spots(job, block.frames))
        )
    )
    with durable_path(path.with_suffix(".stream")) as temporary, temporary.open("w") as stream:
        stream.writelines(stream_text(geometry, rows, shots))


def _write_master(job: ExportJob, number: int, path: Path) -> None:
    from distbragg.export.nxmx import write_master

    members = job.contents.series[number]
    files = {data_path(job, block).name: len(block.frames) for block in parts_of(job, number)}
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
    """Write which frame went where, with the values of the axes, its overloads and its labels."""
    run = job.run.directory
    sweep, done = run.sweep, completed_units(run)
    told = told_of_frames(run.layout, done, OVERLOADS, 0)
    overloads = [] if told is None else np.ravel(told).tolist()
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\n")
    names = [axis.target or axis.name for axis in sweep.axes]
    places = sorted(job.contents.place.items())
    told_of = label_texts(run, [frame for frame, _ in places], done, job.seen)
    split = ["split"] if job.split is not None else []
    beside = [*([OVERLOADS] if overloads else []), *told_of, *split]
    table.writerow(["frame", "series", "position", *names, *beside])
    labels = [(axis.dimension, label_items(axis)) for axis in sweep.axes]
    for row, (frame, (series, own)) in enumerate(places):
        position = sweep.frame_index(frame)
        values = (items[position[dim]] for dim, items in labels)
        held = [int(overloads[frame])] if overloads else []
        seen = [texts[row] for texts in told_of.values()]
        part = [job.frame_set.parts[frame]] if split else []
        table.writerow([frame, series + 1, own + 1, *values, *held, *seen, *part])
    write_whole(Path(job.out) / TABLE, buffer.getvalue().encode())
