"""Clusters beyond the loopback interface: encrypted, and closed to those without certificates."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from distributed import Client, LocalCluster

import distbragg as db
from distbragg.clusters.address import parse_cluster
from distbragg.clusters.open import open_client
from distbragg.clusters.tls import make_certificates
from distbragg.errors import InputError
from distbragg.spec.cluster import TlsFiles
from tests import loaded

from .conftest import digests_of, tiny_sweep

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@contextmanager
def dask(*arguments: str) -> Iterator[psutil.Process]:
    process = loaded.start(["-m", *arguments, "--dashboard-address", "127.0.0.1:0"])
    try:
        yield psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def flags(tls: TlsFiles) -> list[str]:
    return [
        *("--protocol", "tls", "--tls-ca-file", tls.ca_file),
        *("--tls-cert", tls.cert_file, "--tls-key", tls.key_file),
    ]


def listening(process: psutil.Process) -> list[tuple[str, int]]:
    return [
        (item.laddr.ip, item.laddr.port)
        for part in [process, *process.children(recursive=True)]
        for item in part.net_connections(kind="inet")
        if item.status == psutil.CONN_LISTEN
    ]


def cluster_file(folder: Path, tls: TlsFiles) -> str:
    path = folder / "site.yaml"
    path.write_text(
        f"kind: scheduler-file\nscheduler_file: {folder}/s.json\n"
        f"tls: {{ca_file: {tls.ca_file}, cert_file: {tls.cert_file}, key_file: {tls.key_file}}}\n"
    )
    return str(path)


def wait_for(path: Path) -> None:
    end = time.monotonic() + 60
    while not (path.exists() and path.read_text().endswith("}")):
        assert time.monotonic() < end
        time.sleep(0.1)


def answers_plainly(address: tuple[str, int]) -> bool:
    """Say whether a port speaks without being spoken to in TLS, as Dask's plain ports do."""
    with socket.create_connection(address, timeout=5) as link:
        link.settimeout(0.5)
        try:
            return bool(link.recv(1))
        except TimeoutError:
            return False
        except OSError:
            return False


@pytest.mark.spec("CLU-1")
def test_a_scheduler_with_certificates_serves_a_sweep_and_no_plaintext_client(finished, tmp_path):
    tls = make_certificates(tmp_path / "tls")
    file = tmp_path / "s.json"
    places = [*flags(tls), "--scheduler-file", str(file)]
    one = ["--nworkers", "1", "--nthreads", "1", "--local-directory", str(tmp_path)]
    with dask("distributed.cli.dask_scheduler", *places, "--port", "0") as scheduler:
        wait_for(file)
        with dask("distributed.cli.dask_worker", *places, *one) as worker:
            run = db.create(tiny_sweep(), tmp_path / "RUN")
            db.resume(run, cluster=cluster_file(tmp_path, tls))
            assert digests_of(run.path) == digests_of(finished)

            with open_client(cluster_file(tmp_path, tls)) as opened:
                host, _, port = opened.client.scheduler.address.rpartition("//")[2].partition(":")
            with pytest.raises(OSError, match=r"(?i)connect"):
                Client(f"tcp://{host}:{port}", timeout=1, set_as_default=False)

            bound = [*listening(scheduler), *listening(worker)]
            beyond = [port for ip, port in bound if ip not in {"127.0.0.1", "::1"}]
            assert beyond
            assert not [port for port in beyond if answers_plainly((host, port))]
            with pytest.raises(InputError, match="asks for certificates"):
                parse_cluster(str(file))


def test_a_plain_scheduler_would_have_answered():
    with LocalCluster(
        n_workers=0, protocol="tcp", host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as cluster:
        port = int(cluster.scheduler_address.rpartition(":")[2])
        assert answers_plainly(("127.0.0.1", port))


def test_certificates_are_the_owners_alone_and_never_overwritten(tmp_path):
    tls = make_certificates(tmp_path / "tls")
    files = [Path(path) for path in tls.model_dump().values()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert (tmp_path / "tls").stat().st_mode & 0o777 == 0o700
    before = [path.read_bytes() for path in files]
    with pytest.raises(InputError, match=r"ca\.pem: exists already"):
        make_certificates(tmp_path / "tls")
    assert [path.read_bytes() for path in files] == before


@pytest.mark.spec("CLU-1")
@pytest.mark.parametrize("form", ["address", "file"])
def test_a_plain_address_off_this_machine_is_refused_in_one_line(form, tmp_path):
    place = "tcp://192.0.2.7:8786"
    if form == "file":
        (tmp_path / "s.json").write_text(f'{{"address": "{place}"}}')
        place = str(tmp_path / "s.json")
    with pytest.raises(InputError, match="off this machine and not encrypted") as caught:
        parse_cluster(place)
    assert "\n" not in str(caught.value)


def test_a_plain_address_may_be_allowed_expressly(tmp_path):
    path = tmp_path / "site.yaml"
    path.write_text("kind: address\naddress: tcp://192.0.2.7:8786\nallow_plaintext: true\n")
    assert parse_cluster(str(path)).address == "tcp://192.0.2.7:8786"


def test_certificates_that_are_not_there_are_named(tmp_path):
    path = tmp_path / "site.yaml"
    path.write_text(
        "kind: address\naddress: tls://192.0.2.7:8786\n"
        "tls: {ca_file: ca.pem, cert_file: cert.pem, key_file: key.pem}\n"
    )
    with pytest.raises(InputError, match=r"ca\.pem: tls\.ca_file: not found"):
        parse_cluster(str(path))
