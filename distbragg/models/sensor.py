"""Resolve the layers of an absorbing sensor."""

from __future__ import annotations

import logging
import math

import numpy as np

from distbragg.errors import InputError
from distbragg.models.arrays import frozen_float64
from distbragg.models.build_beam import Physics
from distbragg.models.detector import SensorLayers
from distbragg.models.steps import check_count
from distbragg.spec.detector import SensorSpec
from distbragg.units import um_to_m

logger = logging.getLogger("distbragg")

_DEFAULT_LAYERS = 2


def build_sensor(spec: SensorSpec, physics: Physics) -> SensorLayers:
    """Resolve the sensor.

    No thickness, or an attenuation length of 0 or infinity, means no absorption. Without an
    attenuation length it is the thickness. Without a count there are two layers.
    `physics: exact` cuts the thickness into equal layers sampled at their centres;
    `physics: nanobragg` samples layer t at the depth t·step with step = thickness/(N − 1),
    so that a given count covers N/(N − 1) of the thickness.

    Raises
    ------
    InputError
        Too many layers, or an attenuation length that is not a number.
    """
    length = spec.attenuation_length_um
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
