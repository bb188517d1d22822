"""Ours and the C program in turns, so that a busy moment of the machine hits both."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from distbragg.run.bench import How, Timing, Workload, prepare, summarize
from tools.bench.c_program import CProgram
from tools.bench.limit import PlainLoop

RENDERS_PER_PAIR = 3
"""Renders whose median stands for ours in one pair: the C program runs far longer than one."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A median with its extremes."""

    median: float
    least: float
    greatest: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Summarize values, at least one."""
        listed = sorted(values)
        return cls(statistics.median(listed), listed[0], listed[-1])

    def plain(self) -> dict[str, float]:
        """Return as JSON-able data."""
        return {"median": self.median, "min": self.least, "max": self.greatest}

    def text(self, digits: int = 3) -> str:
        """Return as `median (least to greatest)`."""
        low, high = f"{self.least:.{digits}g}", f"{self.greatest:.{digits}g}"
        return f"{self.median:.{digits}g} ({low} to {high})"


@dataclass(frozen=True, slots=True)
class PairedTiming:
    """One workload in interleaved pairs; lists are in order of the pairs, times in s.

    Attributes
    ----------
    ours : Timing
        Median over the pairs; kernel alone.
    seconds : list of float
        Kernel, one figure a pair.
    c_seconds, c_start_seconds : list of float
        Wall time of the C program, and of the same command with next to no pixels.
    limit : list of float
        Steps/s of the plain loop on as many threads.
    """

    ours: Timing
    seconds: list[float] = field(default_factory=list)
    c_seconds: list[float] = field(default_factory=list)
    c_start_seconds: list[float] = field(default_factory=list)
    limit: list[float] = field(default_factory=list)

    @property
    def raw_ratio(self) -> Spread | None:
        """C program's wall time over our kernel's; None without the program."""
        pairs = zip(self.c_seconds, self.seconds, strict=False)
        return Spread.of(c / mine for c, mine in pairs) if self.c_seconds else None

    @property
    def ratio(self) -> Spread | None:
        """The same after the C program's start-up is taken off its time."""
        triples = zip(self.c_seconds, self.c_start_seconds, self.seconds, strict=False)
        if not self.c_seconds:
            return None
        return Spread.of((c - start) / mine for c, start, mine in triples)

    @property
    def share_of_limit(self) -> Spread | None:
        """Our steps/s over the plain loop's; None where it could not be built."""
        rates = zip(self.seconds, self.limit, strict=False)
        return Spread.of(self.ours.steps / s / top for s, top in rates) if self.limit else None

    def plain(self) -> dict[str, object]:
        """Return as JSON-able data."""
        found = {
            "ratio_raw": self.raw_ratio,
            "ratio": self.ratio,
            "share_of_limit": self.share_of_limit,
        }
        return {
            **self.ours.plain(),
            "pairs_s": self.seconds,
            "c_s": self.c_seconds,
            "c_start_s": self.c_start_seconds,
            "limit_steps_per_s": self.limit,
            **{name: None if value is None else value.plain() for name, value in found.items()},
        }


def pair_workload(
    workload: Workload,
    inputs: Path,
    how: How,
    *,
    program: CProgram | None,
    loop: PlainLoop | None,
    pairs: int,
) -> PairedTiming:
    """Time one workload in `pairs` turns of ours, the plain loop and the C program."""
    ready = prepare(workload, inputs, how)
    image = ready.render()[0][0]  # the warm-up
    seconds: list[float] = []
    c_seconds: list[float] = []
    c_start: list[float] = []
    limit: list[float] = []
    for _ in range(pairs):
        renders = [ready.render()[1] for _ in range(RENDERS_PER_PAIR)]
        seconds.append(statistics.median(renders))
        if loop is not None:
            limit.append(loop.steps_per_s(ready.options.threads))
        if program is not None:
            c_seconds.append(program.seconds(workload))
            c_start.append(program.start_seconds(workload))
    return PairedTiming(summarize(ready, seconds, image), seconds, c_seconds, c_start, limit)
