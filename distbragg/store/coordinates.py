"""Coordinates and attributes of images: the same for a stack on disk and one in memory."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from distbragg.models.detector import Detector, Panel
from distbragg.models.experiment import Experiment
from distbragg.notes import Notes
from distbragg.plan.variants import Variant
from distbragg.store.layout import IMAGES

if TYPE_CHECKING:
    import xarray as xr

    from distbragg.spec.sweep import AxisCoordinate

CONVENTIONS = "CF-1.11"
RENDERED = "rendered"
NOTES = "distbragg_notes"


@dataclass(frozen=True)
class StoredVariable:
    """A coordinate ready to be stored."""

    dims: tuple[str, ...]
    values: np.ndarray[Any, Any]
    attrs: Mapping[str, Any]


def axis_variables(coordinates: Iterable[AxisCoordinate]) -> dict[str, StoredVariable]:
    """Return the stored coordinates of the sweep axes; vectors over (dimension, component)."""
    variables: dict[str, StoredVariable] = {}
    for axis in coordinates:
        index = f"index along {axis.dim}" if axis.name == axis.dim else "drawn for other axes"
        attrs = {"long_name": axis.path or index}
        if axis.path:
            attrs["spec_path"] = axis.path
        if axis.unit:
            attrs["units"] = axis.unit
        dims = (axis.dim, axis.component_dim) if axis.component_dim else (axis.dim,)
        variables[axis.name] = StoredVariable(dims, axis.values, attrs)
    return variables


def pixel_variables(detector: Detector) -> dict[str, StoredVariable]:
    """Return coordinates of the pixel dimensions: centres in mm from the panel's outer corner."""
    panel = detector.panels[0]
    variables = {
        axis: StoredVariable(
            (axis,),
            (np.arange(size, dtype=np.float64) + 0.5) * (panel.pixel_size * 1e3),
            {
                "units": "mm",
                "long_name": f"pixel centre along the {axis} axis from the panel's corner",
                "pixel_size_mm": panel.pixel_size * 1e3,
            },
        )
        for axis, size in zip(("slow", "fast"), panel.shape, strict=True)
    }
    if len(detector.panels) > 1:
        variables |= _panel_variables(detector)
    return variables


def variant_variables(one: Variant, pixel_mm: float) -> dict[str, StoredVariable]:
    """Return coordinates of the pixels of a variant: their centres, where the frame has them."""
    return {
        f"{one.spec.name}_{axis}": StoredVariable(
            (f"{one.spec.name}_{axis}",),
            (offset + (np.arange(size, dtype=np.float64) + 0.5) * one.factor) * pixel_mm,
            {
                "units": "mm",
                "long_name": f"pixel centre along the {axis} axis from the panel's corner",
                "pixel_size_mm": pixel_mm * one.factor,
            },
        )
        for axis, offset, size in zip(("slow", "fast"), one.offset, one.shape, strict=True)
    }


def _panel_variables(detector: Detector) -> dict[str, StoredVariable]:
    """Name, place, axes, pixel size and pixels of every panel."""
    panels = detector.panels
    corner = "corner of the first pixel from the sample, in the first frame"
    along = "unit vector along which the {} index grows"
    inside = "pixels the panel has; those beyond are 0"
    table: dict[str, tuple[list[Any], str, str]] = {
        "panel_origin": ([panel.origin * 1e3 for panel in panels], "mm", corner),
        "panel_fast": ([panel.fast for panel in panels], "1", along.format("fast")),
        "panel_slow": ([panel.slow for panel in panels], "1", along.format("slow")),
        "panel_pixel_size": ([panel.pixel_size * 1e3 for panel in panels], "mm", "edge of a pixel"),
        "panel_pixels_slow": ([panel.pixels[0] for panel in panels], "1", inside),
        "panel_pixels_fast": ([panel.pixels[1] for panel in panels], "1", inside),
    }
    names, axes = np.array([panel.name for panel in panels]), np.array(["x", "y", "z"])
    variables = {
        "panel": StoredVariable(("panel",), names, {"long_name": "detector panel"}),
        "xyz": StoredVariable(("xyz",), axes, {"long_name": "laboratory axis"}),
    }
    for name, (values, unit, meaning) in table.items():
        stored = np.array(values)
        dims = ("panel", "xyz")[: stored.ndim]
        variables[name] = StoredVariable(dims, stored, {"units": unit, "long_name": meaning})
    return variables


