"""Resolve what scatters beside the crystal: molecules in the beam, and their F."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Final

import numpy as np

from distbragg.constants import (
    AVOGADRO_PER_MOL,
    WATER_DENSITY_G_PER_M3,
    WATER_MOLAR_MASS_G_PER_MOL,
    WATER_STRUCTURE_FACTOR_ELECTRONS,
)
from distbragg.errors import InputError
from distbragg.matrices import dot3
from distbragg.models.beam import Beam
from distbragg.models.beam_stop import BeamStop
from distbragg.models.build_beam import beam_size_m
from distbragg.models.build_panels import PARALLEL
from distbragg.models.detector import Detector
from distbragg.models.experiment import Background, Material, PhotonImage
from distbragg.models.ice import parts_of_pixel, ring_table
from distbragg.models.vectors import Float64Array, frozen_float64
from distbragg.read.photons import Photons, read_photons
from distbragg.read.table import read_stol
from distbragg.spec.background import (
    BackgroundImageSpec,
    BackgroundSpec,
    IceRingsSpec,
    MaterialSpec,
)
from distbragg.spec.beam import BeamSpec
from distbragg.spec.detector import DetectorSpec
from distbragg.spec.experiment import ExperimentSpec
from distbragg.units import deg_to_rad, mm_to_m, um_to_m

_DEFAULT_DENSITY_G_PER_CM3: Final = 1.0
_CM3_PER_M3: Final = 1.0e6
_MOST_PARTS: Final = 40
"""Sub-pixels a side that rings are integrated by."""


@dataclass(frozen=True, slots=True)
class Substance:
    """Density and molar mass of a table that comes along."""

    density_g_per_cm3: float
    molar_mass_g_per_mol: float


SUBSTANCES: Final = {
    "water": Substance(1.0, 18.0),
    "air": Substance(0.0012, 28.0),
    "ice": Substance(0.92, 18.015),
    "nano_ice": Substance(0.92, 18.015),
    "oil": Substance(0.86, 14.027),
    "polymer_film": Substance(1.42, 382.3),
}
"""At room temperature and one atmosphere, ice at 270 K; a molecule is what the table's header
says: CH2 of oil, C22H10N2O5 of a polyimide film. Handbook values; water and air as the scripts
have them that their tables are from."""


def build_background(spec: ExperimentSpec, detector: Detector) -> Background:
    """Resolve what scatters beside the crystal, and the image that is added to frames."""
    background, given = _scattering(spec), spec.background.image
    if given is None:
        return background
    shape = detector.panels[0].shape
    return replace(
        background,
        image=PhotonImage(_photons(given, len(detector.panels), shape), given.scale),
    )


def with_beam_stop(detector: Detector, spec: DetectorSpec, beam: Float64Array) -> Detector:
    """Return the detector with the beam stop before it; the same one where there is none."""
    given = spec.beam_stop
    if given is None:
        return detector
    first = detector.panels[0]
    if any(abs(float(dot3(axis, beam))) > 1.0 - PARALLEL for axis in (first.fast, first.slow)):
        raise InputError(
            "its place is given along the axes of the first panel, one of which is the beam's",
            field="detector.beam_stop",
            remedy="leave it out, or let a panel across the beam be the first",
        )
    corners = tuple((mm_to_m(x), mm_to_m(y)) for x, y in given.polygon_mm or ())
    x, y = given.centre_mm
    return replace(
        detector,
        beam_stop=BeamStop(
            radius=mm_to_m(given.radius_mm or 0.0),
            polygon=corners,
            centre=(mm_to_m(x), mm_to_m(y)),
            edge=mm_to_m(given.edge_mm),
            transmission=given.transmission,
            arm_width=mm_to_m(given.arm_width_mm),
            arm_angle=deg_to_rad(given.arm_angle_deg),
        ),
    )


def _photons(given: BackgroundImageSpec, panels: int, shape: tuple[int, int]) -> Float64Array:
    """Read an image and cut it into panels, (panels, slow, fast)."""
    file = given.file
    status = Path(file).stat() if Path(file).exists() else None
    stamp = None if status is None else (status.st_mtime_ns, status.st_size)
    photons = _read_kept(Photons(file, given.frame, given.dataset, panels), stamp)
    if photons.shape != (panels * shape[0], shape[1]):
        raise InputError(
            f"the image has {photons.shape[1]} x {photons.shape[0]} pixels, "
            f"the detector {shape[1]} x {panels * shape[0]}",
            source=file,
            field="background.image.file",
            remedy="give an image of the whole detector, panels one below the other",
        )
    return frozen_float64(photons.reshape(panels, *shape))


@lru_cache(maxsize=2)
def _read_kept(asked: Photons, _status: tuple[int, int] | None) -> Float64Array:
    """Read an image, kept while the file is as it is: frames whose scale differs share it."""
    return read_photons(asked)


def _scattering(spec: ExperimentSpec) -> Background:
    """Resolve amorphous scattering.

    Water is a cube of the given edge: edge³·10⁶ g/m³·N_A/18 molecules of F = 2.57 e at every
    angle. A table of F against sin(theta)/lambda (`stol_file`, its abscissa times
    `stol_scale`) has beam area × thickness × density × N_A / molar mass molecules, the beam
    being a square of `beam.size_mm` (0.1 mm where not given); density and molar mass are
    those of water where not given. So has each of `materials`.
    """
    given = spec.background
    if given.layered:
        return _layered(given, spec.beam, spec.physics)
    if given.stol_file is None or spec.physics == "nanobragg":  # which reads no table
        edge = um_to_m(given.water_um)
        grams = edge * edge * edge * WATER_DENSITY_G_PER_M3
        return Background(
            grams * AVOGADRO_PER_MOL / WATER_MOLAR_MASS_G_PER_MOL,
            frozen_float64([0.0]),
            frozen_float64([WATER_STRUCTURE_FACTOR_ELECTRONS]),
        )
    stol, amplitude = read_stol(given.stol_file)
    if given.thickness_um is None:
        raise InputError(
            "a table of F needs to know how much material there is",
            field="background.thickness_um",
            remedy="give background.thickness_um, or background.water_um for a cube of water",
        )
    density = given.density_g_per_cm3 or _DEFAULT_DENSITY_G_PER_CM3
    molar = given.molar_mass_g_per_mol or WATER_MOLAR_MASS_G_PER_MOL
    return Background(
        _molecules(spec.beam, given.thickness_um, density, molar),
        frozen_float64(stol * given.stol_scale),
        frozen_float64(amplitude),
    )


def _molecules(beam: BeamSpec, thickness_um: float, density: float, molar: float) -> float:
    """Return how many molecules the beam meets."""
    size = beam_size_m(beam)
    grams = size * size * um_to_m(thickness_um) * density * _CM3_PER_M3
    return grams * AVOGADRO_PER_MOL / molar


def _layered(given: BackgroundSpec, beam: BeamSpec, physics: str) -> Background:
    if physics == "nanobragg":
        raise InputError(
            "the C program knows a cube of water alone",
            field="background.materials" if given.materials else "background.ice_rings",
            remedy="set physics: exact, or give background.water_um",
        )
    materials = [_material(one, beam) for one in given.materials]
    if given.ice_rings is not None:
        rings, ice = given.ice_rings, SUBSTANCES["ice"]
        molecules = _molecules(
            beam, rings.thickness_um, ice.density_g_per_cm3, ice.molar_mass_g_per_mol
        )
        stol, amplitude = ring_table(rings.width_per_angstrom)
        materials.append(
            Material(molecules * rings.scale, frozen_float64(stol), frozen_float64(amplitude))
        )
    first, *others = materials
    return Background(first.molecules, first.stol, first.amplitude, tuple(others))


def oversample_of_rings(given: IceRingsSpec, beam: Beam, detector: Detector) -> int:
    """Return how many sub-pixels a side integrate rings over pixels that span more of them.

    A pixel spans most of 1/d where it is nearest to the sample.
    """
    if given.thickness_um * given.scale == 0.0:
        return 1
    pixel = max(panel.pixel_size / abs(panel.close_distance) for panel in detector.panels)
    pixel /= float(beam.sources.wavelength.min())
    parts = parts_of_pixel(given.width_per_angstrom, pixel)
    if parts > _MOST_PARTS:
        raise InputError(
            f"a pixel spans {pixel / given.width_per_angstrom:.3g} widths of a ring, which would "
            f"take {parts} sub-pixels a side",
            field="background.ice_rings.width_per_angstrom",
            remedy="give a wider ring, or sampling.oversample",
        )
    return parts


def _material(given: MaterialSpec, beam: BeamSpec) -> Material:
    if given.name is None:
        stol, amplitude = (frozen_float64(part) for part in read_stol(given.file or ""))
        stol = frozen_float64(stol * given.stol_scale)
        density, molar = _DEFAULT_DENSITY_G_PER_CM3, WATER_MOLAR_MASS_G_PER_MOL
    else:
        stol, amplitude = _shipped(given.name)
        own = SUBSTANCES[given.name]
        density, molar = own.density_g_per_cm3, own.molar_mass_g_per_mol
    molecules = _molecules(
        beam,
        given.thickness_um,
        given.density_g_per_cm3 or density,
        given.molar_mass_g_per_mol or molar,
    )
    return Material(molecules * given.scale, stol, amplitude)


def told_of_materials(given: BackgroundSpec) -> Iterator[tuple[str, str]]:
    """Yield the fields of materials from files that nobody gave, and what stands in for them."""
    for index, material in enumerate(given.materials):
        if material.file is None:
            continue
        for name, number in (
            ("density_g_per_cm3", _DEFAULT_DENSITY_G_PER_CM3),
            ("molar_mass_g_per_mol", WATER_MOLAR_MASS_G_PER_MOL),
        ):
            if getattr(material, name) is None:
                yield f"background.materials.{index}.{name}", f"{number:g} (water)"


@lru_cache(maxsize=len(SUBSTANCES))
def _shipped(name: str) -> tuple[Float64Array, Float64Array]:
    """Return a table that comes along: the same arrays at every call."""
    file = resources.files("distbragg.data").joinpath("materials", f"{name}.stol")
    stol, amplitude = np.loadtxt(file.read_text("utf-8").splitlines()).T
    return frozen_float64(stol), frozen_float64(amplitude)
