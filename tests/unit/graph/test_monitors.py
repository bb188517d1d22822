"""The pace of Dask's own monitors on clusters that a run starts."""

from __future__ import annotations

import dask
import pytest
from dask.config import collect_env

from distbragg.graph.cluster import open_cluster
from distbragg.graph.sites.monitors import calm_environment, calm_monitors, calm_settings

INTERVAL = "distributed.worker.profile.interval"
TICK = "distributed.admin.tick.interval"


def seen_by_a_worker(name: str) -> object:
    return dask.config.get(name)


def test_monitors_are_slower_while_the_block_runs_and_as_before_after_it():
    before = dask.config.get(INTERVAL)
    with calm_monitors():
        assert dask.config.get(INTERVAL) == "100ms"
        assert dask.config.get(TICK) == "200ms"
    assert dask.config.get(INTERVAL) == before == "10ms"


def test_a_pace_that_the_user_has_set_stays():
    with dask.config.set({INTERVAL: "50ms"}), calm_monitors():
        assert dask.config.get(INTERVAL) == "50ms"
        assert INTERVAL not in calm_settings()


def test_the_environment_of_a_job_says_the_same_to_dask():
    read = collect_env(calm_environment())
    assert {name: dask.config.get(name, config=read) for name in calm_settings()} == calm_settings()


@pytest.mark.cluster
def test_workers_started_for_a_run_have_the_slower_pace():
    with open_cluster("local:1") as client:
        client.wait_for_workers(1)
        assert list(client.run(seen_by_a_worker, INTERVAL).values()) == ["100ms"]
        assert list(client.run(seen_by_a_worker, TICK).values()) == ["200ms"]
