"""Resolved crystal: cell vectors in the laboratory, size, shape, mosaic domains, spindle.

The block of unit cells that scatters as one has the size N = [[Na, Nd, Nf], [Nd, Nb, Ne], [Nf, Ne,
Nc]], which takes the distance δ of h, k, l from a lattice point to r = |N δ|. It is given by three
numbers where it is diagonal, else by six: Na, Nb, Nc, then Nd, Ne, Nf; floats or 0-dimensional
tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np

from distbragg.models.diffuse import Diffuse
from distbragg.models.identity import WHERE_GIVEN
from distbragg.models.vectors import Float64Array, Number, frozen_float64
from distbragg.notes import Notes
from distbragg.shapes import SpotShape


def unit_cells(cells: Sequence[Number]) -> Number:
    """Return det N: how many unit cells there are, which is the height of a spot's amplitude."""
    a, b, c, *beside = cells
    if not beside:
        return a * b * c
    d, e, f = beside
    return a * (b * c - e * e) - d * (d * c - e * f) + f * (d * e - b * f)


def is_positive(cells: Sequence[float]) -> bool:
    """Whether N is positive definite, by the determinants of its leading corners."""
    a, b, _, *beside = cells
    corner = a * b - (beside[0] ** 2 if beside else 0.0)
    return bool(a > 0.0 and corner > 0.0 and unit_cells(cells) > 0.0)


@dataclass(frozen=True, slots=True)
class Crystal:
    """The crystal at phi = 0 with its mosaic domains and spindle rotation.

    `spot_form` is S, symmetric: r² = δᵀ S δ with δ the distance of h, k, l from the nearest
    lattice point, and r what the transforms of `distbragg.shapes` depend on; `fudge` is part of it.
    In closed form there is one domain, the aligned one, and one phi, the middle of `oscillation`:
    `mosaic_covariance` and `oscillation` say what the mean is taken over.
    """

    real_space: Float64Array  # (3, 3), Å: rows a, b, c in the laboratory, missets applied
    reciprocal: Float64Array  # (3, 3), 1/Å: rows a*, b*, c*, dual to them
    cell: Float64Array  # (6,), a, b, c in Å and alpha, beta, gamma in radians
    cells: Float64Array  # (3,), Na, Nb, Nc, each at least 1; whole for SQUARE
    shape: SpotShape
    fudge: float
    spot_form: Float64Array  # (3, 3)
    mosaic_spread: float  # rad
    mosaic_rotations: Float64Array
    """(domains, 3, 3), applied after the spindle; the first is the identity unless they are given.
    """
    phi: Float64Array  # (phi steps,), rad
    spindle_axis: Float64Array  # (3,), unit
    mosaic_covariance: Float64Array = field(default_factory=lambda: frozen_float64([[0.0] * 3] * 3))
    """M, (3, 3), rad²: of the domains' rotation vectors in the laboratory, as the crystal stands at
    phi = 0; 0 where they are not normally distributed."""
    oscillation: tuple[float, float] = (0.0, 0.0)
    """rad: the least and the largest angle of the spindle during the frame."""
    scale: float = field(default=1.0, metadata=WHERE_GIVEN)
    """Blocks of Na Nb Nc cells that the beam illuminates: times the intensity of one block."""
    mosaic_axes: str = field(default="crystal", metadata=WHERE_GIVEN)
    """Whether `mosaic_covariance` turns with the crystal, or is the `laboratory`'s: that of the
    middle of `oscillation` turned back to phi = 0."""
    cell_roots: Float64Array | None = field(default=None, metadata=WHERE_GIVEN)
    """(k, 6): what each of k independent standard normal deviates adds to a, b, c (Å) and α, β, γ
    (rad) of a domain; None where all cells are alike. `physics.strain` has the law."""
    cell_deviates: Float64Array | None = field(default=None, metadata=WHERE_GIVEN)
    """(domains, k): the deviates of every sampled domain; None in closed form."""
    cells_beside: tuple[float, ...] = field(default=(), metadata=WHERE_GIVEN)
    """Nd, Ne, Nf beside the diagonal Na, Nb, Nc of N (`unit_cells`); empty where it has none."""
    diffuse: Diffuse | None = field(default=None, metadata=WHERE_GIVEN)
    size_spread: float = field(default=0.0, metadata=WHERE_GIVEN)
    """Standard deviation of the logarithm of the blocks' size."""
    size_deviate: float = field(default=0.0, metadata=WHERE_GIVEN)
    """Of one of `blocks`: its logarithm's deviation, in standard deviations."""
    blocks: tuple[Crystal, ...] = field(default=(), metadata=WHERE_GIVEN)
    """Where sizes are spread: what is summed in place of the crystal, a crystal for each size."""

    @property
    def unit_cells(self) -> float:
        """How many unit cells there are in a block: det N, the height of a spot's amplitude."""
        return float(unit_cells((*self.cells.tolist(), *self.cells_beside)))


SpectralKind = Literal["anomalous", "channels"]


@dataclass(frozen=True, slots=True)
class Spectral:
    """|F|² by energy: Σ_m c_m(source) B_m(h k l), over the box of `Reflections`.

    Of anomalous scatterers B and c are those of `models.scattering`; of channels B is |F|² of each
    and c says which channel a source belongs to. `coefficients` and `scattering` are of the beam
    of a frame, and empty in a table that serves a whole sweep.
    """

    kind: SpectralKind
    tables: Float64Array  # (tables, nh, nk, nl), electrons²
    coefficients: Float64Array = field(default_factory=lambda: frozen_float64(np.zeros((0, 0))))
    """(sources, tables)"""
    scattering: Float64Array = field(default_factory=lambda: frozen_float64(np.zeros((2, 0, 0))))
    """(2, elements, sources), electrons: f′ and f″; empty of channels"""


@dataclass(frozen=True, slots=True)
class Reflections:
    """|F| on a box of Miller indices; points the file lacks hold `default_amplitude`."""

    amplitude: Float64Array  # (nh, nk, nl), electrons, at (h, k, l) − origin; (0, 0, 0): no table
    origin: tuple[int, int, int]  # lowest h, k, l of the box
    default_amplitude: float  # outside the box
    interpolate: bool  # tricubic where the 4×4×4 support lies inside the box, nearest elsewhere
    notes: Notes = field(default=(), metadata={"hashed": False})  # of the file's reader
    spectral: Spectral | None = field(default=None, metadata=WHERE_GIVEN)
    """|F|² by source; `amplitude` is then the root of its mean over the sources' weights."""
    delta_b: float = field(default=0.0, metadata=WHERE_GIVEN)
    """Å²: what amplitude and tables, of which it is a part, have been attenuated by."""

    @property
    def is_dark(self) -> bool:
        """Whether nothing is scattered: there is no table, and nothing beside one."""
        return self.amplitude.size == 0 and self.default_amplitude == 0.0


NO_TABLE: Final = Reflections(
    amplitude=frozen_float64(np.zeros((0, 0, 0))),
    origin=(0, 0, 0),
    default_amplitude=1.0,
    interpolate=False,
)
"""Stands for |F| where nothing depends on it: counts of steps, headers, geometry."""
