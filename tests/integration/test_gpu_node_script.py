"""The script of a GPU node: each worker sees its own device, and no other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from distributed import Client, LocalCluster

from distbragg.engine.dask_workers import worker_infos

SCRIPT = Path(__file__).parents[2] / "cluster" / "gpu-node" / "workers.sh"


def environ(**changes: str) -> dict[str, str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path, **changes}


def visible() -> str | None:
    return os.environ.get("CUDA_VISIBLE_DEVICES")


@pytest.mark.spec("CLU-8")
@pytest.mark.cluster
@pytest.mark.slow
def test_one_worker_per_device_and_workers_without_any_beside_them(tmp_path):
    file = tmp_path / "scheduler.json"
    with (
        LocalCluster(
            n_workers=0, protocol="tcp", host="127.0.0.1", dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        client.write_scheduler_file(str(file))
        command = ["bash", str(SCRIPT), str(file)]
        given = environ(GPUS="2", CPUS="1", TMPDIR=str(tmp_path))
        with subprocess.Popen(
            command, env=given, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as script:
            client.wait_for_workers(3, timeout=120)
            workers = worker_infos(client)
            devices = client.run(visible)
            seen = {
                info["name"].rpartition("-")[2]: (devices[place], info["resources"])
                for place, info in workers.items()
            }
            assert seen == {
                "gpu0": ("0", {"GPU": 3}),
                "gpu1": ("1", {"GPU": 3}),
                "cpu0": ("", {}),
            }
            assert all(place.startswith("tcp://127.0.0.1:") for place in workers)
            script.send_signal(signal.SIGTERM)
            assert script.wait(timeout=60) == 143
        assert not client.nthreads()


def test_a_node_without_a_device_says_what_to_set(tmp_path):
    done = subprocess.run(
        ["bash", str(SCRIPT), str(tmp_path / "scheduler.json")],
        env=environ(GPUS="0"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 6
    assert done.stderr == "workers.sh: no GPU found; set GPUS or CPUS\n"
