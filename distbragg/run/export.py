"""Exporting a run's frames to the files of other programs, in parallel and resumable."""

from __future__ import annotations

import json
import logging
import math
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, Literal

import numpy as np

from distbragg.engine.context import RunContext
from distbragg.engine.events import EventCallback, RunStarted, UnitFinished, each_of
from distbragg.engine.work import TaskSettings, UnitFunctions
from distbragg.errors import ExitStatus, InputError, RefusedError
from distbragg.export.files import write_whole
from distbragg.export.header import is_square
from distbragg.export.scaling import DEFAULT_ADC_OFFSET, UINT16_MAXIMUM
from distbragg.run.export_job import TABLE, export_unit, finish_export
from distbragg.run.export_plan import (
    BY_SERIES,
    DATA_FILE_BYTES,
    FORMATS,
    IN_BLOCKS,
    SETS,
    SUFFIXES,
    ExportFormat,
    ExportJob,
    zarr2_path,
)
from distbragg.run.frame_header import frame_geometry, frame_header
from distbragg.run.frames import parse_frames, selection_of
from distbragg.run.place import ClientLike, ClusterLike, choose_cluster, open_executor
from distbragg.run.progress import Progress, shown_progress
from distbragg.store.frame_labels import Seen
from distbragg.store.layout import IMAGES
from distbragg.store.ledger import completed_units
from distbragg.store.open import array_of, frames_there, open_stack
from distbragg.store.own_arrays import check_own_arrays
from distbragg.store.run_directory import RunDirectory, RunLike, open_run
from distbragg.store.split import Split, refuse_empty_part

RECORD: Final = "export.json"
DATA_FILE_MB: Final = 256.0  # of pixels in a file of a set
_LONGEST_PREFIX: Final = 200  # of the 255 bytes of a name
PIXELS_PER_S: Final = 2e7
"""Pixels a process reads, encodes and writes in a second, to see whether workers pay."""

Compression = Literal["auto", "bitshuffle", "gzip", "none"]

_log = logging.getLogger("distbragg")


@dataclass(frozen=True, slots=True)
class ExportResult:
    """How an export ended."""

    path: str  # of the run, or its URL
    format: ExportFormat
    out: Path  # the folder of the files
    frames: int  # in the files now
    missing: int  # asked for and not in the stack
    written: int  # files written by this execution
    skipped: int  # files that were there and whole
    outside: int  # pixels beyond the range of the format, held at its limits, in files written now
    opens: Path  # what to open: a master file, a Zarr group, or the first file
    seconds: float
    status: ExitStatus  # `FAILED_FRAMES` where frames are missing or a file could not be written
    failures: dict[int, str] = field(default_factory=dict)  # reason by unit


