"""A workload from the command line to a closed store, as a user runs it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from distbragg.run.bench import How, Workload, find_workload
from tools.bench.c_program import CProgram
from tools.bench.pairs import Spread
from tools.bench.processes import Finished, run_distbragg
from tools.bench.startup import EDGE


@dataclass(frozen=True, slots=True)
class EndToEnd:
    """Wall times in s, one figure a pair.

    Attributes
    ----------
    ours, ours_start : list of float
        The command with `-o out.zarr`, and the same command for a 256² image.
    c_seconds, c_start : list of float
        The C program likewise, writing its float image.
    """

    ours: list[float]
    ours_start: list[float]
    c_seconds: list[float]
    c_start: list[float]

    @property
    def raw_ratio(self) -> Spread | None:
        """C program over ours, everything counted on both sides."""
        if not self.c_seconds:
            return None
        return Spread.of(c / mine for c, mine in zip(self.c_seconds, self.ours, strict=True))

    @property
    def ratio(self) -> Spread | None:
        """The same after both sides' 256² image is taken off."""
        if not self.c_seconds:
            return None
        rows = zip(self.c_seconds, self.c_start, self.ours, self.ours_start, strict=True)
        return Spread.of(
            (c - c_start) / max(mine - start, 1e-9) for c, c_start, mine, start in rows
        )

    def plain(self) -> dict[str, object]:
        """Return as JSON-able data."""
        return {
            "ours_s": self.ours,
            "ours_start_s": self.ours_start,
            "c_s": self.c_seconds,
            "c_start_s": self.c_start,
            "ratio_raw": None if self.raw_ratio is None else self.raw_ratio.plain(),
            "ratio": None if self.ratio is None else self.ratio.plain(),
        }


def measure_end_to_end(
    name: str, inputs: Path, how: How, program: CProgram | None, pairs: int
) -> EndToEnd:
    """Run one workload as a user would, in turns with the C program."""
    workload = find_workload(name)
    small = _small(workload)
    ours: list[float] = []
    start: list[float] = []
    c_seconds: list[float] = []
    c_start: list[float] = []
    _run(small, inputs, how)  # the warm-up
    for _ in range(pairs):
        ours.append(_run(workload, inputs, how).seconds)
        start.append(_run(small, inputs, how).seconds)
        if program is not None:
            c_seconds.append(program.seconds(workload))
            c_start.append(program.seconds(small))
    return EndToEnd(ours, start, c_seconds, c_start)


def _small(workload: Workload) -> Workload:
    """Shrink a workload to 256² pixels that cover the same detector."""
    pixels, pixel = int(workload.argument("-detpixels")), float(workload.argument("-pixel"))
    changes: dict[str, object] = {"-detpixels": EDGE, "-pixel": pixel * pixels / EDGE}
    return workload.with_arguments(f"{workload.name}_256", changes, 0)


def _run(workload: Workload, inputs: Path, how: How) -> Finished:
    arguments = [
        str(inputs / word) if (inputs / word).is_file() else word for word in workload.arguments
    ]
    with tempfile.TemporaryDirectory(prefix="distbragg-") as folder:
        command = ["nanobragg", *arguments, *how.flags, "--threads", str(how.threads)]
        return run_distbragg([*command, "-o", "out.zarr"], Path(folder))
