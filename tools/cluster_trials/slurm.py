"""Sweeps on a real SLURM of one node: dask-jobqueue, a job array, and one allocation.

Each ends in the bytes of a serial run, though jobs are cancelled in the middle and killed at
their walltime.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tools.cluster_trials.trial import ROOT, FailedError, SkippedError, Trial, wait_until

SITE: Final = ROOT / "cluster" / "slurm"
NEEDED: Final = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol")
PATIENCE_S: Final = 1500.0
CANCEL_AFTER: Final = 3
"""Units after which a job is cancelled."""

SMALL_UNITS: Final = 7
SITE_FILE: Final = """kind: slurm
workers: 1
cores: 1
memory: 2GiB
walltime: "{walltime}"
lifetime: {lifetime}
log_directory: logs
shared_directory: shared
"""


def run(trial: Trial) -> None:
    """Run the whole trial.

    Raises
    ------
    SkippedError
        SLURM is not installed, or this is not root.
    FailedError
    """
    with one_node(trial) as conf:
        os.environ["SLURM_CONF"] = conf
        domains = trial.calibrate()
        sweep = trial.write_sweep("sweep.yaml", trial.units, domains)
        trial.say(f"serial reference of {trial.units} units")
        expected = trial.reference(sweep, "serial.zarr")
        killed_jobs(trial, expected)
        lifetimes(trial, expected)
        array(trial, expected)
        allocation(trial, domains)


@contextmanager
def one_node(trial: Trial) -> Iterator[str]:
    """Start SLURM and yield the path of its configuration."""
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
    missing = [name for name in NEEDED if shutil.which(name, path=path) is None]
    if missing:
        raise SkippedError(
            f"{', '.join(missing)} not installed: apt-get install --no-install-recommends "
            "slurmctld slurmd slurm-client munge"
        )
    if os.geteuid() != 0:
        raise SkippedError("slurmd and slurmctld need root")
    script = str(SITE / "one-node.sh")
    # Of its own: munge wants a short path that others may enter.
    folder = tempfile.mkdtemp(prefix="distbragg-slurm-")
    try:
        # More cores than there are: a cancelled job's last seconds must not hold up the next.
        trial.run(script, "start", folder, environ={"CPUS": "8", "MEMORY_MB": "32000"})
        yield f"{folder}/slurm.conf"
    finally:
        trial.run(script, "stop", folder)
        shutil.rmtree(folder, ignore_errors=True)


def killed_jobs(trial: Trial, expected: dict[int, str]) -> None:
    """Sweep by dask-jobqueue with one scancel and one walltime kill."""
    before = set(states(trial))
    with sweeping(trial, "killed.zarr", "00:30:00", "none") as driver:
        await_units(trial, "killed.zarr", CANCEL_AFTER)
        (first,) = queued(trial)
        trial.run("scancel", first)
        await_units(trial, "killed.zarr", 2 * CANCEL_AFTER)
        shorten(trial, *queued(trial))
        end(driver)
    report(trial, "dask-jobqueue, scancel and a walltime kill", "killed.zarr", expected, before)
    require(trial, before, "CANCELLED", "TIMEOUT")


def lifetimes(trial: Trial, expected: dict[int, str]) -> None:
    """Sweep by dask-jobqueue with workers that end before their walltime."""
    before = set(states(trial))
    with sweeping(trial, "lifetime.zarr", "00:01:00", "auto") as driver:
        end(driver)
    report(trial, "dask-jobqueue, lifetimes below the walltime", "lifetime.zarr", expected, before)
    require(trial, before, "COMPLETED")
    ended = fresh(trial, before)
    if "TIMEOUT" in ended.values():
        raise FailedError(f"a job met its walltime in spite of the lifetime: {ended}")


def array(trial: Trial, expected: dict[int, str]) -> None:
    """Sweep by a job array with one scancel and one walltime kill, submitted until done."""
    before = set(states(trial))
    trial.run("distbragg", "create", str(trial.folder / "sweep.yaml"), "-o", "array.zarr")
    rounds = 0
    while trial.done("array.zarr") < trial.units:
        rounds += 1
        if rounds > 4:
            raise FailedError("four rounds of the job array did not finish the run")
        submit_array(trial)
        if rounds == 1:
            await_units(trial, "array.zarr", CANCEL_AFTER)
            first, second = queued(trial, "--format=%i")
            trial.run("scancel", first)
            shorten(trial, second)
        wait_until(lambda: not queued(trial), PATIENCE_S, "the job array")
    report(trial, f"job array, {rounds} submissions", "array.zarr", expected, before, rounds=rounds)
    require(trial, before, "CANCELLED", "TIMEOUT")


def allocation(trial: Trial, domains: int) -> None:
    """Sweep in one allocation with a scheduler file."""
    before = set(states(trial))
    sweep = trial.write_sweep("small.yaml", SMALL_UNITS, domains)
    expected = trial.reference(sweep, "small.zarr")
    trial.run(
        *("sbatch", "--nodes=1", "--cpus-per-task=2", "--mem=4G", "--time=10"),
        str(SITE / "allocation.sbatch"),
        environ={"SWEEP": str(sweep), "RUN": "allocation.zarr"},
    )
    wait_until(lambda: not queued(trial), PATIENCE_S, "the allocation")
    report(trial, "one allocation, scheduler file", "allocation.zarr", expected, before)


@contextmanager
def sweeping(
    trial: Trial, name: str, walltime: str, lifetime: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a sweep by dask-jobqueue as a user would."""
    site = trial.folder / f"site-{name}.yaml"
    site.write_text(SITE_FILE.format(walltime=walltime, lifetime=lifetime))
    command = ["distbragg", "sweep", "sweep.yaml", "-o", name]
    place = ["--cluster", "slurm", "--site", str(site)]
    with (trial.folder / f"{name}.log").open("wb") as log:
        driver = subprocess.Popen(
            [*command, *place], cwd=trial.folder, env=trial.environ(), stdout=log, stderr=log
        )
        try:
            yield driver
        finally:
            driver.terminate()
            driver.wait(timeout=60)


