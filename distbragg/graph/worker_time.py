"""What the processes of a run spend their time on, from their receipts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

PROCESSES_KEPT: Final = 512
"""Processes that are known by name; those that ended longest ago are only summed up."""


@dataclass
class WorkerTime:
    """What one process spent its time on, s.

    Attributes
    ----------
    units, frames : int
    kernel : float
        Inside the kernel.
    storage : float
        Encoding, writing and hashing.
    busy : float
        Within units: kernel, storage and the rest of rendering.
    first, last : float
        Start of its first unit and end of its last, s since the epoch.
    """

    units: int = 0
    frames: int = 0
    kernel: float = 0.0
    storage: float = 0.0
    busy: float = 0.0
    first: float = float("inf")
    last: float = float("-inf")

    def add(self, receipt: Mapping[str, Any]) -> None:
        """Count one receipt."""
        storage = float(receipt.get("write_seconds", 0.0))
        busy = float(receipt.get("render_seconds", 0.0)) + storage
        end = float(receipt.get("time", 0.0))
        self.units += 1
        self.frames += int(receipt.get("frames", 0))
        self.kernel += float(receipt.get("kernel_seconds", 0.0))
        self.storage += storage
        self.busy += busy
        self.first = min(self.first, end - busy)
        self.last = max(self.last, end)

    @property
    def wall(self) -> float:
        """Seconds from the start of its first unit to the end of its last."""
        return max(0.0, self.last - self.first)


class WorkerTimes:
    """The time of all processes of a run, of bounded size however many come and go.

    Attributes
    ----------
    kernel, storage, busy : float
        Sums over all processes, s.
    """

    def __init__(self) -> None:
        self.kernel = self.storage = self.busy = 0.0
        self._by_name: dict[str, WorkerTime] = {}
        self._wall_gone = 0.0

    def __len__(self) -> int:
        return len(self._by_name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __getitem__(self, name: str) -> WorkerTime:
        return self._by_name[name]

    def add(self, receipt: Mapping[str, Any]) -> None:
        """Count a receipt for the process that wrote it."""
        name = f"{receipt.get('host', '?')} {receipt.get('pid', '?')}"
        if name not in self._by_name:
            self._make_room()
            self._by_name[name] = WorkerTime()
        worker = self._by_name[name]
        kernel, storage, busy = worker.kernel, worker.storage, worker.busy
        worker.add(receipt)
        self.kernel += worker.kernel - kernel
        self.storage += worker.storage - storage
        self.busy += worker.busy - busy

    @property
    def wall(self) -> float:
        """Sum over processes of the seconds from their first unit to the end of their last."""
        return self._wall_gone + sum(worker.wall for worker in self._by_name.values())

    @property
    def other(self) -> float:
        """Seconds within units, neither in the kernel nor storing."""
        return max(0.0, self.busy - self.kernel - self.storage)

    def _make_room(self) -> None:
        if len(self._by_name) >= PROCESSES_KEPT:
            oldest = min(self._by_name, key=lambda name: self._by_name[name].last)
            self._wall_gone += self._by_name.pop(oldest).wall
