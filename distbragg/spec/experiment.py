"""The specification of one frame: everything the user may say about an experiment.

Beam, crystal, detector and what is computed have modules of their own; the smaller sections are
here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from distbragg.spec.background import BackgroundSpec
from distbragg.spec.base import (
    Auto,
    Count,
    Degrees,
    Direction,
    FilePath,
    NonNegative,
    Seed,
    SpecModel,
    refusal,
)
from distbragg.spec.beam import BeamSpec
from distbragg.spec.compute import ComputeSpec, OutputSpec
from distbragg.spec.crystal import CrystalSpec
from distbragg.spec.detector import DetectorSpec
from distbragg.spec.structure_factors import StructureFactorsSpec

if TYPE_CHECKING:
    from distbragg.viewer.serve import Viewer


class KappaSpec(SpecModel):
    """A kappa goniometer: ω carries κ, κ carries φ, φ the crystal; ω's axis is `spindle_axis`."""

    kappa_deg: Degrees = 0.0
    """Angle of the κ axis, degrees. Example: 30"""
    fixed_deg: Degrees = 0.0
    """Angle of the axis that does not turn during the frame (φ where `scan` is omega, else ω),
    degrees. Example: 90"""
    scan: Literal["omega", "phi"] = "omega"
    """The axis that `phi_deg` and `oscillation_deg` of the goniometer turn. Example: phi"""
    alpha_deg: Degrees = 50.0
    """Angle between the κ and the ω axis, degrees. Example: 54.7"""
    kappa_axis: Direction | None = None
    """Direction of the κ axis at zero, three components. Left out: the ω axis turned by `alpha_deg`
    about the beam. Example: [0.64, 0.77, 0]"""
    phi_axis: Direction | None = None
    """Direction of the φ axis at zero, three components. Left out: the ω axis. Example: [1, 0, 0]
    """


class GoniometerSpec(SpecModel):
    """Rotation of the crystal about the spindle during one frame.

    Any two of `oscillation_deg`, `step_deg` and `steps` give the third. Under `physics: exact`
    the steps are the midpoints of equal intervals of the oscillation, and `steps` alone is refused.
    """

    phi_deg: Degrees | None = None
    """Spindle angle at the start of the frame, degrees. Left out: that of a header or geometry
    file, else 0. Example: 30"""
    oscillation_deg: Degrees | None = None
    """Rotation during the frame, degrees; negative turns backwards, 0 is a still. Left out:
    `step_deg` times `steps`, else that of a header or geometry file, else 0. Example: 0.1"""
    step_deg: Degrees | None = None
    """Rotation of one step of the sum, degrees. Left out: `oscillation_deg` divided by `steps`.
    Example: 0.01"""
    steps: Count | None = None
    """Number of steps that the rotation is summed in; a closed form needs none. Left out:
    `oscillation_deg` divided by `step_deg`, else 2. Example: 20"""
    spindle_axis: Direction | None = None
    """Direction of the rotation axis in the laboratory, three components; φ grows right-handed
    about it. Left out: that of the geometry file, else of the convention. Example: [1, 0, 0]"""
    kappa: KappaSpec | None = None
    """A kappa goniometer, whose other angles are fixed during the frame. Left out: a single
    spindle."""


class SamplingSpec(SpecModel):
    """How a pixel is summed, and how finely it is sampled.

    `method: sampled` adds up domains, sources, rotation steps and sub-pixels one by one.
    `closed_form` integrates over mosaicity, bandwidth, divergence, rotation and pixel. It needs
    `physics: exact`, a crystal of `shape: gauss` or `gauss_star`, |F| that is not interpolated, no
    mosaicity but `distribution: gaussian` of at most 3 degrees, and at most 30 degrees of rotation.
    `auto` takes it where all of that holds and the mosaicity is gaussian or the beam has a
    `bandwidth_percent` or `divergence_mrad`, and is sampled otherwise; a note tells which it is.
    """

    method: Literal["auto", "closed_form", "sampled"] = "auto"
    """Whether the Bragg spots are integrated (closed_form) or added up sample by sample; auto
    integrates where it can and the spread asks for it. Example: closed_form"""
    oversample: Annotated[int, Field(ge=1, le=10_000)] | Auto = "auto"
    """Sub-pixels along each side of a pixel; auto resolves the narrowest spot with three. Example:
    2"""
    dmin_angstrom: NonNegative = 0.0
    """Resolution of the smallest spacing d that is rendered, Å; finer pixels hold background alone,
    and 0 cuts nothing. Example: 1.8"""
    tolerance_photons: NonNegative = 0.0
    """Photons of a pixel that may be left out where that saves time; 0 leaves out only exact zeros.
    Example: 0.01"""
    per_sample_polarization: bool = False
    """Whether each sample has its own polarisation factor (`-oversample_polar`); matters under
    `physics: nanobragg` alone."""
    per_sample_solid_angle: bool = False
    """Whether each sample has its own solid angle (`-oversample_omega`); matters under `physics:
    nanobragg` alone."""
    per_sample_capture: bool = False
    """Whether each sensor layer has its own captured fraction (`-oversample_thick`); matters under
    `physics: nanobragg` alone."""


