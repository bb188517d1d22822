"""A call of the kernel that is interrupted."""

import threading
import time

import pytest

from distbragg.kernel.native import render
from distbragg.kernel.native.abi import Parameters


def test_a_call_has_ended_when_an_interrupt_of_its_start_is_heard(monkeypatch):
    """What the kernel writes to is let go with the exception."""
    begin = threading.Thread.start
    ended = []

    def interrupted(thread):
        begin(thread)
        raise KeyboardInterrupt

    def work():
        time.sleep(0.2)
        ended.append(True)
        return 0

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        render._run_beside((Parameters * 1)(), work)
    assert ended


def test_an_interrupt_before_a_call_begins_waits_for_nothing(monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(render, "_BEGIN_S", 0.01)
    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        render._run_beside((Parameters * 1)(), lambda: 0)
