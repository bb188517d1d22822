"""What a detector makes of photons: each stage's formula, and the moments they lead to.

`deviate` is a normal deviate of mean 0 and variance 1, drawn by `kernel.philox`.
"""

from __future__ import annotations

from distbragg.models.response import GainZone, Response
from distbragg.physics.arrays import Array, module_of


def varied(photons: Array, fraction: float, deviate: Array) -> Array:
    """Return x (1 + f g): flicker of expectations, or calibration with one g for each pixel."""
    return photons * (deviate * fraction + 1.0)


def zone_numbers(photons: Array, zones: tuple[GainZone, ...], name: str) -> Array:
    """Return a number of the gain that each pixel is in by its photons."""
    module = module_of(photons)
    number = module.full_like(photons, getattr(zones[0], name))
    for zone in zones[1:]:
        number = module.where(photons >= zone.start, getattr(zone, name), number)
    return number


def recorded(photons: Array, deviate: Array, response: Response) -> tuple[Array, Array]:
    """Return the stored values of photons, (n,) float64, and which of them are overloaded.

    ADU = gain · photons + offset + readout · g; the code of the gain's bits is added to what an
    ADC can hold, offset and gain are taken out where photons are stored.
    """
    module, zones = module_of(photons), response.zones
    gain, offset, readout, code = (
        zone_numbers(photons, zones, name) for name in ("gain", "offset", "readout", "code")
    )
    value = gain * photons + offset + readout * deviate
    if response.in_photons:
        value = (value - offset) / gain
    if response.rounded:
        value = module.floor(value + 0.5)
    over = (value > response.highest) | (photons > response.saturation)
    value = module.where(value < response.lowest, response.lowest, value) + code
    return module.where(over, response.overload, value), over


def moments(level: Array, response: Response) -> tuple[Array, Array]:
    """Return mean and variance of the stored values of pixels of one level, λ photons expected.

    g λ + o and g² ((1 + c²)(λ + f²λ²) + c²λ²) + r², with the gain, offset and readout noise of the
    level's zone: over pixels that differ by their calibration, away from changes of the gain,
    from saturation and from rounding.
    """
    zones, flicker, spread = response.zones, response.pixel_flicker**2, response.calibration**2
    gain, offset, readout = (
        zone_numbers(level, zones, name) for name in ("gain", "offset", "readout")
    )
    if response.in_photons:
        gain, offset, readout = gain / gain, offset - offset, readout / gain
    square = level * level
    photons = (level + square * flicker) * (1.0 + spread) + square * spread
    return gain * level + offset, gain * gain * photons + readout * readout
