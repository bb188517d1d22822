"""What the detector makes of the photons that reach it; an experiment without it has None."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Response:
    """Numbers of the stages that `kernel.response` lists in their order."""

    pixel_flicker: float = 0.0  # standard deviation by which expectations vary, pixel by pixel
