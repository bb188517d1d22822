"""The bundle of a run of the acceptance: a page, its figures as JSON, a picture of every case."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tools.acceptance.dials import version
from tools.acceptance.outcome import Outcome
from tools.acceptance.series import BACKGROUND_UM
from tools.acceptance.verdict import (
    CELL_ANGLE_DEG,
    CELL_LENGTH_RELATIVE,
    CLOSED_CORRELATION,
    CLOSED_INDEXED,
    MINIMUM_CORRELATION,
    MINIMUM_INDEXED,
    MINIMUM_SPOTS,
    MINIMUM_STILLS,
    ORIENTATION_DEG,
    RECORDED_CORRELATION,
    RECORDED_INDEXED,
)
from tools.evidence.bundle import Bundle, git_head, markdown_table

WHAT = {
    "smv": "20° series, SMV",
    "cbf": "20° series, CBF",
    "nxmx": "20° series, NXmx",
    "masked": "20° series with gaps between modules, CBF",
    "integrate": "20° series, integrated, against the labels",
    "closed": "20° series in closed form, SMV",
    "closed-integrate": "20° series in closed form, integrated, against the labels",
    "recorded": "20° series as recorded (materials, beam stop, point spread, response), SMV",
    "recorded-integrate": "the same, integrated, against the labels",
    "monoclinic": "5E5Z (P2₁, measured amplitudes), tilted detector with 2θ, NXmx",
    "panels": "20° series, two panels from an experiment list, NXmx",
    "stills": "20 stills of random orientation, 1 % bandwidth, known cell",
}
TOPIC = "acceptance"


def write_report(root: Path, outcomes: Sequence[Outcome], pictures: Path, command: str) -> Path:
    """Write the bundle into a new folder named by the time; return it.

    Parameters
    ----------
    root : Path
        Folder of all reports.
    outcomes : sequence of Outcome
    pictures : Path
        Folder of `<case>.png`; a case without a result may have none.
    command : str
        What was run.
    """
    bundle = Bundle.create(root, TOPIC)
    (bundle.path / "commands.txt").unlink()
    bundle.record_command(command.split())
    bundle.write_json(
        "results.json", {"dials": version(), "outcomes": [asdict(item) for item in outcomes]}
    )
    drawn = [item.name for item in outcomes if (pictures / f"{item.name}.png").is_file()]
    for name in drawn:
        shutil.copyfile(pictures / f"{name}.png", bundle.path / f"{name}.png")
    bundle.write_text("summary.md", _page(outcomes, drawn, command))
    return bundle.path


def table_of(outcomes: Sequence[Outcome]) -> str:
    """Return the verdicts as a table."""
    rows = [
        (WHAT[item.name], item.line, item.judgement, f"{item.seconds:.0f} s") for item in outcomes
    ]
    return markdown_table(("case", "result", "judgement", "time"), rows)


def _page(outcomes: Sequence[Outcome], drawn: Sequence[str], command: str) -> str:
    pictures = "\n\n".join(f"![{WHAT[name]}]({name}.png)" for name in drawn)
    return (
        "# What DIALS makes of our frames\n\n"
        f"DIALS {version()}, with its own defaults for spot finding, indexing and "
        f"integration. Commit `{git_head()}`.\n\n"
        f"    {command}\n\n"
        f"{table_of(outcomes)}\n\n"
        f"Bars: {MINIMUM_SPOTS} strong spots and {MINIMUM_INDEXED:.0%} indexed, cell lengths "
        f"within {CELL_LENGTH_RELATIVE:.1%} and angles within {CELL_ANGLE_DEG}°, orientation "
        f"within {ORIENTATION_DEG}°; correlation {MINIMUM_CORRELATION}; in closed form "
        f"{CLOSED_INDEXED:.0%}, and {CLOSED_CORRELATION} of summed intensities; "
        f"of a recorded series {RECORDED_INDEXED:.0%} and {RECORDED_CORRELATION}; "
        f"{MINIMUM_STILLS} of 20 "
        "stills. The truth is that of the stacks; times are wall times of whatever the machine "
        "did besides.\n\n"
        "The series has a background of some ten photons a pixel (a cube of "
        f"{BACKGROUND_UM} µm of water), as every measured image has one.\n\n"
        f"{pictures}\n"
    )
