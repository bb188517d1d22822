"""Detector: size, place, convention, sensor, region of interest and mask."""

from __future__ import annotations

from itertools import combinations
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from distbragg.spec.base import (
    Count,
    Direction,
    FilePath,
    Finite,
    NonNegative,
    Positive,
    SpecModel,
    Steps,
    Vector3,
    refusal,
    within_reach,
)
from distbragg.spec.point_spread import PointSpreadSpec
from distbragg.spec.response import ResponseSpec

Convention = Literal["mosflm", "denzo", "adxv", "xds", "dials", "custom"]
Material = Literal["Si", "CdTe", "GaAs", "Gd2O2S"]
GeometryFormat = Literal["auto", "expt", "nxmx", "smv", "cbf", "xds", "xparm", "crystfel"]
Curve = Literal["sphere", "cylinder_fast", "cylinder_slow"]
_AXIS_NAMES = ("fast", "slow", "normal", "twotheta")
_OF_ONE_PANEL = (
    "close_distance_mm", "size_fast_mm", "size_slow_mm", "xclose_mm", "yclose_mm", "orgx_px",
    "orgy_px", "pix0_m",
)  # fmt: skip
_SIZES = ("pixels_fast", "pixels_slow", "pixel_size_mm")


class SensorSpec(SpecModel):
    """Absorbing sensor: thickness, attenuation depth, and how many layers to sample.

    `material` gives the attenuation length at the wavelength where none is given.
    """

    thickness_um: NonNegative | None = None
    material: Material | None = None
    attenuation_length_um: (
        Annotated[float, Field(ge=0, allow_inf_nan=True), AfterValidator(within_reach)] | None
    ) = None
    layers: Steps | None = None


class PanelSpec(SpecModel):
    """One panel of several: outer corner of its first pixel, and the way its pixels run.

    What is left out is that of the detector: `pixels_fast`, `pixels_slow`, `pixel_size_mm`,
    each field of `sensor` and `point_spread`.
    """

    name: str | None = None
    origin_mm: Vector3
    fast: Direction
    slow: Direction
    pixels_fast: Count | None = None
    pixels_slow: Count | None = None
    pixel_size_mm: Positive | None = None
    sensor: SensorSpec = SensorSpec()
    point_spread: PointSpreadSpec = PointSpreadSpec()
    mask_file: FilePath | None = None


class DetectorAxesSpec(SpecModel):
    """Explicit directions; giving any of them selects the `custom` convention."""

    fast: Direction | None = None
    slow: Direction | None = None
    normal: Direction | None = None
    twotheta: Direction | None = None

    @property
    def given(self) -> tuple[str, ...]:
        """Names of the axes that were given."""
        return tuple(name for name in _AXIS_NAMES if getattr(self, name) is not None)


class BeamStopSpec(SpecModel):
    """A beam stop: the outline of its shadow, a disc (`radius_mm`) or a polygon, and its arm.

    Places are in mm on the plane across the beam at the first panel's distance, from where the beam
    meets it, along the panel's fast and slow axes; on a flat panel across the beam that is the
    panel. `centre_mm` is that of the disc, and where the arm begins: `arm_width_mm` wide, it leads
    away at `arm_angle_deg` from fast towards slow. The shadow ends over `edge_mm`; within it a
    share `transmission` arrives, of everything.
    """

    radius_mm: Positive | None = None
    polygon_mm: tuple[tuple[Finite, Finite], ...] | None = Field(default=None, min_length=3)
    centre_mm: tuple[Finite, Finite] = (0.0, 0.0)
    edge_mm: NonNegative = 0.0
    transmission: Annotated[float, Field(ge=0, le=1)] = 0.0
    arm_width_mm: NonNegative = 0.0
    arm_angle_deg: Finite = 0.0

    @model_validator(mode="after")
    def _check_stop(self) -> Self:
        if (self.radius_mm is None) == (self.polygon_mm is None):
            raise refusal("needs a radius_mm or a polygon_mm, one of the two")
        corners = self.polygon_mm or ()
        if corners and all(
            (x - corners[0][0]) * (b - corners[0][1]) == (a - corners[0][0]) * (y - corners[0][1])
            for (x, y), (a, b) in combinations(corners[1:], 2)
        ):
            raise refusal(
                "corners on one line shade nothing",
                field="polygon_mm",
                remedy="give the corners in order along the outline",
            )
        return self


