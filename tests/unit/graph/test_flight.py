"""Outcomes that never arrive are noticed, and their units run again."""

from __future__ import annotations

from typing import Any

import pytest
from distributed import Client, as_completed

from distbragg.graph.dask_executor import DaskExecutor
from distbragg.graph.flight import Silence
from distbragg.graph.progress import UnitRetried

from .fake_work import FAKE, attempts_made


class Idle:
    """A client whose workers have nothing to do, or something."""

    def __init__(self, *looks: bool) -> None:
        self.looks = list(looks)

    def processing(self) -> dict[str, list[str]]:
        return {"tcp://one": ["task"] if self.looks.pop(0) else [], "tcp://two": []}


def test_silence_is_taken_for_loss_after_two_idle_looks_in_a_row() -> None:
    silence = Silence(patience_s=0.0)
    client: Any = Idle(False, True, False, False)
    assert [silence.lost_track(client, served=True) for _ in range(4)] == [
        False,
        False,
        False,
        True,
    ]


def test_an_outcome_breaks_the_silence() -> None:
    silence = Silence(patience_s=0.0)
    client: Any = Idle(False, False)
    assert not silence.lost_track(client, served=True)
    silence.broken()
    assert not silence.lost_track(client, served=True)


def test_nobody_is_asked_within_the_patience_or_without_workers() -> None:
    client: Any = Idle()
    assert not Silence(patience_s=60.0).lost_track(client, served=True)
    assert not Silence(patience_s=0.0).lost_track(client, served=False)


@pytest.mark.spec("ENG-20")
@pytest.mark.cluster
def test_a_unit_whose_outcome_is_never_delivered_runs_again(
    client: Client, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    track, lost = as_completed._track_future, []

    async def forgetful(self: as_completed, future: Any) -> None:
        if "u2-" in f"{future.key}-" and not lost:
            lost.append(future.key)
            return
        await track(self, future)

    monkeypatch.setattr(as_completed, "_track_future", forgetful)
    events: list[object] = []
    executor = DaskExecutor(client, work=FAKE, on_event=events.append)
    executor._silence = Silence(patience_s=0.3)
    outcomes = list(executor.run_units(str(tmp_path), range(5)))
    assert sorted(outcome.unit for outcome in outcomes) == list(range(5))
    assert all(outcome.status == "done" for outcome in outcomes)
    assert len(lost) == 1
    retried = [event for event in events if isinstance(event, UnitRetried)]
    assert [(event.unit, event.reason) for event in retried] == [
        (2, "the cluster lost track of it")
    ]
    assert attempts_made(tmp_path, 2) == 1
