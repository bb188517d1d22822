"""How many requests a run on an object store costs, counted by a proxy that delays each of them."""

from __future__ import annotations

import http.client
import threading
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import distbragg as db
from distbragg.engine import context as context_module
from distbragg.engine.context import ProcessCache, RunContext
from distbragg.engine.unit import render_unit
from distbragg.engine.work import TaskSettings
from distbragg.errors import RefusedError
from distbragg.spec.sweep import SweepSpec
from distbragg.store.bucket_objects import BucketObjects
from distbragg.store.ledger import unit_states
from distbragg.store.own_arrays import check_own_arrays
from distbragg.store.records import encode_record
from distbragg.store.run_directory import open_run

from .conftest import tiny_plain

UNITS = 2000
PER_WRITER = 200
LATENCY_S = 0.03


class Proxy(ThreadingHTTPServer):
    """Passes requests on to a server after a while, and notes them."""

    daemon_threads = True

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.upstream = urllib.parse.urlsplit(upstream).netloc
        self.seen: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Proxy
    protocol_version = "HTTP/1.1"

    def pass_on(self) -> None:
        self.server.seen.append(f"{self.command} {self.path}")
        time.sleep(LATENCY_S)
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        upstream = http.client.HTTPConnection(self.server.upstream)
        upstream.request(self.command, self.path, data, dict(self.headers))
        answer = upstream.getresponse()
        body = answer.read()
        upstream.close()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        size = answer.headers.get("Content-Length") if self.command == "HEAD" else None
        self.send_header("Content-Length", size or str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = pass_on

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def proxy(server: str) -> Iterator[Proxy]:
    made = Proxy(server)
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def sweep_of(units: int, table: Path) -> SweepSpec:
    plain = tiny_plain(compute={"frames_per_unit": 1}, structure_factors={"file": str(table)})
    orientations = {"name": "orientation", "random_orientations": {"count": units, "seed": 1}}
    return SweepSpec.model_validate({"experiment": plain, "axes": [orientations]})


@pytest.mark.spec("OBJ-8")
def test_fresh_host_reads_objects_in_proportion_to_writers_and_a_worker_five(
    bucket: str, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "F.hkl"
    table.write_text("1 0 0 5.0\n2 0 0 6.0\n")
    url = f"{bucket}/run.zarr"
    run = db.create(sweep_of(UNITS, table), url)
    facts: dict[str, Any] = {"run": run.run_id, "class": run.manifest.class_id, "size": 1}
    for writer in range(UNITS // PER_WRITER):
        lines = [
            encode_record({**facts, "unit": writer * PER_WRITER + i, "digest": f"{i:064x}"})
            for i in range(PER_WRITER)
        ]
        name = f".distbragg/receipts/host-{writer}-0.jsonl"
        run.objects.put(name, b"".join(lines))
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "fresh"))
    monkeypatch.setattr(context_module, "_runs", ProcessCache(1))
    context = RunContext(url, run.run_id)
    render_unit(context, 7, 0, TaskSettings())
    first = next(n for n, line in enumerate(proxy.seen) if "/images/c/" in line)
    assert first <= 5, proxy.seen[:first]
    assert len(proxy.seen) == first + 2, proxy.seen
    proxy.seen.clear()
    assert unit_states(open_run(url)).done == set()
    assert len(proxy.seen) <= UNITS // PER_WRITER + 10, proxy.seen


@pytest.mark.spec("OBJ-8")
def test_arrays_of_a_run_are_looked_at_with_one_listing_and_one_request_each(
    bucket: str, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "F.hkl"
    table.write_text("1 0 0 5.0\n")
    url = f"{bucket}/run.zarr"
    run = db.create(sweep_of(2, table), url)
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    run = replace(run, objects=BucketObjects(url))
    bounds = check_own_arrays(run)
    assert {"images", "orientation", "slow", "fast"} <= set(bounds)
    # Their metadata, the group's, and the listing.
    assert len(proxy.seen) == len(bounds) + 2, proxy.seen


@pytest.mark.spec("OBJ-8")
def test_run_created_anew_at_the_same_address_is_refused(bucket: str, tmp_path: Path) -> None:
    table = tmp_path / "F.hkl"
    table.write_text("1 0 0 5.0\n")
    url = f"{bucket}/run.zarr"
    old = db.create(sweep_of(2, table), url)
    context = RunContext.of(old)
    objects = BucketObjects(url)
    for entry in list(objects.entries()):
        objects.delete(entry.key)
    new = db.create(sweep_of(3, table), url)
    assert open_run(url).run_id == new.run_id != old.run_id
    with pytest.raises(RefusedError, match="created anew") as caught:
        open_run(url, old.run_id)
    assert "\n" not in str(caught.value)
    assert open_run(url, new.run_id).layout.units == 3
    assert context.run_id == old.run_id
