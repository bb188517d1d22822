"""Told to stop, a command ends with the line that continues the run, and without a traceback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from distbragg.cli import INTERRUPTED
from distbragg.errors import ExitStatus
from distbragg.store.lease import lease_holders
from distbragg.store.objects import objects_at
from tests import loaded
from tests.loaded import Started

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def spec_of(folder: Path, oversample: int) -> Path:
    """Write a sweep of which one frame takes minutes where `oversample` is large."""
    plain: dict[str, Any] = {
        "experiment": {
            "beam": {"wavelength_angstrom": 1.0},
            "crystal": {
                "cell": [79.1, 79.1, 38.0, 90, 90, 90],
                "block_cells": [8, 8, 8],
                "mosaic": {"spread_deg": 0.3, "domains": 4},
            },
            "structure_factors": {"default_f_electrons": 100},
            "detector": {
                "distance_mm": 100,
                "pixel_size_mm": 0.4,
                "pixels_fast": 200,
                "pixels_slow": 200,
            },
            "sampling": {"oversample": oversample},
            "compute": {"frames_per_unit": 1},
        },
        "axes": [{"name": "orientation", "random_orientations": {"count": 4, "seed": 1}}],
    }
    path = folder / "sweep.yaml"
    path.write_text(json.dumps(plain))
    return path


def begin(folder: Path, cluster: str, oversample: int = 2000) -> subprocess.Popen[str]:
    spec = spec_of(folder, oversample)
    command = [sys.executable, "-m", "distbragg", "sweep", str(spec), "-o", str(folder / "RUN")]
    return subprocess.Popen(
        [*command, "--cluster", cluster, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def end_of(process: subprocess.Popen[str] | Started, folder: Path, *, begun: bool = False) -> None:
    try:
        out, err = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            process.kill() if isinstance(process, Started) else os.killpg(
                process.pid, signal.SIGKILL
            )
    assert process.returncode == ExitStatus.INTERRUPTED
    assert INTERRUPTED in err
    if begun:
        assert f"{INTERRUPTED}; `distbragg resume {folder / 'RUN'}` continues the run\n" in err
    assert "Traceback" not in out + err
    assert "resource_tracker" not in err
    assert "never awaited" not in err
    # On a busy machine the process may end before it has deleted its lease, which is over then.
    assert not any(holder.alive for holder in lease_holders(objects_at(str(folder / "RUN"))))


@pytest.mark.spec("ENG-25")
@pytest.mark.parametrize("number", SIGNALS)
def test_a_kernel_call_of_minutes_is_stopped(tmp_path: Path, number: int) -> None:
    command = ["-m", "distbragg", "sweep", spec_of(tmp_path, 2000), "-o", tmp_path / "RUN"]
    process = loaded.start([*command, "--cluster", "serial", "--json"])
    process.wait_for('"event": "started"')
    time.sleep(1.0)  # by now it is in the kernel
    process.send_signal(number)
    end_of(process, tmp_path, begun=True)


@pytest.mark.spec("ENG-25")
def test_what_python_does_at_its_end_is_not_waited_for(tmp_path: Path) -> None:
    code = (
        "import atexit, sys, time\n"
        "from distbragg.cli.main import main\n"
        "atexit.register(time.sleep, 600)\n"
        "sys.exit(main())\n"
    )
    spec = spec_of(tmp_path, 2000)
    command = [sys.executable, "-c", code, "sweep", str(spec), "-o", str(tmp_path / "RUN")]
    process = subprocess.Popen(
        [*command, "--cluster", "serial", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    while json.loads(process.stdout.readline())["event"] != "started":
        pass
    process.send_signal(signal.SIGTERM)
    end_of(process, tmp_path, begun=True)


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.spec("ENG-25")
@pytest.mark.parametrize("number", SIGNALS)
def test_all_processes_of_a_terminal_may_be_told_while_workers_start(
    tmp_path: Path, number: int
) -> None:
    process = begin(tmp_path, "local:2")
    while not (tmp_path / "RUN" / ".distbragg" / "lock").exists():
        time.sleep(0.02)
    time.sleep(1.0)  # the lock is taken just before workers are started
    os.killpg(process.pid, number)
    end_of(process, tmp_path, begun=True)


@pytest.mark.spec("ENG-25")
def test_a_run_that_is_being_made_is_let_go_without_a_warning(tmp_path: Path) -> None:
    process = begin(tmp_path, "serial")
    while not list(tmp_path.glob("RUN*")):
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    end_of(process, tmp_path)


@pytest.mark.spec("ENG-25")
@pytest.mark.parametrize("number", SIGNALS)
def test_a_command_that_is_still_loading_ends_too(tmp_path: Path, number: int) -> None:
    process = begin(tmp_path, "serial")
    # Python needs a moment until anything of the package is loaded.
    while "distbragg" not in _open_files(process.pid) and process.poll() is None:
        time.sleep(0.001)
    time.sleep(0.2)
    process.send_signal(number)
    end_of(process, tmp_path)


def _open_files(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


STARTS = """
import multiprocessing, subprocess, sys
from distbragg.cli import interrupt
def start(word):
    code = "import time; time.sleep(60)"
    return subprocess.Popen([sys.executable, "-c", f"{code} # {word}"])
worker, other = start("from multiprocessing.spawn import spawn_main"), start("scancel")
interrupt._kill_helpers()
print(worker.wait(timeout=20), other.poll())
other.kill()
"""


@pytest.mark.spec("ENG-25")
def test_a_worker_that_is_being_started_ends_too_and_no_other_command() -> None:
    done = subprocess.run(
        [sys.executable, "-c", STARTS], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == [str(-signal.SIGKILL), "None"]
