"""Resolve the point spread of each panel."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np

from distbragg.errors import InputError
from distbragg.models.detector import Detector, Panel
from distbragg.models.point_spread import PointSpread, SpreadKind
from distbragg.models.vectors import Float64Array, frozen_float64
from distbragg.read.kernel import read_kernel
from distbragg.spec.detector import DetectorSpec
from distbragg.spec.point_spread import MAXIMUM_RADIUS, PointSpreadSpec
from distbragg.units import um_to_m

_GAUSS_WIDTHS: Final = math.sqrt(math.log(1e9) / math.log(16.0))
"""Beyond so many widths a Gaussian has fallen to 1e-9 of its middle."""
_FIBRE_WIDTHS: Final = 10.0
_ROUNDING: Final = 1e-6  # tables of shares are written with so many digits
_OF_SHAPE: Final = ("fwhm_um", "fwhm_px", "radius_px")
_OF_FILE: Final = ("file", "file_sum")


def with_point_spread(detector: Detector, spec: DetectorSpec) -> Detector:
    """Return the detector with the point spread of each panel; the same one where none has any."""
    written = written_spreads(spec, len(detector.panels))
    spreads = [
        point_spread(one, panel) for one, panel in zip(written, detector.panels, strict=True)
    ]
    if not any(spreads):
        return detector
    panels = tuple(
        replace(panel, point_spread=one)
        for panel, one in zip(detector.panels, spreads, strict=True)
    )
    return replace(detector, panels=panels)


def written_spreads(spec: DetectorSpec, panels: int) -> list[PointSpreadSpec]:
    """Return what is written of the point spread of each panel, its own fields first."""
    if spec.panels is None:
        return [spec.point_spread] * panels
    whole = spec.point_spread.model_dump(exclude_none=True)
    return [_merged(whole, panel.point_spread) for panel in spec.panels]


def _merged(whole: dict[str, object], own: PointSpreadSpec) -> PointSpreadSpec:
    """Return a panel's own fields, else the detector's; a panel of another kind starts anew."""
    given = own.model_dump(exclude_none=True)
    if "kind" in given and given["kind"] != whole.get("kind"):
        whole = {name: whole[name] for name in ("stage", "edges") if name in whole}
    for name, other in (("fwhm_um", "fwhm_px"), ("fwhm_px", "fwhm_um")):
        if name in given:
            whole = {key: value for key, value in whole.items() if key != other}
    return PointSpreadSpec.model_validate({**whole, **given})


def point_spread(spec: PointSpreadSpec, panel: Panel) -> PointSpread | None:
    """Resolve the point spread of a panel; None where it has none."""
    kind = spec.kind
    if kind is None:
        _refuse(spec, tuple(PointSpreadSpec.model_fields), "has no effect without a kind")
        return None
    if kind == "none":
        return None
    counted, lost = spec.stage != "expected", spec.edges == "lost"
    if kind == "file":
        _refuse(spec, _OF_SHAPE, "a file of shares has its own")
        shares = _shares(spec)
        return PointSpread(kind, 0.0, max(shares.shape) // 2, shares, counted, lost)
    _refuse(spec, _OF_FILE, f"has no effect on a {kind}")
    width = _width(spec, panel)
    radius = spec.radius_px or _radius(kind, width)
    return PointSpread(kind, width, radius, frozen_float64(np.empty((0, 0))), counted, lost)


def _width(spec: PointSpreadSpec, panel: Panel) -> float:
    """Full width at half maximum, pixels."""
    if spec.fwhm_px is not None and spec.fwhm_um is not None:
        raise InputError(
            "given together with fwhm_px", field="detector.point_spread.fwhm_um", remedy="keep one"
        )
    if spec.fwhm_px is not None:
        return spec.fwhm_px
    if spec.fwhm_um is not None:
        return um_to_m(spec.fwhm_um) / panel.pixel_size
    raise InputError(
        f"a {spec.kind} needs its width",
        field="detector.point_spread.fwhm_um",
        remedy="give fwhm_um or fwhm_px",
    )


def _radius(kind: SpreadKind, width: float) -> int:
    """Return the radius that stands in for one that nobody gave, pixels."""
    exact = 1.0 + _GAUSS_WIDTHS * width if kind == "gauss" else _FIBRE_WIDTHS * width
    if exact > MAXIMUM_RADIUS:
        raise InputError(
            f"a full width of {width:.4g} pixels",
            field="detector.point_spread.radius_px",
            remedy=f"check the width, or give a radius of at most {MAXIMUM_RADIUS} pixels",
        )
    return math.ceil(exact)


def file_sum(path: str) -> float:
    """Return what the shares of a file add up to."""
    return math.fsum(read_kernel(path, 2 * MAXIMUM_RADIUS + 1).reshape(-1).tolist())


def _shares(spec: PointSpreadSpec) -> Float64Array:
    """Return the shares of the file."""
    if spec.file is None:
        raise InputError("there is no file of shares", field="detector.point_spread.file")
    shares, total = read_kernel(spec.file, 2 * MAXIMUM_RADIUS + 1), file_sum(spec.file)
    if spec.file_sum is not None:
        return frozen_float64(shares * (spec.file_sum / total))
    if total > 1.0 + _ROUNDING:
        raise InputError(
            f"the shares add up to {total:.6g}, more photons than there are",
            source=spec.file,
            field="detector.point_spread.file",
            remedy="give detector.point_spread.file_sum, which they are scaled to: 1 keeps all",
        )
    return frozen_float64(shares / max(total, 1.0))


def _refuse(spec: PointSpreadSpec, fields: tuple[str, ...], problem: str) -> None:
    for name in fields:
        if getattr(spec, name) is not None:
            raise InputError(problem, field=f"detector.point_spread.{name}", remedy="leave it out")
