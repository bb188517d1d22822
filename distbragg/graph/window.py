"""How many units are in flight, and how often the driver looks at them.

A look costs the driver about as much for sixteen units as for one: a message each to submit
them and to fetch their receipts. Units of seconds are looked at as each ends. Units of
milliseconds would keep the driver busier than the workers: it looks at them no more than twenty
times a second, and keeps as many in flight as the workers finish meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable

PER_THREAD = 2
"""Units in flight per worker thread: one at work, one waiting so that no thread idles."""

MOST_PER_THREAD = 32
"""The same for units that end faster than the driver looks."""

MIN_UNITS = 2
"""Units in flight at least: one fills the gap while the other is merged and written."""

LOOK_S = 0.05
"""Shortest time between two looks, s."""

PROOF = 3
"""Looks in a row at which many units had ended, before the window grows."""

CAUTION = 20
"""Looks after a worker's death by which growing is put off: whatever waited on the worker shares
the blame, so that little should."""


class Window:
    """The number of tasks allowed in flight, by how fast units end.

    Parameters
    ----------
    fixed : int, optional
        Units in flight, whatever their pace.
    clock, sleep : callable
        Monotonic seconds, and waiting for some.
    """

    def __init__(
        self,
        fixed: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._fixed = fixed
        self._clock = clock
        self._sleep = sleep
        self._per_thread = PER_THREAD
        self._looked = float("-inf")
        self._hurried = False
        self._dry = 0

    def has_room(self, units: int, tasks: int, threads: int) -> bool:
        """Whether one more unit may fly beside so many units of so many tasks."""
        if self._fixed:
            return units < self._fixed
        return units < MIN_UNITS or tasks < self._per_thread * threads

    def rest(self) -> None:
        """Wait until it is time for another look."""
        left = self._looked + LOOK_S - self._clock()
        self._hurried = left > 0
        if self._hurried:
            self._sleep(left)
        self._looked = self._clock()

    def took(self, ended: int, in_flight: int) -> None:
        """Take note of a look at which `ended` units of `in_flight` had ended.

        Where half of them had since the last look, at several fast looks in a row, workers wait
        for the driver or soon will, and the window doubles; where few had, it shrinks again.
        """
        if self._hurried and 2 * ended >= in_flight:
            self._dry += 1
        elif self._dry > 0:
            self._dry = 0
        if self._dry >= PROOF:
            self._per_thread = min(2 * self._per_thread, MOST_PER_THREAD)
            self._dry = 0
        if 8 * ended < in_flight:
            self._per_thread = max(self._per_thread // 2, PER_THREAD)

    def died(self) -> None:
        """Take note of a worker's death: fly few units for some time."""
        self._per_thread = PER_THREAD
        self._dry = -CAUTION
