"""Goniometer, sampling, background and noise."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from distbragg.spec.base import (
    Auto,
    FilePath,
    Finite,
    NonNegative,
    Positive,
    SpecModel,
    Steps,
    Vector3,
    refusal,
    require_direction,
)


class KappaSpec(SpecModel):
    """A kappa goniometer: ω carries κ, κ carries φ, φ the crystal; all axes at their zero.

    `scan` names the axis that the goniometer's `phi_deg` and `oscillation_deg` turn, `fixed_deg`
    is the angle of the other one. The ω axis is `spindle_axis`, that of φ the same unless given;
    that of κ is the ω axis turned by `alpha_deg` about the beam unless given.
    """

    kappa_deg: Finite = 0.0
    fixed_deg: Finite = 0.0
    scan: Literal["omega", "phi"] = "omega"
    alpha_deg: Finite = 50.0
    kappa_axis: Vector3 | None = None
    phi_axis: Vector3 | None = None

    @model_validator(mode="after")
    def _check_axes(self) -> Self:
        require_direction(self.kappa_axis, "kappa_axis")
        require_direction(self.phi_axis, "phi_axis")
        return self


class GoniometerSpec(SpecModel):
    """Rotation of the crystal about the spindle during one frame.

    Any two of `oscillation_deg`, `step_deg` and `steps` give the third. Under `physics: exact`
    the steps are the midpoints of equal intervals of the oscillation, and `steps` alone is refused.
    """

    phi_deg: Finite | None = None
    oscillation_deg: Finite | None = None
    step_deg: Finite | None = None
    steps: Steps | None = None
    spindle_axis: Vector3 | None = None
    kappa: KappaSpec | None = None

    @model_validator(mode="after")
    def _check_axis(self) -> Self:
        require_direction(self.spindle_axis, "spindle_axis")
        return self


class SamplingSpec(SpecModel):
    """How finely a pixel is sampled.

    `tolerance_photons` lets the kernel leave out steps that it can prove to add up to no more
    than this in any pixel, before photon noise; 0 leaves out only what is exactly 0.

    The three `per_sample_*` switches matter under `physics: nanobragg` alone, where they
    are nanoBragg's -oversample_polar, -oversample_omega and -oversample_thick; under
    `physics: exact` every correction is per sample.
    """

    oversample: Annotated[int, Field(ge=1, le=10_000)] | Auto = "auto"
    dmin_angstrom: NonNegative = 0.0
    tolerance_photons: NonNegative = 0.0
    per_sample_polarization: bool = False
    per_sample_solid_angle: bool = False
    per_sample_capture: bool = False


class BackgroundSpec(SpecModel):
    """Amorphous scattering: a cube of water, or a table of F against sin(theta)/lambda."""

    water_um: NonNegative = 0.0
    stol_file: FilePath | None = None
    stol_scale: Positive = 1.0
    thickness_um: NonNegative | None = None
    density_g_per_cm3: Positive | None = None
    molar_mass_g_per_mol: Positive | None = None

    @model_validator(mode="after")
    def _check_background(self) -> Self:
        if self.stol_file is not None and self.water_um > 0:
            raise refusal(
                "given beside water_um", field="stol_file", remedy="keep one of the two backgrounds"
            )
        return self


class NoiseSpec(SpecModel):
    """Photon counting noise, drawn from a counter-based generator keyed by seed, frame, pixel."""

    photon: bool = False
    seed: int = Field(default=0, ge=0, lt=2**63)


class HeaderFile(SpecModel):
    """An SMV image whose header fills in geometry that was not given otherwise."""

    path: FilePath
    role: Literal["mask", "image"]
