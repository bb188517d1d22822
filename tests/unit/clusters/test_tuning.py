"""Workers are warm before their first unit; only processes that are ours are tuned."""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
import sys

import dask
import pytest
from dask.config import collect_env
from distributed import Client, LocalCluster

from distbragg.clusters.open import open_client
from distbragg.clusters.tuning import calm_settings, variable, warm_up

INTERVAL = "distributed.worker.profile.interval"
TICK = "distributed.admin.tick.interval"

FAULTS = """
import resource, sys
import numpy as np
from distbragg.clusters.tuning import keep_freed_memory
if sys.argv[1] == "kept" and not keep_freed_memory():
    sys.exit(7)
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def frames(count):
    for _ in range(count):
        np.ones((256, 256), np.float32)
frames(20)
before = faults()
frames(100)
print(faults() - before)
"""


def faults_of(mode: str) -> int:
    environment = {**os.environ, "MALLOC_TRIM_THRESHOLD_": "65536"}
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, mode],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    if done.returncode == 7:
        pytest.skip("the C library has no mallopt")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's settings")
def test_buffers_of_frames_are_used_again_in_a_worker():
    # 64 pages of 4 KiB a frame, each of them a fault where the memory went back to the system.
    assert faults_of("kept") < 100 < faults_of("as Dask says")


@pytest.mark.usefixtures("nothing_frozen")
def test_a_worker_of_ours_sets_its_modules_aside_from_the_collector():
    warm_up(tune=True)
    assert gc.get_freeze_count() > 10_000


def test_a_pace_that_the_user_has_set_stays():
    assert calm_settings()[INTERVAL] == "100ms"
    with dask.config.set({INTERVAL: "50ms"}):
        assert INTERVAL not in calm_settings()


def test_the_environment_of_a_job_says_the_same_to_dask():
    read = collect_env({variable(name): value for name, value in calm_settings().items()})
    assert {name: dask.config.get(name, config=read) for name in calm_settings()} == calm_settings()


def look() -> dict[str, object]:
    return {
        "frozen": gc.get_freeze_count(),
        "warm": "distbragg.engine.unit" in sys.modules,
        "pace": [dask.config.get(INTERVAL), dask.config.get(TICK)],
    }


@pytest.mark.cluster
@pytest.mark.spec("CLU-10")
@pytest.mark.usefixtures("workers_started_anew", "nothing_frozen")
def test_workers_started_for_a_run_are_tuned_and_this_process_is_not():
    before = [gc.get_freeze_count(), dask.config.get(INTERVAL), dask.config.get(TICK)]
    with open_client("local:1") as opened:
        (found,) = opened.client.run(look).values()
        assert found["frozen"] > 10_000
        assert found["warm"]
        assert found["pace"] == ["100ms", "200ms"]
        now = [gc.get_freeze_count(), dask.config.get(INTERVAL), dask.config.get(TICK)]
        assert now == before == [0, "10ms", "20ms"]


@pytest.mark.cluster
@pytest.mark.usefixtures("workers_started_anew", "nothing_frozen")
@pytest.mark.parametrize("processes", [False, True])
def test_workers_of_a_cluster_that_is_handed_in_are_warm_but_not_tuned(processes: bool):
    with (
        LocalCluster(n_workers=1, processes=processes, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster, set_as_default=False) as client,
        open_client(client),
    ):
        assert [found["frozen"] for found in client.run(look).values()] == [0]
        # One that joins later is warm too.
        cluster.scale(2)
        client.wait_for_workers(2)
        found = client.run(look).values()
        assert [(each["frozen"], each["warm"]) for each in found] == [(0, True)] * 2


WITHOUT = """
import asyncio, pickle, sys
sys.modules["distbragg"] = None
plugin = pickle.loads(sys.stdin.buffer.read())
asyncio.run(plugin.setup(worker=object()))
print(plugin.name)
"""


def test_a_worker_without_distbragg_takes_the_plugin_all_the_same():
    from distributed.protocol.pickle import dumps

    from distbragg.clusters.tuning import warm_up_plugin

    sent = dumps(warm_up_plugin(own=False))
    assert pickle.loads(sent).name == "distbragg-warm-up"
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], input=sent, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"distbragg-warm-up\n"
