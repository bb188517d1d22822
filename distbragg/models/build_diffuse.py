"""Resolve diffuse scattering: lengths by axis, and the rotations of the Laue group."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from distbragg.errors import InputError
from distbragg.models.diffuse import Diffuse
from distbragg.models.vectors import frozen_float64
from distbragg.read.structure_factors import file_group
from distbragg.spec.diffuse import DiffuseSpec
from distbragg.spec.experiment import ExperimentSpec

if TYPE_CHECKING:
    from distbragg.read.groups import Group

_FIELD = "crystal.diffuse.laue_group"


def build_diffuse(spec: ExperimentSpec) -> Diffuse | None:
    """Return the diffuse scattering of a specification, or None."""
    given = spec.crystal.diffuse
    if given is None:
        return None
    if spec.physics == "nanobragg":
        raise InputError(
            "the C program has no diffuse scattering",
            field="crystal.diffuse",
            remedy="set physics: exact, or leave it out",
        )
    gamma, sigma = (
        np.broadcast_to(np.asarray(values, dtype=np.float64), 3)
        for values in (given.gamma_angstrom, given.sigma_angstrom)
    )
    return Diffuse(
        gamma=frozen_float64(gamma),
        sigma=frozen_float64(sigma),
        axes=frozen_float64(np.reshape(given.axes, (3, 3))),
        operations=frozen_float64(_rotations(given, spec)),
        stencil=given.stencil,
    )


def _rotations(given: DiffuseSpec, spec: ExperimentSpec) -> list[list[list[int]]]:
    # Loads gemmi, which a frame without diffuse scattering may have no use for.
    from distbragg.read.groups import laue_rotations, named_group, point_group

    factors = spec.structure_factors
    group: Group | None = None
    name = given.laue_group or factors.space_group
    if name is not None:
        group = point_group(name) or named_group(name)
    elif factors.file is not None:
        group = file_group(factors.file, factors.format, factors.column)
    if name is None and group is None:
        raise InputError(
            "no symmetry to average the diffuse scattering over: the structure factors name none",
            field=_FIELD,
            remedy="give it; -1 averages over nothing",
        )
    if group is None:
        raise InputError(
            f"unknown group '{name}'",
            field=_FIELD,
            remedy="give a Laue group such as 4/mmm, or a space group such as 'P 43 21 2'",
        )
    return laue_rotations(group)


def told_of_diffuse(spec: ExperimentSpec, diffuse: Diffuse | None) -> Iterator[tuple[str, str]]:
    """Yield what is to be said of the diffuse scattering: field and text."""
    given = spec.crystal.diffuse
    if given is None or diffuse is None:
        return
    if given.laue_group is None:
        count = len(diffuse.operations)
        yield _FIELD, f"{count} rotations, as the structure factors have them"
    if spec.sampling.tolerance_photons > 0.0:
        yield "sampling.tolerance_photons", "not used: diffuse scattering lights every step"
