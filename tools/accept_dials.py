"""Let DIALS judge exported frames.

A rotation series as SMV, CBF and NXmx, found, indexed and integrated; the same with gaps between
modules as CBF; the same in closed form, integrated too, then as a detector would have recorded it;
a monoclinic crystal from a real structure-factor file on a tilted detector; a detector of two
panels from an experiment list; stills of random orientation in a pink beam. The truth is read from
the stacks. Where DIALS is missing, `--install` fetches Debian's package with apt-get; where that is
not possible either, the run is skipped and says why. A bundle is written to
`<reports>/acceptance/<UTC stamp>`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from tools.acceptance.dials import missing_dials
from tools.acceptance.integration import judge_integration
from tools.acceptance.others import judge_monoclinic, judge_stills, judge_two_panels
from tools.acceptance.outcome import Outcome
from tools.acceptance.progress import say
from tools.acceptance.report import table_of, write_report
from tools.acceptance.series import (
    FORMATS,
    judge_closed,
    judge_masked,
    judge_recorded,
    judge_series,
)
from tools.acceptance.verdict import CLOSED_CORRELATION, RECORDED_CORRELATION, Integration, Result

CASES: Final = (
    *FORMATS,
    "masked",
    "integrate",
    "closed",
    "closed-integrate",
    "recorded",
    "recorded-integrate",
    "monoclinic",
    "panels",
    "stills",
)
REAL_FACTORS: Final = "../shared/data/real/5e5z.mtz"
OUTCOMES: Final = "outcomes"
_BREAKS: Final = (
    RuntimeError,
    OSError,
    ValueError,
    LookupError,
    subprocess.SubprocessError,
)
"""What a case that goes wrong raises: a program that stops, or output that is not as foreseen."""


def run_cases(folder: Path, cases: Sequence[str], real: Path) -> list[Outcome]:
    """Run the chosen cases in `folder`; one that was accepted there before is not run again."""
    kept = folder / OUTCOMES
    kept.mkdir(parents=True, exist_ok=True)
    outcomes = []
    for name in (name for name in CASES if name in cases):
        path = kept / f"{name}.json"
        outcome = Outcome.load(path)
        if outcome is None or outcome.failures:
            outcome = run_case(folder, name, real)
            outcome.save(path)
        say(f"{name}: {outcome.line}: {outcome.judgement}")
        outcomes.append(outcome)
    return outcomes


def run_case(folder: Path, name: str, real: Path) -> Outcome:
    """Run one case; one that cannot be run to its end is missed, with the reason."""
    say(f"{name}: begins")
    started = time.monotonic()
    try:
        result = _judge(folder, name, real)
    except _BREAKS as error:
        reason = " ".join(str(error).split())[:300]
        return Outcome.broken(name, f"{type(error).__name__}: {reason}", time.monotonic() - started)
    return Outcome.of(name, result, time.monotonic() - started)


def _judge(folder: Path, name: str, real: Path) -> Result:
    picture = folder / OUTCOMES / f"{name}.png"
    series, closed, recorded = (folder / part for part in ("series", "closed", "recorded"))
    others: dict[str, Callable[[], Result]] = {
        "integrate": lambda: judge_integration(_indexed(series), series / "series.zarr", picture),
        "closed": lambda: judge_closed(closed, picture),
        "closed-integrate": lambda: _closed_integration(closed, picture),
        "recorded": lambda: judge_recorded(recorded, picture),
        "recorded-integrate": lambda: _recorded_integration(recorded, picture),
        "masked": lambda: judge_masked(folder / name, picture),
        "monoclinic": lambda: judge_monoclinic(folder / name, real, picture),
        "panels": lambda: judge_two_panels(folder / name, picture),
        "stills": lambda: judge_stills(folder / name, picture),
    }
    return judge_series(series, name, picture) if name in FORMATS else others[name]()


def _closed_integration(folder: Path, picture: Path) -> Integration:
    """Integrate the series in closed form, which is indexed first where it is not yet."""
    if not (folder / "dials" / "indexed.refl").exists():
        judge_closed(folder, folder / "closed.png")
    found = judge_integration(folder / "dials", folder / "series.zarr", picture)
    return replace(found, least_summed=CLOSED_CORRELATION)


def _recorded_integration(folder: Path, picture: Path) -> Integration:
    """Integrate the recorded series, which is indexed first where it is not yet."""
    if not (folder / "dials" / "indexed.refl").exists():
        judge_recorded(folder, folder / "recorded.png")
    found = judge_integration(folder / "dials", folder / "series.zarr", picture)
    return replace(found, least_summed=RECORDED_CORRELATION)


def _indexed(series: Path) -> Path:
    """Folder of a format of the series that is indexed already; indexes SMV where none is."""
    for name in FORMATS:
        if (series / f"dials-{name}" / "indexed.refl").exists():
            return series / f"dials-{name}"
    form = FORMATS[0]
    judge_series(series, form, series / f"{form}.png")
    return series / f"dials-{form}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 where DIALS accepts every case or cannot be had, else 1."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--install", action="store_true", help="apt-get DIALS where missing")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="work in DIR, keep it, and go on from it"
    )
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--real", type=Path, default=Path(REAL_FACTORS), metavar="5e5z.mtz")
    parser.add_argument("--report", type=Path, metavar="DIR", help="write a bundle below DIR")
    chosen = parser.parse_args(arguments)
    reason = missing_dials(install=chosen.install)
    if reason:
        say(f"skipped: {reason}")
        return 0
    cases = list(chosen.cases)
    if "monoclinic" in cases and not chosen.real.is_file():
        say(f"monoclinic: skipped, there is no {chosen.real}")
        cases.remove("monoclinic")
    with tempfile.TemporaryDirectory(prefix="accept-") as scratch:
        folder = (chosen.keep or Path(scratch)).absolute()
        outcomes = run_cases(folder, cases, chosen.real.absolute())
        if chosen.report is not None:
            command = f"python -m tools.accept_dials --install --cases {' '.join(cases)}"
            bundle = write_report(chosen.report, outcomes, folder / OUTCOMES, command)
            say(f"bundle in {bundle}")
    sys.stdout.write(f"\n{table_of(outcomes)}\n")
    return int(any(outcome.failures for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
