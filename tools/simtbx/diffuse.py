"""Diffuse scattering as a case of simtbx has it, in distbragg's terms."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import gemmi
import numpy as np

from distbragg.fit.parameters import triad
from distbragg.models.build_mosaic import crystal_axes
from distbragg.models.diffuse import Diffuse
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import frozen_float64
from distbragg.read.groups import laue_rotations
from tools.simtbx.optics import Array, Json

_LISTED: Final = {
    1: "x,y,z",
    5: "x,y,z x,-y,-z -x,y,-z -x,-y,z",
    7: "x,y,z -y,x,z y,-x,z x,-y,-z -x,y,-z -x,-y,z y,x,-z -y,-x,-z",
}
"""Rotations, acting on h, k, l, of the Laue groups whose numbers the folder's README tells."""


def with_diffuse(experiment: Experiment, given: Json) -> Experiment:
    """Return an experiment that scatters diffusely as a case says.

    simtbx takes the principal axes along the laboratory's x, y and z, whichever way the crystal
    is turned; and its matrix of principal axes acts on h, k, l before the crystal's lattice does,
    so that it is no rotation unless the cell allows it.
    """
    crystal = experiment.crystal
    axes = crystal_axes(triad(crystal.real_space), triad(crystal.reciprocal))
    principal = np.array(given["principal_axes"], dtype=np.float64).reshape(3, 3)
    diffuse = Diffuse(
        gamma=frozen_float64(given["gamma_A"]),
        sigma=frozen_float64(given["sigma_A"]),
        axes=frozen_float64(axes),
        operations=frozen_float64(_rotations(given) @ principal),
        stencil=given["stencil"],
    )
    return replace(experiment, crystal=replace(crystal, diffuse=diffuse))


def _rotations(given: Json) -> Array:
    number = given["laue_number"]
    if number in _LISTED:
        matrices = [gemmi.Op(text).rot for text in _LISTED[number].split()]
        return np.array(matrices, dtype=np.float64) / gemmi.Op.DEN
    group = gemmi.find_spacegroup_by_name(given["laue_group"])
    if group is None:
        raise ValueError(f"no group is called {given['laue_group']}")
    return np.array(laue_rotations(group), dtype=np.float64)
