"""What scatters beside the crystal."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from distbragg.spec.base import FilePath, NonNegative, Positive, SpecModel, refusal

ShippedMaterial = Literal["water", "air", "ice", "nano_ice", "oil", "polymer_film"]


class MaterialSpec(SpecModel):
    """A material in the beam, without order or powdered: its F against sin(theta)/lambda.

    `name` is one of the tables that come along, `file` one of your own (its abscissa is multiplied
    by `stol_scale`); give one of them. The beam crosses `thickness_um` of it. Density and molar
    mass are the material's own where `name` is given, else those of water. `scale` multiplies its
    intensity, in a sweep frame by frame.
    """

    name: ShippedMaterial | None = None
    file: FilePath | None = None
    stol_scale: Positive = 1.0
    thickness_um: NonNegative
    density_g_per_cm3: Positive | None = None
    molar_mass_g_per_mol: Positive | None = None
    scale: NonNegative = 1.0

    @model_validator(mode="after")
    def _check_material(self) -> Self:
        if (self.name is None) == (self.file is None):
            problem = "needs a name or a file, one of the two"
            raise refusal(problem, remedy="names are water, air, ice, nano_ice, oil, polymer_film")
        if self.name is not None and self.stol_scale != 1.0:
            raise refusal("goes with a file", field="stol_scale", remedy="leave it out")
        return self


class IceRingsSpec(SpecModel):
    """Rings of hexagonal ice, as of frost: the lines alone, with nothing between them.

    `width_per_angstrom` is how wide a ring is: the full width at half maximum of 1/d. As much ice
    as the beam crosses in `thickness_um` is spread over all orientations. `scale` multiplies its
    intensity.
    """

    thickness_um: NonNegative
    width_per_angstrom: Positive = 0.004
    scale: NonNegative = 1.0


class BackgroundImageSpec(SpecModel):
    """An image of expected photons for each pixel, that is added to every frame times `scale`.

    `file` is an `.npy` array, or an image (SMV, CBF, TIFF, EDF …); of several panels, one below the
    other. It is as recorded: it does not follow the fluence, but the energy of a frame's pulse
    (`beam.pulse_energy_fraction`), and the beam stop's shadow falls on it.
    """

    file: FilePath
    scale: NonNegative = 1.0


class BackgroundSpec(SpecModel):
    """Amorphous scattering: a list of materials, a cube of water, or one table.

    `materials` is a list of any length; `ice_rings` come to it, and an `image` to all. The fields
    before them are those of the C program and a single table, and stand by themselves: `water_um`
    is the edge of a cube of water, of F = 2.57 electrons at all angles; `stol_file` holds
    sin(theta)/lambda and F.
    """

    water_um: NonNegative = 0.0
    stol_file: FilePath | None = None
    stol_scale: Positive = 1.0
    thickness_um: NonNegative | None = None
    density_g_per_cm3: Positive | None = None
    molar_mass_g_per_mol: Positive | None = None
    materials: tuple[MaterialSpec, ...] = ()
    ice_rings: IceRingsSpec | None = None
    image: BackgroundImageSpec | None = None

    @property
    def layered(self) -> bool:
        """Whether materials are listed."""
        return bool(self.materials) or self.ice_rings is not None

    @property
    def of_beam_size(self) -> bool:
        """Whether how much of it is in the beam follows from the beam's size."""
        return self.layered or self.stol_file is not None

    @model_validator(mode="after")
    def _check_background(self) -> Self:
        if self.stol_file is not None and self.water_um > 0:
            raise refusal(
                "given beside water_um", field="stol_file", remedy="keep one of the two backgrounds"
            )
        if self.layered:
            known = "materials" if self.materials else "ice_rings"
            remedy = "make it one of background.materials"
            if self.water_um > 0:
                raise refusal(f"given beside {known}", field="water_um", remedy=remedy)
            others = ("stol_file", "thickness_um", "density_g_per_cm3", "molar_mass_g_per_mol")
            self.refuse_given(f"given beside {known}", *others, remedy=remedy)
        return self
