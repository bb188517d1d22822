"""Which pixels of a frame a detector records: what a network should not be asked about."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from distbragg.kernel.response import bad_pixels
from distbragg.models.experiment import Experiment
from distbragg.physics.shadow import panel_transmission
from distbragg.store.geometry import FrameGeometry
from distbragg.store.run_directory import RunLike, open_run

SHADED: Final = 0.5
"""Share of the photons of a pixel that must pass the beam stop for the pixel to count."""

_KEPT: Final = 8  # masks, where they differ from frame to frame
_DECIDING: Final = ("detector.response", "detector.beam_stop")


class RecordedPixels:
    """Masks of frames by their flat number: true where a pixel records what arrives.

    Not so are gaps and masked pixels, those that are dead or hot, and those behind the beam stop,
    at whose middle less than half of the photons arrive. Travels between processes as a path.
    """

    def __init__(self, run: RunLike) -> None:
        self._run = open_run(run)
        self._geometry = FrameGeometry(self._run.sweep)
        self._kept: OrderedDict[tuple[int, ...], NDArray[np.bool_]] = OrderedDict()
        moving = set(self._geometry.moving) | {
            axis.dimension
            for axis in self._run.sweep.axes
            if any(path.startswith(_DECIDING) for path in axis.targets)
        }
        self._moving = [name in moving for name, _ in self._run.layout.dims]

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self._run.url}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"])  # type: ignore[misc]

    def frame(self, frame: int) -> NDArray[np.bool_]:
        """Return the mask of a frame, ([panels,] slow, fast), read-only."""
        position = self._run.layout.position(frame)
        key = tuple(at for at, moves in zip(position, self._moving, strict=True) if moves)
        found = self._kept.get(key)
        if found is None:
            found = self._kept[key] = recorded_pixels(self._geometry.experiment(frame))
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return found


def recorded_pixels(experiment: Experiment) -> NDArray[np.bool_]:
    """Return which pixels ([panels,] slow, fast) of an experiment record what arrives."""
    detector, beam = experiment.detector, experiment.beam.direction
    found = np.stack([panel.active for panel in detector.panels])
    if detector.beam_stop is not None:
        first = detector.panels[0]
        for mask, panel in zip(found, detector.panels, strict=True):
            mask &= panel_transmission(detector.beam_stop, panel, first, beam) >= SHADED
    if experiment.response is not None:
        for blind in bad_pixels(experiment.response, found.size):
            found.reshape(-1)[blind] = False
    found = found if len(detector.panels) > 1 else found[0]
    found.setflags(write=False)
    return found
