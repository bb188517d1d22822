"""A row of the fault table: what was done, what was measured, and whether it is within its bar."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tools.evidence.bundle import markdown_table


@dataclass(frozen=True)
class Figure:
    """One measured number with its bar; `holds` is the verdict."""

    name: str
    value: float
    bar: str
    holds: bool


@dataclass
class Row:
    """One fault.

    Attributes
    ----------
    fault : str
        What was broken.
    amount : str
        How often, at what size.
    figures : list of Figure
    skipped : str
        Why the row was not run, where it was not.
    """

    fault: str
    amount: str = ""
    figures: list[Figure] = field(default_factory=list)
    skipped: str = ""
    seconds: float = 0.0

    def equal(self, name: str, value: float, wanted: float) -> None:
        """Ask for exactly `wanted`."""
        self._judge(name, value, f"= {wanted:g}", value == wanted)

    def at_most(self, name: str, value: float, bar: float) -> None:
        """Ask for no more than `bar`."""
        self._judge(name, value, f"≤ {bar:g}", value <= bar)

    def at_least(self, name: str, value: float, bar: float) -> None:
        """Ask for no less than `bar`."""
        self._judge(name, value, f"≥ {bar:g}", value >= bar)

    def _judge(self, name: str, value: float, bar: str, holds: bool) -> None:
        # Plain numbers: numpy's do not go into JSON.
        self.figures.append(Figure(name, round(float(value), 4), bar, bool(holds)))

    def same_bits(self, found: dict[int, str], wanted: dict[int, str]) -> None:
        """Ask for the digests of the undisturbed serial run, unit by unit."""
        wrong = sum(found.get(unit) != digest for unit, digest in wanted.items())
        self.equal("units that differ from the undisturbed run", wrong, 0)
        self.equal("units beyond the undisturbed run", len(found.keys() - wanted.keys()), 0)

    @property
    def holds(self) -> bool:
        """Whether something was measured and all of it is within its bar."""
        return bool(self.figures) and all(figure.holds for figure in self.figures)

    @property
    def verdict(self) -> str:
        """`holds`, `FAILS` or `not run`."""
        return "not run" if self.skipped else "holds" if self.holds else "FAILS"

    def to_plain(self) -> dict[str, Any]:
        """Return as JSON-able data."""
        return {**asdict(self), "verdict": self.verdict}


def peak_bytes() -> int:
    """Largest resident memory of this process so far; `ru_maxrss` would hold its parent's too."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024


def timed(measure: Callable[[Path], Row], scratch: Path) -> Row:
    """Run one row in a folder of its own and note its wall time."""
    scratch.mkdir(parents=True)
    started = time.monotonic()
    row = measure(scratch)
    row.seconds = round(time.monotonic() - started, 1)
    return row


def summary(rows: list[Row]) -> str:
    """Write the fault table."""
    lines: list[tuple[object, ...]] = []
    for row in rows:
        if row.skipped:
            lines.append((row.fault, row.amount, row.skipped, "", "", row.verdict))
        for position, figure in enumerate(row.figures):
            head = (row.fault, row.amount) if position == 0 else ("", "")
            holds = "holds" if figure.holds else "FAILS"
            lines.append((*head, figure.name, f"{figure.value:g}", figure.bar, holds))
    failed = [row.fault for row in rows if row.verdict == "FAILS"]
    verdict = f"Rows that fail: {', '.join(failed)}." if failed else "Every row that ran holds."
    table = markdown_table(("fault", "amount", "figure", "measured", "bar", "verdict"), lines)
    seconds = sum(row.seconds for row in rows)
    return f"""# Faults

Each row breaks something while a sweep is rendered, and compares what is left with an undisturbed
serial run, digest by digest. `docs/explanation/reliability.md` of the source tree says how each is
done; `rows.json` holds the figures, `env.json` the machine, `commands.txt` the command.

{verdict} {len(rows)} rows, {seconds:.0f} s.

{table}
"""
