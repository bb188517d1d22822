"""Detector: size, place, convention, sensor, region of interest and mask."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from distbragg.spec.base import (
    Count,
    Finite,
    NonNegative,
    Positive,
    SpecModel,
    Steps,
    Vector3,
    refusal,
    require_direction,
)

Convention = Literal["mosflm", "denzo", "adxv", "xds", "dials", "custom"]
_AXIS_NAMES = ("fast", "slow", "normal", "twotheta")


class SensorSpec(SpecModel):
    """Absorbing sensor: thickness, attenuation depth, and how many layers to sample."""

    thickness_um: NonNegative | None = None
    attenuation_length_um: Annotated[float, Field(ge=0, allow_inf_nan=True)] | None = None
    layers: Steps | None = None


class DetectorAxesSpec(SpecModel):
    """Explicit directions; giving any of them selects the `custom` convention."""

    fast: Vector3 | None = None
    slow: Vector3 | None = None
    normal: Vector3 | None = None
    twotheta: Vector3 | None = None

    @property
    def given(self) -> tuple[str, ...]:
        """Names of the axes that were given."""
        return tuple(name for name in _AXIS_NAMES if getattr(self, name) is not None)

    @model_validator(mode="after")
    def _check_axes(self) -> Self:
        for name in _AXIS_NAMES:
            require_direction(getattr(self, name), name)
        return self


class DetectorSpec(SpecModel):
    """A flat (or curved) panel. Beam-centre fields mean what the convention says they mean.

    `roi` is first fast, last fast, first slow, last slow pixel, both ends included.
    """

    convention: Convention | None = None
    distance_mm: Positive | None = None
    close_distance_mm: Finite | None = None
    pixel_size_mm: Positive | None = None
    pixels_fast: Count | None = None
    pixels_slow: Count | None = None
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

    @model_validator(mode="after")
    def _check_detector(self) -> Self:
        if self.close_distance_mm == 0:
            raise refusal("a detector at distance 0 sits on the sample", field="close_distance_mm")
        one_of = (
            ("close_distance_mm", "distance_mm"),
            ("size_fast_mm", "pixels_fast"),
            ("size_slow_mm", "pixels_slow"),
        )
        for second, first in one_of:
            if getattr(self, first) is not None and getattr(self, second) is not None:
                raise refusal(f"given beside {first}", field=second, remedy="keep one of the two")
        if self.axes.given and self.convention not in (None, "custom"):
            raise refusal(
                f"the {self.convention} convention sets its own axes",
                field=f"axes.{self.axes.given[0]}",
                remedy="leave `convention` out or set it to custom",
            )
        if self.roi is not None:
            self._check_roi(self.roi)
        return self

    def _check_roi(self, roi: tuple[int, int, int, int]) -> None:
        sides = (
            ("fast", roi[0], roi[1], self.pixels_fast, 0),
            ("slow", roi[2], roi[3], self.pixels_slow, 2),
        )
        for name, first, last, pixels, index in sides:
            if first < 0:
                raise refusal(f"first {name} pixel {first} is negative", field=f"roi.{index}")
            if last < first:
                raise refusal(
                    f"last {name} pixel {last} comes before the first, {first}",
                    field=f"roi.{index + 1}",
                    remedy="the order is fast first, fast last, slow first, slow last",
                )
            if pixels is not None and first >= pixels:
                raise refusal(
                    f"first {name} pixel {first} lies outside the {pixels} pixels of the detector",
                    field=f"roi.{index}",
                )
