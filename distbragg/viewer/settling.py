"""What follows when a frame stays: its spots, its radial profile and its histogram."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from bokeh.document import Document
from numpy.typing import NDArray

from distbragg.errors import DistbraggError
from distbragg.models.experiment import Experiment
from distbragg.read.columns import Column
from distbragg.viewer.frames import Source
from distbragg.viewer.graphs import Profiler, Summary

SETTLED_MS: Final = 200
"""Milliseconds without another frame after which spots, profile and histogram are made."""


@dataclass(frozen=True, slots=True)
class Found:
    """What was made of a frame."""

    frame: int
    summary: Summary | None
    spots: dict[str, Column]
    problem: str  # why there are no spots


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be made of a frame."""

    frame: int
    source: Source
    experiment: Experiment
    values: NDArray[Any] | None  # that are profiled
    masked: NDArray[np.bool_] | None
    spots: bool  # whether they are wanted


class Settling:
    """Waits until a frame stays, and works in another thread."""

    def __init__(self, document: Document, workers: ThreadPoolExecutor) -> None:
        self._document, self._workers = document, workers
        self._profiler = Profiler()
        self._waiting: Any = None

    def wait(self, begin: Callable[[], None]) -> None:
        """Begin in a while, unless another frame comes."""
        if self._waiting is not None:
            self._document.remove_timeout_callback(self._waiting)

        def over() -> None:
            self._waiting = None
            begin()

        self._waiting = self._document.add_timeout_callback(over, SETTLED_MS)

    def work(self, work: Work, done: Callable[[Found], None]) -> None:
        """Do the work elsewhere, and hand over what was found where the page is drawn."""

        def run() -> None:
            found = self._find(work)
            self._document.add_next_tick_callback(lambda: done(found))

        self._workers.submit(run)

    def _find(self, work: Work) -> Found:
        summary, spots, problem = None, {}, ""
        try:
            if work.values is not None:
                summary = self._profiler.summary(work.values, work.experiment, work.masked)
            spots = work.source.spots(work.frame) if work.spots else {}
        except (DistbraggError, OSError, MemoryError) as error:
            problem = f"no spots: {' '.join(str(error).split())}"
        return Found(work.frame, summary, spots, problem)
