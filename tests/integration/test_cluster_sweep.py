"""Sweeps on worker processes, and processes that are killed."""

from __future__ import annotations

import os
import signal

import pytest

import distbragg as db
from distbragg.engine.events import RunStarted, UnitFinished
from distbragg.errors import ExitStatus
from distbragg.store.ledger import completed_units
from distbragg.store.run_directory import open_run
from tests import loaded

from .conftest import digests_of, tiny_sweep

RESUME = """
import sys, time
from distbragg.engine.events import UnitFinished
from distbragg.run.resume import resume
def slow(event):
    if isinstance(event, UnitFinished):
        print("unit", flush=True)
        time.sleep(0.3)
resume(sys.argv[1], cluster="serial", on_event=slow)
"""


@pytest.mark.cluster
@pytest.mark.slow
def test_two_worker_processes_store_the_same_bits_in_either_form(finished, tmp_path):
    for form in ("unit", "graph"):
        events = []
        run = db.create(tiny_sweep(), tmp_path / form)
        result = db.resume(run, cluster="local:2", form=form, on_event=events.append)
        assert result.status is ExitStatus.DONE
        assert digests_of(run.path) == digests_of(finished)
        writers = {receipt.to_plain()["pid"] for receipt in completed_units(run).values()}
        assert os.getpid() not in writers
        started = next(event for event in events if isinstance(event, RunStarted))
        assert started.workers == 2
        assert "127.0.0.1" in started.dashboard


@pytest.mark.cluster
@pytest.mark.slow
def test_cluster_sweep_interrupted_continues_serially_to_the_same_bits(finished, tmp_path):
    run = db.create(tiny_sweep(), tmp_path / "RUN")
    seen = []

    def interrupt(event):
        if isinstance(event, UnitFinished):
            seen.append(event)
            if len(seen) == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        db.resume(run, workers=2, on_event=interrupt)
    assert not (run.state / "lock").exists()
    result = db.resume(run, cluster="serial")
    assert result.done == 15
    assert digests_of(run.path) == digests_of(finished)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_killed_process_leaves_a_run_that_continues_to_the_same_bits(finished, tmp_path, number):
    run = db.create(tiny_sweep(), tmp_path / "RUN")
    with loaded.start(["-c", RESUME, run.path]) as process:
        process.wait_for("unit\n", 2)
        process.send_signal(number)
        assert process.wait(timeout=60) != 0
    # The library leaves signals to the program that calls it: a lock that stays is seen to be dead.
    assert (run.state / "lock").exists() == (number != signal.SIGINT)
    done = len(completed_units(open_run(run.path)))
    assert 2 <= done < run.layout.units
    assert db.resume(run, cluster="serial").done == 15
    assert digests_of(run.path) == digests_of(finished)
