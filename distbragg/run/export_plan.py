"""What one export is, as plain data: its job, its files, and which frames each holds."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, get_args

import numpy as np

from distbragg.engine.context import RunContext
from distbragg.run.frame_set import FrameSet, split_plain
from distbragg.run.frames import DISTANCES, parse_frames, series_of, stem
from distbragg.spec.canonical import canonical_json
from distbragg.store.frame_labels import Seen
from distbragg.store.split import Split

ExportFormat = Literal[
    "smv", "cbf", "nxmx", "tiff", "png", "npy", "zarr2", "expt", "cxi", "webdataset", "hdf5"
]  # fmt: skip
FORMATS: Final[tuple[ExportFormat, ...]] = get_args(ExportFormat)

BY_SERIES: Final = ("nxmx", "expt", "cxi")  # files are of a series rather than of a frame
SETS: Final = ("webdataset", "hdf5")  # for training: frames by part, with labels and spots
IN_BLOCKS: Final = ("nxmx", "cxi", *SETS)  # formats that keep many frames in a data file
SUFFIXES: Final[dict[ExportFormat, tuple[str, ...]]] = {
    "smv": (".img",), "cbf": (".cbf",), "nxmx": (".h5",), "tiff": (".tif",), "png": (".png",),
    "npy": (".npy",), "zarr2": (".zarr",), "expt": (".expt", ".refl"),
    "cxi": (".cxi", ".geom", ".lst", ".stream"), "webdataset": (".tar",), "hdf5": (".h5",),
}  # fmt: skip
"""Ends of the names of a format's files."""
FRAMES_PER_FILE: Final = 100
SET_FRAMES_PER_FILE: Final = 10_000
DATA_FILE_BYTES: Final = 1 << 28  # most bytes of pixels in one data file, before compression


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
    variant: str = ""
    split: Split | None = None
    seen: Seen | None = None
    file_bytes: int = DATA_FILE_BYTES  # of pixels

    @property
    def frame_set(self) -> FrameSet:
        """What is exported of the frames, kept in each process."""
        own = self.variant, self.split, self.seen
        return self.run.kept((FrameSet, *own), lambda: FrameSet(self.run.directory, *own))

    def identity(self) -> dict[str, Any]:
        """Return what decides the content of the files, whichever frames are there."""
        # Their files hold or describe many frames.
        several = {"frames": self.asked, "compression": self.compression}
        split = None if self.split is None else split_plain(self.split)
        sets = {"variant": self.variant, "split": split, "file_bytes": self.file_bytes}
        return {
            "run_id": self.run.run_id,
            "format": self.format,
            "prefix": self.prefix,
            "scale": self.scale,
            "adc_offset": self.adc_offset,
            **(several if self.format in (*BY_SERIES, *SETS) else {}),
            **(sets if self.format in SETS else {}),
            **({} if self.seen is None else {"seen": self.seen.attrs}),
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
    names: tuple[str, ...]  # of series, in file names: none where there is one

    def frames_of(self, unit: int) -> int:
        """Count the frames of a unit."""
        return len(self.blocks[unit].frames) if self.blocks else 1


def _contents(job: ExportJob) -> Contents:
    """Work out what an export holds.

    Frame files are named by their place in the whole run: exports of parts meet in one folder.
    """
    layout = job.run.directory.layout
    asked = parse_frames(job.asked, layout.frames)
    frames = parse_frames(job.frames, layout.frames)
    if job.format in SETS:
        parts = job.frame_set.series(frames)
        series, names = tuple(parts.values()), tuple(f"-{name}" if name else "" for name in parts)
        most, frame_bytes = SET_FRAMES_PER_FILE, job.frame_set.frame_bytes
    else:
        series = _series(job, frames)
        names = tuple(f"_{n + 1}" if len(series) > 1 else "" for n in range(len(series)))
        most = FRAMES_PER_FILE
        frame_bytes = layout.panels * math.prod(layout.shape) * np.dtype(layout.dtype).itemsize
    size = max(1, min(most, job.file_bytes // frame_bytes))
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
    return Contents(frames, len(asked) - len(frames), series, place, tuple(blocks), names)


def _series(job: ExportJob, frames: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Cut frames into series; a file of CXI states the distance of each of its frames."""
    sweep = job.run.directory.sweep
    if job.format not in BY_SERIES:
        return series_of(sweep, range(job.run.directory.layout.frames))
    if job.format == "cxi" and not sweep.swept.keys().isdisjoint(DISTANCES):
        joined = series_of(sweep, frames, one_beam=False, beside=DISTANCES)
        if all(_move_along_beam(job, members) for members in joined):
            return joined
    return series_of(sweep, frames, one_beam=False)


def _move_along_beam(job: ExportJob, members: Sequence[int]) -> bool:
    """Whether panels of frames move along the beam alone: a place is linear in the distance."""
    from distbragg.export.header import differ_in_distance_alone
    from distbragg.run.frame_header import frame_header

    sweep = job.run.directory.sweep
    told = {
        frame: tuple(values[path] or 0.0 for path in DISTANCES if path in values)
        for frame in members
        for values in [sweep.frame_values(frame)]
    }
    ends = min(told, key=lambda frame: told[frame]), max(told, key=lambda frame: told[frame])
    near, far = (frame_header(job.run, frame) for frame in ends)
    return differ_in_distance_alone(near, far)


def frame_path(job: ExportJob, frame: int, panel: int, suffix: str) -> Path:
    """Path of the file of one frame and panel."""
    contents = job.contents
    name = stem(job.prefix, contents.place[frame], len(contents.series))
    if job.run.directory.layout.panels > 1:
        name += f"_p{panel:03d}"
    return Path(job.out) / f"{name}{suffix}"


def series_path(job: ExportJob, number: int, suffix: str) -> Path:
    """Path of a file of one series, which has its number where there are several, or its part."""
    return Path(job.out) / f"{job.prefix}{job.contents.names[number]}{suffix}"


def data_path(job: ExportJob, block: Block) -> Path:
    """Path of a data file of many frames."""
    if job.format == "webdataset":
        # Counted from 0, as loaders of shards write them: NAME-{000000..000007}.tar.
        return series_path(job, block.series, f"-{block.number - 1:06d}.tar")
    if job.format == "hdf5" and len(parts_of(job, block.series)) == 1:
        return series_path(job, block.series, ".h5")
    suffix = ".cxi" if job.format == "cxi" else ".h5"
    return series_path(job, block.series, f"_{block.number:06d}{suffix}")


def parts_of(job: ExportJob, series: int) -> list[Block]:
    """Return the data files of a series."""
    return [block for block in job.contents.blocks if block.series == series]


def zarr2_path(job: ExportJob) -> Path:
    """Path of the Zarr 2 copy."""
    return Path(job.out) / f"{job.prefix}.zarr"