def end(driver: subprocess.Popen[bytes]) -> None:
    """Wait for a sweep to end by itself."""
    try:
        status = driver.wait(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        raise FailedError(f"the sweep did not end within {PATIENCE_S:.0f} s") from None
    if status != 0:
        raise FailedError(f"the sweep ended with status {status}")


def await_units(trial: Trial, name: str, units: int) -> None:
    """Wait until so many units of a run are there."""
    wait_until(lambda: trial.done(name) >= units, PATIENCE_S, f"{units} units of {name}")


def shorten(trial: Trial, *jobs: str) -> None:
    """Set the walltime of running jobs to SLURM's shortest, 1 min, enforced within another half."""
    for job in jobs:
        trial.run("scontrol", "update", f"JobId={job}", "TimeLimit=1")


def submit_array(trial: Trial) -> None:
    """Submit the shipped script of a job array."""
    trial.run(
        *("sbatch", "--array=1-2", "--cpus-per-task=1", "--mem=2G", "--time=30"),
        str(SITE / "array.sbatch"),
        environ={"RUN": str(trial.folder / "array.zarr"), "PARTS": "2"},
    )


def queued(trial: Trial, form: str = "--format=%A") -> list[str]:
    """List the jobs that wait or run."""
    return trial.run("squeue", "--noheader", "--array", form).split()


def states(trial: Trial) -> dict[str, str]:
    """Return the state of every job SLURM remembers, by number."""
    text = trial.run("scontrol", "--oneliner", "show", "job", statuses=(0, 1))
    found = {}
    for line in text.splitlines():
        words = dict(word.split("=", 1) for word in line.split() if "=" in word)
        if "JobId" in words:
            found[words["JobId"]] = words["JobState"]
    return found


def fresh(trial: Trial, before: set[str]) -> dict[str, str]:
    """Return the states of the jobs since `before`, once all of them ended."""
    wait_until(lambda: not queued(trial), PATIENCE_S, "the last jobs to end")
    return {job: state for job, state in states(trial).items() if job not in before}


def report(
    trial: Trial,
    what: str,
    name: str,
    expected: dict[int, str],
    before: set[str],
    **figures: object,
) -> None:
    """Compare a run with the serial one and keep the figures."""
    counts = Counter(fresh(trial, before).values())
    jobs = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    same = trial.digests(name) == expected
    again = trial.rendered(name) - len(expected)
    trial.record(
        what,
        {
            "units": len(expected),
            "rendered twice": again,
            "jobs": jobs,
            **figures,
            "bytes": "same" if same else "DIFFER",
        },
        same,
    )
    if not same:
        raise FailedError(f"{name} differs from the serial run")


def require(trial: Trial, before: set[str], *wanted: str) -> None:
    """Check that jobs ended in the ways that were to be tried."""
    seen = set(fresh(trial, before).values())
    if not set(wanted) <= seen:
        raise FailedError(f"jobs ended as {sorted(seen)}, not also as {sorted(wanted)}")
