"""Tables of spots made beside the frames of a unit."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from distbragg.errors import EnvironmentFailure
from distbragg.graph.worker import PreparedFrame
from distbragg.store.labels import has_labels
from distbragg.store.run_directory import RunDirectory

if TYPE_CHECKING:
    from distbragg.predict.spots import Spots


class UnitLabels:
    """Collects the spots of a unit's frames, where its run keeps them.

    Attributes
    ----------
    seconds : float
        Time spent here, s.
    """

    def __init__(self, run: RunDirectory) -> None:
        self._wanted = has_labels(run)
        self._least = run.sweep.experiment.output.label_minimum_photons
        self._run_id = run.run_id
        self._frames: list[tuple[int, Spots]] = []
        self.seconds = 0.0

    def add(self, frame: int, ready: PreparedFrame) -> None:
        """Predict the spots of the next frame."""
        if self._wanted:
            from distbragg.predict.spots import predict_spots  # few runs keep tables

            started = time.perf_counter()
            self._frames.append((frame, predict_spots(ready.experiment, self._least)))
            self.seconds += time.perf_counter() - started

    @property
    def spots(self) -> int:
        """Number of spots so far."""
        return sum(len(spots) for _, spots in self._frames)

    def encode(self) -> bytes | None:
        """Return the table's bytes; None where the run keeps none.

        Raises
        ------
        EnvironmentFailure
            pyarrow is missing.
        """
        if not self._wanted:
            return None
        started = time.perf_counter()
        try:
            from distbragg.export.labels import encode_labels
        except ImportError:
            raise EnvironmentFailure(
                "output.labels needs pyarrow: pip install 'distbragg[tables]'"
            ) from None
        data = encode_labels(self._frames, self._run_id)
        self.seconds += time.perf_counter() - started
        return data
