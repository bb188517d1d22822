"""Resolved detector: panels with their own origin, axes, sensor layers and active pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from distbragg.models.arrays import BoolArray, Float64Array


@dataclass(frozen=True, slots=True)
class SensorLayers:
    """Sampled depths of the sensor.

    Attributes
    ----------
    absorbs : bool
        False: one layer at the surface with capture fraction 1.
    attenuation : float
        Linear attenuation coefficient, 1/m.
    position : (layers,) float64, m
        Displacement of the sampled point along the panel normal.
    front, back : (layers,) float64, m
        Depths between which the layer captures:
        exp(−front·μ/ρ) − exp(−back·μ/ρ), ρ = cosine between the ray and the normal.
    """

    absorbs: bool
    attenuation: float
    position: Float64Array
    front: Float64Array
    back: Float64Array

    @property
    def count(self) -> int:
        """Number of layers."""
        return int(self.position.shape[0])


Surface = Literal["flat", "sphere", "cylinder_fast", "cylinder_slow", "nanobragg"]


@dataclass(frozen=True, slots=True)
class Panel:
    """One detector panel.

    Attributes
    ----------
    name : str
    shape : (int, int)
        Pixels (slow, fast) of every panel of the detector: those of the largest.
    pixels : (int, int)
        Pixels (slow, fast) that the panel has, from its first on; the others are not active.
    pixel_size : float, m
    origin : (3,) float64, m
        Outer corner of the first pixel (nanoBragg's pix0), from the sample.
    fast, slow, normal : (3,) float64
        Unit vectors.
    close_distance : float, m
        Distance from the sample to the panel's plane along its normal (signed).
    distance : float, m
        Distance along the beam.
    surface : {"flat", "sphere", "cylinder_fast", "cylinder_slow", "nanobragg"}
        A curved panel touches its plane at the foot of the perpendicular from the sample and is
        bent about the sample with the radius `close_distance`: along both axes, or about an axis
        through the sample along fast or along slow. `nanobragg`: the C program's arcs about the
        end of the beam.
    point_pixel : bool
    sensor : SensorLayers
    active : (slow, fast) bool
        False beyond the panel's own pixels, outside the region of interest and where masked:
        such pixels are 0.
    """

    name: str
    shape: tuple[int, int]
    pixels: tuple[int, int]
    pixel_size: float
    origin: Float64Array
    fast: Float64Array
    slow: Float64Array
    normal: Float64Array
    close_distance: float
    distance: float
    surface: Surface
    point_pixel: bool
    sensor: SensorLayers
    active: BoolArray

    @property
    def fully_active(self) -> bool:
        """Whether every pixel is active, where that shows without looking at each of them.

        Without mask and region `active` is a view of one value.
        """
        return self.active.strides == (0, 0) and bool(self.active[0, 0])


@dataclass(frozen=True, slots=True)
class Detector:
    """All panels, in the order of the stack's `panel` dimension; all of one shape."""

    panels: tuple[Panel, ...]
