"""Our command line as a process of its own, timed from start to end."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import distbragg
from distbragg.errors import EnvironmentFailure


@dataclass(frozen=True, slots=True)
class Finished:
    """A process that ended well: wall seconds and its standard error."""

    seconds: float
    errors: str


def run_python(arguments: Sequence[str], folder: Path) -> Finished:
    """Run this interpreter with `arguments` in `folder`.

    Raises
    ------
    EnvironmentFailure
        It ends with another status than 0.
    """
    # A file takes what the process says: a full pipe would stop it while it is waited for.
    with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
        seconds, status = _wait(arguments, folder, errors)
        errors.seek(0)
        text = errors.read()
    if status != 0:
        last = text.strip().splitlines()[-1:] or [f"status {status}"]
        raise EnvironmentFailure(f"{' '.join(arguments[:4])} failed: {last[0]}")
    return Finished(seconds, text)


def run_distbragg(arguments: Sequence[str], folder: Path, *options: str) -> Finished:
    """Run `distbragg` with `arguments`; `options` are the interpreter's."""
    return run_python([*options, "-m", "distbragg.cli.main", *arguments], folder)


def _wait(arguments: Sequence[str], folder: Path, errors: IO[str]) -> tuple[float, int]:
    """Run to the end; return wall seconds and exit status."""
    package = str(Path(distbragg.__file__).resolve().parents[1])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=errors,
    )
    status = process.wait()
    return time.perf_counter() - started, status
