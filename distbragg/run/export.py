"""Exporting a run's frames to the files of other programs, in parallel and resumable."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, NoReturn

import numpy as np

from distbragg.errors import ExitStatus, InputError, RefusedError
from distbragg.export.files import write_whole
from distbragg.export.header import is_square
from distbragg.graph.cluster import ClusterSpec, open_site
from distbragg.graph.executor import Executor, SerialExecutor
from distbragg.graph.progress import EventCallback, RunStarted
from distbragg.graph.work import TaskSettings, Work
from distbragg.run.export_finish import finish_export
from distbragg.run.export_job import (
    FORMATS,
    Contents,
    ExportFormat,
    ExportJob,
    contents_of,
    export_unit,
    stack_of,
    zarr2_path,
)
from distbragg.run.frame_header import (
    frame_header,
)
from distbragg.run.machine import usable_cores
from distbragg.run.place import choose_place
from distbragg.store.run_directory import RunDirectory, open_run

RECORD: Final = "export.json"
PIXELS_PER_S: Final = 2e7
"""Pixels a process reads, encodes and writes in a second, to see whether workers pay."""

Compression = Literal["auto", "bitshuffle", "gzip", "none"]

_log = logging.getLogger("distbragg")


@dataclass(frozen=True, slots=True)
class ExportResult:
    """How an export ended.

    Attributes
    ----------
    out : Path
        The folder of the files.
    frames : int
        Frames that are in the files now.
    missing : int
        Frames asked for that the stack lacks.
    written, skipped : int
        Files written by this execution; files that were there and whole.
    outside : int
        Pixels beyond the range of the format, held at its limits, in files written now.
    opens : Path
        What to open: a master file, a Zarr group, or the first file.
    seconds : float
    status : ExitStatus
        `FAILED_FRAMES` where frames are missing or a file could not be written.
    failures : dict of int to str
        Reason by unit.
    """

    out: Path
    frames: int
    missing: int
    written: int
    skipped: int
    outside: int
    opens: Path
    seconds: float
    status: ExitStatus
    failures: dict[int, str] = field(default_factory=dict)


def prepare_export(
    run: RunDirectory | str | Path,
    format: ExportFormat,
    *,
    out: str | Path | None = None,
    frames: str = "",
    prefix: str = "",
    scale: float = 1.0,
    adc_offset: int = 40,
    compression: Compression = "auto",
) -> ExportJob:
    """Check what is asked for and return it as plain data; nothing is written.

    Raises
    ------
    InputError
        `run` is no run, the format is unknown, the selection is none, or nothing is rendered.
    """
    directory = run if isinstance(run, RunDirectory) else open_run(run)
    if format not in FORMATS:
        raise InputError(
            f"{format!r} is no format", source="--format", remedy=f"one of {', '.join(FORMATS)}"
        )
    if not (scale > 0.0 and np.isfinite(scale)):
        raise InputError(f"a scale of {scale:g}", source="--scale", remedy="give a number above 0")
    if not 0 <= adc_offset < 65535:
        raise InputError(
            f"an offset of {adc_offset}", source="--adc-offset", remedy="give 0 to 65534"
        )
    name = prefix or _file_prefix(directory.path.name.removesuffix(".zarr"))
    if not name.isascii() or any(sign in name for sign in "/\\ \t\n"):
        raise InputError(
            f"{name!r} cannot begin file names",
            source="--prefix",
            remedy="use ASCII without spaces and slashes",
        )
    if compression == "auto":
        from distbragg.export.nxmx import best_compression

        compression = best_compression() if format == "nxmx" else "none"
    job = ExportJob(
        run=directory.place,
        out=str(Path(out or f"{name}_{format}").absolute()),
        format=format,
        prefix=name,
        frames=frames,
        scale=scale,
        adc_offset=adc_offset,
        compression=compression,
    )
    # A run that grew since this process last looked is looked at again.
    stack_of.cache_clear()
    contents_of.cache_clear()
    if not contents_of(job).frames:
        raise InputError(
            "none of these frames is rendered",
            source=str(directory.path),
            remedy=f"render them with `distbragg resume {directory.path}`",
        )
    return job


def _file_prefix(run: str) -> str:
    """Return the run's name with `_` for what must not begin a file name."""
    return re.sub(r"[^!-.0-\[\]-~]", "_", run) or "frame"


def frames_of(job: ExportJob, unit: int) -> int:
    """Count the frames of a unit."""
    return len(contents_of(job).blocks[unit][1]) if job.format == "nxmx" else 1