def notes_attrs(notes: Notes) -> dict[str, Any]:
    """Return the notes of the frames as an attribute, a line each; nothing where there is none."""
    return {NOTES: [note.line for note in notes]} if notes else {}


def image_attrs(experiment: Experiment) -> dict[str, Any]:
    """Return attributes of the `images` variable: CF names, units, base geometry."""
    panels = [_panel_geometry(panel) for panel in experiment.detector.panels]
    return {
        **_recorded_attrs(experiment),
        "physics": experiment.physics,
        "wavelength_angstrom": float(experiment.beam.wavelength),
        "fluence_photons_per_m2": float(experiment.beam.fluence),
        "beam_direction": [float(x) for x in experiment.beam.direction],
        "detector_geometry": json.dumps(panels),
        "photon_noise": int(experiment.noise.photon),
    }


def _recorded_attrs(experiment: Experiment) -> dict[str, Any]:
    """Return what a pixel counts, and how that stands to photons where a detector recorded it."""
    response = experiment.response
    if response is None:
        return {"long_name": "scattered photons per pixel", "units": "photons"}
    attrs = {
        "long_name": f"recorded {response.unit} per pixel",
        "units": response.unit,
        "adu_per_photon" if response.unit == "ADU" else "gain": response.gain,
        "offset": response.offset,
    }
    bounds = {"largest_value": response.brightest, "overload_value": response.overload}
    return attrs | {name: value for name, value in bounds.items() if math.isfinite(value)}


def label_images(
    images: Any,  # noqa: ANN401 numpy or dask; this layer does not import dask
    experiment: Experiment,
    *,
    dims: Iterable[tuple[str, int]] = (),
    coordinates: Iterable[AxisCoordinate] = (),
    attrs: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Return a dataset of images as a stack on disk would be, with the variable `images`.

    `images` (sweep dims…, panels, slow, fast) are a numpy or dask array, of which the panel axis is
    dropped where there is one panel. Geometry and units are those of the base `experiment`;
    `attrs` are provenance.
    """
    # Loaded here: creating a run writes the same labels without xarray.
    import xarray as xr

    import distbragg.store.accessor  # noqa: F401 registers `.bragg`

    sweep_dims = tuple(dims)
    variables = axis_variables(coordinates) | pixel_variables(experiment.detector)
    names = [name for name, _ in sweep_dims]
    if len(experiment.detector.panels) > 1:
        names.append("panel")
    else:
        images = images[(slice(None),) * len(sweep_dims) + (0,)]
    names += ["slow", "fast"]
    # A data set, not an array: values that are vectors have a dimension that images lack.
    return xr.Dataset(
        {IMAGES: (names, images, image_attrs(experiment))},
        coords={
            name: (variable.dims, variable.values, dict(variable.attrs))
            for name, variable in variables.items()
        },
        attrs={"Conventions": CONVENTIONS, **(attrs or {})},
    )


def _panel_geometry(panel: Panel) -> dict[str, Any]:
    return {
        "name": panel.name,
        "pixels": list(panel.pixels),
        "origin_mm": [float(x) * 1e3 for x in panel.origin],
        "fast": [float(x) for x in panel.fast],
        "slow": [float(x) for x in panel.slow],
        "normal": [float(x) for x in panel.normal],
        "pixel_size_mm": panel.pixel_size * 1e3,
        "distance_mm": panel.distance * 1e3,
        "close_distance_mm": panel.close_distance * 1e3,
        "surface": panel.surface,
    }
