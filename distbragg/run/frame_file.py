"""One frame rendered straight into an image file of another program."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from distbragg.errors import InputError
from distbragg.run.create import create
from distbragg.run.export import export_run
from distbragg.run.export_plan import ExportFormat
from distbragg.run.resume import resume
from distbragg.spec.experiment import ExperimentSpec

_FORMATS: Final[dict[str, ExportFormat]] = {
    ".cbf": "cbf", ".tif": "tiff", ".tiff": "tiff", ".h5": "nxmx", ".nxs": "nxmx",
    ".cxi": "cxi",
}  # fmt: skip

_log = logging.getLogger("distbragg")


def render_file(
    spec: ExperimentSpec, out: str | Path, *, truth: bool = False, threads: int | None = None
) -> tuple[Path, ...]:
    """Render an experiment and export its frame; return the files, one a panel but for HDF5.

    Beside CXI stand its geometry and stream, and, for the `truth`, an experiment list and, where
    the specification asks for labels, a table of true spots.

    The frame is that of a run of one frame, which lies beside the files until they are there; so
    pixels, masks and headers are those of `export_run`, and where anything fails, nothing is left.

    Raises
    ------
    InputError
        The specification cannot be used, or pixels cannot be stored.
    """
    target = Path(out)
    form = _FORMATS[target.suffix.lower()]
    with TemporaryDirectory(prefix=".distbragg-", dir=target.parent) as folder:
        run, files = Path(folder, f"{target.stem}.zarr"), Path(folder, "files")
        result = resume(create(spec, run), cluster="serial", threads=threads)
        for reason in result.failures.values():
            raise InputError(reason)
        done = export_run(run, form, out=files, cluster="serial")
        for reason in done.failures.values():
            raise InputError(reason)
        if done.outside:
            _log.warning(
                "%d pixels are beyond the range of the format and were clipped", done.outside
            )
        if result.overloads:
            _log.warning("%d pixels are overloaded", result.overloads)
        if form == "nxmx":
            from distbragg.export.nxmx import hold_data

            hold_data(done.opens)
            made = {done.opens: target}
        elif form == "cxi":
            (pixels,) = files.glob("*.cxi")
            made = {pixels: target}
        else:
            found = sorted(files.glob(f"*{done.opens.suffix}"))
            made = {
                path: target.with_stem(f"{target.stem}_p{panel:03d}") if len(found) > 1 else target
                for panel, path in enumerate(found)
            }
        if form == "cxi":
            beside = {files / f"{done.opens.stem}{end}": end for end in (".geom", ".stream")}
            made |= {path: target.with_suffix(end) for path, end in beside.items()}
            stream = done.opens.with_suffix(".stream")
            stream.write_text(stream.read_text().replace(pixels.name, target.name))
        if truth:
            listed = export_run(run, "expt", out=Path(folder, "truth"), cluster="serial").opens
            there = filter(Path.exists, (listed, listed.with_suffix(".refl")))
            made |= {path: target.with_suffix(path.suffix) for path in there}
        for path, place in made.items():
            os.replace(path, place)
    return tuple(made.values())
