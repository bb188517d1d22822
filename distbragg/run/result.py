"""What a run reports when it ends."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from distbragg.engine.events import WorkerLeftOut
from distbragg.errors import ExitStatus
from distbragg.quantities import counted, duration
from distbragg.templates import facts_html

if TYPE_CHECKING:
    from distbragg.store.run_directory import RunDirectory
    from distbragg.viewer.serve import Viewer

SHOWN_CAUSES: Final = 10
_NAMED: Final = 3  # units that are named of those that failed for one cause


def cause_of(reason: str) -> str:
    """Return what a reason is compared by: those that differ in their numbers alone are one."""
    return re.sub(r"\b\d+\b", "N", reason)


def by_cause(failures: Mapping[int, str]) -> list[tuple[str, str]]:
    """Name the units that failed, those of one cause together, each with the reason."""
    causes: dict[str, list[int]] = {}
    for unit, reason in sorted(failures.items()):
        causes.setdefault(cause_of(reason), []).append(unit)
    return [(_named(units), failures[units[0]]) for units in causes.values()]


def _named(units: Sequence[int]) -> str:
    if len(units) == 1:
        return f"unit {units[0]}"
    more = ", ..." if len(units) > _NAMED else ""
    return f"{len(units):,} units ({', '.join(map(str, units[:_NAMED]))}{more})"


def failure_lines(what: str, failures: Mapping[int, str]) -> list[str]:
    """Lines of a terminal: what failed, a line for each cause, up to a limit."""
    lines = [f"{what}: {units}: {reason}" for units, reason in by_cause(failures)]
    if (more := len(lines) - SHOWN_CAUSES) > 0:
        lines[SHOWN_CAUSES:] = [f"{what}: for {more} more causes"]
    return lines


def failure_rows(failures: Mapping[int, str]) -> list[tuple[str, str]]:
    """Rows of a table: the units that failed, a row for each cause."""
    rows = [(f"failed {units}", reason) for units, reason in by_cause(failures)]
    if len(rows) > SHOWN_CAUSES:
        rows[SHOWN_CAUSES:] = [("failed units", f"{len(failures):,} in all; --json lists them")]
    return rows


def overload_value(run: RunDirectory) -> float | None:
    """Return what pixels beyond the range of a run's detector hold; None without a response."""
    from distbragg.store.open import open_array

    if not run.keeps_frames:
        return None
    found = open_array(run).attrs.get("overload_value")
    return float(found) if isinstance(found, int | float) else None


def overload_words(count: int, value: float | None) -> str:
    """Say how many pixels are overloads, of what, and what they hold."""
    pixels = counted(count, "pixel")
    if value is None:
        return f"{pixels} beyond the range of the stored type, clipped to its largest value"
    return f"{pixels} beyond the range of the detector, stored as its overload value {value:.10g}"


@dataclass(frozen=True, slots=True)
class RunResult:
    """How an execution of a run, the whole of it or a part, ended."""

    path: Path | str  # of the run, or its URL
    frames: int  # this execution was asked for
    done: int  # of these, in the stack now
    failed: int  # of these, set aside
    rendered: int  # by this execution
    seconds: float  # wall time
    status: ExitStatus  # `FAILED_FRAMES` where some were set aside
    failures: dict[int, str] = field(default_factory=dict)  # reason by unit set aside
    overloads: int = 0  # pixels rendered now, beyond the range of the detector or the type
    left_out: tuple[WorkerLeftOut, ...] = ()  # workers that got nothing more to do
    overload_value: float | None = None  # what overloads hold, where a detector recorded them

    def _repr_html_(self) -> str:
        rows = [
            ("frames", f"{self.done:,} of {self.frames:,} done, {self.rendered:,} of them now"),
            ("set aside", f"{self.failed:,} frames in {len(self.failures):,} units"),
            ("time", duration(self.seconds)),
        ]
        if self.overloads:
            rows.append(("overloads", overload_words(self.overloads, self.overload_value)))
        rows += [("left out", str(worker)) for worker in self.left_out]
        rows += failure_rows(self.failures)
        return facts_html(str(self.path), rows)

    def view(self, **how: Any) -> Viewer:  # noqa: ANN401 what `distbragg.view` takes
        """Show the frames in a browser, or at the end of a notebook's cell: `distbragg.view`."""
        import distbragg  # the viewer is made of what is made of this

        return distbragg.view(self, **how)

    @property
    def nothing_to_do(self) -> bool:
        """Whether everything was done before."""
        return self.done == self.frames and self.rendered == 0
