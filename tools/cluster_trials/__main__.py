"""`python -m tools.cluster_trials slurm|netns`: run one trial and write its report."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tools.cluster_trials import netns, slurm
from tools.cluster_trials.trial import ROOT, FailedError, SkippedError, Trial, write_report

TRIALS = {
    "slurm": (slurm.run, "A real SLURM of one node"),
    "netns": (netns.run, "Scheduler and two workers on three hosts"),
}


def main() -> int:
    """Run a trial; 0: passed or skipped, 1: failed."""
    parser = argparse.ArgumentParser(prog="python -m tools.cluster_trials", description=__doc__)
    parser.add_argument("name", choices=sorted(TRIALS))
    parser.add_argument("--reports", type=Path, default=ROOT / "reports" / "clusters")
    parser.add_argument("--folder", type=Path, help="scratch folder to keep")
    parser.add_argument("--units", type=int, default=61, help="of the sweep; default 61")
    parser.add_argument("--seconds", type=float, default=4.0, help="of work a unit; default 4")
    options = parser.parse_args()
    run, title = TRIALS[options.name]
    with tempfile.TemporaryDirectory(prefix="distbragg-") as scratch:
        folder = (options.folder or Path(scratch)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        trial = Trial(folder, options.units, options.seconds)
        try:
            run(trial)
        except SkippedError as reason:
            sys.stderr.write(f"{options.name}: skipped: {reason}\n")
            return 0
        except FailedError as reason:
            trial.record("trial", {"ended": reason}, False)
            return 1
        trial.say(f"report: {write_report(options.reports, options.name, title, trial)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
