"""How a case ended: kept in the working folder, so that an interrupted acceptance goes on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tools.acceptance.verdict import Result


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a case ended.

    Attributes
    ----------
    name : str
    line : str
        The result in one line.
    failures : list of str
        Bars that were missed, or why there is no result.
    figures : dict
        The result's numbers.
    seconds : float
        Wall time of the case, s.
    """

    name: str
    line: str
    failures: list[str]
    figures: dict[str, Any]
    seconds: float

    @classmethod
    def of(cls, name: str, result: Result, seconds: float) -> Outcome:
        """Take down a result."""
        return cls(name, result.line(), result.failures(), result.to_plain(), round(seconds, 1))

    @classmethod
    def broken(cls, name: str, reason: str, seconds: float) -> Outcome:
        """Take down that there is no result, and why."""
        return cls(name, "no result", [reason], {}, round(seconds, 1))

    @classmethod
    def load(cls, path: Path) -> Outcome | None:
        """Return what an earlier run kept; None where that is nothing, or not whole."""
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def save(self, path: Path) -> None:
        """Keep it for a later run."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @property
    def judgement(self) -> str:
        """`accepted`, or what was missed."""
        return "missed: " + "; ".join(self.failures) if self.failures else "accepted"
