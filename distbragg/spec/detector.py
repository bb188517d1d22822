"""Detector: size, place, convention, sensor, region of interest and mask."""

from __future__ import annotations

from itertools import combinations
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from distbragg.spec.base import (
    Count,
    Degrees,
    Degrees3,
    Direction,
    Distance,
    FilePath,
    Finite,
    Micrometres,
    Millimetres,
    Millimetres3,
    NonNegative,
    PixelSize,
    Positive,
    SpecModel,
    Vector3,
    refusal,
    tell_former,
    within_reach,
)
from distbragg.spec.point_spread import PointSpreadSpec
from distbragg.spec.response import ResponseSpec
from distbragg.units import mm_to_m

Convention = Literal["mosflm", "denzo", "adxv", "xds", "dials", "custom"]
Material = Literal["Si", "CdTe", "GaAs", "Gd2O2S"]
GeometryFormat = Literal["auto", "expt", "nxmx", "smv", "cbf", "xds", "xparm", "crystfel"]
Curve = Literal["sphere", "cylinder_fast", "cylinder_slow"]
_AXIS_NAMES = ("fast", "slow", "normal", "twotheta")
_OF_ONE_PANEL = (
    "close_distance_mm", "size_fast_mm", "size_slow_mm", "xclose_mm", "yclose_mm", "orgx_px",
    "orgy_px", "origin_mm", "pix0_m",
)  # fmt: skip
_SIZES = ("pixels_fast", "pixels_slow", "pixel_size_mm")


class SensorSpec(SpecModel):
    """Absorbing sensor, which is sampled in layers."""

    thickness_um: Micrometres | None = None
    """Thickness of the sensor, µm, in which photons are absorbed. Left out: that of the preset or
    geometry file, else 0, which counts all photons at the surface. Example: 450"""
    material: Material | None = None
    """Material, whose attenuation length at the wavelength counts. Left out: that of the preset or
    geometry file. Example: CdTe"""
    attenuation_length_um: (
        Annotated[float, Field(ge=0, allow_inf_nan=True), AfterValidator(within_reach)] | None
    ) = None
    """Depth at which 1/e of the photons are left, µm; 0 or infinity turns absorption off. Left out:
    that of `material`, else of the geometry file, else the thickness. Example: 234"""
    layers: Count | None = None
    """Number of layers that the thickness is cut into. Left out: 2. Example: 5"""


class PanelSpec(SpecModel):
    """One panel of several: outer corner of its first pixel, and the way its pixels run."""

    name: str | None = None
    """Name of the panel in files and messages. Left out: its number. Example: p0"""
    origin_mm: Millimetres3
    """Outer corner of the first pixel from the sample, laboratory x, y, z in mm. Example: [-50,
    -40, 100]"""
    fast: Direction
    """Direction along which the fast pixel index grows, three components. Example: [1, 0, 0]"""
    slow: Direction
    """Direction along which the slow pixel index grows, three components. Example: [0, 1, 0]"""
    pixels_fast: Count | None = None
    """Number of pixels along the fast axis, one row of the image. Left out: the detector's.
    Example: 512"""
    pixels_slow: Count | None = None
    """Number of pixels along the slow axis, the rows of the image. Left out: the detector's.
    Example: 1024"""
    pixel_size_mm: PixelSize | None = None
    """Edge of a square pixel, mm. Left out: the detector's. Example: 0.075"""
    sensor: SensorSpec = SensorSpec()
    """Fields of the sensor that differ from the detector's."""
    point_spread: PointSpreadSpec = PointSpreadSpec()
    """Fields of the point spread that differ from the detector's."""
    mask_file: FilePath | None = None
    """Image of the panel (.npy, SMV): pixels of value 0 are left out, all others are rendered. Left
    out: all are. Example: p0.npy"""


class DetectorAxesSpec(SpecModel):
    """Explicit directions; giving any of them selects the `custom` convention."""

    fast: Direction | None = None
    """Direction along which the fast pixel index grows, three components. Left out: the
    convention's. Example: [0, 0, 1]"""
    slow: Direction | None = None
    """Direction along which the slow pixel index grows, three components. Left out: the
    convention's. Example: [0, -1, 0]"""
    normal: Direction | None = None
    """Direction from the sample to the panel, across it, three components. Left out: fast × slow,
    whichever way looks along the beam. Example: [1, 0, 0]"""
    twotheta: Direction | None = None
    """Axis of `twotheta_deg`, three components. Left out: the convention's. Example: [0, 0, 1]"""

    @property
    def given(self) -> tuple[str, ...]:
        """Names of the axes that were given."""
        return tuple(name for name in _AXIS_NAMES if getattr(self, name) is not None)


