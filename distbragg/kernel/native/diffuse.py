"""Numbers of the diffuse scattering as the compiled kernel wants them."""

from __future__ import annotations

from typing import Final

import numpy as np

from distbragg.models.crystal import Crystal
from distbragg.models.vectors import Float64Array
from distbragg.physics.diffuse import diffuse_of

_SAME: Final = 1e-12
"""Relative difference below which two rotations of the Laue group count as making one halo."""


def diffuse_halos(crystal: Crystal) -> tuple[Float64Array, float, int]:
    """Return the halos of a crystal, (halos, 19), with their height, electrons², and stencil.

    A row is 2π γ W and 2π σ W of a rotation and how many rotations make the same halo: of lengths
    that are the same along all axes, every one does.
    """
    terms = diffuse_of(crystal)
    if terms is None or crystal.diffuse is None:
        return np.zeros((0, 19)), 0.0, 0
    pairs = np.array([terms.correlation, terms.displacement]).swapaxes(0, 1)  # (halos, 2, 3, 3)
    forms = (pairs.swapaxes(-1, -2)[..., None] * pairs[..., None, :, :]).sum(axis=-2)
    sizes = np.abs(forms).max(axis=(0, 2, 3), keepdims=True)[0]
    kept: list[int] = []
    weights: list[float] = []
    for number, form in enumerate(forms):
        same = [at for at in kept if (np.abs(forms[at] - form) <= _SAME * sizes).all()]
        if same:
            weights[kept.index(same[0])] += 1.0
        else:
            kept.append(number)
            weights.append(1.0)
    rows = np.concatenate([pairs[kept].reshape(len(kept), 18), np.array(weights)[:, None]], axis=1)
    return rows, float(terms.height), crystal.diffuse.stencil
