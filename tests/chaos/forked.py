"""Commands in forked processes of one that has loaded the package: a start takes no second.

Only a process without threads may fork, so rows that use this run as a module of their own.
"""

from __future__ import annotations

import gc
import hashlib
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from tests.chaos.drive import report_of, start_module

UNITS, MORE = 16, 7
SERIAL = ("--cluster", "serial")
COMMAND_S = 60.0
LOADED = (
    *("distbragg.cli." + name for name in ("exchange", "finished", "main", "rendering")),
    *("distbragg.engine.unit", "distbragg.kernel.native.render", "distbragg.rendering.frame"),
    *("distbragg.run." + name for name in ("create", "export", "extend", "repair", "resume")),
    *("distbragg.run." + name for name in ("status", "verify")),
    *("fabio", "multiprocessing.pool", "pyarrow.parquet", "xarray"),
)
SWEEP = f"""
experiment:
  title: power
  beam: {{wavelength_angstrom: 1.0, fluence_photons_per_m2: 1.0e24}}
  crystal: {{cell: [50, 60, 70, 80, 90, 100], cells: [5, 6, 7]}}
  structure_factors: {{default_f_electrons: 100.0}}
  detector: {{distance_mm: 100, pixel_size_mm: 0.2, pixels_fast: 48, pixels_slow: 40}}
  compute: {{frames_per_unit: 1}}
  output: {{labels: true}}
axes:
  - name: orientation
    random_orientations: {{count: {UNITS}, seed: 5}}
"""
APPENDED = f"axes:\n  - name: orientation\n    random_orientations: {{count: {MORE}, seed: 6}}\n"


@dataclass
class Command:
    """A command at work in a forked process."""

    pid: int
    errors: Path
    killed: bool = False

    @property
    def text(self) -> str:
        """What it wrote on standard error."""
        return self.errors.read_text(errors="replace")

    def wait(self) -> int:
        """Return its exit status; -9 where it was killed."""
        end = time.monotonic() + COMMAND_S
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() > end:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                raise TimeoutError(f"a command takes longer than {COMMAND_S:.0f} s")
            time.sleep(0.005)


def in_own_process(
    module: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Run a module that prints one JSON line at its end; return what that holds."""
    return report_of(start_module(module, arguments, {**os.environ, **(environment or {})}), None)


def load() -> None:
    """Load once what commands need, before anything is forked."""
    for name in LOADED:
        import_module(name)
    gc.freeze()


def start(
    folder: Path, arguments: Sequence[str], name: str, *, before: Callable[[], None] | None = None
) -> Command:
    """Fork a process that runs a command in `folder`, and `before` it what changes the package."""
    errors = folder / f"{name}.err"
    pid = os.fork()
    if pid == 0:
        _become(folder, arguments, errors, before)
    return Command(pid, errors)


def _become(
    folder: Path, arguments: Sequence[str], errors: Path, before: Callable[[], None] | None
) -> None:
    status = 70
    try:
        os.chdir(folder)
        for stream, path in ((1, errors.with_suffix(".out")), (2, errors)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), stream)
        if before is not None:
            before()
        from distbragg.cli.main import main as distbragg

        status = int(distbragg(list(arguments)))
    except SystemExit as end:
        status = int(end.code or 0)
    except BaseException:
        import traceback

        os.write(2, traceback.format_exc().encode())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def damage_one(run: Path) -> None:
    """Change one byte of one stored object."""
    path = sorted((run / "images" / "c").glob("*/*/*"))[3]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def objects(run: Path) -> dict[str, str]:
    """SHA-256 of every stored object and table of spots, by its name."""
    paths = [path for folder in ("images/c", "labels") for path in (run / folder).rglob("*")]
    return {
        path.relative_to(run).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
        if path.is_file() and path.name != "zarr.json"
    }


def frames(run: Path) -> np.ndarray:
    """Every frame of a stack, as xarray alone reads it."""
    import xarray

    images: Callable[..., np.ndarray] = xarray.open_zarr(run, chunks=None).images.to_numpy
    return images()
