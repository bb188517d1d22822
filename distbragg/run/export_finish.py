"""What an export writes when its pixels are there: table of frames, masters, experiment lists."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Final

import numpy as np

from distbragg._version import __version__
from distbragg.export.files import write_whole
from distbragg.run.export_job import (
    Contents,
    ExportJob,
    data_path,
    frame_path,
    series_name,
    zarr2_path,
)
from distbragg.run.frame_header import frame_geometry, frame_header, frame_truth, inactive_pixels
from distbragg.spec.file_names import axis_labels
from distbragg.store.run_directory import open_run

TABLE: Final = "frames.csv"


def finish_export(job: ExportJob, contents: Contents, *, complete: bool) -> Path:
    """Write what needs all files: the table of frames, the masters; return what to open."""
    _write_table(job, contents)
    if job.format == "zarr2":
        return zarr2_path(job)
    if job.format == "expt":
        for number in range(len(contents.series)):
            _write_expt(job, contents, number)
        return _expt_path(job, 0)
    if job.format != "nxmx":
        from distbragg.export.frame_files import FRAME_FORMATS

        return frame_path(job, contents.frames[0], 0, FRAME_FORMATS[job.format].suffix)
    if complete:
        for number in range(len(contents.series)):
            _write_master(job, contents, number)
    return _master_path(job, 0)


def _expt_path(job: ExportJob, number: int) -> Path:
    return Path(job.out) / f"{series_name(job, number)}.expt"


def _write_expt(job: ExportJob, contents: Contents, number: int) -> None:
    from distbragg.export.expt import write_expt

    run, members = open_run(job.run), contents.series[number]
    header, truth = frame_header(run, members[0]), frame_truth(run, members[0])
    write_expt(_expt_path(job, number), header, truth, len(members))


def _master_path(job: ExportJob, number: int) -> Path:
    return Path(job.out) / f"{series_name(job, number)}_master.h5"


def _write_master(job: ExportJob, contents: Contents, number: int) -> None:
    from distbragg.export.nxmx import DataFile, write_master

    run = open_run(job.run)
    members = contents.series[number]
    files = [
        DataFile(data_path(job, block).name, len(frames))
        for block, (series, frames) in enumerate(contents.blocks)
        if series == number
    ]
    write_master(
        _master_path(job, number),
        files,
        frame_header(run, members[0]),
        np.array([frame_header(run, frame).phi for frame in members]),
        inactive_pixels(frame_geometry(run, members[0])[1]),
        dtype=np.dtype(run.layout.dtype),
        program=f"distbragg {__version__}",
    )


def _write_table(job: ExportJob, contents: Contents) -> None:
    """Write which frame went where, with the values of the sweep's axes."""
    sweep = open_run(job.run).sweep
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\n")
    names = [axis.target for axis in sweep.axes]
    table.writerow(["frame", "series", "position", *names])
    labels = [(axis.dimension, axis_labels(axis)) for axis in sweep.axes]
    for frame, place in sorted(contents.place.items()):
        position = sweep.frame_index(frame)
        values = (own[position[dim]].tolist() for dim, own in labels)
        table.writerow([frame, place.series + 1, place.position + 1, *values])
    write_whole(Path(job.out) / TABLE, buffer.getvalue().encode())
