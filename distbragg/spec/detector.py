"""Detector: size, place, convention, sensor, region of interest and mask."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from distbragg.spec.base import Finite, NonNegative, Positive, SpecModel, Vector3

Convention = Literal["mosflm", "denzo", "adxv", "xds", "dials", "custom"]


class SensorSpec(SpecModel):
    """Absorbing sensor: thickness, attenuation depth, and how many layers to sample."""

    thickness_um: NonNegative | None = None
    attenuation_length_um: Annotated[float, Field(ge=0, allow_inf_nan=True)] | None = None
    layers: int | None = None


class DetectorAxesSpec(SpecModel):
    """Explicit directions; giving any of them selects the `custom` convention."""

    fast: Vector3 | None = None
    slow: Vector3 | None = None
    normal: Vector3 | None = None
    twotheta: Vector3 | None = None


class DetectorSpec(SpecModel):
    """A flat (or curved) panel. Beam-centre fields mean what the convention says they mean."""

    convention: Convention | None = None
    distance_mm: Finite | None = None
    close_distance_mm: Finite | None = None
    pixel_size_mm: Positive | None = None
    pixels_fast: int | None = Field(default=None, ge=1)
    pixels_slow: int | None = Field(default=None, ge=1)
    size_fast_mm: Positive | None = None
    size_slow_mm: Positive | None = None
    xbeam_mm: Finite | None = None
    ybeam_mm: Finite | None = None
    xclose_mm: Finite | None = None
    yclose_mm: Finite | None = None
    orgx_px: Finite | None = None
    orgy_px: Finite | None = None
    pivot: Literal["beam", "sample"] | None = None
    rotation_deg: Vector3 = (0.0, 0.0, 0.0)
    twotheta_deg: Finite | None = None
    axes: DetectorAxesSpec = DetectorAxesSpec()
    pix0_m: Vector3 | None = None
    curved: bool = False
    point_pixel: bool = False
    sensor: SensorSpec = SensorSpec()
    roi: tuple[int, int, int, int] | None = None
    mask_file: str | None = None
