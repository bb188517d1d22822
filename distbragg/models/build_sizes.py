"""Resolve a spread of the sizes of mosaic blocks: a few sizes, each with its share of the crystal.

The logarithm of a block's size, as a multiple of the size that is given, is normal in the crystal's
volume. Gauss-Hermite nodes stand for it: so a mean over sizes is a sum over a few crystals of one
lattice, sampled or in closed form, whose shares keep the photons of every reflection.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from distbragg.errors import InputError
from distbragg.models.crystal import Crystal, unit_cells
from distbragg.models.vectors import Float64Array, Physics, frozen_float64
from distbragg.shapes import SHAPES

_NODES: Final = ((0.1, 3), (0.3, 5), (0.4, 7), (0.5, 9))
"""Spread, and nodes that up to it leave 3e-4 of a spot's maximum where its transform is normal."""

_FRINGE_NODES: Final = 16
"""For transforms with fringes, the first of which they smooth."""

_FAINT: Final = 1e-6
"""Share of a spot's height below which a size is left out."""


def check_sizes(physics: Physics) -> None:
    """Refuse a spread of sizes where there is none."""
    if physics != "exact":
        raise InputError(
            "the C program's blocks have one size",
            field="crystal.size_spread_fraction",
            remedy="set physics: exact",
        )


def with_sizes(crystal: Crystal, spread: float) -> Crystal:
    """Return the crystal with `blocks` of several sizes, whose images add up to its own."""
    if spread == 0.0:
        return crystal
    smooth = SHAPES[crystal.shape].transform == "gaussian"
    count = next(nodes for most, nodes in _NODES if spread <= most) if smooth else _FRINGE_NODES
    deviates, shares = np.polynomial.hermite_e.hermegauss(count)
    heights = shares * np.exp(3.0 * spread * deviates)
    kept = heights > _FAINT * heights.sum()
    deviates, shares = deviates[kept], shares[kept] / shares[kept].sum()
    blocks: dict[tuple[float, ...], Crystal] = {}
    for deviate, share in zip(deviates.tolist(), shares.tolist(), strict=True):
        block = _of_size(crystal, deviate, share, spread)
        cells = tuple(block.cells.tolist())
        if (known := blocks.get(cells)) is not None:  # rounded to the same whole numbers
            block = replace(known, scale=known.scale + block.scale)
        blocks[cells] = block
    return replace(crystal, size_spread=spread, blocks=tuple(blocks.values()))


def _of_size(crystal: Crystal, deviate: float, share: float, spread: float) -> Crystal:
    """Return blocks of one size, which hold a share of the crystal's volume."""
    cells: Float64Array = crystal.cells * np.exp(spread * deviate)
    if SHAPES[crystal.shape].transform == "interference":
        cells = np.maximum(np.round(cells), 1.0)
    ratios = cells / crystal.cells
    beside = tuple(float(ratios[0]) * part for part in crystal.cells_beside)
    count = float(unit_cells((*cells.tolist(), *beside)))
    return replace(
        crystal,
        cells=frozen_float64(cells),
        cells_beside=beside,
        spot_form=frozen_float64(crystal.spot_form * ratios[:, np.newaxis] * ratios),
        scale=crystal.scale * share * crystal.unit_cells / count,
        size_deviate=deviate,
    )