def export_run(
    run: RunLike,
    format: ExportFormat,
    *,
    out: str | Path | None = None,
    frames: str = "",
    prefix: str = "",
    scale: float = 1.0,
    adc_offset: int | None = None,
    compression: Compression = "auto",
    variant: str = "",
    split: Split | None = None,
    seen: Seen | None = None,
    file_mb: float = DATA_FILE_MB,
    cluster: ClusterLike | None = None,
    client: ClientLike | None = None,
    workers: int | None = None,
    on_event: EventCallback | None = None,
    progress: Progress = "auto",
) -> ExportResult:
    """Write a run's frames as files of another program; those that are there and whole are kept.

    Parameters
    ----------
    run : RunDirectory or path
    format : str
        One of `FORMATS`: smv, cbf, nxmx, tiff, png, npy, zarr2, expt, cxi, webdataset, hdf5.
    out : path, optional
        The folder of the files; default: the run's name and the format, in this folder.
    frames : str
        A selection such as `0:10,15`; all where empty.
    prefix : str
        What file names begin with; default: the run's name, made fit by `file_prefix`.
    scale : float
        Counts per photon of SMV and CBF.
    adc_offset : int, optional
        Added to every count of SMV; default 40, or 0 where the detector's response has an offset
        of its own.
    compression : {"auto", "bitshuffle", "gzip", "none"}
        Of NXmx, CXI and HDF5; auto: bitshuffle with LZ4 where hdf5plugin is installed, else gzip.
    variant : str
        For WebDataset and HDF5: one of `output.variants` in place of whole frames; spots are
        moved with its pixels.
    split : Split, optional
        For WebDataset and HDF5: a set of files for each part; an empty part is refused.
    seen : Seen, optional
        Which spots the labels of frames count, and how many make a hit: in `frames.csv` and sets.
    file_mb : float
        For WebDataset and HDF5: pixels of one file at most, MB before compression, of at least a
        frame and at most 10,000.
    cluster, client, workers, on_event, progress
        As for `resume`.

    Returns
    -------
    ExportResult
        The folder, and how many files were written and kept.

    Raises
    ------
    InputError
        `run` is not a run, an argument or the folder cannot be used, or nothing is rendered.
    RefusedError
        The folder holds another export.
    EnvironmentFailure
        No space, or the cluster was lost.
    """
    started = time.monotonic()
    directory = open_run(run)
    stem = directory.path.name.removesuffix(".zarr")
    _check_set(format, variant, split, file_mb)
    _check_folder(format, out)
    if format != "expt":
        array_of(directory, variant or IMAGES)
    name = prefix or file_prefix(stem)
    rendered = _rendered(directory, frames)
    if adc_offset is None:
        first = parse_frames(rendered, directory.layout.frames)[0]
        response = frame_geometry(RunContext.of(directory), first)[1].response
        has_offset = response is not None and response.offset > 0.0
        adc_offset = 0 if has_offset else int(DEFAULT_ADC_OFFSET)
    _check(format, scale, adc_offset, name)
    if compression == "auto":
        from distbragg.export.nxmx import best_compression

        stored = format in IN_BLOCKS and format != "webdataset"
        compression = best_compression() if stored else "none"
    job = ExportJob(
        run=RunContext.of(directory),
        out=str(Path(out or f"{name}_{format}").absolute()),
        format=format,
        prefix=name,
        asked=frames,
        frames=rendered,
        scale=scale,
        adc_offset=adc_offset,
        compression=compression,
        variant=variant,
        split=split,
        seen=None if seen is None else seen.of(directory),
        file_bytes=int(file_mb * 1e6) if format in SETS else DATA_FILE_BYTES,
    )
    _check_parts(job)
    contents = job.contents
    if format not in (*SETS, "zarr2"):
        frame_header(job.run, contents.frames[0])  # refuses panels that have none
    _warn_about_geometry(job)
    _warn_about_pixels(job)
    _open_folder(job)
    # Experiment lists are written at the end, with no pixels.
    units: Sequence[int] = contents.frames if format != "expt" else ()
    if format in IN_BLOCKS:
        units = range(len(contents.blocks))
    if format == "zarr2":
        from distbragg.export.zarr2 import create_zarr2

        create_zarr2(zarr2_path(job), open_stack(directory.url))
    totals: Counter[str] = Counter()
    failures: dict[int, str] = {}
    layout, count = directory.layout, len(contents.frames)
    pixels = layout.panels * math.prod(layout.shape) * count
    where = choose_cluster(cluster, client, workers, len(units), pixels / PIXELS_PER_S)
    # Under keys of their own, beside those of the run.
    work = UnitFunctions(
        partial(export_unit, job), name=f"export-{job.fingerprint(contents.frames)[:12]}"
    )
    with (
        shown_progress(progress) as display,
        open_executor(
            where,
            TaskSettings(),
            workers=workers,
            on_event=each_of(on_event, display),
            work=work,
        ) as executor,
    ):
        executor.tell(
            RunStarted(len(units), count, float(count), executor.workers, executor.dashboard)
        )
        for outcome in executor.run_units(job.run, units):
            if outcome.status == "failed":
                failures[outcome.unit] = outcome.reason
            own = contents.frames_of(outcome.unit)
            executor.tell(UnitFinished(outcome, own, float(own)))
            totals.update(outcome.receipt)
    return ExportResult(
        path=directory.url,
        format=format,
        out=Path(job.out),
        frames=count - sum(map(contents.frames_of, failures)),
        missing=contents.missing,
        written=len(contents.series) if format == "expt" else totals["written"],
        skipped=totals["skipped"],
        outside=totals["outside"],
        opens=finish_export(job, complete=not failures),
        seconds=time.monotonic() - started,
        status=ExitStatus.FAILED_FRAMES if failures or contents.missing else ExitStatus.DONE,
        failures=failures,
    )


def file_prefix(name: str) -> str:
    """Return what file names begin with for a run's name, whatever reads them.

    Letters A to Z, digits, and . _ + - stay, all else becomes `_`: templates of DIALS and XDS take
    # and ? for numbers, and shells and CIF have no use for the rest. A first sign that is none of
    letters, digits and _ gets one before it. So many signs stay that numbers and endings fit.
    """
    plain = re.sub(r"[^A-Za-z0-9._+-]", "_", name)[:_LONGEST_PREFIX] or "frame"
    return plain if re.match(r"\w", plain) else f"_{plain}"


def _check(format: str, scale: float, adc_offset: int, prefix: str) -> None:
    if format not in FORMATS:
        known = ", ".join(FORMATS)
        raise InputError(f"{format!r} is not a format", source="--format", remedy=f"one of {known}")
    if not 0.0 < scale < math.inf:
        raise InputError(f"a scale of {scale:g}", source="--scale", remedy="give a number above 0")
    if not 0 <= adc_offset < 65535:
        raise InputError(
            f"an offset of {adc_offset}", source="--adc-offset", remedy="give 0 to 65534"
        )
    if prefix != file_prefix(prefix):
        raise InputError(
            f"{prefix!r} cannot begin file names",
            source="--prefix",
            remedy="use up to 200 letters A to Z, digits, . _ + -, the first a letter, digit or _",
        )


