"""Bounding the time of a task, so that a unit that never ends cannot hold up a run.

The bound is a timer of the operating system, not a thread of this process: it also ends code
that never lets go of the interpreter. In the main thread it raises `TimeoutError`. A worker's
tasks run in another thread, into which nothing can be raised safely: there the process ends,
its nanny starts a new one, and the executor counts the attempt like any other death.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

T = TypeVar("T")

_SHORTEST_S = 1e-3
_lock = threading.Lock()
_deadlines: dict[int, float] = {}


def limited(seconds: float, function: Callable[..., T], *arguments: object) -> T:
    """Call `function` and allow it so many seconds of wall time; 0 sets no limit.

    Raises
    ------
    TimeoutError
        It took longer, in the main thread. In any other thread the process ends.
    """
    with time_limit(seconds):
        return function(*arguments)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Bound the wall time of the block, s; see `limited`. The earliest of several bounds acts."""
    if seconds <= 0 or not hasattr(signal, "setitimer"):
        yield
        return
    thread = threading.get_ident()
    with _handler(seconds), _lock_timer():
        _set(thread, time.monotonic() + seconds)
        try:
            yield
        finally:
            _set(thread, None)


@contextmanager
def _handler(seconds: float) -> Iterator[None]:
    """Raise in the main thread, which alone may set handlers; elsewhere the default stays."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def expire(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"took longer than the limit of {seconds:g} s")

    previous = signal.signal(signal.SIGALRM, expire)
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, previous)


@contextmanager
def _lock_timer() -> Iterator[None]:
    """Give a timer that somebody else had set back to them, less the time that has passed."""
    started = time.monotonic()
    delay, interval = (0.0, 0.0) if _deadlines else signal.getitimer(signal.ITIMER_REAL)
    try:
        yield
    finally:
        if delay and not _deadlines:
            left = max(_SHORTEST_S, delay - (time.monotonic() - started))
            signal.setitimer(signal.ITIMER_REAL, left, interval)


def _set(thread: int, deadline: float | None) -> None:
    with _lock:
        if deadline is None:
            _deadlines.pop(thread, None)
        else:
            _deadlines[thread] = deadline
        soonest = min(_deadlines.values(), default=None)
        left = 0.0 if soonest is None else max(_SHORTEST_S, soonest - time.monotonic())
        signal.setitimer(signal.ITIMER_REAL, left)
