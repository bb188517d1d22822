"""Resolve what the detector makes of photons: what is given, else typical figures, else nothing."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

from distbragg.errors import InputError
from distbragg.models.detector import Detector
from distbragg.models.response import GainZone, Response
from distbragg.notes import Note, Notes
from distbragg.read.bad_pixels import read_bad_pixels
from distbragg.read.typical_response import TypicalResponse, family_of, typical_response
from distbragg.spec.compute import stored_range
from distbragg.spec.experiment import ExperimentSpec
from distbragg.spec.response import Pixel, ResponseSpec
from distbragg.units import wavelength_angstrom_to_energy_ev

_FIELD: Final = "detector.response"
_NOTHING: Final = TypicalResponse(title="", source="")
_EV_PER_KEV: Final = 1e3


def build_response(
    spec: ExperimentSpec, detector: Detector, wavelength: float
) -> tuple[Response | None, Notes]:
    """Resolve `detector.response`; None where it is not given.

    `wavelength`, Å, is the nominal one: the figures of detectors that measure charge go by energy.
    The notes name the source of typical figures.
    """
    given = spec.detector.response
    if given is None and detector.spreads(counted=True) and spec.output.dtype.startswith("uint"):
        given = ResponseSpec(stored_as="photons")  # shared light is rounded to be stored
    if given is None:
        return None, ()
    figures, notes = _figures(given, spec.detector.preset)
    energy = wavelength_angstrom_to_energy_ev(wavelength) / _EV_PER_KEV
    in_photons = (given.stored_as or figures.stored_as) == "photons"
    bits = 0 if in_photons else given.adc_bits or figures.adc_bits
    zones = _zones(given, figures, energy, bits)
    low, high = stored_range(spec.output.dtype)
    highest = _highest(given, figures, zones, in_photons=in_photons, most=high)
    if bits:
        low, highest = max(low, 0.0), min(highest, 2.0**bits - 1.0)
    dead, hot = _bad_pixels(given, detector)
    response = Response(
        seed=given.seed,
        pixel_flicker=given.pixel_flicker_fraction,
        calibration=_first(given.calibration_fraction, figures.calibration_fraction),
        zones=zones,
        in_photons=in_photons,
        rounded=not spec.output.dtype.startswith("float"),
        lowest=low,
        highest=highest,
        saturation=_least(given.saturation_photons, *_most_photons(figures, energy), math.inf),
        dead=dead,
        hot=hot,
        dead_fraction=given.dead_fraction,
        hot_fraction=given.hot_fraction,
        dead_value=_storable(given.dead_value, "dead_value", spec),
        masked_value=_storable(given.masked_value, "masked_value", spec),
    )
    overload = _given_or(
        given.overload_value, "overload_value", min(high, response.brightest), spec
    )
    bright = _given_or(given.hot_value, "hot_value", overload, spec)
    if math.isinf(bright) and (hot or given.hot_fraction):
        raise InputError(
            f"what hot pixels hold is not known: {spec.output.dtype} has no largest value",
            field=f"{_FIELD}.hot_value",
            remedy="give hot_value or saturation_adu",
        )
    return replace(response, overload=overload, hot_value=bright), notes


def _figures(given: ResponseSpec, preset: str | None) -> tuple[TypicalResponse, Notes]:
    """Return the figures that stand in for what is not given, and where they are from."""
    if given.typical is None:
        return _NOTHING, ()
    family = given.typical if given.typical != "preset" else family_of(preset or "")
    if family is None:
        raise InputError(
            "typical figures are those of a detector.preset, and there is none",
            field=f"{_FIELD}.typical",
            remedy="give detector.preset, or name a family, such as typical: jungfrau",
        )
    figures = typical_response(family)
    return figures, (Note("note", _FIELD, f"typical figures of {figures.title}: {figures.source}"),)


def _zones(
    given: ResponseSpec, figures: TypicalResponse, energy: float, bits: int
) -> tuple[GainZone, ...]:
    """Return the gains; `energy` is that of a photon, keV."""
    if given.zones is not None:
        return tuple(
            GainZone(z.from_photons, z.adu_per_photon, z.offset_adu, z.readout_adu,
                     _code(z.gain_code, bits))
            for z in given.zones
        )  # fmt: skip
    one = (given.gain_adu_per_photon, given.offset_adu, given.readout_adu)
    typical = tuple(
        GainZone(z.from_kev / energy, z.adu_per_kev * energy, z.offset_adu, z.readout_adu,
                 _code(z.gain_code, bits))
        for z in figures.zones
    )  # fmt: skip
    if one == (None, None, None):
        return typical or (GainZone(),)
    if len(typical) > 1:
        raise InputError(
            f"{figures.title} has gains of its own",
            field=f"{_FIELD}.typical",
            remedy="give zones, or leave gain, offset and readout out",
        )
    base = typical[0] if typical else GainZone()
    gain, offset, readout = one
    return (
        GainZone(
            gain=_first(gain, base.gain),
            offset=_first(offset, base.offset),
            readout=_first(readout, base.readout),
        ),
    )


def _highest(
    given: ResponseSpec,
    figures: TypicalResponse,
    zones: tuple[GainZone, ...],
    *,
    in_photons: bool,
    most: float,
) -> float:
    """Return the largest value that is recorded, at most the type's; a pixel can be below it."""
    adu, first = _least(given.saturation_adu, figures.saturation_adu, math.inf), zones[0]
    if math.isfinite(adu) and in_photons:
        if len(zones) > 1 or first.gain < 0.0:
            raise InputError(
                "which photons saturate is not told by ADU of several gains, or of a negative one",
                field=f"{_FIELD}.saturation_adu",
                remedy="give saturation_photons in its place",
            )
        adu = (adu - first.offset) / first.gain
    highest, dark = min(adu, most), 0.0 if in_photons else first.offset
    if first.gain > 0.0 and highest <= dark:
        raise InputError(
            f"a pixel without photons reads {dark:g}, and no more than {highest:g} is recorded",
            field=f"{_FIELD}.{'saturation_adu' if adu < most else 'offset_adu'}",
            remedy="give a smaller offset, or a larger saturation_adu or output.dtype",
        )
    return highest


