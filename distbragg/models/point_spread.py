"""Resolved point spread of a panel: where the photons of one pixel are recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from distbragg.models.vectors import Float64Array

SpreadKind = Literal["gauss", "fibre", "file"]


@dataclass(frozen=True, slots=True)
class PointSpread:
    """Where the photons of one pixel of a panel are recorded; lengths in pixels."""

    kind: SpreadKind
    width: float  # full width at half maximum; 0 of a file
    radius: int  # pixels that are reached; what goes farther is spread evenly over the panel
    shares: Float64Array  # (odd, odd), slow and fast: of a file alone, else (0, 0)
    counted: bool  # whether photons are counted before they spread
    edges_lost: bool  # whether what passes an edge of the panel is lost, or spread evenly

    @property
    def terms(self) -> int:
        """Shares that are added up for each pixel."""
        if self.kind == "file":
            return self.shares.size
        across = 2 * self.radius + 1
        return 2 * across if self.kind == "gauss" else across * across
