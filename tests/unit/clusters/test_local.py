"""A local cluster keeps its number of workers, and shows its pages to its user alone."""

from __future__ import annotations

import asyncio
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from distributed import Client, Nanny

from distbragg.clusters import local
from distbragg.clusters.open import OpenClient, open_client
from distbragg.engine.dask_workers import dashboard_link


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.fixture(scope="module")
def watchful() -> Iterator[Client]:
    """A cluster of one worker that looks after it five times a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "LOOK_INTERVAL", "200ms")
        with open_client("local:1") as opened:
            yield opened.client


def give_up_the_worker(client: Client) -> Callable[[], bool]:
    """Close the only worker as Dask gives one up; return whether another has taken its place."""
    cluster, first = client.cluster, set(client.nthreads())
    wait_until(lambda: bool(cluster.workers))

    async def give_up() -> None:
        await cluster.workers.popitem()[1].close()

    cluster.sync(give_up)
    return lambda: bool(set(client.nthreads()) - first)


@pytest.mark.spec("ENG-20")
@pytest.mark.cluster
def test_a_worker_given_up_by_dask_is_replaced(watchful: Client) -> None:
    wait_until(give_up_the_worker(watchful))


@pytest.mark.spec("ENG-20")
@pytest.mark.cluster
def test_a_worker_that_dies_while_it_starts_is_started_again(
    watchful: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []
    start = Nanny.instantiate

    async def dying(nanny: Nanny) -> Any:
        tries.append(nanny.name)
        if len(tries) <= 2:
            await asyncio.sleep(0)
            raise RuntimeError("the process died")
        return await start(nanny)

    monkeypatch.setattr(Nanny, "instantiate", dying)
    wait_until(give_up_the_worker(watchful))
    assert tries == [tries[0]] * 3


@pytest.mark.spec("ENG-20")
@pytest.mark.cluster
def test_a_worker_that_goes_before_it_was_listed_ends_no_listening(watchful: Client) -> None:
    cluster = watchful.cluster
    cluster._update_worker_status("remove", "tls://127.0.0.1:1")
    wait_until(give_up_the_worker(watchful))


def listening() -> set[int]:
    """Ports that this process and those it has started listen on."""
    this = psutil.Process()
    return {
        link.laddr.port
        for process in [this, *this.children(recursive=True)]
        for link in process.net_connections(kind="inet")
        if link.status == psutil.CONN_LISTEN
    }


# Servers of other tests may listen in this process before a cluster starts.
@pytest.fixture(scope="module")
def ports_before() -> set[int]:
    return listening()


@pytest.fixture(scope="module")
def opened(ports_before: set[int]) -> Any:
    with open_client("local:1") as opened:
        yield opened


def fetch(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        return error.code, str(error.headers)


@pytest.mark.cluster
@pytest.mark.spec("CLU-2")
def test_the_dashboard_answers_under_its_own_path_alone(opened: OpenClient) -> None:
    link = dashboard_link(opened.client)
    match = re.fullmatch(r"(http://127\.0\.0\.1:\d+)/([\w-]{20,})/status", link)
    assert match
    root, secret = match.groups()
    status, page = fetch(link)
    assert status == 200
    # Not the pages beside it: one of them measures every worker's disk when it is opened.
    links = set(re.findall(r'(?:href|src)="([^"#:]+\.(?:js|css|ico)[^"]*)"', page))
    assert any("bokeh" in link for link in links)
    paths = [link if link.startswith("/") else f"/{secret}/{link}" for link in links]
    assert {fetch(f"{root}{path}")[0] for path in paths} == {200}
    for path in (
        "",
        "/",
        "/status",
        "/info/main/workers.html",
        "/metrics",
        "/health",
        "/json/counts.json",
        "/sitemap.json",
        "/distbragg",
        "//",
        f"//{secret}/status",
        f"/{secret}x/status",
    ):
        status, told = fetch(f"{root}{path}")
        assert status == 404, path
        assert secret not in told


@pytest.mark.cluster
@pytest.mark.spec("CLU-2")
def test_no_port_of_a_local_cluster_tells_anything_without_certificate_or_path(
    opened: OpenClient, ports_before: set[int]
) -> None:
    secret = dashboard_link(opened.client).split("/")[3]
    ports = listening() - ports_before
    assert len(ports) >= 4
    for port in ports:
        for path in ("/", "/metrics", "/sitemap.json", "/health"):
            try:
                status, told = fetch(f"http://127.0.0.1:{port}{path}")
            except OSError:
                continue  # it speaks TLS
            assert status == 404 or told == '{"paths": ["/sitemap.json"]}', (port, path, told)
            assert secret not in told


@pytest.mark.cluster
@pytest.mark.spec("CLU-1")
def test_a_client_without_certificates_is_refused(opened: OpenClient) -> None:
    port = opened.client.scheduler.address.rpartition(":")[2]
    with pytest.raises(OSError, match=r"(?i)connect"):
        Client(f"tcp://127.0.0.1:{port}", timeout=1, set_as_default=False)


@pytest.mark.cluster
def test_certificates_leave_no_file(opened: OpenClient) -> None:
    security = opened.client.security.get_tls_config_for_role("scheduler")
    assert security["key"].startswith("-----BEGIN PRIVATE KEY-----")
    assert not list(Path(opened.client.cluster.workers[0].worker_dir).glob("*.pem"))
