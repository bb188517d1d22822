"""The lattices of a frame one by one: each an experiment by itself, whose images add up."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from distbragg.models.crystal import Reflections
from distbragg.models.experiment import Background, Experiment
from distbragg.models.vectors import frozen_float64
from distbragg.physics.factors import orientation_count

_DARK: Final = Reflections(frozen_float64(np.zeros((0, 0, 0))), (0, 0, 0), 0.0, False)
CLEAR: Final = Background(0.0, frozen_float64([0.0]), frozen_float64([0.0]))


@dataclass(frozen=True, slots=True)
class Lattice:
    """One lattice of a frame as an experiment by itself.

    `number` is its place among the frame's lattices, and `share` what its numerator is multiplied
    by in the frame's sum, which is divided by the steps of the first lattice.
    """

    experiment: Experiment
    number: int = 0
    share: float = 1.0


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
