"""A sweep watched from the scheduler: page, JSON, metrics, span, meters and pictures."""

from __future__ import annotations

import json
import math
import re
import time
import urllib.request
from collections import defaultdict

import pytest
from distributed import Client, LocalCluster

import distbragg as db
from distbragg.dashboard import plugin
from distbragg.engine.events import PictureTaken, RunStarted, UnitFinished
from distbragg.engine.progress import BYTES, COUNTS, SECONDS
from distbragg.errors import ExitStatus
from distbragg.store.ledger import completed_units
from tests import loaded

from .conftest import digests_of, tiny_sweep

SLOW_DRIVER = """
import sys, time
from distbragg.engine.events import UnitFinished
from distbragg.run.resume import resume
def slow(event):
    if isinstance(event, UnitFinished):
        print("unit", flush=True)
        time.sleep(0.7)
resume(sys.argv[1], cluster=sys.argv[2], on_event=slow)
"""

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.fixture(scope="module")
def client():
    plain = {"threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(n_workers=2, **plain) as cluster, Client(cluster) as made:
        yield made


@pytest.fixture(scope="module")
def watched(client, tmp_path_factory):
    """A run that was watched to its end, and the events it told."""
    run = db.create(tiny_sweep(), tmp_path_factory.mktemp("watched") / "RUN")
    events = []
    result = db.resume(run, cluster=client.scheduler.address, on_event=events.append)
    assert result.status is ExitStatus.DONE
    return run, events


def test_the_page_of_a_local_cluster_lies_under_its_own_path(tmp_path):
    links, pages = [], []

    def look(event):
        if isinstance(event, RunStarted):
            links.append(event.dashboard)
        if isinstance(event, UnitFinished) and not pages:
            for path in (links[0], f"{links[0]}/status.json"):
                with urllib.request.urlopen(path, timeout=10) as answer:
                    pages.append(answer.read().decode())

    db.sweep(tiny_sweep(), tmp_path / "RUN", cluster="local:1", on_event=look)
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{20,}/distbragg", links[0])
    assert "distbragg" in pages[0]
    assert pages[1].startswith("{")


def fetch(client, path):
    root = client.dashboard_link.rsplit("/", 1)[0]
    with urllib.request.urlopen(f"{root}/{path}", timeout=10) as answer:
        return answer.read().decode()


def totals(run):
    receipts = [receipt.to_plain() for receipt in completed_units(run).values()]
    return {
        name: math.fsum(record[name] for record in receipts)
        for name in ("frames", "steps", "size", "kernel_seconds", "render_seconds", "write_seconds")
    }


@pytest.mark.spec("WAT-7")
def test_the_dashboard_has_a_page_of_the_run(client, watched):
    run, events = watched
    started = next(event for event in events if isinstance(event, RunStarted))
    assert started.dashboard.endswith("/distbragg")
    page = fetch(client, "distbragg")
    assert "15 of 15 frames" in page
    assert "data:image/png" in page
    assert 'href="distbragg"' in fetch(client, "status"), "the other pages lead to it"
    (told,) = json.loads(fetch(client, "distbragg/status.json"))["runs"]
    receipts = totals(run)
    assert told["run"] == run.run_id[:12]
    assert told["state"] == "ended"
    assert (told["frames"], told["pixel_steps"], told["bytes"]) == (
        receipts["frames"],
        receipts["steps"],
        receipts["size"],
    )
    assert told["seconds"]["kernel"] == pytest.approx(receipts["kernel_seconds"], abs=1e-4)
    assert told["progress"]["frames_done"] == 15
    assert told["disk_free_bytes"] > 0


@pytest.mark.spec("WAT-8")
def test_the_scheduler_tells_prometheus_of_the_run(client, watched):
    run, _ = watched
    lines = fetch(client, "metrics").splitlines()
    name = run.run_id[:12]
    assert f'distbragg_frames_total{{run="{name}"}} 15.0' in lines
    assert f'distbragg_run_state{{run="{name}",state="ended"}} 1.0' in lines
    assert any(line.startswith("dask_scheduler_workers") for line in lines)


@pytest.mark.spec("WAT-3")
def test_tasks_share_a_span_whose_metrics_are_the_receipts(client, watched):
    run, _ = watched
    expected = totals(run)
    deadline = time.monotonic() + 20
    while True:  # workers report with their heartbeats
        told = client.run_on_scheduler(_span_metrics, run.run_id[:12])
        if told["frames"] == expected["frames"] or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    assert set(told) >= {*SECONDS, *COUNTS, *BYTES}
    assert told["frames"] == expected["frames"]
    assert told["pixel-steps"] == expected["steps"]
    assert told["bytes-stored"] == expected["size"]
    assert told["bytes-raw"] == 15 * 17 * 23 * 4
    assert told["render-kernel"] == pytest.approx(expected["kernel_seconds"], abs=1e-4)
    render = told["render-kernel"] + told["render-other"]
    assert render == pytest.approx(expected["render_seconds"], abs=1e-4)
    storage = told["encode"] + told["write"] + told["verify"]
    assert storage == pytest.approx(expected["write_seconds"], abs=1e-4)


@pytest.mark.spec("WAT-4")
def test_few_pictures_travel(watched):
    _, events = watched
    assert sum(isinstance(event, PictureTaken) for event in events) == 1


@pytest.mark.spec("WAT-6")
def test_an_unwatched_run_stores_the_same_bytes_and_posts_nothing(
    client, watched, tmp_path, finished
):
    run = db.create(tiny_sweep(title="unwatched"), tmp_path / "RUN")
    events = []
    db.resume(run, cluster=client.scheduler.address, on_event=events.append, watch=False)
    assert not any(isinstance(event, PictureTaken) for event in events)
    names = [item["run"] for item in json.loads(fetch(client, "distbragg/status.json"))["runs"]]
    assert run.run_id[:12] not in names
    assert digests_of(watched[0].path) == digests_of(run.path) == digests_of(finished)


@pytest.mark.spec("WAT-6")
def test_a_scheduler_that_takes_no_page_still_runs_the_sweep(tmp_path, monkeypatch):
    warned = []
    # A local cluster silences the handlers of other loggers, those of caplog among them.
    monkeypatch.setattr(plugin._log, "warning", lambda text, *facts: warned.append(text % facts))

    def refuse(scheduler, runs):
        raise AttributeError("this dashboard is another")

    monkeypatch.setattr("distbragg.dashboard.plugin.serve", refuse)
    run = db.create(tiny_sweep(), tmp_path / "RUN")
    events = []
    result = db.resume(run, cluster="local:1", on_event=events.append)
    assert result.status is ExitStatus.DONE
    assert warned == ["the dashboard has no distbragg page: this dashboard is another"]
    started = next(event for event in events if isinstance(event, RunStarted))
    assert started.dashboard.endswith("/status")


def test_registering_the_plugin_again_keeps_the_counts(client, watched):
    client.register_plugin(plugin.WatchPlugin())
    assert len(json.loads(fetch(client, "distbragg/status.json"))["runs"]) == 1


@pytest.mark.spec("WAT-7")
def test_a_driver_that_is_killed_leaves_a_run_that_stopped(client, tmp_path):
    run = db.create(tiny_sweep(title="killed"), tmp_path / "RUN")
    with loaded.start(["-c", SLOW_DRIVER, run.path, client.scheduler.address]) as driver:
        driver.wait_for("unit\n", 2)
        assert _state_of(client, run) == "running"
        driver.kill()
    deadline = time.monotonic() + 30
    while _state_of(client, run) == "running" and time.monotonic() < deadline:
        time.sleep(0.2)
    assert _state_of(client, run) == "stopped"


def _state_of(client, run):
    runs = json.loads(fetch(client, "distbragg/status.json"))["runs"]
    return next(item["state"] for item in runs if item["run"] == run.run_id[:12])


def _span_metrics(name, dask_scheduler):
    spans = dask_scheduler.extensions["spans"].spans.values()
    told = defaultdict(float)
    for span in spans:
        if span.name == ("distbragg", name):
            for (context, *_, label, _), value in span.cumulative_worker_metrics.items():
                if context == "execute":
                    told[label] += value
    return told
