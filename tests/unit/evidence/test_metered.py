"""What the overhead table takes for the kernel's processor time."""

from __future__ import annotations

import threading
import time

import pytest

from distbragg.rendering import frame
from tools.evidence.metered import metered_kernel

BURNT_S = 0.05


def burn() -> None:
    while time.thread_time() < BURNT_S:
        pass


def test_a_call_that_the_main_thread_has_made_beside_it_counts(monkeypatch: pytest.MonkeyPatch):
    def beside() -> None:
        thread = threading.Thread(target=burn)
        thread.start()
        thread.join()

    monkeypatch.setattr(frame, "sum_tile", beside)
    with metered_kernel() as spent:
        frame.sum_tile()
    assert frame.sum_tile is beside
    assert spent.seconds >= BURNT_S
