"""Running DIALS: installation, programs, and what their files say."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tools.acceptance.progress import say
from tools.acceptance.truth import Matrix

PROGRAMS: Final = (
    "dials.import",
    "dials.find_spots",
    "dials.index",
    "dials.refine",
    "dials.integrate",
    "dials.stills_process",
)
COMMAND_TIMEOUT_S: Final = 3600
DEBIAN_PYTHON: Final = "/usr/bin/python3"


def run_dials(folder: Path, program: str, *arguments: str, log: str = "") -> str:
    """Run a program in `folder`; its output is returned and kept there.

    Raises
    ------
    subprocess.CalledProcessError, subprocess.TimeoutExpired
        DIALS stopped; its output is in `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    result = subprocess.run(
        [program, *arguments],
        cwd=folder,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        check=False,
    )
    name = log or program
    (folder / f"{Path(name).name}.out").write_text(result.stdout, encoding="utf-8")
    result.check_returncode()
    say(f"{folder.parent.name}/{folder.name}: {name} in {time.monotonic() - started:.0f} s")
    return result.stdout


def clean_environment() -> dict[str, str]:
    """Environment without Python's and the linker's settings, which are not for Debian's Python."""
    ours = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH"}
    return {name: value for name, value in os.environ.items() if name not in ours}


def read_table(path: Path) -> dict[str, NDArray[Any]]:
    """Return the columns of a reflection table as arrays, through Debian's Python."""
    script = str(Path(__file__).with_name("dump_reflections.py"))
    target = path.with_suffix(".npz")
    # -I: the script's own folder, which has a module `dials` too, stays off its path.
    run_dials(path.parent, DEBIAN_PYTHON, "-I", script, path.name, target.name, log="dump")
    with np.load(target) as table:
        return {name: table[name] for name in table.files}


def strong_spots(output: str) -> int:
    """Return the number of strong spots that `dials.find_spots` saved."""
    return int(re.findall(r"Saved (\d+) reflections to strong\.refl", output)[-1])


def indexed_share(output: str) -> float:
    """Return the share of the spots given to `dials.index` that its last table says are indexed."""
    pattern = r"^\|\s*\d+\s*\|\s*(\d+)\s*\|\s*(\d+)\s*\|\s*[\d.]+%"
    indexed, rest = map(int, re.findall(pattern, output, re.MULTILINE)[-1])
    return indexed / (indexed + rest)


def crystals_of(path: Path) -> list[Matrix]:
    """Reciprocal bases (columns, 1/Å) of the crystals of an experiment list."""
    crystals = json.loads(path.read_text(encoding="utf-8"))["crystal"]
    real = [[crystal[f"real_space_{axis}"] for axis in "abc"] for crystal in crystals]
    return [np.asarray(np.linalg.inv(np.array(rows, dtype=np.float64))) for rows in real]


def version() -> str:
    """Return the installed package's version."""
    answer = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", "dials"],
        capture_output=True,
        text=True,
        check=False,
    )
    return answer.stdout.strip() or "unknown"


def missing_dials(*, install: bool) -> str:
    """Return why DIALS cannot be run; empty where it can."""
    if all(map(shutil.which, PROGRAMS)):
        return ""
    if not install:
        return "DIALS is not installed (--install fetches Debian's with apt-get)"
    if shutil.which("apt-get") is None:
        return "there is no apt-get to install DIALS with"
    if os.geteuid() != 0:
        return "installing DIALS with apt-get needs root"
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "-q"],
        ["apt-get", "install", "-q", "-y", "--no-install-recommends", "dials"],
    ):
        done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False)
        if done.returncode != 0:
            return f"`{' '.join(command)}` failed with status {done.returncode}"
    return "" if all(map(shutil.which, PROGRAMS)) else "apt-get installed no DIALS programs"