def export_run(
    job: ExportJob,
    *,
    cluster: str | ClusterSpec | None = None,
    workers: int | None = None,
    on_event: EventCallback | None = None,
) -> ExportResult:
    """Write the files of an export that are not there yet.

    Parameters
    ----------
    job : ExportJob
        From `prepare_export`.
    cluster : str or ClusterSpec, optional
        As in `run.resume`; default: local workers where that pays, else this process.
    workers : int, optional
        Worker processes to start.
    on_event : callable, optional
        Receives the events of `graph.progress`.

    Raises
    ------
    InputError
        The folder cannot be used.
    RefusedError
        It holds another export.
    EnvironmentFailure
        No space, or the cluster was lost.
    """
    started = time.monotonic()
    contents = contents_of(job)
    _warn_about_geometry(job, contents)
    _open_folder(job)
    units = _units(job, contents)
    if job.format == "zarr2":
        from distbragg.export.zarr2 import create_zarr2

        create_zarr2(zarr2_path(job), stack_of(job.run))
    totals = {"written": 0, "skipped": 0, "outside": 0}
    failures: dict[int, str] = {}
    place = _open_place(job, len(units), cluster=cluster, workers=workers, on_event=on_event)
    with place as executor:
        for outcome in executor.run_units(job.run, units):
            if outcome.status == "failed":
                failures[outcome.unit] = outcome.reason
            for name in totals:
                totals[name] += int(outcome.receipt.get(name, 0))
    lost = sum(frames_of(job, unit) for unit in failures)
    opens = finish_export(job, contents, complete=not failures)
    if job.format == "expt":
        totals["written"] = len(contents.series)
    return ExportResult(
        out=Path(job.out),
        frames=len(contents.frames) - lost,
        missing=contents.missing,
        written=totals["written"],
        skipped=totals["skipped"],
        outside=totals["outside"],
        opens=opens,
        seconds=time.monotonic() - started,
        status=ExitStatus.FAILED_FRAMES if failures or contents.missing else ExitStatus.DONE,
        failures=failures,
    )


def _units(job: ExportJob, contents: Contents) -> Sequence[int]:
    """Units that workers do; experiment lists are written at the end, with no pixels."""
    if job.format == "expt":
        return ()
    return range(len(contents.blocks)) if job.format == "nxmx" else contents.frames


@contextmanager
def _open_place(
    job: ExportJob,
    units: int,
    *,
    cluster: str | ClusterSpec | None,
    workers: int | None,
    on_event: EventCallback | None,
) -> Iterator[Executor]:
    """Yield what runs the units; the same executors that render."""
    layout = open_run(job.run).layout
    count = len(contents_of(job).frames)
    pixels = layout.panels * layout.shape[0] * layout.shape[1] * count
    where = choose_place(cluster, workers, units, pixels / PIXELS_PER_S)
    work = _work(job)
    if where is None:
        _announce(job, on_event, units, 1)
        yield SerialExecutor(TaskSettings(), work=work, on_event=on_event)
        return
    from distbragg.graph.dask_executor import DaskExecutor, dashboard_link, worker_count

    if where.kind == "local":
        workers = workers or where.workers or usable_cores()
    with open_site(where, workers=workers) as opened:
        client = opened.client
        _announce(job, on_event, units, worker_count(client), dashboard_link(client))
        yield DaskExecutor(
            client,
            TaskSettings(),
            work=work,
            on_event=on_event,
            worker_patience_s=opened.patience_s,
            trouble=opened.trouble,
        )


def _announce(
    job: ExportJob, on_event: EventCallback | None, units: int, workers: int, dashboard: str = ""
) -> None:
    if on_event is not None:
        frames, count = len(contents_of(job).frames), partial(frames_of, job)
        on_event(
            RunStarted(
                units, frames, float(frames), workers, dashboard, frames_of=count, cost_of=count
            )
        )


def _work(job: ExportJob) -> Work:
    """Make units of an export stand where those of a run do, under keys of their own."""
    name = job.fingerprint()[:12]
    return Work(
        run_hash=partial(_run_hash, name),
        render_unit=partial(export_unit, job),
        expand_unit=_has_no_tiles,
        render_partial=_has_no_tiles,
        merge_partials=_has_no_tiles,
        write_unit=_has_no_tiles,
    )


def _has_no_tiles(*arguments: Any) -> NoReturn:  # noqa: ANN401 stands in for four signatures
    raise TypeError(f"an export has no graph form; asked for {arguments!r}")


def _run_hash(name: str, run: str) -> str:
    del run
    return f"export-{name}"


def _open_folder(job: ExportJob) -> None:
    """Make the folder, or check that it holds the same export."""
    folder = Path(job.out)
    if folder.exists() and not folder.is_dir():
        raise InputError("is not a folder", source=str(folder), remedy="give another with -o")
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / RECORD
    identity = job.identity()
    if record.exists():
        try:
            found = json.loads(record.read_text(encoding="utf-8"))
        except ValueError:
            found = None
        if found != identity:
            raise RefusedError(
                f"{folder}: holds another export (another run, format or setting); give another "
                "folder with -o, or remove it"
            )
        return
    write_whole(record, (json.dumps(identity, indent=1, sort_keys=True) + "\n").encode())


def _warn_about_geometry(job: ExportJob, contents: Contents) -> None:
    """Say once where a header cannot describe the geometry."""
    run = open_run(job.run)
    if job.format in ("smv", "cbf", "nxmx", "expt") and _has_curved_panel(run, contents.frames):
        _log.warning(
            "detector.curved: %s describes flat panels alone, and readers will take this one for "
            "flat, touching it where the sample is nearest",
            job.format,
        )
    if job.format not in ("smv", "cbf"):
        return
    if not is_square(frame_header(run, contents.frames[0])):
        _log.warning(
            "%s headers describe a panel square to the beam with its fast axis along the "
            "spindle; this one is not, and readers will take it for one: use --format nxmx",
            job.format.upper(),
        )


def _has_curved_panel(run: RunDirectory, frames: Sequence[int]) -> bool:
    swept = any(axis.target == "detector.curved" for axis in run.sweep.axes)
    return any(run.frame_spec(frame).detector.curved for frame in (frames if swept else frames[:1]))
