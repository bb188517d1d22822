"""Physical constants, each with its source.

The electron and water constants are those compiled into nanoBragg.c, because
`physics: nanobragg` promises the numbers of that program; they differ from
CODATA 2018 by less than 1e-7 relative.
"""

from __future__ import annotations

from typing import Final

CLASSICAL_ELECTRON_RADIUS_SQUARED_M2: Final = 7.94079248018965e-30
"""Thomson scattering length squared, m² (nanoBragg.c `r_e_sqr`)."""

AVOGADRO_PER_MOL: Final = 6.02214179e23
"""Avogadro constant, 1/mol (nanoBragg.c; CODATA 2006)."""

ENERGY_WAVELENGTH_PRODUCT_EV_ANGSTROM: Final = 12398.42
"""h·c in eV·Å as nanoBragg.c rounds it (CODATA 2018: 12398.419843…)."""

JOULES_PER_EV: Final = 1.602176634e-19
"""The elementary charge in coulombs, by definition (SI, 2019)."""

DEFAULT_FLUENCE_PHOTONS_PER_M2: Final = 125932015286227086360700780544.0
"""Default fluence, photons/m²: 1/r_e², so that an image is |F|² per steradian."""

WATER_STRUCTURE_FACTOR_ELECTRONS: Final = 2.57
"""Forward amplitude of liquid water per molecule, electrons (nanoBragg.c `water_F`)."""

WATER_MOLAR_MASS_G_PER_MOL: Final = 18.0
"""Molar mass of water as nanoBragg.c takes it, g/mol."""

WATER_DENSITY_G_PER_M3: Final = 1.0e6
"""Density of water, g/m³."""

SOURCE_DISTANCE_M: Final = 10.0
"""Distance at which nanoBragg.c places a source whose position is not given, m."""

DEFAULT_MOSAIC_SEED: Final = -12345678
"""Seed of the mosaic-domain generator of nanoBragg.c when none is given."""

MAXIMUM_WAVELENGTH_M: Final = 1.0e-6
"""Longest wavelength accepted in a source file; anything longer was not written in metres."""
