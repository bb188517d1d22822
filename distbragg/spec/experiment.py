"""The specification of one frame: everything the user may say about an experiment."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from distbragg.spec.base import SpecModel, refusal
from distbragg.spec.beam import BeamSpec
from distbragg.spec.compute import ComputeSpec, OutputSpec
from distbragg.spec.crystal import CrystalSpec, StructureFactorsSpec
from distbragg.spec.detector import DetectorSpec
from distbragg.spec.sampling import (
    BackgroundSpec,
    GoniometerSpec,
    HeaderFile,
    NoiseSpec,
    SamplingSpec,
)


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
        if self.output.dtype.startswith("uint") and not self.noise.photon:
            raise refusal(
                f"{self.output.dtype} stores photon counts, but without noise pixels are fractions",
                field="output.dtype",
                remedy="set noise.photon: true or keep float32",
            )
        return self
