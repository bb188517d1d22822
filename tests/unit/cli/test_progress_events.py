"""Progress as JSON lines, for programs."""

from __future__ import annotations

import json

import pytest

from distbragg.cli.progress_events import PROGRESS_INTERVAL_S, ProgressEvents
from distbragg.engine.events import (
    JobsSubmitted,
    RunStarted,
    UnitFinished,
    UnitRetried,
    WorkerLeftOut,
    WorkersChanged,
)
from distbragg.engine.work import UnitOutcome
from distbragg.errors import EnvironmentFailure


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def events_of(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    out, err = capsys.readouterr()
    assert err == ""
    events = [json.loads(line) for line in out.splitlines()]
    assert all(set(event) >= {"event", "time"} for event in events)
    return events


@pytest.mark.spec("WAT-2")
def test_every_event_is_one_json_object_a_line(capsys):
    clock = Clock()
    receipt = {"frames": 3, "steps": 10, "size": 99, "kernel_seconds": 0.5, "digest": "ab"}
    with ProgressEvents(disk_free=lambda: 5, clock=clock) as tell:
        tell(JobsSubmitted("slurm", ("12", "13")))
        tell(RunStarted(2, 6, 2.0, 1, path="RUN", title="x"))
        tell(WorkersChanged(4))
        tell(UnitRetried(1, 1, "OSError: disk"))
        tell(WorkerLeftOut("tcp://a:1", "node7", "OSError: disk"))
        tell(UnitFinished(UnitOutcome(0, "done", 1, receipt), frames=3))
        clock.now += PROGRESS_INTERVAL_S
        tell(UnitFinished(UnitOutcome(1, "failed", 3, {}, "OSError: disk"), frames=3))
    jobs, *events = events_of(capsys)
    assert (jobs["event"], jobs["numbers"]) == ("jobs", ["12", "13"])
    kinds = [event["event"] for event in events]
    expected = "started workers progress retry left_out unit unit progress progress"
    assert kinds == expected.split()
    assert (events[0]["run"], events[0]["frames"]) == ("RUN", 6)
    assert (events[4]["worker"], events[4]["host"]) == ("tcp://a:1", "node7")
    done, failed = events[5], events[6]
    assert (done["unit"], done["status"], done["steps"], done["size"]) == (0, "done", 10, 99)
    assert "digest" not in done
    assert (failed["status"], failed["frames"], failed["reason"]) == ("failed", 3, "OSError: disk")
    last = events[-1]
    assert (last["frames_done"], last["frames_failed"], last["retries"]) == (3, 3, 1)
    assert (last["workers"], last["disk_free_bytes"], last["eta_s"]) == (4, 5, 0.0)


@pytest.mark.spec("WAT-2")
@pytest.mark.parametrize(
    ("error", "status"), [(EnvironmentFailure("no\nspace"), 6), (KeyboardInterrupt(), 130)]
)
def test_a_run_that_stops_says_why(capsys, error, status):
    def stop() -> None:
        with ProgressEvents() as tell:
            tell(RunStarted(2, 6, 2.0, 1))
            raise error

    with pytest.raises(type(error)):
        stop()
    last = events_of(capsys)[-1]
    assert (last["event"], last["exit_status"]) == ("stopped", status)
    assert last["reason"] in {"no space", "interrupted"}
