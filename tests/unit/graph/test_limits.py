"""A task that takes too long ends: by an error in the main thread, with its process elsewhere."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest

from distbragg.graph.executor import SerialExecutor
from distbragg.graph.limits import limited, time_limit
from distbragg.graph.work import TaskSettings

from .fake_work import FAKE

ENDLESS_THREAD = """
import threading, time
from distbragg.graph.limits import limited
def work():
    end = time.monotonic() + 30
    while time.monotonic() < end:
        pass
print(limited(5.0, abs, -3), flush=True)
thread = threading.Thread(target=limited, args=(0.2, work))
thread.start()
thread.join()
print("survived")
"""


def spin(seconds: float) -> str:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    return "done"


def test_an_endless_task_in_the_main_thread_raises():
    with pytest.raises(TimeoutError, match=r"limit of 0\.1 s"):
        limited(0.1, spin, 400.0)
    assert limited(30.0, spin, 0.01) == "done"


def test_no_limit_leaves_the_timer_alone():
    before = signal.getitimer(signal.ITIMER_REAL)[0]
    with time_limit(0.0):
        assert signal.getitimer(signal.ITIMER_REAL)[0] == pytest.approx(before, abs=60.0)


def test_handler_and_timer_of_others_are_put_back():
    rang: list[int] = []
    previous = signal.signal(signal.SIGALRM, lambda number, frame: rang.append(number))
    outer = signal.setitimer(signal.ITIMER_REAL, 60.0)
    try:
        with time_limit(5.0):
            assert signal.getitimer(signal.ITIMER_REAL)[0] <= 5.0
        assert 50.0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 60.0
        signal.raise_signal(signal.SIGALRM)
        assert rang == [signal.SIGALRM]
    finally:
        signal.signal(signal.SIGALRM, previous)
        signal.setitimer(signal.ITIMER_REAL, *outer)


@pytest.mark.spec("ENG-19")
def test_an_endless_task_in_another_thread_ends_its_process():
    ended = subprocess.run(
        [sys.executable, "-c", ENDLESS_THREAD], capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == -signal.SIGALRM
    assert ended.stdout == "3\n"


def test_the_earliest_of_two_bounds_acts_and_the_later_stays():
    ready = threading.Event()

    def other() -> None:
        with time_limit(40.0):
            ready.set()
            time.sleep(0.3)

    thread = threading.Thread(target=other)
    with time_limit(20.0):
        thread.start()
        ready.wait(5)
        assert 15.0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 20.0
        thread.join()
        assert 15.0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 20.0


@pytest.mark.spec("ENG-19")
def test_a_unit_that_never_ends_is_set_aside_and_the_others_are_done(tmp_path):
    def render(run, unit, attempt, settings):
        return {"unit": unit, "text": spin(60.0 if unit == 1 else 0.0)}

    work = replace(FAKE, render_unit=render)
    executor = SerialExecutor(TaskSettings(time_limit_s=0.1), work=work)
    outcomes = {o.unit: o for o in executor.run_units(str(tmp_path), range(3), attempts=3)}
    assert {unit: o.status for unit, o in outcomes.items()} == {0: "done", 1: "failed", 2: "done"}
    assert outcomes[1].attempts == 3
    assert "limit of 0.1 s" in outcomes[1].reason
