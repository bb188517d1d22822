"""Starting and joining clusters: what `--cluster` may say, and what is bound where."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import psutil
import pytest
from distributed import Client

from distbragg.errors import EnvironmentFailure, InputError
from distbragg.graph.cluster import open_cluster, parse_cluster
from distbragg.graph.dask_executor import dashboard_link
from distbragg.spec.cluster import (
    AddressClusterSpec,
    LocalClusterSpec,
    QueueClusterSpec,
    SchedulerFileClusterSpec,
)


def test_local_forms():
    assert parse_cluster("local") == LocalClusterSpec()
    assert parse_cluster("local:3") == LocalClusterSpec(workers=3)


def test_addresses():
    assert parse_cluster("tcp://127.0.0.1:8786").address == "tcp://127.0.0.1:8786"
    assert parse_cluster("localhost:8786") == AddressClusterSpec(address="tcp://localhost:8786")


def test_scheduler_file(tmp_path: Path):
    path = tmp_path / "scheduler.json"
    path.write_text(json.dumps({"address": "tcp://127.0.0.1:1"}))
    assert parse_cluster(str(path)) == SchedulerFileClusterSpec(scheduler_file=str(path))
    path.write_text("{}")
    with pytest.raises(InputError, match=r"scheduler\.json"):
        parse_cluster(str(path))


@pytest.mark.parametrize("text", ["local:none", "local:0", "nowhere", "missing.json", "no.yaml"])
def test_what_names_no_cluster_is_refused(text: str):
    with pytest.raises(InputError):
        parse_cluster(text)


def test_a_queue_without_its_file_names_the_option():
    with pytest.raises(InputError, match="--site"):
        parse_cluster("slurm")


def test_missing_scheduler_is_an_environment_failure(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("distbragg.graph.cluster.CONNECT_TIMEOUT_S", 0.5)
    with pytest.raises(EnvironmentFailure), open_cluster("tcp://127.0.0.1:1"):
        pass


def test_batch_cluster_without_its_package_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
    spec = QueueClusterSpec(kind="slurm", cores=1, memory="1GB")
    with pytest.raises(EnvironmentFailure, match=r"distbragg\[cluster\]"), open_cluster(spec):
        pass


@pytest.mark.cluster
def test_local_cluster_has_one_thread_per_worker_under_a_nanny(client: Client):
    workers = client.scheduler_info()["workers"].values()
    assert [worker["nthreads"] for worker in workers] == [1, 1]
    assert all(worker["nanny"] for worker in workers)


def test_a_link_whose_template_names_what_is_not_set_is_no_link():
    class Client:
        @property
        def dashboard_link(self) -> str:
            raise KeyError("JUPYTERHUB_SERVICE_PREFIX")

    assert dashboard_link(Client()) == ""


@pytest.mark.cluster
def test_every_socket_is_bound_to_the_loopback_interface(client: Client):
    assert dashboard_link(client).startswith("http://127.0.0.1:")
    this = psutil.Process()
    bound = [
        connection.laddr.ip
        for process in [this, *this.children(recursive=True)]
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert bound
    assert set(bound) <= {"127.0.0.1", "::1"}


@pytest.mark.cluster
def test_cluster_is_gone_afterwards():
    with open_cluster("local", workers=1) as opened:
        (worker,) = opened.run(_pid).values()
        assert psutil.pid_exists(worker)
    assert not psutil.pid_exists(worker)


@pytest.mark.cluster
def test_joining_a_cluster_leaves_it_running(client: Client):
    with open_cluster(client.scheduler.address) as joined:
        assert len(joined.nthreads()) == 2
    assert len(client.nthreads()) == 2


def _pid() -> int:
    return os.getpid()
