"""What scatters beside the crystal."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from distbragg.spec.base import FilePath, Micrometres, NonNegative, Positive, SpecModel, refusal

ShippedMaterial = Literal["water", "air", "ice", "nano_ice", "oil", "polymer_film"]


class MaterialSpec(SpecModel):
    """A material in the beam, without order or powdered, of a `name` or from a `file`."""

    name: ShippedMaterial | None = None
    """A material whose table is included. Left out: `file` gives the table. Example: air"""
    file: FilePath | None = None
    """Table of sin(θ)/λ, 1/Å, and F, electrons, one pair per line. Left out: that of `name`.
    Example: glycerol.stol"""
    stol_scale: Positive = 1.0
    """Factor that turns the abscissa of the file into sin(θ)/λ: 0.25 of 4 sin(θ)/λ, 0.0796 of Q.
    Example: 0.25"""
    thickness_um: Micrometres
    """Path of the beam through the material, µm. Example: 50"""
    density_g_per_cm3: Positive | None = None
    """Density of the material as it is in the beam, g/cm³. Left out: the material's own, of a file
    that of water, 1. Example: 1.1"""
    molar_mass_g_per_mol: Positive | None = None
    """Mass of what F is the form factor of, g/mol. Left out: the material's own, of a file that of
    water, 18. Example: 92.1"""
    scale: NonNegative = 1.0
    """Factor of its intensity; useful in a sweep. Example: 0.5"""

    @model_validator(mode="after")
    def _check_material(self) -> Self:
        if (self.name is None) == (self.file is None):
            problem = "needs a name or a file, one of the two"
            raise refusal(problem, remedy="names are water, air, ice, nano_ice, oil, polymer_film")
        if self.name is not None and self.stol_scale != 1.0:
            raise refusal("needs a file", field="stol_scale", remedy="leave it out")
        return self


class IceRingsSpec(SpecModel):
    """Rings of hexagonal ice, as of frost: the lines alone, with nothing between them."""

    thickness_um: Micrometres
    """Path of the beam through the ice, µm, all of it in crystallites. Example: 2"""
    width_per_angstrom: Positive = 0.004
    """Full width at half maximum of a ring in 1/d, 1/Å. Example: 0.002"""
    scale: NonNegative = 1.0
    """Factor of its intensity; useful in a sweep. Example: 0.5"""


class BackgroundImageSpec(SpecModel):
    """An image of expected photons that is added to every frame.

    It is as recorded: it does not follow the fluence, but the energy of a frame's pulse
    (`beam.pulse_energy_fraction`), and the beam stop's shadow falls on it.
    """

    file: FilePath
    """Expected photons of every pixel: an .npy array, an image (SMV, CBF, TIFF, EDF), an HDF5 file
    or a Zarr store (.zarr, a run of distbragg too), panels one below the other, as in a sweep.
    Example: air.npy"""
    frame: Annotated[int, Field(ge=0)] = 0
    """Which image of an array that holds several (.npy, Zarr, HDF5), from 0, as in a sweep.
    Example: 7"""
    dataset: str = "images"
    """Name of the array in a Zarr store, where one that is stored by itself has none, or of the
    dataset in an HDF5 file. Example: entry/data/data"""
    scale: NonNegative = 1.0
    """Factor of the image; useful in a sweep. Example: 0.5"""


class BackgroundSpec(SpecModel):
    """Amorphous scattering: a list of materials, a cube of water, or one table.

    `ice_rings` are added to the `materials`, and an `image` to everything. The fields before them
    are those of the C program and of a single table, and exclude the `materials`.
    """

    water_um: Micrometres = 0.0
    """Edge of a cube of water, µm, with F = 2.57 electrons at all angles, as nanoBragg has it; 0 is
    none. Example: 50"""
    stol_file: FilePath | None = None
    """Table of sin(θ)/λ, 1/Å, and F, electrons, one pair per line. Left out: no such material.
    Example: water.stol"""
    stol_scale: Positive = 1.0
    """Factor that turns the abscissa of the table into sin(θ)/λ. Example: 0.25"""
    thickness_um: Micrometres | None = None
    """Path of the beam through the material of `stol_file`, µm. Left out: an error beside a
    `stol_file`. Example: 50"""
    density_g_per_cm3: Positive | None = None
    """Density of the material of `stol_file`, g/cm³. Left out: that of water, 1. Example: 1.1"""
    molar_mass_g_per_mol: Positive | None = None
    """Mass of what F is the form factor of, g/mol. Left out: that of water, 18. Example: 18"""
    materials: tuple[MaterialSpec, ...] = ()
    """Materials in the beam, each with a thickness of its own."""
    ice_rings: IceRingsSpec | None = None
    """Powder rings of hexagonal ice. Left out: none."""
    image: BackgroundImageSpec | None = None
    """A recorded or computed image that is added to all frames. Left out: none."""

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
                "given together with water_um",
                field="stol_file",
                remedy="keep one of the two backgrounds",
            )
        if self.layered:
            known = "materials" if self.materials else "ice_rings"
            remedy = "make it one of background.materials"
            if self.water_um > 0:
                raise refusal(f"given together with {known}", field="water_um", remedy=remedy)
            others = ("stol_file", "thickness_um", "density_g_per_cm3", "molar_mass_g_per_mol")
            self.refuse_given(f"given together with {known}", *others, remedy=remedy)
        return self
