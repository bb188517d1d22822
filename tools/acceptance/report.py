"""The report of a run of the acceptance: one folder with a page and its figures as JSON."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from distbragg.evidence.bundle import environment, markdown_table
from tools.acceptance.dials import version
from tools.acceptance.series import BACKGROUND_UM
from tools.acceptance.verdict import (
    CELL_ANGLE_DEG,
    CELL_LENGTH_RELATIVE,
    MINIMUM_CORRELATION,
    MINIMUM_INDEXED,
    MINIMUM_SPOTS,
    MINIMUM_STILLS,
    ORIENTATION_DEG,
    Result,
)

WHAT = {
    "smv": "20° series, SMV",
    "cbf": "20° series, CBF",
    "nxmx": "20° series, NXmx",
    "integrate": "20° series, integrated, against the labels",
    "monoclinic": "5E5Z, tilted detector with 2θ, NXmx",
    "panels": "20° series, two panels from an experiment list, NXmx",
    "stills": "20 stills, 1 % bandwidth, known cell",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a case ended, and how long it took, s."""

    name: str
    result: Result
    seconds: float

    @property
    def judgement(self) -> str:
        """`accepted`, or the bars that were missed."""
        failures = self.result.failures()
        return "missed: " + ", ".join(failures) if failures else "accepted"

    def line(self) -> str:
        """Say it in one line."""
        return f"{self.name}: {self.result.line()}: {self.judgement}"


def write_report(folder: Path, outcomes: Sequence[Outcome], cases: Sequence[str]) -> Path:
    """Write the report into a new folder named by the time; return it."""
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
    target = folder / stamp
    target.mkdir(parents=True)
    facts = {"dials": version(), **environment()}
    command = f"python -m tools.accept_dials --install --cases {' '.join(cases)}"
    body = {
        "command": command,
        "environment": facts,
        "outcomes": [
            {
                "case": item.name,
                **item.result.to_plain(),
                "judgement": item.judgement,
                "seconds": round(item.seconds, 1),
            }
            for item in outcomes
        ],
    }
    text = json.dumps(body, indent=2) + "\n"
    (target / "results.json").write_text(text, encoding="utf-8")
    (target / "README.md").write_text(_page(outcomes, command, facts), encoding="utf-8")
    return target


def _page(outcomes: Sequence[Outcome], command: str, facts: dict[str, object]) -> str:
    rows = [
        (WHAT[item.name], item.result.line(), item.judgement, f"{item.seconds:.0f} s")
        for item in outcomes
    ]
    return (
        "# What DIALS makes of our frames\n\n"
        f"DIALS {facts['dials']}, with its own defaults for spot finding, indexing and "
        f"integration. Commit `{facts['git_head']}`, {facts['machine']}.\n\n"
        f"    {command}\n\n"
        f"{markdown_table(('case', 'result', 'judgement', 'time'), rows)}\n\n"
        f"Bars: {MINIMUM_SPOTS} strong spots and {MINIMUM_INDEXED:.0%} indexed, cell lengths "
        f"within {CELL_LENGTH_RELATIVE:.1%} and angles within {CELL_ANGLE_DEG}°, orientation "
        f"within {ORIENTATION_DEG}°; correlation {MINIMUM_CORRELATION}; {MINIMUM_STILLS} of 20 "
        "stills. The truth is that of the stacks.\n\n"
        "The series has a background of some ten photons a pixel (a cube of "
        f"{BACKGROUND_UM} µm of water), as every measured image has one.\n"
    )
