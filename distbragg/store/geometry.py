"""Beam and detector of the frames of a sweep, resolved when they are asked for, without |F|."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from distbragg.models.build import Resolved, resolve
from distbragg.models.crystal import NO_TABLE
from distbragg.models.experiment import Experiment
from distbragg.spec.canonical import canonical_json, to_plain
from distbragg.spec.load import parse_sweep
from distbragg.spec.sweep import SweepSpec

_MOVING: Final = ("beam", "detector", "physics", "goniometer.spindle_axis")
"""Sections of which an axis may move what pixels look at."""

_UNMOVED: Final = (
    *("beam.fluence_photons_per_m2", "beam.flux_photons_per_s", "beam.exposure_s", "beam.size_mm"),
    *("beam.pulse_energy_fraction", "beam.bandwidth_percent", "beam.divergence_mrad"),
    *("beam.divergence", "beam.dispersion", "beam.polarization", "beam.weighting"),
    *("detector.response", "detector.point_spread", "detector.beam_stop"),
)
"""What moves nothing, of these sections."""


class FrameGeometry:
    """The frames of a sweep as far as their pixels look somewhere: everything but |F|.

    It travels between processes as the text of the sweep.
    """

    def __init__(self, sweep: SweepSpec) -> None:
        self.sweep = sweep
        self._latest: tuple[int, Resolved] | None = None
        self._text = ""

    @property
    def text(self) -> str:
        """The sweep as canonical JSON."""
        if not self._text:
            self._text = canonical_json(to_plain(self.sweep))
        return self._text

    def __getstate__(self) -> dict[str, Any]:
        return {"text": self.text}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(parse_sweep(json.loads(state["text"])))  # type: ignore[misc]

    def __dask_tokenize__(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def moving(self) -> tuple[str, ...]:
        """Dimensions of the sweep along which pixels look elsewhere, or other pixels are active."""
        dims = [axis.dimension for axis in self.sweep.axes if any(map(_moves, axis.targets))]
        return tuple(name for name, _ in self.sweep.dims if name in dims)

    def experiment(self, frame: int) -> Experiment:
        """Resolve a frame but for |F|, as like the one before as it is."""
        latest = self._latest
        if latest is None or latest[0] != frame:
            spec, like = self.sweep.frame_spec(frame), None if latest is None else latest[1]
            found = resolve(spec, reflections=NO_TABLE, frame=frame, like=like)
            self._latest = latest = frame, found
        return latest[1].experiment


def _moves(target: str) -> bool:
    return target.startswith(_MOVING) and not any(
        f"{target}.".startswith(f"{path}.") for path in _UNMOVED
    )
