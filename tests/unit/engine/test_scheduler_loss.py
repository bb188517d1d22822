"""Losing the scheduler ends the run with a hint, never with a hang."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from distributed import Client

from distbragg.clusters.open import open_client
from distbragg.engine.dask_executor import DaskExecutor
from distbragg.errors import EnvironmentFailure

from .fake_work import FAKE, context_of

pytestmark = pytest.mark.cluster


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A scheduler of its own process, and the file that names it."""
    place = tmp_path / "scheduler.json"
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    process = subprocess.Popen(
        [*command, *options, "--scheduler-file", str(place)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 30
    while not place.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    yield process, str(place)
    process.kill()
    process.wait()


@pytest.mark.spec("ENG-20")
def test_killed_scheduler_ends_the_run_with_a_hint(
    scheduler: tuple[subprocess.Popen[bytes], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("distbragg.clusters.open.CONNECT_TIMEOUT_S", 1)
    process, place = scheduler
    with open_client(place) as opened:
        client = opened.client
        outcomes = DaskExecutor(client, work=FAKE).run_units(context_of(tmp_path), range(4))
        process.send_signal(signal.SIGKILL)
        process.wait()
        with pytest.raises(EnvironmentFailure, match="distbragg resume"):
            next(outcomes)


def test_trouble_at_closing_does_not_hide_why_a_run_ended(
    scheduler: tuple[subprocess.Popen[bytes], str], monkeypatch: pytest.MonkeyPatch
):
    def leave(client: Client, *_: object) -> None:
        client.close()
        raise RuntimeError("Cannot change state of expiring Timeout")

    # Not `close`: the garbage collector calls that too, and an error there fails any test.
    monkeypatch.setattr(Client, "__exit__", leave)
    with pytest.raises(EnvironmentFailure, match="lost"), open_client(scheduler[1]):
        raise EnvironmentFailure("the scheduler is lost")


def test_cluster_without_workers_is_given_up(
    scheduler: tuple[subprocess.Popen[bytes], str], tmp_path: Path
):
    with open_client(scheduler[1]) as opened:
        client = opened.client
        executor = DaskExecutor(client, work=FAKE, worker_patience_s=1.0)
        with pytest.raises(EnvironmentFailure, match="no worker"):
            next(executor.run_units(context_of(tmp_path), range(4)))
