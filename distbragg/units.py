"""Every unit conversion of the package, in one place.

Specifications carry their unit in the field name; resolved models use metres
for the apparatus, ångström for the crystal and the wavelength, radians for
angles and photons/m² for fluence. Conversions by a power of ten divide: the quotient
is the correctly rounded value, and it is the operation of nanoBragg.c, whose rounding
decides automatic oversampling where the ratio is a whole number.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from distbragg.constants import ENERGY_WAVELENGTH_PRODUCT_EV_ANGSTROM

MM_PER_METRE: Final = 1.0e3
UM_PER_METRE: Final = 1.0e6
ANGSTROM_PER_METRE: Final = 1.0e10
METRES_PER_MM: Final = 1.0e-3
METRES_PER_UM: Final = 1.0e-6
METRES_PER_ANGSTROM: Final = 1.0e-10
MRAD_PER_RADIAN: Final = 1.0e3
PERCENT_PER_FRACTION: Final = 1.0e2
RADIANS_PER_DEGREE: Final = math.pi / 180.0
DEGREES_PER_RADIAN: Final = 180.0 * (1.0 / math.pi)
BYTES_PER_MIB: Final = 1024 * 1024


def mm_to_m(value: float) -> float:
    """Millimetres to metres."""
    return value / MM_PER_METRE


def um_to_m(value: float) -> float:
    """Micrometres to metres."""
    return value / UM_PER_METRE


def deg_to_rad(value: float) -> float:
    """Degrees to radians (the quotient of nanoBragg.c, whose last bit its sizes depend on)."""
    return value / DEGREES_PER_RADIAN


def mrad_to_rad(value: float) -> float:
    """Milliradians to radians."""
    return value / MRAD_PER_RADIAN


def percent_to_fraction(value: float) -> float:
    """Per cent to a plain fraction."""
    return value / PERCENT_PER_FRACTION


def metres_to_angstrom(value: float) -> float:
    """Metres to ångström."""
    return value / METRES_PER_ANGSTROM


def angstrom_to_m(value: float) -> float:
    """Ångström to metres."""
    return value / ANGSTROM_PER_METRE


def wavelength_angstrom_to_energy_ev(wavelength: float) -> float:
    """Wavelength in Å to photon energy in eV, E = hc/λ."""
    return ENERGY_WAVELENGTH_PRODUCT_EV_ANGSTROM / wavelength


def energy_ev_to_wavelength_angstrom(energy_ev: float) -> float:
    """Photon energy in eV to wavelength in Å, λ = hc/E."""
    return ENERGY_WAVELENGTH_PRODUCT_EV_ANGSTROM / energy_ev


def if_given(convert: Callable[[float], float], value: float | None) -> float | None:
    """Convert a number, if there is one."""
    return None if value is None else convert(value)