def _code(code: int, bits: int) -> float:
    return float(code << bits) if bits else 0.0


def _most_photons(figures: TypicalResponse, energy: float) -> tuple[float | None, float | None]:
    charge = figures.saturation_kev
    return figures.saturation_counts, None if charge is None else charge / energy


def _first(given: float | None, other: float) -> float:
    return other if given is None else given


def _least(given: float | None, *others: float | None) -> float:
    """Return what is given, but no more than the last, else the first of the others there is."""
    found = next(value for value in (given, *others) if value is not None)
    last = others[-1]
    return found if last is None else min(found, last)


def _storable(value: float, name: str, spec: ExperimentSpec) -> float:
    """Refuse a value that the stored type does not hold."""
    dtype = spec.output.dtype
    low, high = stored_range(dtype)
    whole = dtype.startswith("float") or value == math.floor(value)
    if not (low <= value <= high and whole):
        raise InputError(
            f"{value:g} is not a value that {dtype} stores",
            field=f"{_FIELD}.{name}",
            remedy=f"give a whole number from {low:.0f} to {high:.0f}, or another output.dtype",
        )
    return value


def _given_or(value: float | None, name: str, other: float, spec: ExperimentSpec) -> float:
    return other if value is None else _storable(value, name, spec)


def _bad_pixels(given: ResponseSpec, detector: Detector) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the numbers within the frame of dead and of hot pixels that are named."""
    dead = _numbers(given.dead_pixels, detector, f"{_FIELD}.dead_pixels")
    hot = _numbers(given.hot_pixels, detector, f"{_FIELD}.hot_pixels")
    if given.bad_pixel_file is not None:
        path = given.bad_pixel_file
        found = read_bad_pixels(path)
        dead |= _numbers(found.dead, detector, path)
        hot |= _numbers(found.hot, detector, path)
    return tuple(sorted(dead)), tuple(sorted(hot - dead))


def _numbers(pixels: tuple[Pixel, ...], detector: Detector, place: str) -> set[int]:
    panels, numbers = detector.panels, set()
    rows, columns = panels[0].shape
    for pixel in pixels:
        panel, slow, fast = pixel if len(pixel) == 3 else (0, *pixel)
        if (
            panel >= len(panels)
            or slow >= panels[panel].pixels[0]
            or (fast >= panels[panel].pixels[1])
        ):
            raise InputError(
                f"pixel {' '.join(map(str, pixel))} is not on the detector: "
                f"{len(panels)} panels of {rows} x {columns} pixels (slow, fast) at most",
                field=place,
            )
        numbers.add((panel * rows + slow) * columns + fast)
    return numbers
