"""The laboratory frame against those of files: imgCIF's and CrystFEL's.

imgCIF and DIALS have the beam along −z and the spindle along x. CrystFEL has the beam along z and y
upwards (crystfel_geometry(5)), as NeXus has: imgCIF's frame with x and z reversed. The laboratory's
beam and spindle are those of the convention, or of a geometry file.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.matrices import dot3, norm3
from distbragg.models.build_detector import build_detector
from distbragg.models.rotations import kappa_setting
from distbragg.models.setting import Setting
from distbragg.models.vectors import Vector, direction_of
from distbragg.spec.experiment import ExperimentSpec

IMGCIF_TO_CRYSTFEL: Final = np.diag([-1.0, 1.0, -1.0])
CRYSTFEL: Final = "crystfel"
_ALONG: Final = 1e-6
_ANY_WAVELENGTH: Final = 1.0  # Å; no direction depends on it


def imgcif_frame(
    beam: NDArray[np.float64], spindle: NDArray[np.float64], fast: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the rotation from the laboratory to the imgCIF frame, rows x, y, z.

    x is the part of the spindle across the beam, or of `fast` where the spindle lies along it.
    """
    for axis in (spindle, fast):
        across = axis - float(dot3(axis, beam)) * beam
        length = float(norm3(across))
        if length > _ALONG:
            x = across / length
            return np.stack([x, np.cross(-beam, x), -beam])
    raise InputError("the panel and the spindle lie along the beam: no header describes that")


def of_crystfel(geometry_format: str | None, beam: NDArray[np.float64]) -> bool:
    """Whether the laboratory frame is CrystFEL's own, that of a geometry file of its."""
    return geometry_format == CRYSTFEL and bool((np.asarray(beam) == [0.0, 0.0, 1.0]).all())


def setting_frame(spec: ExperimentSpec) -> NDArray[np.float64]:
    """Return the rotation from the laboratory of an experiment to the imgCIF frame.

    The crystal is left out of account: it may be what is asked for.
    """
    setting = Setting.of(spec)
    beam = direction_of(spec.beam.direction or setting.rule.beam, "beam.direction")
    along = np.array(beam)
    if of_crystfel(None if setting.geometry is None else setting.geometry.format, along):
        return IMGCIF_TO_CRYSTFEL
    given = spec.goniometer.spindle_axis or setting.rule.spindle
    spindle: Vector = direction_of(given, "goniometer.spindle_axis")
    if spec.goniometer.kappa is not None:
        _, spindle = kappa_setting(spec.goniometer.kappa, spindle, beam)
    try:
        return imgcif_frame(along, np.array(spindle), along)
    except InputError:
        detector = build_detector(spec, setting, beam, _ANY_WAVELENGTH)
        return imgcif_frame(along, np.array(spindle), np.asarray(detector.panels[0].fast))
