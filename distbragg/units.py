"""Every unit conversion of the package, in one place.

Specifications carry their unit in the field name; resolved models use metres
for the apparatus, ångström for the crystal and the wavelength, radians for
angles and photons/m² for fluence.
"""

from __future__ import annotations

import math
from typing import Final

from distbragg.constants import ENERGY_WAVELENGTH_PRODUCT_EV_ANGSTROM

METRES_PER_MM: Final = 1.0e-3
METRES_PER_UM: Final = 1.0e-6
METRES_PER_ANGSTROM: Final = 1.0e-10
RADIANS_PER_MRAD: Final = 1.0e-3
FRACTION_PER_PERCENT: Final = 1.0e-2
RADIANS_PER_DEGREE: Final = math.pi / 180.0
BYTES_PER_MIB: Final = 1024 * 1024


def mm_to_m(value: float) -> float:
    """Millimetres to metres."""
    return value * METRES_PER_MM


def um_to_m(value: float) -> float:
    """Micrometres to metres."""
    return value * METRES_PER_UM


def deg_to_rad(value: float) -> float:
    """Degrees to radians."""
    return value * RADIANS_PER_DEGREE


def mrad_to_rad(value: float) -> float:
    """Milliradians to radians."""
    return value * RADIANS_PER_MRAD


def percent_to_fraction(value: float) -> float:
    """Per cent to a plain fraction."""
    return value * FRACTION_PER_PERCENT


def metres_to_angstrom(value: float) -> float:
    """Metres to ångström."""
    return value / METRES_PER_ANGSTROM


def energy_ev_to_wavelength_angstrom(energy_ev: float) -> float:
    """Photon energy in eV to wavelength in Å, λ = hc/E."""
    return ENERGY_WAVELENGTH_PRODUCT_EV_ANGSTROM / energy_ev
