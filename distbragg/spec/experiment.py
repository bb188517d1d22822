"""The specification of one frame: everything the user may say about an experiment.

Beam, crystal, detector and what is computed have modules of their own; the smaller sections are
here.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from distbragg.spec.background import BackgroundSpec
from distbragg.spec.base import (
    Auto,
    Direction,
    FilePath,
    Finite,
    NonNegative,
    Seed,
    SpecModel,
    Steps,
    refusal,
)
from distbragg.spec.beam import BeamSpec
from distbragg.spec.compute import ComputeSpec, OutputSpec
from distbragg.spec.crystal import CrystalSpec
from distbragg.spec.detector import DetectorSpec
from distbragg.spec.structure_factors import StructureFactorsSpec


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
    kappa_axis: Direction | None = None
    phi_axis: Direction | None = None


class GoniometerSpec(SpecModel):
    """Rotation of the crystal about the spindle during one frame.

    Any two of `oscillation_deg`, `step_deg` and `steps` give the third. Under `physics: exact`
    the steps are the midpoints of equal intervals of the oscillation, and `steps` alone is refused.
    """

    phi_deg: Finite | None = None
    oscillation_deg: Finite | None = None
    step_deg: Finite | None = None
    steps: Steps | None = None
    spindle_axis: Direction | None = None
    kappa: KappaSpec | None = None


class SamplingSpec(SpecModel):
    """How a pixel is summed, and how finely it is sampled.

    `method: sampled` adds up domains, sources, rotation steps and sub-pixels one by one.
    `closed_form` integrates over mosaicity, bandwidth, divergence, rotation and pixel. It needs
    `physics: exact`, a crystal of `shape: gauss` or `gauss_star`, |F| that is not interpolated, no
    mosaicity but `distribution: gaussian` of at most 3 degrees, and at most 30 degrees of rotation.
    `auto` takes it where all of that holds and the mosaicity is gaussian or the beam has a
    `bandwidth_percent` or `divergence_mrad`, and is sampled otherwise; a note tells which it is.

    `tolerance_photons` lets the kernel leave out steps that it can prove to add up to no more
    than this in any pixel, before photon noise; 0 leaves out only what is exactly 0.

    The three `per_sample_*` switches matter under `physics: nanobragg` alone, where they
    are nanoBragg's -oversample_polar, -oversample_omega and -oversample_thick; under
    `physics: exact` every correction is per sample.
    """

    method: Literal["auto", "closed_form", "sampled"] = "auto"
    oversample: Annotated[int, Field(ge=1, le=10_000)] | Auto = "auto"
    dmin_angstrom: NonNegative = 0.0
    tolerance_photons: NonNegative = 0.0
    per_sample_polarization: bool = False
    per_sample_solid_angle: bool = False
    per_sample_capture: bool = False


class NoiseSpec(SpecModel):
    """Photon counting noise, drawn from a counter-based generator keyed by seed, frame, pixel."""

    photon: bool = False
    seed: Seed = 0


class HeaderFile(SpecModel):
    """An SMV image whose header fills in geometry that was not given otherwise."""

    path: FilePath
    role: Literal["mask", "image"]


class ExperimentSpec(SpecModel):
    """One experiment, as written. File paths are absolute or relative to the spec file.

    `header_files` are ingested in order before anything else, so that a later file wins
    over an earlier one and every explicit field wins over both.
    """

    title: str = ""
    physics: Literal["exact", "nanobragg"] = "exact"
    beam: BeamSpec = BeamSpec()
    crystal: CrystalSpec = CrystalSpec()
    structure_factors: StructureFactorsSpec = StructureFactorsSpec()
    detector: DetectorSpec = DetectorSpec()
    goniometer: GoniometerSpec = GoniometerSpec()
    sampling: SamplingSpec = SamplingSpec()
    background: BackgroundSpec = BackgroundSpec()
    noise: NoiseSpec = NoiseSpec()
    compute: ComputeSpec = ComputeSpec()
    output: OutputSpec = OutputSpec()
    header_files: tuple[HeaderFile, ...] = Field(default=())

    @model_validator(mode="after")
    def _check_output(self) -> Self:
        whole = self.noise.photon or self.detector.response is not None
        if not self.output.dtype.startswith("float") and not whole:
            raise refusal(
                f"{self.output.dtype} stores photon counts, but without noise pixels are fractions",
                field="output.dtype",
                remedy="set noise.photon: true or keep float32",
            )
        return self
