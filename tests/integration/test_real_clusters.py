"""What the trials of `tools.cluster_trials` stand on, where this machine allows it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import distbragg as db
from distbragg.spec.cluster import QueueClusterSpec
from tools.cluster_trials import slurm
from tools.cluster_trials.netns import PROBE
from tools.cluster_trials.trial import SkippedError, Trial
from tools.cluster_trials.wire import hosts

from .conftest import digests_of, tiny_sweep

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.mark.spec("CLU-3")
def test_a_real_slurm_runs_a_sweep_by_jobs_and_one_by_array(finished, tmp_path, monkeypatch):
    trial = Trial(tmp_path)
    try:
        with slurm.one_node(trial) as conf:
            monkeypatch.setenv("SLURM_CONF", conf)
            # Jobs write their output where they are submitted.
            monkeypatch.chdir(tmp_path)
            by_jobs, by_array = (db.create(tiny_sweep(), tmp_path / n) for n in ("jobs", "array"))
            site = QueueClusterSpec(
                kind="slurm", cores=1, memory="2GiB", shared_directory=str(tmp_path / "shared")
            )
            db.resume(by_jobs, cluster=site)
            place = {"RUN": str(by_array.path), "PARTS": "2"}
            command = ["sbatch", "--wait", "--array=1-2", "--cpus-per-task=1", "--mem=2G"]
            trial.run(*command, str(slurm.SITE / "array.sbatch"), environ=place)
            assert not slurm.queued(trial)
            # The cluster cancels its own job at the end, the array's jobs end by themselves.
            assert sorted(slurm.states(trial).values()) == ["CANCELLED", "COMPLETED", "COMPLETED"]
    except SkippedError as reason:
        pytest.skip(str(reason))
    assert digests_of(by_jobs.path) == digests_of(finished)
    assert digests_of(by_array.path) == digests_of(finished)
    left = trial.run("sh", "-c", "ps -eo args | grep '[s]lurm.conf' || true")
    assert str(tmp_path) not in left


def test_hosts_on_a_wire_are_far_apart_and_can_be_parted(tmp_path):
    try:
        with hosts(tmp_path, ("a", "b"), delay_s=0.05, loss=0.0) as (made, wire):
            listener = "import socket, time; s = socket.create_server(('', 5000)); time.sleep(60)"
            with subprocess.Popen(made[0].command(sys.executable, "-c", listener)) as server:
                probe = made[1].command(sys.executable, "-c", PROBE, made[0].address, "5000")
                try:
                    wait_for_port(probe)
                    answer = subprocess.run(probe, capture_output=True, text=True, check=True)
                    assert 0.1 <= float(answer.stdout) < 0.3
                    wire.cut.add(0)
                    parted = [*probe[:-3], PROBE.replace("timeout=10", "timeout=1"), *probe[-2:]]
                    assert subprocess.run(parted, capture_output=True, check=False).returncode != 0
                    assert wire.refused > 0
                finally:
                    server.kill()
    except SkippedError as reason:
        pytest.skip(str(reason))
    assert (
        str(os.getpid())
        not in subprocess.run(
            ["ip", "netns", "list"], capture_output=True, text=True, check=True
        ).stdout
    )


def wait_for_port(probe: list[str]) -> None:
    end = time.monotonic() + 30
    while subprocess.run(probe, capture_output=True, check=False).returncode != 0:
        assert time.monotonic() < end


def test_the_start_of_slurm_says_what_it_lacks(tmp_path):
    script = Path(slurm.SITE) / "one-node.sh"
    (tmp_path / "bin").mkdir()
    for tool in ("bash", "mkdir", "id", "dirname", "sed"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool) or tool)
    if os.geteuid() != 0:
        pytest.skip("the script asks for root first")
    done = subprocess.run(
        [str(tmp_path / "bin" / "bash"), str(script), "start", str(tmp_path / "slurm")],
        env={"PATH": str(tmp_path / "bin")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 6
    assert done.stderr.startswith("one-node.sh: ")
    assert "is not installed" in done.stderr