def _check_set(format: str, variant: str, split: Split | None, file_mb: float) -> None:
    """Refuse what only sets for training have."""
    if not 0.0 < file_mb < math.inf:
        raise InputError(f"files of {file_mb:g} MB", source="--file-mb", remedy="give more than 0")
    given = {"--variant": variant, "--split": split, "--file-mb": file_mb != DATA_FILE_MB}
    stray = [name for name, value in given.items() if value]
    if stray and format not in SETS:
        raise InputError(
            f"is for training sets, not for {format}",
            source=stray[0],
            remedy=f"leave it out, or use --format {' or '.join(SETS)}",
        )


def _check_parts(job: ExportJob) -> None:
    """Refuse a split that leaves a part without frames, as data sets and subsets do."""
    if job.split is None:
        return
    run, parts = job.run.directory, job.frame_set.parts
    chosen = parts[list(parse_frames(job.asked, run.layout.frames))]
    for part in job.split.parts:
        refuse_empty_part(run, job.split, part, parts)
        if not (chosen == part).any():
            raise InputError(
                f"none of the frames {job.asked} is in the part {part}",
                source="--frames",
                remedy="choose more frames, or leave out --split",
            )


def _check_folder(format: str, out: str | Path | None) -> None:
    """Refuse the name of a file where a set's folder is meant."""
    if format in SETS and Path(out or "").suffix in (".h5", ".hdf5", ".tar"):
        raise InputError(
            "names a file, where a folder is made",
            source=f"-o {out}",
            remedy="give a folder, and the name of its files with --prefix",
        )


def _rendered(run: RunDirectory, asked: str) -> str:
    """Return those of the frames asked for that are in the stack, as a selection."""
    check_own_arrays(run)
    rendered = np.ravel(frames_there(run, completed_units(run)))
    there = [frame for frame in parse_frames(asked, run.layout.frames) if rendered[frame]]
    if not there:
        raise InputError(
            "none of these frames is rendered",
            source=run.url,
            remedy=f"render them with `distbragg resume {run.url}`",
        )
    return selection_of(there)


def _open_folder(job: ExportJob) -> None:
    """Make the folder, or check that it holds the same export."""
    folder = Path(job.out)
    if folder.exists() and not folder.is_dir():
        raise InputError("is not a folder", source=str(folder), remedy="give another with -o")
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / RECORD
    identity = job.identity()
    if not record.exists():
        _refuse_to_replace(job, folder)
        write_whole(record, (json.dumps(identity, indent=1, sort_keys=True) + "\n").encode())
        return
    try:
        found = json.loads(record.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if found != identity:
        raise RefusedError(
            f"{folder}: holds another export (another run, format or setting); give another "
            "folder with -o, or remove it"
        )


def _refuse_to_replace(job: ExportJob, folder: Path) -> None:
    """Refuse a folder of no export that has files of the names that this one writes."""
    for path in sorted(folder.iterdir()):
        own = path.name.startswith(job.prefix) and path.suffix in SUFFIXES[job.format]
        if own or path.name == TABLE:
            raise RefusedError(
                f"{path}: exists and is not part of an export; give another folder with -o"
            )


def _warn_about_geometry(job: ExportJob) -> None:
    """Say once where a header cannot describe the geometry."""
    run, frames = job.run.directory, job.contents.frames
    swept = "detector.curved" in run.sweep.swept
    looked = frames if swept else frames[:1]
    curved = any(run.sweep.frame_spec(frame).detector.curved for frame in looked)
    if curved and job.format in ("smv", "cbf", *BY_SERIES):
        _log.warning(
            "detector.curved: %s describes flat panels alone, and readers will take this one for "
            "flat, touching it where the sample is nearest",
            job.format,
        )
    if job.format in ("smv", "cbf") and not is_square(frame_header(job.run, frames[0])):
        _log.warning(
            "%s headers describe a panel square to the beam with its fast axis along the "
            "spindle; this one is not, and readers will take it for one: use --format nxmx",
            job.format.upper(),
        )


def _warn_about_pixels(job: ExportJob) -> None:
    """Say once what DIALS does not find in a header, as the arguments that tell it."""
    if job.format not in ("smv", "cbf", "nxmx"):
        return
    header = frame_header(job.run, job.contents.frames[0])
    own, unread, words = header.recording, [], []
    scale = job.scale if job.format in ("smv", "cbf") else 1.0
    added = float(job.adc_offset) if job.format == "smv" else 0.0
    masked = any(panel.masked for panel in header.panels)
    if job.format == "smv" and (masked or own is not None):
        highest = math.inf if own is None else own.highest * scale + added
        unread.append("masked pixels and saturation")
        words.append(f"panel.trusted_range=0.5,{min(highest, UINT16_MAXIMUM - added):g}")
    if own is not None and own.of_adu:
        unread.append("gain and pedestal")
        words.append(f"panel.gain={own.gain * scale:g}")
        words.append(f"panel.pedestal={own.offset * scale + added:g}")
    if words:
        _log.warning(
            "DIALS takes no %s from %s headers: import with %s",
            ", ".join(unread),
            job.format,
            " ".join(words),
        )