_MOST_FRAMES: Final = 10**9  # more than any run has


class NoiseSpec(SpecModel):
    """Photon counting noise, drawn from a counter-based generator keyed by seed, frame, pixel."""

    photon: bool = False
    """Whether pixels hold counts drawn from a Poisson distribution instead of the expected photons.
    Example: true"""
    seed: Seed = 0
    """Seed of everything that differs at random from frame to frame: photon and readout noise,
    pulse energies. Example: 1"""
    frame_shift: Annotated[int, Field(ge=-_MOST_FRAMES, le=_MOST_FRAMES)] | None = None
    """What is added to the number of a frame before random numbers are drawn for it: frames that
    come from another run (`subset`, `merge`) keep their noise by it. Left out: nothing. Example:
    100"""


class HeaderFile(SpecModel):
    """An SMV image whose header fills in geometry that was not given otherwise."""

    path: FilePath
    """The SMV image. Example: lyso_0001.img"""
    role: Literal["mask", "image"]
    """What it is: a mask's header counts its beam centre along slow from the other end than an
    image's. Example: image"""


_COUNTS: Final[Mapping[str, Any]] = {
    "beam": {
        "divergence": {"horizontal": {"steps": None}, "vertical": {"steps": None}},
        "dispersion": {"steps": None},
    },
    "crystal": {"mosaic": {"domains": None}},
    "detector": {"sensor": {"layers": None}},
    "goniometer": {"steps": 1},
}
"""Counts, and what 0 of them stood for; what is negative was not given."""


class ExperimentSpec(SpecModel):
    """One experiment, as written. File paths are absolute or relative to the spec file.

    Of `header_files` a later file wins over an earlier one, and every explicit field over both.
    """

    title: str = ""
    """Title, which the stack keeps. Example: lysozyme, 1.8 Å"""
    physics: Literal["exact", "nanobragg"] = "exact"
    """exact corrects every sample and weights sources; nanobragg reproduces the numbers of
    nanoBragg.c. Example: nanobragg"""
    beam: BeamSpec = BeamSpec()
    """The incident beam: wavelength, intensity, polarisation, and the sources that make it up."""
    crystal: CrystalSpec = CrystalSpec()
    """Unit cell, orientation, size and mosaicity of the crystal."""
    structure_factors: StructureFactorsSpec = StructureFactorsSpec()
    """The file that |F| comes from, and how it is used."""
    detector: DetectorSpec = DetectorSpec()
    """Size, place, sensor and electronics of the detector."""
    goniometer: GoniometerSpec = GoniometerSpec()
    """Rotation of the crystal during one frame."""
    sampling: SamplingSpec = SamplingSpec()
    """How each pixel is summed or integrated."""
    background: BackgroundSpec = BackgroundSpec()
    """Other scattering in the beam: water, air, ice."""
    noise: NoiseSpec = NoiseSpec()
    """Counting noise, and the seed of everything random in a frame."""
    compute: ComputeSpec = ComputeSpec()
    """Device, precision and tiling, which do not change what is rendered."""
    output: OutputSpec = OutputSpec()
    """Number type, compression and spot labels of the stack."""
    header_files: tuple[HeaderFile, ...] = Field(default=())
    """SMV images whose headers give the geometry that the specification leaves out, in the order in
    which they are read."""

    former_counts = _COUNTS

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

    def view(self, **how: Any) -> Viewer:  # noqa: ANN401 what `distbragg.view` takes
        """Show the frame in a browser, or at the end of a notebook's cell: `distbragg.view`."""
        import distbragg  # the viewer is made of what is made of this

        return distbragg.view(self, **how)
