"""nanoBragg.c itself, when `NB_C_BIN` names its binary: the yardstick of every ratio."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import EnvironmentFailure
from distbragg.run.bench import Workload
from tools.c_program import VARIABLE, c_binary

QUIET: Final = ("-noprogress", "-nonoise", "-nopgm")

TINY_PIXELS: Final = 2
"""Edge of the image that stands for the program's own start-up."""

_LIMIT_S: Final = 600
_IMAGE: Final = "float.bin"


@dataclass(frozen=True, slots=True)
class CProgram:
    """The program, and where its input files are.

    Attributes
    ----------
    binary : Path
    inputs : Path
        Folder of the workloads' files.
    threads : int
        OMP_NUM_THREADS.
    """

    binary: Path
    inputs: Path
    threads: int

    def arguments(self, workload: Workload) -> list[str]:
        """Return the command's arguments, input files absolute."""
        words = [
            str(self.inputs / word) if (self.inputs / word).is_file() else word
            for word in workload.arguments
        ]
        return [*words, *QUIET, "-floatfile", _IMAGE]

    def seconds(self, workload: Workload) -> float:
        """Run the workload, image file written, and return the wall time, s.

        Raises
        ------
        EnvironmentFailure
            The program fails.
        """
        with tempfile.TemporaryDirectory(prefix="distbragg-") as folder:
            return self._run(workload, Path(folder))

    def image(self, workload: Workload) -> NDArray[np.float32]:
        """Run the workload and return its image, (pixels,)."""
        with tempfile.TemporaryDirectory(prefix="distbragg-") as folder:
            self._run(workload, Path(folder))
            return np.fromfile(Path(folder) / _IMAGE, "<f4")

    def start_seconds(self, workload: Workload) -> float:
        """Time the same command with next to no pixels: reading, set-up, starting."""
        return self.seconds(workload.with_arguments("tiny", {"-detpixels": TINY_PIXELS}, 0))

    def _run(self, workload: Workload, folder: Path) -> float:
        # A folder of its own, since the program writes files unasked.
        started = time.perf_counter()
        try:
            answer = subprocess.run(
                [str(self.binary), *self.arguments(workload)],
                cwd=folder,
                env={**os.environ, "OMP_NUM_THREADS": str(self.threads)},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_LIMIT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise EnvironmentFailure(f"{VARIABLE}: {self.binary.name} failed ({error})") from None
        seconds = time.perf_counter() - started
        if answer.returncode != 0 or not (folder / _IMAGE).is_file():
            raise EnvironmentFailure(
                f"{VARIABLE}: {self.binary.name} ended with status {answer.returncode}, or "
                f"without an image, on {workload.name}"
            )
        return seconds


def find_program(inputs: Path, threads: int) -> CProgram | None:
    """Return the program that `NB_C_BIN` names; None where it is not set.

    Raises
    ------
    EnvironmentFailure
        It is set and names no executable file.
    """
    binary = c_binary()
    return None if binary is None else CProgram(binary, inputs, threads)
