"""Resolve sub-pixel sampling, background and noise."""

from __future__ import annotations

import logging
from typing import Final

from distbragg.constants import (
    AVOGADRO_PER_MOL,
    WATER_DENSITY_G_PER_M3,
    WATER_MOLAR_MASS_G_PER_MOL,
    WATER_STRUCTURE_FACTOR_ELECTRONS,
)
from distbragg.errors import InputError
from distbragg.models.arrays import frozen_float64
from distbragg.models.beam import Beam
from distbragg.models.build_beam import beam_size_m
from distbragg.models.build_crystal import largest_width_m, whole_up
from distbragg.models.crystal import Crystal
from distbragg.models.detector import Detector
from distbragg.models.experiment import Background, Sampling
from distbragg.read.stol import read_stol
from distbragg.spec.experiment import ExperimentSpec
from distbragg.units import angstrom_to_m, um_to_m

logger = logging.getLogger("distbragg")

MAXIMUM_OVERSAMPLE: Final = 100_000

_DEFAULT_DENSITY_G_PER_CM3: Final = 1.0
_CM3_PER_M3: Final = 1.0e6


def build_sampling(
    spec: ExperimentSpec, beam: Beam, crystal: Crystal, detector: Detector
) -> Sampling:
    """Resolve oversampling and which corrections are per sample.

    Automatic oversampling is ceil(3·width/(λ·distance/pixel)), at least 1, with the largest
    crystal width and the panel whose pixels are coarsest seen from the sample.

    Raises
    ------
    InputError
        Automatic oversampling out of bounds.
    """
    resolved = min(
        angstrom_to_m(beam.wavelength) * abs(panel.distance) / panel.pixel_size
        for panel in detector.panels
    )
    ratio = 3.0 * largest_width_m(crystal) / resolved
    recommended = (
        max(whole_up(ratio, spec.physics), 1) if ratio < MAXIMUM_OVERSAMPLE else MAXIMUM_OVERSAMPLE
    )
    asked = spec.sampling.oversample
    if asked == "auto" or asked <= 0:
        if recommended >= MAXIMUM_OVERSAMPLE:
            raise InputError(
                f"automatic oversampling of {ratio:.3g} sub-pixels a side",
                field="sampling.oversample",
                remedy="give sampling.oversample, or a smaller crystal",
            )
        asked = recommended
    elif asked > MAXIMUM_OVERSAMPLE:
        raise InputError(f"{asked} sub-pixels a side", field="sampling.oversample")
    elif asked < recommended:
        logger.info("sampling.oversample: %d recommended, %d given", recommended, asked)
    exact = spec.physics == "exact"
    return Sampling(
        oversample=asked,
        dmin=spec.sampling.dmin_angstrom,
        per_sample_polarization=exact or spec.sampling.per_sample_polarization,
        per_sample_solid_angle=exact or spec.sampling.per_sample_solid_angle,
        per_sample_capture=exact or spec.sampling.per_sample_capture,
        tolerance=spec.sampling.tolerance_photons,
    )


def build_background(spec: ExperimentSpec) -> Background:
    """Resolve amorphous scattering.

    Water is a cube of the given edge: edge³·10⁶ g/m³·N_A/18 molecules of F = 2.57 e at every
    angle. A table of F against sin(theta)/lambda (`stol_file`, its abscissa times
    `stol_scale`) has beam area × thickness × density × N_A / molar mass molecules, the beam
    being a square of `beam.size_mm` (0.1 mm where not given); density and molar mass are
    those of water where not given. With `water_um` in place of a thickness the table stands
    for the molecules of that cube.

    Raises
    ------
    InputError
        A table without thickness or cube, or with both.
    """
    background = spec.background
    cube = _water_molecules(um_to_m(background.water_um))
    if background.stol_file is None:
        return Background(
            cube, frozen_float64([0.0]), frozen_float64([WATER_STRUCTURE_FACTOR_ELECTRONS])
        )
    if spec.physics == "nanobragg":
        logger.warning("background.stol_file: read and not used by nanoBragg; ignored")
        return Background(
            cube, frozen_float64([0.0]), frozen_float64([WATER_STRUCTURE_FACTOR_ELECTRONS])
        )
    stol, amplitude = read_stol(background.stol_file)
    return Background(
        _table_molecules(spec, cube),
        frozen_float64(stol * background.stol_scale),
        frozen_float64(amplitude),
    )


def _water_molecules(edge: float) -> float:
    return (
        edge * edge * edge * WATER_DENSITY_G_PER_M3 * AVOGADRO_PER_MOL / WATER_MOLAR_MASS_G_PER_MOL
    )


def _table_molecules(spec: ExperimentSpec, cube: float) -> float:
    background = spec.background
    if background.thickness_um is None:
        if cube <= 0.0:
            raise InputError(
                "a table of F needs to know how much material there is",
                field="background.thickness_um",
                remedy="give background.thickness_um, or background.water_um for a cube of water",
            )
        return cube
    if cube > 0.0:
        raise InputError(
            "given beside background.water_um",
            field="background.thickness_um",
            remedy="keep one of the two",
        )
    size = beam_size_m(spec.beam)
    density = background.density_g_per_cm3 or _DEFAULT_DENSITY_G_PER_CM3
    molar = background.molar_mass_g_per_mol or WATER_MOLAR_MASS_G_PER_MOL
    volume = size * size * um_to_m(background.thickness_um)
    return volume * density * _CM3_PER_M3 * AVOGADRO_PER_MOL / molar
