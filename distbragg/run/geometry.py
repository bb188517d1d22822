"""What a geometry file was understood to say, with its beam centre in every convention."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from distbragg.export.smv import beam_centres
from distbragg.models.beam_spot import BeamSpot, beam_spot
from distbragg.models.vectors import Vector, cell_of, cross, dot, unit
from distbragg.read.geometry.model import PanelGeometry
from distbragg.read.geometry.read import read_geometry

_ALONG_Z: Vector = (0.0, 0.0, 1.0)


def describe_geometry(
    path: str, format: str = "auto", experiment: int | None = None
) -> dict[str, Any]:
    """Describe a geometry file as plain data; arguments and errors are those of `read_geometry`.

    `panels` (each with place, size and distances), `beam_centre` by convention (None where the file
    does not state it), beam, rotation, cell, notes. Lengths are in mm, angles in degrees.
    """
    geometry = read_geometry(path, format, experiment)
    beam = geometry.beam or _ALONG_Z
    spot = beam_spot(geometry.panels, beam)
    return {
        "file": path,
        "format": geometry.format,
        "frame": geometry.frame,
        "panels": [_panel(panel, beam) for panel in geometry.panels],
        "distance_mm": spot.distance if geometry.distance_stated else None,
        "beam_centre": None
        if not geometry.centre_stated
        else {
            "panel": geometry.panels[spot.panel].name,
            "on_panel": spot.on_panel,
            **_centres(geometry.panels[spot.panel], spot),
        },
        "beam": list(beam),
        "wavelength_angstrom": geometry.wavelength,
        "spectrum_channels": None if geometry.spectrum is None else geometry.spectrum.weight.size,
        "polarization": None if geometry.polarization is None else list(geometry.polarization),
        "polarization_fraction": geometry.polarization_fraction,
        "spindle": None if geometry.spindle is None else list(geometry.spindle),
        "phi_deg": geometry.phi,
        "oscillation_deg": geometry.oscillation,
        "cell": None if geometry.real_space is None else list(cell_of(geometry.real_space)),
        "notes": list(geometry.notes),
    }


def _panel(panel: PanelGeometry, beam: Vector) -> dict[str, Any]:
    normal = unit(cross(panel.fast, panel.slow))
    along = abs(dot(beam, normal))
    return {
        "name": panel.name,
        "pixels_fast": panel.shape[1],
        "pixels_slow": panel.shape[0],
        "pixel_size_mm": panel.pixel_size,
        "origin_mm": list(panel.origin),
        "fast": list(panel.fast),
        "slow": list(panel.slow),
        "close_distance_mm": abs(dot(panel.origin, normal)),
        "tilt_deg": math.degrees(math.acos(min(1.0, along))),
        "thickness_mm": panel.thickness,
        "attenuation_length_mm": panel.attenuation_length,
        "material": panel.material,
        "masked_areas": len(panel.masked),
        "masked_pixels": 0 if panel.mask is None else int(np.count_nonzero(~panel.mask)),
    }


def _centres(panel: PanelGeometry, spot: BeamSpot) -> dict[str, Any]:
    """Return the beam centre as each convention writes it."""
    pixel = panel.pixel_size
    near = [-dot(panel.origin, axis) for axis in (panel.fast, panel.slow)]
    centres = beam_centres(spot.fast, spot.slow, pixel, panel.shape[0] * pixel)
    return {
        "dials_px": [spot.fast / pixel, spot.slow / pixel],
        "dials_mm": [spot.fast, spot.slow],
        "xds_orgx_orgy_px": [near[0] / pixel + 0.5, near[1] / pixel + 0.5],
        **{f"{name}_mm": list(centre) for name, centre in centres.items()},
    }
