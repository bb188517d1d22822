"""The unit a field's name ends in."""

from __future__ import annotations

from typing import Final

UNITS: Final = {
    "photons": "photons",
    "photons_per_m2": "photons m-2",
    "photons_per_s": "photons s-1",
    "g_per_cm3": "g cm-3",
    "g_per_mol": "g mol-1",
    "e_per_a3": "angstrom-3",
    "angstrom2": "angstrom2",
    "angstrom": "angstrom",
    "percent": "percent",
    "electrons": "electrons",
    "mrad": "mrad",
    "deg": "degree",
    "mm": "mm",
    "um": "um",
    "ev": "eV",
    "px": "pixel",
    "gb": "GB",
    "m": "m",
    "s": "s",
}


def unit_of(path: str) -> str:
    """Return the unit of the field at a dotted path, in the spelling of udunits, or "1".

    A unit-cell parameter has ångström or degrees by its index; the whole cell holds both.
    """
    parts = path.split(".")
    index = int(parts.pop()) if parts[-1].isdecimal() else None
    if parts[-2:] == ["crystal", "cell"]:
        return "1" if index is None else ("angstrom" if index < 3 else "degree")
    for suffix, unit in UNITS.items():
        if parts[-1].endswith(f"_{suffix}"):
            return unit
    return "1"
