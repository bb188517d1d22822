"""Diffuse scattering as a case of simtbx has it, in distbragg's terms."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Protocol

import gemmi
import numpy as np

from distbragg.models.build_mosaic import crystal_axes
from distbragg.models.diffuse import Diffuse
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import Float64Array, Triad, components, frozen_float64
from distbragg.read.groups import laue_rotations
from tools.simtbx.optics import Array, Json

_LISTED: Final = {
    1: "x,y,z",
    5: "x,y,z x,-y,-z -x,y,-z -x,-y,z",
    7: "x,y,z -y,x,z y,-x,z x,-y,-z -x,y,-z -x,-y,z y,x,-z -y,-x,-z",
}
"""Rotations, acting on h, k, l, of the Laue groups whose numbers the folder's README tells."""


def _triad(rows: Float64Array) -> Triad:
    """Return three vectors, the rows of (3, 3), by their components."""
    one, two, three = map(components, rows)
    return one, two, three


def with_diffuse(experiment: Experiment, given: Json) -> Experiment:
    """Return an experiment that scatters diffusely as a case says.

    simtbx takes the principal axes along the laboratory's x, y and z, whichever way the crystal
    is turned; and its matrix of principal axes acts on h, k, l before the crystal's lattice does,
    so that it is not a rotation unless the cell allows it.
    """
    crystal = experiment.crystal
    axes = crystal_axes(_triad(crystal.real_space), _triad(crystal.reciprocal))
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


@dataclass(frozen=True, slots=True)
class DiffusePart:
    """An experiment of which each pixel sees one halo, and that halo's share of simtbx's image."""

    experiment: Experiment
    residue: Array  # (3,): of the indices of the reflections that scatter, modulo the stencil
    project: Array  # (3, 3): of h, k, l to 1/Å
    diffuse: Diffuse  # of all halos

    def share(self, case: Indexed) -> Array:
        """Return what to multiply each pixel with, ([panels,] slow, fast).

        simtbx gives all halos of a step the strength e exp(-e) of its nearest reflection, distbragg
        each that of its own.
        """
        shares = [self._share(case.indices(panel)) for panel in case.panels]
        return shares[0] if len(shares) == 1 else np.stack(shares)

    def _share(self, index: Array) -> Array:
        nearest = np.ceil(index - 0.5)
        stencil = self.diffuse.stencil
        own = nearest + np.mod(self.residue - nearest + stencil, 2 * stencil + 1) - stencil
        theirs, ours = (self._strength(place) for place in (nearest, own))
        ratio = np.divide(theirs, ours, out=np.zeros_like(ours), where=ours > 0.0)
        return np.asarray(ratio / len(self.diffuse.operations))

    def _strength(self, index: Array) -> Array:
        exponent = ((math.tau * self.diffuse.sigma * (index @ self.project.T)) ** 2).sum(axis=-1)
        return np.asarray(exponent * np.exp(-exponent))


class Indexed(Protocol):
    """What is asked of a case."""

    panels: list[Json]

    def indices(self, panel: Json) -> Array:
        """Return h, k, l at the middle of each pixel."""


def diffuse_parts(experiment: Experiment) -> Iterator[DiffusePart]:
    """Yield what simtbx's diffuse part is the sum of: one rotation and point of the stencil each.

    Of reflections whose indices are the same modulo the width of the stencil a step sees one.
    """
    crystal, table = experiment.crystal, experiment.reflections
    diffuse = crystal.diffuse
    if diffuse is None:
        return
    star = np.array(crystal.reciprocal).T
    width = 2 * diffuse.stencil + 1
    places = np.moveaxis(np.indices(table.amplitude.shape), 0, -1) + np.array(table.origin)
    for operation in diffuse.operations:
        own = replace(diffuse, operations=frozen_float64([operation]))
        for residue in np.ndindex(width, width, width):
            kept = (np.mod(places - residue, width) == 0).all(axis=-1)
            thinned = replace(table, amplitude=frozen_float64(np.where(kept, table.amplitude, 0.0)))
            yield DiffusePart(
                replace(experiment, crystal=replace(crystal, diffuse=own), reflections=thinned),
                np.array(residue, dtype=np.float64),
                star @ operation,
                diffuse,
            )
