"""Let DIALS judge exported frames.

A rotation series as SMV, CBF and NXmx, found, indexed and integrated; a monoclinic crystal from a
real structure-factor file on a tilted detector; a detector of two panels from an experiment list;
stills of random orientation in a pink beam. The truth is read from the stacks. Where DIALS is
missing, `--install` fetches Debian's package with apt-get; where that is not possible either, the
run is skipped and says why. A report is written to `reports/acceptance/<UTC stamp>`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tools.acceptance.dials import missing_dials
from tools.acceptance.integration import judge_integration
from tools.acceptance.others import judge_monoclinic, judge_stills, judge_two_panels
from tools.acceptance.report import Outcome, write_report
from tools.acceptance.series import FORMATS, judge_series
from tools.acceptance.verdict import Result

CASES: Final = (*FORMATS, "integrate", "monoclinic", "panels", "stills")
REAL_FACTORS: Final = "../shared/data/real/5e5z.mtz"


def run_cases(folder: Path, cases: Sequence[str], real: Path) -> list[Outcome]:
    """Run the chosen cases in `folder`, each in a folder of its own, and say how each ends."""
    series = folder / "series"
    runs: dict[str, Callable[[], Result]] = {
        name: lambda name=name: judge_series(series, (name,))[name]  # type: ignore[misc]
        for name in FORMATS
    }
    runs["integrate"] = lambda: judge_integration(_indexed(series), series / "series.zarr")
    runs["monoclinic"] = lambda: judge_monoclinic(folder / "monoclinic", real)
    runs["panels"] = lambda: judge_two_panels(folder / "panels")
    runs["stills"] = lambda: judge_stills(folder / "stills")
    outcomes = []
    for name in CASES:
        if name not in cases:
            continue
        if name == "monoclinic" and not real.is_file():
            _say(f"{name}: skipped, there is no {real}")
            continue
        started = time.monotonic()
        result = runs[name]()
        outcome = Outcome(name, result, time.monotonic() - started)
        _say(outcome.line())
        outcomes.append(outcome)
    return outcomes


def _indexed(series: Path) -> Path:
    """Folder of a format of the series that is indexed already; indexes SMV where none is."""
    for name in FORMATS:
        if (series / f"dials-{name}" / "indexed.refl").exists():
            return series / f"dials-{name}"
    judge_series(series, FORMATS[:1])
    return series / f"dials-{FORMATS[0]}"


def _say(text: str) -> None:
    sys.stdout.write(f"accept: {text}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 where DIALS accepts every case or cannot be had, else 1."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--install", action="store_true", help="apt-get DIALS where missing")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="work in DIR and keep it")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--real", type=Path, default=Path(REAL_FACTORS), metavar="5e5z.mtz")
    parser.add_argument("--report", type=Path, metavar="DIR", help="write the report below DIR")
    chosen = parser.parse_args(arguments)
    reason = missing_dials(install=chosen.install)
    if reason:
        _say(f"skipped: {reason}")
        return 0
    with tempfile.TemporaryDirectory(prefix="accept-") as scratch:
        folder = (chosen.keep or Path(scratch)).absolute()
        outcomes = run_cases(folder, chosen.cases, chosen.real.absolute())
    if chosen.report is not None:
        _say(f"report in {write_report(chosen.report, outcomes, chosen.cases)}")
    return int(any(outcome.result.failures() for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
