"""Sweeps on jobs of a batch system, which ends jobs as it likes."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

import distbragg as db
from distbragg.clusters import jobs
from distbragg.clusters import open as cluster_module
from distbragg.clusters.jobs import listed_jobs
from distbragg.engine.events import JobsSubmitted, UnitFinished
from distbragg.errors import EnvironmentFailure, ExitStatus
from distbragg.spec.cluster import QueueClusterSpec

from . import fake_queue
from .conftest import digests_of, tiny_sweep

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.fixture(autouse=True)
def _eager_keeper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "PERIOD_S", 0.5)
    monkeypatch.setattr(jobs, "SETTLED_S", 1.0)


def fake(kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return fake_queue.install(folder / "bin", kind)


def site(kind: str, folder: Path, **changes: object) -> QueueClusterSpec:
    plain = {"kind": kind, "cores": 1, "memory": "2GB", "workers": 2, "lifetime": "none"}
    plain |= {"shared_directory": str(folder / "shared"), "local_directory": str(folder)}
    return QueueClusterSpec.model_validate(plain | changes)


def wait_until(condition, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.spec("CLU-3")
def test_jobs_that_end_are_submitted_anew_and_the_bits_are_the_same(
    finished, tmp_path, monkeypatch, caplog
):
    queue = fake("slurm", tmp_path, monkeypatch)
    run = db.create(tiny_sweep(), tmp_path / "RUN")
    ended, told = [], []

    def end_a_job(event: object) -> None:
        if isinstance(event, JobsSubmitted):
            told.extend(event.numbers)
        if isinstance(event, UnitFinished) and not ended:
            ended.append(next(job for job in fake_queue.jobs_of(queue).values()))
            fake_queue.end(ended[0])
            wait_until(lambda: len(fake_queue.jobs_of(queue)) == 3)

    result = db.resume(run, cluster=site("slurm", tmp_path), on_event=end_a_job)
    assert result.status is ExitStatus.DONE
    assert digests_of(run.path) == digests_of(finished)
    assert len(fake_queue.jobs_of(queue)) == 3
    assert sorted(told) == ["100", "101"]
    # The keeper says so when the batch system's command has ended, maybe after the sweep has.
    said = f"jobs ended: {ended[0].name}; submitted: 102"
    wait_until(lambda: said in caplog.messages)
    wait_until(lambda: not any(map(fake_queue.alive, fake_queue.jobs_of(queue).values())))
    assert not list((tmp_path / "shared").iterdir())


@pytest.mark.parametrize("kind", ["pbs", "lsf", "sge"])
def test_each_batch_system_takes_lists_and_cancels_a_job(kind, tmp_path, monkeypatch):
    queue = fake(kind, tmp_path, monkeypatch)
    with cluster_module.open_client(site(kind, tmp_path), workers=2):
        assert len(fake_queue.jobs_of(queue)) == 2
        assert listed_jobs(kind) == set(fake_queue.jobs_of(queue))
    wait_until(lambda: listed_jobs(kind) == set())


@pytest.mark.spec("CLU-3")
def test_jobs_that_end_before_their_worker_joins_are_not_submitted_for_ever(tmp_path, monkeypatch):
    queue = fake("slurm", tmp_path, monkeypatch)
    run = db.create(tiny_sweep(), tmp_path / "RUN")
    broken = site("slurm", tmp_path, prologue=["exit 1"])
    with pytest.raises(EnvironmentFailure, match=r"3 jobs in a row.*log_directory.*resume"):
        db.resume(run, cluster=broken, workers=1)
    assert len(fake_queue.jobs_of(queue)) == 3


def test_what_the_batch_system_refuses_is_said_in_its_words(tmp_path, monkeypatch):
    fake("slurm", tmp_path, monkeypatch)
    refusing = tmp_path / "bin" / "sbatch"
    refusing.write_text("#!/bin/sh\necho 'sbatch: error: invalid partition' >&2\nexit 1\n")
    spec = site("slurm", tmp_path)
    with pytest.raises(EnvironmentFailure) as caught, cluster_module.open_client(spec):
        pass
    assert str(caught.value) == "the slurm cluster cannot be used: sbatch: error: invalid partition"


def test_a_batch_system_that_is_not_there_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    spec = site("slurm", tmp_path)
    with (
        pytest.raises(EnvironmentFailure, match="sbatch: no such command"),
        cluster_module.open_client(spec),
    ):
        pass


def test_a_new_job_of_an_old_name_is_given_time_to_be_listed(tmp_path, monkeypatch):
    queue = fake("slurm", tmp_path, monkeypatch)
    monkeypatch.setattr(jobs, "PERIOD_S", 3600.0)
    with cluster_module.open_client(site("slurm", tmp_path), workers=1) as opened:
        cluster = opened.client.cluster
        (name,) = cluster.workers
        keeper = jobs.JobKeeper(cluster, "slurm", 1)
        keeper._submitted = {name: time.monotonic() - 60.0}
        monkeypatch.setattr(jobs, "listed_jobs", lambda kind: set())
        keeper._look()
        assert len(fake_queue.jobs_of(queue)) == 2
        keeper._look()  # the queue shows nothing yet
        assert len(fake_queue.jobs_of(queue)) == 2
