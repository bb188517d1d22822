"""Attenuation lengths of sensor materials, from a table kept beside this package."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from typing import Final

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import InputError

_TABLE: Final = "attenuation.csv"


@lru_cache(maxsize=1)
def _tables() -> dict[str, NDArray[np.float64]]:
    text = resources.files("distbragg.read").joinpath("tables", _TABLE).read_text("ascii")
    rows: dict[str, list[tuple[float, float]]] = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            material, energy, length = line.split(",")
            rows.setdefault(material, []).append((float(energy), float(length)))
    return {material: np.array(values) for material, values in rows.items()}


def attenuation_length_um(material: str, energy_ev: float) -> float:
    """Return the depth, µm, at which a sensor has let through 1/e of the photons.

    Parameters
    ----------
    material : str
        "Si", "CdTe", "GaAs" or "Gd2O2S".
    energy_ev : float

    Raises
    ------
    InputError
        An energy beyond the table.
    """
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
