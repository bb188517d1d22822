"""How many reflections a Gaussian crystal lights, by volumes alone: no list is looked through.

Towards a unit vector r the Ewald sphere takes k² dΩ of reciprocal space. A reflection
g = k (r − s₀) is lit within `cut` standard deviations of its displacement along r (`near_sphere`),
on both sides; a rotation about the axis a carries it through the sphere by |(a × g)·r| per radian,
and a wavenumber that grows by Δk moves the sphere by Δk (1 − s₀·r). What all that sweeps holds one
reflection for each volume of the reciprocal cell.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from distbragg.matrices import determinant3, dot3
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import Float64Array, components
from distbragg.physics.closed_form import Incidence
from distbragg.physics.factors import solid_angle
from distbragg.physics.near_sphere import (
    CUT,
    GaussianCrystal,
    displacement_covariances,
    gaussian_crystal,
    incidence_of,
)
from distbragg.physics.rays import SampleIndex, placement_of, sample_rays

_MOST_PLACES = 12
"""Along each side of a panel; fewer of many panels, four of each at least."""


def lit_per_steradian(
    crystal: GaussianCrystal,
    incidence: Incidence,
    rays: Float64Array,
    *,
    cut: float,
    range_k: float = 0.0,
) -> Float64Array:
    """Return how many reflections are seen per steradian, (n,), towards unit vectors (n, 3).

    Wavenumbers run over `range_k`, 1/Å, about that of `incidence`, without gaps.
    """
    k, direction = incidence.wavenumber, np.array(incidence.direction)
    u = rays - direction
    _, total = displacement_covariances(crystal, incidence, k * u, u)
    along = dot3(rays, (total * rays[:, np.newaxis, :]).sum(axis=2))
    speed = np.cross(np.array(crystal.spindle.axis), k * u)
    turned = abs(dot3(speed, rays)) * (crystal.spindle.stop - crystal.spindle.start)
    moved = range_k * 0.5 * dot3(u, u)
    swept = k * k * (2.0 * cut * np.sqrt(along) + turned + moved)
    return np.asarray(swept / abs(determinant3(crystal.reciprocal)))


def count_lit(experiment: Experiment) -> float:
    """Estimate how many reflections one lattice of a frame in closed form lights on the detector.

    Those of a spacing below `sampling.dmin` are left out; a list that ends earlier is not known
    here. Sources of one direction count as one range of wavelengths, and every direction as the
    beam's.
    """
    beam, panels = experiment.beam, experiment.detector.panels
    waves = 1.0 / beam.sources.wavelength
    crystal = gaussian_crystal(experiment.crystal)
    incidence = replace(
        incidence_of(beam, 0),
        direction=components(beam.direction),
        wavenumber=0.5 * float(waves.min() + waves.max()),
    )
    range_k = float(waves.max() - waves.min())
    side = max(2, round(_MOST_PLACES / math.sqrt(len(panels))))
    found = 0.0
    for panel in panels:
        placement = placement_of(panel, beam.direction)
        slow, fast = ((np.arange(side) + 0.5) * size / side - 0.5 for size in panel.shape)
        at = np.repeat(slow, side), np.tile(fast, side)
        seen = sample_rays(placement, *at, sample=SampleIndex(0, 0, 0), oversample=1)
        rays = np.stack(np.broadcast_arrays(*seen.direction), axis=1)
        each = lit_per_steradian(crystal, incidence, rays, cut=CUT["mixed"], range_k=range_k)
        g = incidence.wavenumber * (rays - np.array(incidence.direction))
        kept = dot3(g, g) * experiment.sampling.dmin**2 <= 1.0
        pixels = np.abs(np.asarray(solid_angle(placement, seen)))
        pixels = pixels * (panel.shape[0] * panel.shape[1] / side**2)
        found += float((each * pixels * kept).sum())
    return found * len(np.unique(beam.sources.direction, axis=0))
