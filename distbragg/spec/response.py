"""What the detector makes of photons: section `detector.response`.

It stands in the detector's section because every number is the detector's own, as its sensor's
are: a preset or a sweep over detectors carries it along, and `physics_hash` names it with them.
What the beam does from frame to frame is the beam's (`beam.pulse_energy_fraction`), and photon
noise itself that of `noise`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from distbragg.spec.base import (
    FilePath,
    Finite,
    NonNegative,
    Positive,
    Seed,
    SpecModel,
    not_vanishing,
    refusal,
)


def _not_zero(value: float) -> float:
    if value == 0.0:
        raise refusal("a gain of 0 records nothing")
    return value


Gain = Annotated[Finite, AfterValidator(not_vanishing), AfterValidator(_not_zero)]
Fraction = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Whole = Annotated[int, Field(ge=0, lt=2**31)]
Pixel = tuple[Whole, Whole] | tuple[Whole, Whole, Whole]
StoredAs = Literal["adu", "photons"]


class GainZoneSpec(SpecModel):
    """One gain of a detector that changes it.

    ADU = adu_per_photon · photons + offset_adu + readout_adu · normal deviate.
    """

    from_photons: NonNegative = 0.0
    """Number of photons in a pixel from which this gain applies. Example: 30"""
    adu_per_photon: Gain
    """What one photon adds, ADU; negative where values fall. Example: -1.3"""
    readout_adu: NonNegative = 0.0
    """Standard deviation of the readout noise, ADU. Example: 10"""
    offset_adu: Finite = 0.0
    """What a pixel without photons reads, ADU. Example: 14000"""
    gain_code: Annotated[int, Field(ge=0, lt=256)] = 0
    """Value of the gain bits, which are stored above those of `adc_bits`. Example: 1"""


class ResponseSpec(SpecModel):
    """What the detector records of the photons that reach it. Left out, pixels hold photons.

    `response: typical` is short for `typical: preset`.

    The stages, in order. Expected photons vary by `pixel_flicker_fraction`, with photon noise or
    without; photons are counted (`noise.photon`); `calibration_fraction` scales every pixel by a
    factor of its own; ADU = `gain_adu_per_photon` · photons + `offset_adu` + a normal deviate of
    `readout_adu`. Values are rounded where `output.dtype` is an integer type. A pixel beyond
    `saturation_photons`, `saturation_adu` or the type's range is counted in `overloads`.
    """

    typical: Literal[
        "preset", "agipd", "eiger", "epix10ka", "jungfrau", "pilatus", "rayonix", None
    ] = None
    """Family whose figures fill in what is not given; preset is that of `detector.preset`. Left
    out: nothing is filled in. Example: jungfrau"""
    seed: Seed = 0
    """Seed of the calibration map and of the dead and hot pixels, the same in every frame. Example:
    7"""
    pixel_flicker_fraction: NonNegative = 0.0
    """Standard deviation, as a fraction, by which the expected photons of every pixel of every
    frame vary before they are counted. Example: 0.01"""
    calibration_fraction: NonNegative | None = None
    """Standard deviation, as a fraction, of the factors that pixels differ by in all frames alike.
    Left out: 0. Example: 0.02"""
    gain_adu_per_photon: Gain | None = None
    """What one photon adds, ADU. Left out: 1. Example: 41"""
    offset_adu: Finite | None = None
    """What a pixel without photons reads, ADU. Left out: 0. Example: 40"""
    readout_adu: NonNegative | None = None
    """Standard deviation of the readout noise of a pixel, ADU. Left out: 0. Example: 3"""
    zones: tuple[GainZoneSpec, ...] | None = Field(default=None, max_length=8)
    """Gains that change with the photons of a pixel, by increasing photons. Left out: one gain."""
    stored_as: StoredAs | None = None
    """Whether pixels hold ADU, or photons again after offset and gain are taken out. Left out: adu.
    Example: photons"""
    adc_bits: Annotated[int, Field(ge=1, le=24)] | None = None
    """Bits of an ADU; the code of the gain is stored above them. Left out: no code is stored.
    Example: 14 """
    saturation_photons: Positive | None = None
    """Most photons that a pixel can hold. Left out: no bound. Example: 1e6"""
    saturation_adu: Finite | None = None
    """Largest value that is recorded, ADU, before conversion to photons. Left out: that of the
    type. Example: 65535"""
    overload_value: Finite | None = None
    """Value of a pixel beyond the range. Left out: the largest value there is. Example: -2"""
    dead_pixels: tuple[Pixel, ...] = ()
    """Pixels that record nothing, [slow, fast] or [panel, slow, fast] each. Example: [[10, 12], [3,
    7]]"""
    hot_pixels: tuple[Pixel, ...] = ()
    """Pixels that are always bright, [slow, fast] or [panel, slow, fast] each. Example: [[0, 100,
    200]]"""
    bad_pixel_file: FilePath | None = None
    """Text of dead and hot pixels, one line `panel slow fast dead` or `… hot` for each. Left out:
    none beside the lists. Example: bad.txt"""
    dead_fraction: Fraction = 0.0
    """Share of all pixels that is drawn to be dead. Example: 1e-4"""
    hot_fraction: Fraction = 0.0
    """Share of all pixels that is drawn to be hot. Example: 1e-5"""
    dead_value: Finite = 0.0
    """Number that every dead pixel records, in the unit of the image. Example: -1"""
    hot_value: Finite | None = None
    """Number that every hot pixel records, in the unit of the image. Left out: the overload value.
    Example: 65535"""
    masked_value: Finite = 0.0
    """Value of a pixel that is masked, in a gap or outside the region. Example: -1"""

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, data: Any) -> Any:  # noqa: ANN401
        """Take `typical` for the figures of the preset."""
        return {"typical": "preset"} if data == "typical" else data

    @model_validator(mode="after")
    def _check_response(self) -> Self:
        if self.zones is not None:
            self.keep_one("zones", "gain_adu_per_photon", "offset_adu", "readout_adu")
            starts = [zone.from_photons for zone in self.zones]
            if not starts or starts[0] != 0.0 or starts != sorted(set(starts)):
                raise refusal(
                    "gains follow one another from 0 photons on",
                    field="zones",
                    remedy="list them by increasing from_photons, the first from 0",
                )
        if self.dead_fraction + self.hot_fraction >= 1.0:
            raise refusal("no pixel is left that is neither dead nor hot", field="hot_fraction")
        return self
