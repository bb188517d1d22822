"""Resolve the layers of an absorbing sensor."""

from __future__ import annotations

import math
from functools import lru_cache
from importlib import resources
from typing import Final

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError
from distbragg.models.detector import SensorLayers
from distbragg.models.origins import tell
from distbragg.models.vectors import Physics, frozen_float64
from distbragg.read.geometry.model import PanelGeometry
from distbragg.spec.detector import Material, SensorSpec
from distbragg.units import um_to_m, wavelength_angstrom_to_energy_ev

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
    """
    length = spec.attenuation_length_um
    field = "detector.sensor.attenuation_length_um"
    if length is not None:
        tell(field, "given")
    elif spec.material is not None and spec.thickness_um:
        tell(field, "rule", f"of {spec.material} at the wavelength")
        energy = wavelength_angstrom_to_energy_ev(wavelength)
        length = attenuation_length_um(spec.material, energy)
    thickness = 0.0 if spec.thickness_um is None else um_to_m(spec.thickness_um)
    transparent = length is not None and (length == 0.0 or math.isinf(length))
    if thickness <= 0.0 or transparent:
        surface = frozen_float64([0.0])
        return SensorLayers(False, 0.0, surface, surface, surface)
    if length is None:
        tell(field, "default", "the thickness")
    attenuation = 1.0 / thickness if length is None else 1.0 / um_to_m(length)
    asked = spec.layers or 0
    tell("detector.sensor.layers", "given" if asked else "default")
    count = asked or _DEFAULT_LAYERS
    step, offset = thickness / count, 0.5
    if physics == "nanobragg":
        count = max(count, _DEFAULT_LAYERS)
        step, offset = thickness / (count - 1) if asked else step, 0.0
    index = np.arange(count)
    return SensorLayers(
        absorbs=True,
        attenuation=attenuation,
        position=frozen_float64((index + offset) * step),
        front=frozen_float64(index * step),
        back=frozen_float64((index + 1) * step),
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
    given = whole.model_dump(exclude_none=True)
    if own is not None:
        given |= (of_panel := own.model_dump(exclude_none=True))
        for name in of_panel:
            tell(f"detector.sensor.{name}", "given", "detector.panels")
    if not {"attenuation_length_um", "material"} & set(given):
        material, length = known_material(panel.material), panel.attenuation_length
        if material is not None:
            given["material"] = material
            tell("detector.sensor.material", "header", "panels")
        if length is not None and (material is None or same_wavelength):
            given["attenuation_length_um"] = length * 1e3
            tell("detector.sensor.attenuation_length_um", "header", "panels")
    absorbs = given.get("attenuation_length_um") or given.get("material")
    if panel.thickness is not None and panel.thickness >= THINNEST_MM and absorbs:
        if "thickness_um" not in given:
            tell("detector.sensor.thickness_um", "header", "panels")
        given.setdefault("thickness_um", panel.thickness * 1e3)
    return SensorSpec(**given)


def known_material(name: str) -> Material | None:
    """Return the material that a file means by its name for it."""
    return _MATERIALS.get("".join(name.lower().split()))


@lru_cache(maxsize=1)
def _tables() -> dict[str, NDArray[np.float64]]:
    text = (
        resources.files("distbragg.read").joinpath("tables", "attenuation.csv").read_text("ascii")
    )
    rows: dict[str, list[tuple[float, float]]] = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            material, energy, length = line.split(",")
            rows.setdefault(material, []).append((float(energy), float(length)))
    return {material: np.array(values) for material, values in rows.items()}


def attenuation_length_um(material: str, energy_ev: float) -> float:
    """Return the depth, µm, at which 1/e of the photons are left in Si, CdTe, GaAs or Gd2O2S."""
    table = _tables()[material]
    first, last = float(table[0, 0]), float(table[-1, 0])
    if not first <= energy_ev <= last:
        raise InputError(
            f"the attenuation of {material} is tabulated from {first:g} to {last:g} eV, "
            f"not at {energy_ev:g}",
            field="detector.sensor.material",
            remedy="give detector.sensor.attenuation_length_um",
        )
    logarithm = np.interp(np.log(energy_ev), np.log(table[:, 0]), np.log(table[:, 1]))
    return float(np.exp(logarithm))
