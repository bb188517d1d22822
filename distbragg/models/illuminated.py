"""How much of the crystal the beam illuminates, in blocks of Na Nb Nc cells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from distbragg.errors import InputError
from distbragg.models.build_beam import beam_size_m
from distbragg.models.crystal import unit_cells
from distbragg.spec.beam import BeamSpec
from distbragg.spec.crystal import SpecimenSpec
from distbragg.units import METRES_PER_ANGSTROM, METRES_PER_UM

_ROUNDING: Final = 1e-9


def illuminated_blocks(
    specimen: SpecimenSpec, beam: BeamSpec, cells: Sequence[float], cell_angstrom3: float
) -> float:
    """Return the number of blocks in the beam, volume by volume.

    Parameters
    ----------
    specimen : SpecimenSpec
    beam : BeamSpec
    cells : (3,) or (6,)
        Of one block: see `distbragg.models.crystal`.
    cell_angstrom3 : float
        Volume of the unit cell.
    """
    block = float(unit_cells(cells)) * cell_angstrom3 * METRES_PER_ANGSTROM**3
    whole = illuminated_volume(specimen, math.inf)
    if block > whole * (1.0 + _ROUNDING):
        raise InputError(
            f"a crystal of {_um3(whole)} µm³ is smaller than one block of "
            f"{unit_cells(cells):g} cells, {_um3(block)} µm³",
            field="crystal.specimen",
            remedy="give fewer crystal.block_cells, which are those of one mosaic block",
        )
    return illuminated_volume(specimen, beam_width(beam)) / block


def beam_width(beam: BeamSpec) -> float:
    """Return the edge of the square beam, m; infinite where a fluence is given and no size."""
    if beam.size_mm is None and beam.flux_photons_per_s is None:
        return math.inf
    size = beam_size_m(beam)
    if size == 0.0:
        problem = "a beam of size 0 illuminates no crystal"
        raise InputError(problem, field="beam.size_mm", remedy="give the size, or leave it out")
    return size


def illuminated_volume(specimen: SpecimenSpec, beam: float) -> float:
    """Return what a square beam sees of a crystal that is centred in it, m³.

    A box lies with its first edge along the beam and its others along the beam's sides. A rod lies
    across the beam along one of them: where the beam is narrower than the rod, it sees the part of
    the round section that is as wide as the beam. A crystal of which the volume alone is known is
    taken for a cube.

    Parameters
    ----------
    specimen : SpecimenSpec
    beam : float
        Edge of the beam, m.
    """
    if specimen.edges_um is not None:
        along, across, upward = (edge * METRES_PER_UM for edge in specimen.edges_um)
        return along * min(across, beam) * min(upward, beam)
    if specimen.volume_um3 is not None:
        edge = math.cbrt(specimen.volume_um3) * METRES_PER_UM
        seen = min(edge, beam)
        return edge * seen * seen
    diameter, length = (
        (size or 0.0) * METRES_PER_UM for size in (specimen.diameter_um, specimen.length_um)
    )
    radius, half = 0.5 * diameter, 0.5 * min(diameter, beam)
    section = 2.0 * (half * math.sqrt(radius**2 - half**2) + radius**2 * math.asin(half / radius))
    return section * min(length, beam)


def _um3(volume: float) -> str:
    return f"{volume / METRES_PER_UM**3:.4g}"
