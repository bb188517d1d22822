"""What is told of the pixel under the pointer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from distbragg.models.experiment import Experiment
from distbragg.read.columns import Column
from distbragg.viewer.kinds import Kind
from distbragg.viewer.overlays import looker

_NEAR: Final = 6.0  # pixels to the middle of a spot that is told of, at most


def describe(
    experiment: Experiment,
    place: tuple[int, float, float],
    kind: Kind,
    frames: Sequence[NDArray[Any] | None],
    masked: NDArray[np.bool_] | None,
) -> str:
    """Tell of one pixel: place, values in each of the frames, resolution, angles.

    `place` is panel, slow and fast, in pixels from its outer corner.
    """
    panel, slow, fast = place
    seen = looker(experiment)(panel, slow, fast)
    row, column = int(slow), int(fast)
    values = ["–" if frame is None else kind.text(frame[panel, row, column]) for frame in frames]
    panels = experiment.detector.panels
    named = f"panel {panels[panel].name}  " if len(panels) > 1 else ""
    blind = masked is not None and bool(masked[panel, row, column])
    return (
        f"{named}fast {fast:8.2f}  slow {slow:8.2f}  value {' | '.join(values):>9}"
        f"{'  masked' if blind else ''}  d {float(seen.resolution):7.3f} Å"
        f"  2θ {float(seen.two_theta):6.3f}°  q {float(seen.q):6.4f} 1/Å"
    )


def nearest_spot(table: Mapping[str, Column], place: tuple[int, float, float]) -> str:
    """Tell of the spot near a place; nothing where there is none."""
    if not table or not len(table["h"]):
        return ""
    panel, slow, fast = place
    away = (table["slow"] - slow) ** 2 + (table["fast"] - fast) ** 2
    away = np.where((table["panel"] == panel) & (table["photons"] > 0.0), away, np.inf)
    at = int(np.argmin(away))
    if not away[at] <= _NEAR**2:
        return ""
    indices = " ".join(str(int(table[name][at])) for name in "hkl")
    lattice = f"  lattice {int(table['lattice'][at])}" if "lattice" in table else ""
    return f"spot {indices}  {float(table['photons'][at]):.4g} photons{lattice}"
