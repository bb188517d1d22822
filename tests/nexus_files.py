"""NeXus masters with other beams than `geometry_files.write_nexus` gives, and older ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.geometry_files import write_nexus

BEAM = "entry/instrument/beam"
DETECTOR = "entry/instrument/detector"


def with_beam(path: Path, fields: dict[str, tuple[Any, str]]) -> str:
    """Write a master whose NXbeam holds these fields, each a value and its unit."""
    write_nexus(str(path))
    with h5py.File(path, "a") as file:
        beam = file[BEAM]
        for name in list(beam):
            del beam[name]
        for name, (value, unit) in fields.items():
            beam[name] = value
            if unit:
                beam[name].attrs["units"] = unit
    return str(path)


def spectrum_master(
    path: Path, wavelengths: Any, weights: Any = None, unit: str = "angstrom"
) -> str:
    """Write a master with `incident_wavelength` and, where given, its weights."""
    fields = {"incident_wavelength": (wavelengths, unit)}
    if weights is not None:
        fields["incident_wavelength_weights"] = (weights, "")
    return with_beam(path, fields)


def dectris_master(path: Path, *, leave_out: tuple[str, ...] = (), wavelength: bool = True) -> str:
    """Write a master as the older software of Dectris does: 12 x 10 pixels of 0.5 mm."""
    with h5py.File(path, "w") as file:

        def group(name: str, kind: str) -> Any:
            made = file.require_group(name)
            made.attrs["NX_class"] = np.bytes_(kind)
            return made

        def put(parent: Any, name: str, value: Any, units: str) -> None:
            if name not in leave_out:
                parent[name] = value
                parent[name].attrs["units"] = np.bytes_(units)

        group("entry", "NXentry")["definition"] = np.bytes_("NXmx")
        group("entry/instrument", "NXinstrument")
        if wavelength:
            put(group(BEAM, "NXbeam"), "incident_wavelength", 1.1, "angstrom")
        detector = group(DETECTOR, "NXdetector")
        put(detector, "x_pixel_size", 0.0005, "m")
        put(detector, "y_pixel_size", 0.0005, "m")
        put(detector, "beam_center_x", 7.5, "pixel")
        put(detector, "beam_center_y", 4.25, "pixel")
        put(detector, "detector_distance", 0.15, "m")
        put(detector, "sensor_thickness", 0.00045, "m")
        detector["sensor_material"] = np.bytes_("Si")
        specific = group(f"{DETECTOR}/detectorSpecific", "NXcollection")
        put(specific, "x_pixels_in_detector", 12, "")
        put(specific, "y_pixels_in_detector", 10, "")
        put(specific, "photon_energy", 12398.42, "eV")
        mask = np.zeros((10, 12), dtype=np.uint32)
        mask[3, 4] = 1
        specific["pixel_mask"] = mask
        group("entry/sample", "NXsample")
        goniometer = group("entry/sample/goniometer", "NXtransformations")
        put(goniometer, "omega", np.arange(3) * 0.1 + 30.0, "degree")
        put(goniometer, "chi", np.zeros(3), "degree")
    return str(path)
