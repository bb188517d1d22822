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
    """One gain of a detector that changes it: in force from `from_photons` in a pixel on.

    ADU = adu_per_photon · photons + offset_adu + readout_adu · normal deviate. `gain_code` is what
    the bits above those of `adc_bits` say of it.
    """

    from_photons: NonNegative = Field(
        default=0.0, description="Photons in a pixel from which on this gain is in force."
    )
    adu_per_photon: Gain = Field(description="ADU that one photon adds; negative where they fall.")
    readout_adu: NonNegative = Field(
        default=0.0, description="Standard deviation of the readout noise, ADU."
    )
    offset_adu: Finite = Field(default=0.0, description="What a pixel without photons reads, ADU.")
    gain_code: Annotated[int, Field(ge=0, lt=256)] = Field(
        default=0, description="Value of the gain bits above those of adc_bits."
    )


class ResponseSpec(SpecModel):
    """What the detector makes of the photons that reach it. Left out, pixels hold photons.

    `response: typical` takes what is not given from the figures of the preset's family,
    `typical: jungfrau` those of the family named. `seed` is the detector's own: its calibration
    map, its dead and hot pixels are the same in every frame; what differs from frame to frame
    follows `noise.seed`.

    The stages, in order. Expected photons vary by `pixel_flicker_fraction`, pixel by pixel and
    frame by frame, with photon noise or without; photons are counted (`noise.photon`);
    `calibration_fraction` scales every pixel by a factor of its own; ADU = `gain_adu_per_photon` ·
    photons + `offset_adu` + a normal deviate of `readout_adu`. `zones` are gains that change with
    the photons of a pixel. `stored_as: photons` takes offset and gain out again; `adu` keeps them,
    with the code of the gain above the `adc_bits` where these are given.

    Values are rounded where `output.dtype` is an integer type. A pixel beyond
    `saturation_photons`, `saturation_adu` or the type's range holds `overload_value` (default: the
    largest value there is) and is counted in `overloads` of its frame.

    `dead_pixels` and `hot_pixels` list [slow, fast], or [panel, slow, fast]; `bad_pixel_file` has
    lines `panel slow fast dead` or `… hot`; `dead_fraction` and `hot_fraction` draw more of them.
    They hold `dead_value` and `hot_value` (default: the overload value), masked pixels
    `masked_value`.
    """

    typical: Literal[
        "preset", "agipd", "eiger", "epix10ka", "jungfrau", "pilatus", "rayonix", None
    ] = Field(
        default=None, description="Whose figures stand in for what is not given; none by default."
    )
    seed: Seed = Field(default=0, description="Seed of the detector's own map and bad pixels.")
    pixel_flicker_fraction: NonNegative = Field(
        default=0.0,
        description="Standard deviation, as a fraction, by which the expected photons of every "
        "pixel of every frame vary on their own, before photons are counted; 0: not at all.",
    )
    calibration_fraction: NonNegative | None = Field(
        default=None,
        description="Standard deviation, as a fraction, of the factors that pixels differ by, the "
        "same in every frame; default 0.",
    )
    gain_adu_per_photon: Gain | None = Field(
        default=None, description="ADU that one photon adds; default 1."
    )
    offset_adu: Finite | None = Field(
        default=None, description="What a pixel without photons reads, ADU; default 0."
    )
    readout_adu: NonNegative | None = Field(
        default=None,
        description="Standard deviation of the readout noise of a pixel, ADU; default 0.",
    )
    zones: tuple[GainZoneSpec, ...] | None = Field(
        default=None,
        max_length=8,
        description="Gains that change with the photons of a pixel, by increasing photons.",
    )
    stored_as: StoredAs | None = Field(
        default=None, description="Whether pixels hold ADU (default) or photons again."
    )
    adc_bits: Annotated[int, Field(ge=1, le=24)] | None = Field(
        default=None, description="Bits of an ADU; the gain's code stands above them."
    )
    saturation_photons: Positive | None = Field(
        default=None, description="Most photons that a pixel can hold; default: no bound."
    )
    saturation_adu: Finite | None = Field(
        default=None,
        description="Largest ADU that is recorded, before photons are made of it where these are "
        "stored; default: that of the type.",
    )
    overload_value: Finite | None = Field(
        default=None, description="What a pixel beyond the range holds; default: the largest value."
    )
    dead_pixels: tuple[Pixel, ...] = Field(default=(), description="Pixels that see nothing.")
    hot_pixels: tuple[Pixel, ...] = Field(default=(), description="Pixels that are always bright.")
    bad_pixel_file: FilePath | None = Field(
        default=None, description="Text file of dead and hot pixels, one a line."
    )
    dead_fraction: Fraction = Field(default=0.0, description="Share of pixels drawn to be dead.")
    hot_fraction: Fraction = Field(default=0.0, description="Share of pixels drawn to be hot.")
    dead_value: Finite = Field(default=0.0, description="What a dead pixel holds.")
    hot_value: Finite | None = Field(
        default=None, description="What a hot pixel holds; default: the overload value."
    )
    masked_value: Finite = Field(
        default=0.0, description="What a pixel of a mask, a gap or outside the region holds."
    )

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
