"""A batch system of one machine for tests: jobs are process groups, the queue is a folder.

Installed under the names of the real commands (`sbatch`, `qstat`, `bkill`, …), it answers as
they do, as far as dask-jobqueue and distbragg read the answers.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

COMMANDS = {
    "slurm": ("sbatch", "squeue", "scancel"),
    "pbs": ("qsub", "qstat", "qdel"),
    "lsf": ("bsub", "bjobs", "bkill"),
    "sge": ("qsub", "qstat", "qdel"),
}
SUBMITTED = {
    "slurm": "Submitted batch job {}",
    "pbs": "{}.head",
    "lsf": "Job <{}> is submitted to default queue <normal>.",
    "sge": 'Your job {} ("distbragg") has been submitted',
}
LISTED = {"slurm": "{}", "pbs": "{}.head  distbragg  me  0 R q", "lsf": "{}", "sge": "{} 0.5 job r"}


def install(folder: Path, kind: str) -> Path:
    """Write the commands of one batch system into `folder`; return its queue."""
    queue = folder / "queue"
    queue.mkdir(parents=True)
    for role, name in zip(("submit", "list", "cancel"), COMMANDS[kind], strict=True):
        command = folder / name
        command.write_text(
            f'#!/bin/sh\nexec "{sys.executable}" -I "{__file__}" {kind} {role} "{queue}" "$@"\n'
        )
        command.chmod(0o755)
    return queue


def alive(job: Path) -> bool:
    """Say whether a job's process group has a process that is not a zombie."""
    state = subprocess.run(
        ["ps", "-o", "stat=", "-g", job.read_text()], capture_output=True, text=True, check=False
    ).stdout.split()
    return any(not item.startswith("Z") for item in state)


def jobs_of(queue: Path) -> dict[str, Path]:
    return {job.name: job for job in sorted(queue.iterdir()) if job.name.isdigit()}


def end(job: Path) -> None:
    """Send a job what a batch system sends at its walltime."""
    os.killpg(int(job.read_text()), signal.SIGTERM)


def submit(queue: Path, arguments: list[str], text: str) -> str:
    # Workers are submitted at once: without the lock two jobs would take one number.
    with (queue / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _submit(queue, arguments, text)


def _submit(queue: Path, arguments: list[str], text: str) -> str:
    script = queue / f"script-{len(list(queue.iterdir()))}"
    script.write_text(text or Path(arguments[-1]).read_text())
    log = script.with_suffix(".log").open("w")
    process = subprocess.Popen(
        ["bash", str(script)], start_new_session=True, stdout=log, stderr=log
    )
    number = str(100 + len(jobs_of(queue)))
    (queue / number).write_text(str(process.pid))
    return number


def main() -> None:
    kind, role, folder, *arguments = sys.argv[1:]
    queue = Path(folder)
    if role == "submit":
        text = "" if arguments else sys.stdin.read()
        sys.stdout.write(SUBMITTED[kind].format(submit(queue, arguments, text)) + "\n")
    elif role == "list":
        for number, job in jobs_of(queue).items():
            if alive(job):
                sys.stdout.write(LISTED[kind].format(number) + "\n")
    elif arguments[-1] in jobs_of(queue) and alive(queue / arguments[-1]):
        end(queue / arguments[-1])
    else:
        sys.exit(f"no such job: {arguments}")


if __name__ == "__main__":
    main()