class DetectorSpec(SpecModel):
    """A flat (or curved) panel. Beam-centre fields mean what the convention says they mean.

    `preset` names a common detector, which gives pixels, size and sensor; its gaps are masked,
    or with `gaps: panels` its modules are panels of their own.

    `panels` (in the laboratory frame of the convention) or `geometry_file` (in the file's own
    frame; of several experiments the one numbered `geometry_experiment`) stand in place of what
    places and sizes a single panel. Beside them `distance_mm` moves all panels along the beam,
    `xbeam_mm` and `ybeam_mm` across it, `rotation_deg` and `twotheta_deg` turn them, and `sensor`
    replaces the file's, field by field.

    `roi` is first fast, last fast, first slow, last slow pixel, both ends included.

    `curved` bends the panel about the sample: true is `sphere`; the axis of `cylinder_slow`
    runs along slow, that of `cylinder_fast` along fast.
    """

    preset: str | None = None
    gaps: Literal["mask", "panels"] | None = None
    geometry_file: FilePath | None = None
    geometry_format: GeometryFormat = "auto"
    geometry_experiment: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    panels: tuple[PanelSpec, ...] | None = None

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
    curved: bool | Curve = False
    point_pixel: bool = False
    sensor: SensorSpec = SensorSpec()
    point_spread: PointSpreadSpec = PointSpreadSpec()
    roi: tuple[int, int, int, int] | None = None
    mask_file: FilePath | None = None
    response: ResponseSpec | None = None
    beam_stop: BeamStopSpec | None = None

    @model_validator(mode="after")
    def _check_detector(self) -> Self:
        if self.close_distance_mm == 0:
            raise refusal("a detector at distance 0 sits on the sample", field="close_distance_mm")
        self.keep_one("distance_mm", "close_distance_mm")
        self.keep_one("pixels_fast", "size_fast_mm")
        self.keep_one("pixels_slow", "size_slow_mm")
        if self.axes.given and self.convention not in (None, "custom"):
            raise refusal(
                f"the {self.convention} convention sets its own axes",
                field=f"axes.{self.axes.given[0]}",
                remedy="leave `convention` out or set it to custom",
            )
        if self.roi is not None:
            self._check_roi(self.roi)
        self._check_preset()
        if self.geometry_file is not None or self.panels is not None:
            self._check_panels()
        if self.geometry_file is None:
            self.refuse_given("goes with a geometry_file of experiments", "geometry_experiment")
        return self

    def _check_preset(self) -> None:
        """Refuse what a preset gives, and gaps without one."""
        if self.preset is None:
            self.refuse_given("has no effect without a preset", "gaps", remedy="leave it out")
            return
        self.keep_one("preset", "geometry_file", "panels", *_SIZES, "size_fast_mm", "size_slow_mm")
        if self.gaps == "panels" and self.curved:
            raise refusal("panels of their own are flat", field="curved", remedy="leave it out")

    def _check_panels(self) -> None:
        """Refuse what places or sizes one panel beside panels that have places of their own."""
        self.keep_one("geometry_file", "panels")
        owner = "panels" if self.panels is not None else "geometry_file"
        if self.panels == ():
            raise refusal("the list of panels is empty", field="panels")
        forbidden = [*_OF_ONE_PANEL]
        if self.panels is None:
            forbidden += [*_SIZES, "convention"]
        elif len(self.panels) > 1:
            forbidden.append("roi")
        given = [name for name in forbidden if getattr(self, name) is not None]
        given += [f"axes.{name}" for name in self.axes.given if name != "twotheta"]
        if self.curved:
            given.append("curved")
        if given:
            raise refusal(
                f"given beside {owner}, which has places and sizes of its own",
                field=given[0],
                remedy="leave it out; distance_mm, xbeam_mm, ybeam_mm, rotation_deg, "
                "twotheta_deg and sensor may stand beside it",
            )

    def _check_roi(self, roi: tuple[int, int, int, int]) -> None:
        for index, name in ((0, "fast"), (2, "slow")):
            first, last, pixels = roi[index], roi[index + 1], getattr(self, f"pixels_{name}")
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
