"""Starting and joining clusters: what `--cluster` may say, and what is bound where."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import psutil
import pytest
from distributed import Client

from distbragg.clusters.address import parse_cluster
from distbragg.clusters.open import open_client
from distbragg.engine.dask_workers import dashboard_link, worker_infos
from distbragg.errors import EnvironmentFailure, InputError
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


@pytest.mark.spec("CLU-11")
def test_where_nobody_answers_it_is_said_at_once_and_ends_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr("distbragg.clusters.open.CONNECT_TIMEOUT_S", 1)
    monkeypatch.setattr("distbragg.clusters.open.SILENCE_S", 0.1)
    with pytest.raises(EnvironmentFailure) as caught, open_client("tcp://127.0.0.1:1"):
        pass
    (told,) = caplog.messages
    assert told == "no scheduler answers at tcp://127.0.0.1:1 yet; waiting for it, 1 s at most"
    line = str(caught.value)
    assert line.startswith("no scheduler answered at tcp://127.0.0.1:1 (")
    assert "start `dask scheduler` there" in line
    assert "\n" not in line


def test_batch_cluster_without_its_package_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
    spec = QueueClusterSpec(kind="slurm", cores=1, memory="1GB")
    with pytest.raises(EnvironmentFailure, match=r"distbragg\[cluster\]"), open_client(spec):
        pass


@pytest.mark.cluster
def test_local_cluster_has_one_thread_per_worker_under_a_nanny(client: Client):
    workers = worker_infos(client).values()
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
    with open_client("local", workers=1) as opened:
        (worker,) = opened.client.run(_pid).values()
        assert psutil.pid_exists(worker)
    assert not psutil.pid_exists(worker)


@pytest.mark.cluster
def test_joining_a_plain_cluster_of_this_machine_leaves_it_running():
    with open_client(LocalClusterSpec(workers=1, tls=False)) as plain:
        address = plain.client.scheduler.address
        assert address.startswith("tcp://127.0.0.1:")
        with open_client(address) as joined:
            assert not joined.owned
            assert len(joined.client.nthreads()) == 1
        assert len(plain.client.nthreads()) == 1


@pytest.mark.cluster
def test_addresses_of_a_local_cluster_need_its_certificates(client: Client):
    assert client.scheduler.address.startswith("tls://127.0.0.1:")
    with pytest.raises(InputError, match="asks for certificates"):
        parse_cluster(client.scheduler.address)


def _pid() -> int:
    return os.getpid()
