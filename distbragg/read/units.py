"""What files call their units: one table of words for lengths, angles, wavelengths and energies."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from distbragg.constants import JOULES_PER_EV
from distbragg.units import energy_ev_to_wavelength_angstrom, metres_to_angstrom

_PREFIXES: Final = {
    "": ("", 0),
    "kilo": ("k", 3),
    "centi": ("c", -2),
    "milli": ("m", -3),
    "micro": ("u", -6),
    "nano": ("n", -9),
    "pico": ("p", -12),
    "femto": ("f", -15),
}
_EV_PER_JOULE: Final = 1.0 / JOULES_PER_EV

_PREFIXED = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*\*?\s*(\D.*)")

_LENGTHS: Final = {
    **{symbol + "m": power for symbol, power in _PREFIXES.values()},
    **{prefix + stem + end: power
       for prefix, (_, power) in _PREFIXES.items()
       for stem in ("metre", "meter") for end in ("", "s")},
    **dict.fromkeys(("micron", "microns", "\u03bcm"), -6),
    **{stem + end: -10
       for stem in ("angstrom", "ångström", "ångstrom", "angström") for end in ("", "s")},
    **dict.fromkeys(("å", "a", "ang", "angs"), -10),
}  # fmt: skip
"""Powers of ten of a metre."""

_ANGLES: Final = {
    **dict.fromkeys(("deg", "degs", "degree", "degrees", "°"), 1.0),
    **dict.fromkeys(("rad", "rads", "radian", "radians"), 180.0 / math.pi),
    **dict.fromkeys(("mrad", "milliradian", "milliradians"), 0.18 / math.pi),
}
_ENERGIES: Final = {
    **{f"{word}{end}": factor
       for word, factor in (
           ("electronvolt", 1.0), ("kiloelectronvolt", 1e3), ("megaelectronvolt", 1e6),
           ("joule", _EV_PER_JOULE),
       ) for end in ("", "s")},
    **{"ev": 1.0, "kev": 1e3, "mev": 1e6, "j": _EV_PER_JOULE},
}  # fmt: skip
"""Factors to eV."""

Quantity = Literal["wavelength", "energy"]


@dataclass(frozen=True, slots=True)
class SpectralUnit:
    """A unit of wavelengths or photon energies: its factor to Å or to eV, its name in messages."""

    quantity: Quantity
    factor: float
    name: str = field(compare=False)

    def angstrom(self, value: float) -> float:
        """Return a value of this unit as a wavelength, Å."""
        if self.quantity == "energy":
            return energy_ev_to_wavelength_angstrom(value * self.factor)
        return metres_to_angstrom(value) if self.name == "m" else value * self.factor

    def angstroms(self, values: Iterable[float]) -> NDArray[np.float64]:
        """Return values of this unit as wavelengths, (n,) float64, Å."""
        return np.array([self.angstrom(value) for value in values], dtype=np.float64)


ANGSTROM: Final = SpectralUnit("wavelength", 1.0, "Å")
METRE: Final = SpectralUnit("wavelength", 1e10, "m")
EV: Final = SpectralUnit("energy", 1.0, "eV")
KEV: Final = SpectralUnit("energy", 1e3, "keV")


def length_mm(word: str, pixel: float | None = None) -> float | None:
    """Return the length of a unit, mm, or None; where that of a pixel is given it may be pixels."""
    if pixel is not None and word.lower().startswith(("pixel", "px")):
        return pixel
    number, word = _parts(word)
    power = _LENGTHS.get(word)
    return None if power is None else number * _power_of_ten(power + 3)


def angle_deg(word: str) -> float | None:
    """Return the size of a unit of angles, degrees; None for a word that names none."""
    return _ANGLES.get(_plain(word))


def spectral_unit(word: str) -> SpectralUnit | None:
    """Return the unit that a word names, in any spelling in use (meV is not MeV), or None."""
    shown = word.strip().strip("()[]").strip()
    if shown == "meV":
        return SpectralUnit("energy", 1e-3, shown)
    number, plain = _parts(word)
    energy = _ENERGIES.get(plain)
    if energy is not None:
        return SpectralUnit("energy", number * energy, shown)
    power = _LENGTHS.get(plain)
    if power is None:
        return None
    if number == 1.0 and power == 0:
        return METRE
    return SpectralUnit("wavelength", number * _power_of_ten(power + 10), shown)


def unit_attribute(attrs: Mapping[str, object]) -> str | None:
    """Return what the attribute for units says, or None where there is none."""
    for key in ("units", "unit", "Units", "Unit", "UNITS", "UNIT"):
        value = attrs.get(key)
        if isinstance(value, np.ndarray) and value.size == 1:
            value = value.reshape(-1).tolist()[0]
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        if isinstance(value, str) and value.strip():
            return value.strip()
    return None


def _power_of_ten(power: int) -> float:
    """Return the float nearest to a power of ten, which 10.0**power may miss."""
    return float(f"1e{power}")


def _plain(word: str) -> str:
    text = unicodedata.normalize("NFKC", word).strip().strip("()[].\"'").strip().casefold()
    return re.sub(r"[\s_-]+", "", text)


def _parts(word: str) -> tuple[float, str]:
    """Split a unit such as `1e-10 m` into number and word."""
    text = unicodedata.normalize("NFKC", word).strip().strip("()[]").casefold()
    match = _PREFIXED.fullmatch(text)
    if match is None:
        return 1.0, _plain(word)
    return float(match[1]), _plain(match[2])
