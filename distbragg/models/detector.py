"""Resolved detector: panels with their own origin, axes, sensor layers and active pixels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from distbragg.models.beam_stop import BeamStop
from distbragg.models.identity import WHERE_GIVEN
from distbragg.models.point_spread import PointSpread
from distbragg.models.vectors import BoolArray, Float64Array


@dataclass(frozen=True, slots=True)
class SensorLayers:
    """Sampled depths of the sensor.

    A layer captures exp(−front·μ/ρ) − exp(−back·μ/ρ) with ρ the cosine between ray and normal.
    """

    absorbs: bool  # False: one layer at the surface with capture fraction 1
    attenuation: float  # μ, 1/m
    position: Float64Array  # (layers,), m: of the sampled point along the panel normal
    front: Float64Array  # (layers,), m
    back: Float64Array  # (layers,), m

    @property
    def count(self) -> int:
        """Number of layers."""
        return int(self.position.shape[0])


Surface = Literal["flat", "sphere", "cylinder_fast", "cylinder_slow", "nanobragg"]


@dataclass(frozen=True, slots=True)
class Panel:
    """One detector panel.

    A curved panel touches its plane at the foot of the perpendicular from the sample and is bent
    about the sample with the radius `close_distance`: along both axes, or about an axis through
    the sample along fast or along slow. Surface `nanobragg`: the C program's arcs about the end
    of the beam.
    """

    name: str
    shape: tuple[int, int]  # pixels (slow, fast) of every panel of the detector: of the largest
    pixels: tuple[int, int]  # pixels (slow, fast) that the panel has; the others are not active
    pixel_size: float  # m
    origin: Float64Array  # (3,), m: outer corner of the first pixel (nanoBragg's pix0)
    fast: Float64Array  # (3,), unit, as are slow and normal
    slow: Float64Array
    normal: Float64Array
    close_distance: float  # m, from the sample to the plane along the normal (signed)
    distance: float  # m, along the beam
    surface: Surface
    point_pixel: bool
    sensor: SensorLayers
    active: BoolArray  # (slow, fast); a pixel that is not is 0
    # Whether every pixel is active, where that shows without looking at each of them: without
    # mask and region `active` is a view of one value.
    fully_active: bool = field(init=False, repr=False, compare=False, metadata={"hashed": False})
    point_spread: PointSpread | None = field(default=None, metadata=WHERE_GIVEN)

    def __post_init__(self) -> None:
        viewed = self.active.strides == (0, 0) and bool(self.active[0, 0])
        object.__setattr__(self, "fully_active", viewed)


@dataclass(frozen=True, slots=True)
class Detector:
    """All panels, in the order of the stack's `panel` dimension; all of one shape."""

    panels: tuple[Panel, ...]
    beam_stop: BeamStop | None = field(default=None, metadata=WHERE_GIVEN)

    def spreads(self, *, counted: bool) -> bool:
        """Whether photons of some panel spread after they are counted, or before."""
        return any(
            panel.point_spread is not None and panel.point_spread.counted is counted
            for panel in self.panels
        )
