"""By how much the halos of diffuse scattering are spread beside the way between lattice points."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from distbragg.matrices import norm3
from distbragg.models.crystal import Crystal
from distbragg.models.experiment import Experiment

_SPREAD: Final = 1.0 / 6.0
"""Of what the stencil reaches, a standard deviation up to which little is beyond."""


def longest_vector(experiment: Experiment) -> float:
    """Return about how long a scattering vector of a frame is at most, 1/Å.

    At a corner of a panel, for the shortest wavelength; at the resolution cut where that is less.
    """
    longest = 0.0
    for panel in experiment.detector.panels:
        slow, fast = (panel.pixel_size * size * np.array([0.0, 1.0]) for size in panel.shape)
        along = fast[:, np.newaxis, np.newaxis] * panel.fast
        corners = (panel.origin + along + slow[:, np.newaxis] * panel.slow).reshape(-1, 3)
        away = corners / norm3(corners)[:, np.newaxis] - experiment.beam.direction
        longest = max(longest, float(norm3(away).max()))
    longest /= float(experiment.beam.sources.wavelength.min())
    dmin = experiment.sampling.dmin
    return min(longest, 1.0 / dmin) if dmin > 0.0 else longest


def most_spread(crystal: Crystal) -> float:
    """Return the standard deviation of h, k and l up to which the stencil serves."""
    stencil = 0 if crystal.diffuse is None else crystal.diffuse.stencil
    return _SPREAD * (stencil + 0.5)


def halo_spread(experiment: Experiment) -> float:
    """Return the standard deviation by which h, k and l are spread at most, in closed form.

    That of the longest scattering vector along the longest edge of all lattices.
    """
    beam, longest, found = experiment.beam, longest_vector(experiment), 0.0
    for crystal in experiment.lattices:
        edges = crystal.cell[:3]
        square = float(np.abs(crystal.mosaic_covariance).sum(axis=1).max())
        square += beam.sources.bandwidth**2
        if crystal.cell_roots is not None:
            changes = crystal.cell_roots / np.concatenate([edges, np.ones(3)])
            square += float((changes * changes).sum())
        along = float((beam.divergence * beam.divergence).sum(axis=1).max())
        square = longest**2 * square + along / float(beam.sources.wavelength.min()) ** 2
        found = max(found, math.sqrt(square) * float(edges.max()))
    return found
