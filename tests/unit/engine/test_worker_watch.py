"""Workers that are restarted for one of their units."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from distbragg.engine import dask_workers
from distbragg.engine.attempt import Worker
from distbragg.engine.dask_workers import WorkerWatch


@pytest.mark.spec("ENG-19")
def test_a_worker_that_came_back_under_its_address_may_be_restarted_again(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(dask_workers, "WATCH_S", 0.05)
    asked: list[str] = []
    client = SimpleNamespace(restart_workers=lambda workers, **_: asked.extend(workers))
    flight = cast("Any", SimpleNamespace(client=client, policy=None))
    watch = WorkerWatch(flight, 1.0, str)
    watch._known["tcp://a:1"] = Worker(1, "tcp://nanny:2")
    for times in (1, 2):
        assert watch.restart("tcp://a:1")
        assert watch.restart("tcp://a:1")  # it is under way already
        deadline = time.monotonic() + 5.0
        while watch.restarted and time.monotonic() < deadline:
            time.sleep(0.01)
        assert asked == ["tcp://a:1"] * times
        assert not watch.restarted  # who dies there now dies of something else
    assert not watch.restart("tcp://b:1")
