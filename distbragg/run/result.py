"""What a run reports when it ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from distbragg.errors import ExitStatus


@dataclass(frozen=True, slots=True)
class RunResult:
    """How an execution of a run ended.

    Attributes
    ----------
    path : Path or str
        The run directory, or its URL.
    frames : int
        Frames this execution was asked for: the whole run, or its part.
    done : int
        Of these, frames that are now in the stack.
    failed : int
        Of these, frames set aside now.
    rendered : int
        Frames rendered by this execution.
    seconds : float
        Wall time.
    status : ExitStatus
        `DONE`, or `FAILED_FRAMES` where some were set aside.
    failures : dict of int to str
        Reason by unit that was set aside.
    """

    path: Path | str
    frames: int
    done: int
    failed: int
    rendered: int
    seconds: float
    status: ExitStatus
    failures: dict[int, str] = field(default_factory=dict)

    @property
    def nothing_to_do(self) -> bool:
        """Whether everything was done before."""
        return self.done == self.frames and self.rendered == 0
