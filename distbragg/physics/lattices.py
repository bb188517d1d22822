"""The lattices of a frame one by one: each an experiment by itself, whose images add up.

Where spots are in closed form, so are the halos of diffuse scattering about them (`halos`), which
are experiments of their own: a kernel draws the spots of some, and sums the halos of others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from distbragg.models.crystal import Crystal, Reflections
from distbragg.models.experiment import Background, Experiment
from distbragg.models.halo_spread import longest_vector
from distbragg.models.vectors import frozen_float64
from distbragg.physics.factors import orientation_count

_DARK: Final = Reflections(frozen_float64(np.zeros((0, 0, 0))), (0, 0, 0), 0.0, False)
CLEAR: Final = Background(0.0, frozen_float64([0.0]), frozen_float64([0.0]))

_PART: Final = 0.5
"""Of a halo's width, that q may move in a part of the rotation, and in a part of a pixel."""

_MOST_CUT: Final = 8
"""Parts of a pixel along an axis; larger pixels are not told apart."""


@dataclass(frozen=True, slots=True)
class Lattice:
    """One lattice of a frame as an experiment by itself.

    `number` is its place among the frame's lattices, and `share` what its numerator is multiplied
    by in the frame's sum, which is divided by the steps of the first lattice.
    """

    experiment: Experiment
    number: int = 0
    share: float = 1.0


def summed_lattices(experiment: Experiment) -> list[Lattice]:
    """Return all that is summed: the lattices of a frame, then their halos in closed form."""
    return lattices_of(experiment) + halos_of(experiment)


def lattices_of(experiment: Experiment) -> list[Lattice]:
    """Return the lattices of a frame that scatter, one at least; one for each size of its blocks.

    The background is that of the first. A miss is a crystal that scatters nothing.
    """
    if len(experiment.summed) == 1 and experiment.crystal.scale > 0.0:
        return [Lattice(experiment)]
    lit = [
        (number, block)
        for number, crystal in enumerate(experiment.lattices)
        if crystal.scale > 0.0
        for block in crystal.blocks or (crystal,)
    ]
    if not lit:
        dark = replace(experiment.crystal, scale=1.0)
        return [Lattice(replace(experiment, crystal=dark, others=(), reflections=_DARK))]
    sampling, steps = experiment.sampling, orientation_count(experiment)
    # What is left out of all lattices together is within the tolerance.
    sampling = replace(sampling, tolerance=sampling.tolerance / len(lit))
    found: list[Lattice] = []
    for number, crystal in lit:
        own = replace(experiment, crystal=crystal, others=(), sampling=sampling)
        if found:
            own = replace(own, background=CLEAR)
        found.append(Lattice(own, number, steps / orientation_count(own)))
    return found


def halos_of(experiment: Experiment) -> list[Lattice]:
    """Return the diffuse scattering of a frame in closed form, by lattices and parts of a rotation.

    Within a part, and within a sub-pixel, places are close enough together for a halo to be taken
    as normally distributed (`halos`).
    """
    if experiment.sampling.method != "closed_form" or experiment.crystal.diffuse is None:
        return []
    longest = longest_vector(experiment)
    found: list[Lattice] = []
    for lattice in lattices_of(experiment):
        crystal = lattice.experiment.crystal
        width = _PART * _width(crystal, longest)
        cut = _cut(experiment, width)
        sampling = replace(
            experiment.sampling,
            method="halos",
            tolerance=0.0,
            oversample=cut * experiment.sampling.oversample,
        )
        parts = _parts(crystal, longest, width)
        share = lattice.share / (len(parts) * cut * cut)
        for part in parts:
            own = replace(lattice.experiment, crystal=part, sampling=sampling, background=CLEAR)
            found.append(Lattice(own, lattice.number, share))
    return found


def _width(crystal: Crystal, longest: float) -> float:
    """Return how wide the narrowest halos are, 1/Å, where q has the length `longest`."""
    if crystal.diffuse is None:
        return math.inf
    width = 1.0 / (math.tau * float(crystal.diffuse.gamma.max()))
    return math.hypot(width, crystal.mosaic_spread * longest)


def _cut(experiment: Experiment, width: float) -> int:
    """Return into how many parts along each axis a sample is cut."""
    if not experiment.sampling.integrate:
        return 1
    near = max(panel.pixel_size / abs(panel.close_distance) for panel in experiment.detector.panels)
    shortest = float(experiment.beam.sources.wavelength.min())
    wanted = math.ceil(near / shortest / (width * experiment.sampling.oversample))
    return min(max(1, wanted), _MOST_CUT)


def _parts(crystal: Crystal, longest: float, width: float) -> list[Crystal]:
    """Return the crystal in each part of its rotation."""
    start, stop = crystal.oscillation
    if stop <= start:
        return [crystal]
    count = max(1, math.ceil((stop - start) * longest / width))
    step = (stop - start) / count
    ends = [(start + part * step, start + (part + 1) * step) for part in range(count)]
    return [
        replace(crystal, oscillation=pair, phi=frozen_float64([0.5 * sum(pair)])) for pair in ends
    ]
