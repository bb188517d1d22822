"""Resolve the layers of an absorbing sensor."""

from __future__ import annotations

import logging
import math
from typing import Final, TypeVar

import numpy as np

from distbragg.errors import InputError
from distbragg.models.arrays import frozen_float64
from distbragg.models.build_beam import Physics
from distbragg.models.detector import SensorLayers
from distbragg.models.steps import check_count, exact_count
from distbragg.read.attenuation import attenuation_length_um
from distbragg.read.geometry.model import PanelGeometry
from distbragg.spec.detector import Material, SensorSpec
from distbragg.units import um_to_m, wavelength_angstrom_to_energy_ev

logger = logging.getLogger("distbragg")

T = TypeVar("T")

_DEFAULT_LAYERS = 2
THINNEST_MM: Final = 1e-3
_MATERIALS: Final[dict[str, Material]] = {
    "si": "Si",
    "silicon": "Si",
    "cdte": "CdTe",
    "cadmiumtelluride": "CdTe",
    "gaas": "GaAs",
    "gaas:cr": "GaAs",
    "galliumarsenide": "GaAs",
    "gd2o2s": "Gd2O2S",
    "gadox": "Gd2O2S",
}


def build_sensor(spec: SensorSpec, physics: Physics, wavelength: float) -> SensorLayers:
    """Resolve the sensor.

    No thickness, or an attenuation length of 0 or infinity, means no absorption. Without an
    attenuation length it is that of the material at the wavelength, without a material the
    thickness. Without a count there are two layers.
    `physics: exact` cuts the thickness into equal layers sampled at their centres;
    `physics: nanobragg` samples layer t at the depth t·step with step = thickness/(N − 1),
    so that a given count covers N/(N − 1) of the thickness.

    Raises
    ------
    InputError
        Too many layers, or an attenuation length that is not a number.
    """
    length = spec.attenuation_length_um
    if length is None and spec.material is not None and spec.thickness_um:
        energy = wavelength_angstrom_to_energy_ev(wavelength)
        length = attenuation_length_um(spec.material, energy)
    if length is not None and math.isnan(length):
        raise InputError("not a number", field="detector.sensor.attenuation_length_um")
    thickness = 0.0 if spec.thickness_um is None else um_to_m(spec.thickness_um)
    transparent = length is not None and (length == 0.0 or math.isinf(length))
    if thickness > 0.0 and transparent:
        logger.warning(
            "detector.sensor: an attenuation length of 0 or infinity turns absorption off; "
            "the thickness is not used"
        )
    if thickness <= 0.0 or transparent:
        return _layers(False, 0.0, [0.0], [0.0], [0.0])
    attenuation = 1.0 / thickness if length is None else 1.0 / um_to_m(length)
    if physics == "exact":
        exact_count(spec.layers, "detector.sensor.layers")
    asked = 0 if spec.layers is None or spec.layers <= 0 else spec.layers
    check_count(asked, "detector.sensor.layers")
    if physics == "exact":
        count = asked or _DEFAULT_LAYERS
        step = thickness / count
        offset = 0.5
    else:
        count = max(asked, _DEFAULT_LAYERS)
        step = thickness / (count - 1) if asked else thickness / count
        offset = 0.0
    return _layers(
        True,
        attenuation,
        [(index + offset) * step for index in range(count)],
        [index * step for index in range(count)],
        [(index + 1) * step for index in range(count)],
    )


def merged_sensor(
    whole: SensorSpec,
    panel: PanelGeometry,
    own: SensorSpec | None = None,
    *,
    same_wavelength: bool = True,
) -> SensorSpec:
    """Return the sensor of one panel: its own fields, else the detector's, else the file's.

    An attenuation length of the file is that of its own material at its own wavelength: it gives
    way to a material of the specification, and at another wavelength (not `same_wavelength`) to
    the material that the file names, where that is known. A file that names a thickness alone
    states no absorption, nor does one that names less than a micrometre: such thicknesses stand
    for none in files that must have one.
    """
    own = SensorSpec() if own is None else own
    attenuation = _first(own.attenuation_length_um, whole.attenuation_length_um)
    material = _first(own.material, whole.material)
    if attenuation is None and material is None:
        attenuation = None if panel.attenuation_length is None else panel.attenuation_length * 1e3
        material = known_material(panel.material)
        if material is not None and not same_wavelength:
            attenuation = None
    thickness = _first(own.thickness_um, whole.thickness_um)
    stated = 0.0 if panel.thickness is None else panel.thickness
    if thickness is None and stated >= THINNEST_MM and (attenuation or material):
        thickness = stated * 1e3
    return SensorSpec(
        thickness_um=thickness,
        material=material,
        attenuation_length_um=attenuation,
        layers=_first(own.layers, whole.layers),
    )


def known_material(name: str) -> Material | None:
    """Return the material that a file means by its name for it."""
    return _MATERIALS.get("".join(name.lower().split()))


def _first(first: T | None, second: T | None) -> T | None:
    return second if first is None else first


def _layers(
    absorbs: bool, attenuation: float, position: list[float], front: list[float], back: list[float]
) -> SensorLayers:
    return SensorLayers(
        absorbs=absorbs,
        attenuation=attenuation,
        position=frozen_float64(np.array(position)),
        front=frozen_float64(np.array(front)),
        back=frozen_float64(np.array(back)),
    )