class BeamStopSpec(SpecModel):
    """A beam stop: the outline of its shadow, a disc (`radius_mm`) or a polygon, and its arm.

    Places are in mm on the plane across the beam at the first panel's distance, from the point
    where the beam meets it, along the panel's fast and slow axes; for a flat panel across the beam
    this plane is the panel. Everything is shadowed.
    """

    radius_mm: Positive | None = None
    """Radius of a round shadow, mm. Left out: `polygon_mm` gives the outline. Example: 2"""
    polygon_mm: tuple[tuple[Finite, Finite], ...] | None = Field(default=None, min_length=3)
    """Corners of the shadow in order, [fast, slow] in mm from the beam. Left out: a disc of
    `radius_mm`. Example: [[-2, -2], [2, -2], [0, 3]]"""
    centre_mm: tuple[Finite, Finite] = (0.0, 0.0)
    """Centre of the disc and start of the arm, [fast, slow] in mm from the beam. Example: [0.5, 0]
    """
    edge_mm: NonNegative = 0.0
    """Width over which the shadow ends, mm. Example: 0.3"""
    transmission: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the photons that passes within the shadow. Example: 0.001"""
    arm_width_mm: NonNegative = 0.0
    """Width of the arm that holds the stop, mm; 0 means no arm. Example: 1"""
    arm_angle_deg: Finite = 0.0
    """Direction in which the arm leads away, degrees from fast towards slow. Example: 90"""

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
    """A flat (or curved) panel, or several of them.

    `panels` or `geometry_file` replace the fields that place and size a single panel. Together with
    them `distance_mm` moves all panels along the beam, `xbeam_mm` and `ybeam_mm` across it,
    `rotation_deg` and `twotheta_deg` turn them, and `sensor` replaces the file's, field by field.
    """

    preset: str | None = None
    """Name of a common detector (`distbragg presets`), which gives pixels, size and sensor. Left
    out: the fields below. Example: eiger2_16m"""
    gaps: Literal["mask", "panels"] | None = None
    """Whether the gaps of a preset are masked, or each of its modules is a panel. Left out: mask.
    Example: panels"""
    geometry_file: FilePath | None = None
    """Geometry of another program (DIALS, XDS, CrystFEL, NXmx, CBF, SMV), in the file's own frame.
    Left out: the fields below place one panel. Example: imported.expt"""
    geometry_format: GeometryFormat = "auto"
    """Format of that file; auto recognises it by content. Example: crystfel"""
    geometry_experiment: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    """Number, from 0, of the experiment of a DIALS list. Left out: the only one. Example: 2"""
    panels: tuple[PanelSpec, ...] | None = None
    """Panels in the laboratory frame of the convention. Left out: a single panel."""

    convention: Convention | None = None
    """Whose laboratory axes and beam centre the fields follow. Left out: mosflm, custom where
    directions or panels are given. Example: dials"""
    distance_mm: Distance | None = None
    """Sample to panel along the beam, mm. Left out: `close_distance_mm`, else that of a header,
    else 100. Example: 200"""
    close_distance_mm: Millimetres | None = None
    """Sample to panel along its normal, mm; negative is behind it. Left out: that of `distance_mm`.
    Example: 195"""
    pixel_size_mm: PixelSize | None = None
    """Edge of a square pixel, mm. Left out: that of preset, header or file, else 0.1. Example:
    0.172"""
    pixels_fast: Count | None = None
    """Number of pixels along the fast axis, one row of the image. Left out: `size_fast_mm` over the
    pixel size, else those of preset or header, else 102.4 mm of them. Example: 2463"""
    pixels_slow: Count | None = None
    """Number of pixels along the slow axis, the rows of the image. Left out: `size_slow_mm` over
    the pixel size, else those of preset or header, else 102.4 mm of them. Example: 2527"""
    size_fast_mm: Positive | None = None
    """Side of the panel along fast, mm, in place of pixels. Left out: pixels times their size.
    Example: 423.6"""
    size_slow_mm: Positive | None = None
    """Side of the panel along slow, mm, in place of pixels. Left out: pixels times their size.
    Example: 434.6"""
    xbeam_mm: Millimetres | None = None
    """Direct beam on the panel, mm, as the convention's program writes X: of mosflm and denzo along
    slow, else along fast. Left out: that of a header, else the middle. Example: 212.5"""
    ybeam_mm: Millimetres | None = None
    """Direct beam on the panel, mm, as the convention's program writes Y: of mosflm and denzo along
    fast, else along slow, of adxv from the far end. Left out: that of a header, else the middle.
    Example: 219.9"""
    xclose_mm: Millimetres | None = None
    """Point nearest to the sample, mm along fast from the corner. Left out: that of `orgx_px`, else
    of the beam centre. Example: 212.5"""
    yclose_mm: Millimetres | None = None
    """Point nearest to the sample, mm along slow from the corner. Left out: that of `orgy_px`, else
    of the beam centre. Example: 219.9"""
    orgx_px: Finite | None = None
    """Point nearest to the sample along fast, pixels as XDS counts: the first pixel's middle is 1.
    Left out: that of a header, else of `xclose_mm`. Example: 1235.8"""
    orgy_px: Finite | None = None
    """Point nearest to the sample along slow, pixels as XDS counts: the first pixel's middle is 1.
    Left out: that of a header, else of `yclose_mm`. Example: 1278.6"""
    pivot: Literal["beam", "sample"] | None = None
    """What stays in place as the panel turns: where the beam meets it, or the sample. Left out: the
    convention's. Example: sample"""
    rotation_deg: Degrees3 = (0.0, 0.0, 0.0)
    """Rotations of the panel about the laboratory x, y and z axes in turn, degrees. Example: [0, 0,
    1.5]"""
    twotheta_deg: Degrees | None = None
    """Swing about the `axes.twotheta`, degrees. Left out: that of a header, else 0. Example: 15"""
    axes: DetectorAxesSpec = DetectorAxesSpec()
    """Directions of the panel in the laboratory, in place of the convention's."""
    origin_mm: Millimetres3 | None = None
    """Outer corner of the first pixel from the sample, laboratory x, y, z in mm. Left out: it
    follows from distance and beam centre. Example: [100, -50, 50]"""
    pix0_m: Vector3 | None = None
    """The same in metres, the name of an earlier version; the next version will refuse it. Left
    out: `origin_mm` counts. Example: [0.1, -0.05, 0.05]"""
    curved: bool | Curve = False
    """How the panel is bent about the sample: true is sphere; cylinder_slow has its axis along
    slow, cylinder_fast along fast. Example: cylinder_slow"""
    point_pixel: bool = False
    """Whether the solid angle of a pixel is 1/R² instead of its own. Example: true"""
    sensor: SensorSpec = SensorSpec()
    """Thickness and material of the sensor, which absorbs within it."""
    point_spread: PointSpreadSpec = PointSpreadSpec()
    """How one photon is recorded by the pixels about it."""
    roi: tuple[int, int, int, int] | None = None
    """The only pixels that are rendered: first fast, last fast, first slow, last slow, both ends
    included, from 0. Left out: all. Example: [0, 511, 0, 255]"""
    mask_file: FilePath | None = None
    """Image (.npy, SMV): pixels of value 0 are left out, all others are rendered; masks of NeXus
    and pyFAI mean the opposite. Left out: all are rendered. Example: mask.npy"""
    response: ResponseSpec | None = None
    """What the electronics record: gain, noise, saturation, bad pixels. Left out: pixels hold
    photons."""
    beam_stop: BeamStopSpec | None = None
    """Shadow of the beam stop and its arm on the detector. Left out: none."""

    @property
    def origin_m(self) -> Vector3 | None:
        """Outer corner of the first pixel, m, as it was given in either unit."""
        if self.pix0_m is not None or self.origin_mm is None:
            return self.pix0_m
        x, y, z = map(mm_to_m, self.origin_mm)
        return x, y, z

    @model_validator(mode="after")
    def _check_detector(self) -> Self:
        self.keep_one("origin_mm", "pix0_m")
        if self.pix0_m is not None:
            tell_former("pix0_m, in metres,", "origin_mm, in mm")
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
            self.refuse_given("needs a geometry_file of experiments", "geometry_experiment")
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
                f"given together with {owner}, which has places and sizes of its own",
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
