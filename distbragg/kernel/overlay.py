"""What a frame's photons are finished with: an image that is added, and the beam stop's shadow.

photons = (photons of the sum + scale · image) · transmission

The image follows the energy of the frame's pulse, as the sum does by its fluence.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from distbragg.models.beam_stop import BeamStop
from distbragg.models.detector import Panel
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import Float64Array
from distbragg.physics.shadow import panel_transmission

_KEPT: Final = 64  # panels
_KEPT_BYTES: Final = 1 << 28  # of all but the last one: a sweep may move the stop in every frame
_shadows: OrderedDict[tuple[int, int, bytes, BeamStop], tuple[Panel, Panel, Float64Array]] = (
    OrderedDict()
)
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Overlay:
    """Of one panel: photons to add, (slow, fast), times a scale; the share that arrives."""

    added: Float64Array | None
    scale: float
    transmission: Float64Array | None


def overlay_of(experiment: Experiment, panel: int) -> Overlay | None:
    """Return what one panel's photons are finished with; None where it is nothing."""
    image, stop = experiment.background.image, experiment.detector.beam_stop
    if image is None and stop is None:
        return None
    return Overlay(
        None if image is None else image.photons[panel],
        0.0 if image is None else image.scale * experiment.beam.pulse_energy,
        None if stop is None else _shadow(experiment, panel, stop),
    )


def _shadow(experiment: Experiment, panel: int, stop: BeamStop) -> Float64Array:
    """Return the transmission of a panel, kept for the last few by identity of the panel."""
    view, first = experiment.detector.panels[panel], experiment.detector.panels[0]
    beam = experiment.beam.direction
    key = (id(view), id(first), beam.tobytes(), stop)
    with _lock:
        kept = _shadows.get(key)
    if kept is not None:
        return kept[2]
    found = panel_transmission(stop, view, first, beam)
    with _lock:
        # The panels are held as well: their identity cannot pass to others meanwhile.
        _shadows[key] = (view, first, found)
        held = sum(kept[2].nbytes for kept in _shadows.values())
        while len(_shadows) > _KEPT or (held > _KEPT_BYTES and len(_shadows) > 1):
            held -= _shadows.popitem(last=False)[1][2].nbytes
    return found
