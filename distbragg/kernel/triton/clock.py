"""Time that the device takes, by its own clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

import torch

_MILLISECONDS_PER_SECOND = 1000.0


class DeviceClock:
    """Measures what is launched inside the context, by CUDA events; by the wall on a CPU.

    Leaving the context waits for the device.

    Parameters
    ----------
    device : torch.device

    Attributes
    ----------
    seconds : float
        Set on leaving, s.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._started = 0.0
        self.seconds = 0.0
        if device.type == "cuda":
            self._before = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            self._after = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]

    def __enter__(self) -> Self:
        if self._device.type == "cuda":
            self._before.record(torch.cuda.current_stream(self._device))
        self._started = time.perf_counter()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.seconds = time.perf_counter() - self._started
        if self._device.type == "cuda" and kind is None:
            self._after.record(torch.cuda.current_stream(self._device))
            self._after.synchronize()
            self.seconds = self._before.elapsed_time(self._after) / _MILLISECONDS_PER_SECOND


@contextmanager
def on_device(device: torch.device) -> Iterator[None]:
    """Make a GPU the current one: Triton launches there, wherever its arguments lie."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            yield
    else:
        yield
