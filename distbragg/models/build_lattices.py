"""Resolve the lattices of a frame beside the first: as listed, or drawn from a seed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import repeat
from typing import NamedTuple

import numpy as np

from distbragg.matrices import inverse3
from distbragg.models.build_cells import with_cells
from distbragg.models.build_crystal import build_crystal
from distbragg.models.build_mosaic import averaged, with_normal_domains
from distbragg.models.build_sizes import with_sizes
from distbragg.models.crystal import Crystal
from distbragg.models.experiment import Method
from distbragg.models.rotations import uniform_rotation
from distbragg.models.setting import Setting
from distbragg.models.vectors import Float64Array, X, Y, Z, cell_of, rotate_xyz, rotation_about
from distbragg.spec.crystal import ORIENTATIONS, CrystalSpec, LatticeSpec
from distbragg.spec.experiment import ExperimentSpec
from distbragg.spec.lattices import DrawnLatticesSpec
from distbragg.units import deg_to_rad

_TURN, _SCALE = range(2)
"""Numbers of the streams that a lattice's draws come from."""


class Lattice(NamedTuple):
    """A lattice, and the specification of the experiment with that alone."""

    spec: ExperimentSpec
    crystal: Crystal

    def by(self, method: Method, frame: int) -> Crystal:
        """Return the crystal as a method takes it; where it is missed, with a scale of 0."""
        spec = self.spec.crystal
        if spec.is_missed:
            return replace(averaged(self.crystal), scale=0.0)
        if method == "closed_form":
            return with_sizes(averaged(self.crystal), spec.size_spread_fraction)
        turned = with_normal_domains(self.crystal, spec.mosaic, frame)
        return with_sizes(with_cells(turned, spec.mosaic, frame), spec.size_spread_fraction)


def lattice_count(spec: CrystalSpec) -> int:
    """Return how many lattices are in the beam, the first among them; 0 for a miss."""
    if spec.is_missed:
        return 0
    drawn = spec.drawn_lattices
    return 1 + len(spec.lattices or ()) if drawn is None else drawn.count


def build_lattices(
    spec: ExperimentSpec, setting: Setting, wavelength: float, frame: int
) -> list[Lattice]:
    """Resolve all lattices of a frame but the first; see `build_crystal`.

    `frame`, the index in the sweep, keys what is drawn.
    """
    if spec.crystal.is_missed:
        return []
    drawn, found = spec.crystal.drawn_lattices, []
    for index, one in enumerate(_specs(spec)):
        turn = _turn(spec.crystal, index, frame)
        crystal = build_crystal(one, setting, wavelength, frame, turn=turn)
        if drawn is not None:
            crystal = replace(crystal, scale=crystal.scale * _relative_scale(drawn, index, frame))
        found.append(Lattice(one, crystal))
    return found


def _specs(spec: ExperimentSpec) -> Iterator[ExperimentSpec]:
    """Yield the specification of the experiment with each further lattice alone."""
    crystal = spec.crystal
    alone: dict[str, object] = {"lattices": None, "drawn_lattices": None}
    for lattice in crystal.lattices or ():
        own = crystal.model_copy(update={**alone, **_given(lattice, crystal)})
        yield spec.model_copy(update={"crystal": own})
    drawn = crystal.drawn_lattices
    if drawn is not None and drawn.count > 1:
        one = spec.model_copy(update={"crystal": crystal.model_copy(update=alone)})
        yield from repeat(one, drawn.count - 1)


def _cell_alone(crystal: CrystalSpec) -> dict[str, object]:
    """Return the cell of the crystal's matrix, for a lattice with an orientation of its own."""
    if crystal.a_matrix_per_angstrom is None:
        return {}
    real = inverse3(np.array(crystal.a_matrix_per_angstrom).reshape(3, 3))
    return {"a_matrix_per_angstrom": None, "cell": cell_of(real)}


def _given(lattice: LatticeSpec, crystal: CrystalSpec) -> dict[str, object]:
    """Return the fields of a lattice that stand in place of the crystal's."""
    given = {
        name: value
        for name in lattice.model_fields_set
        if (value := getattr(lattice, name)) is not None and name != "turned_deg"
    }
    if "a_matrix_per_angstrom" in given:
        given = {**dict.fromkeys((*ORIENTATIONS, "cell", "matrix_file")), **given}
    elif any(name in given for name in ORIENTATIONS):
        given = {**dict.fromkeys(ORIENTATIONS), **_cell_alone(crystal), **given}
    if "block_cells" in given:
        given["block_size_mm"] = None
    if "illuminated_blocks" in given:
        given["specimen"] = None
    return given


def _turn(spec: CrystalSpec, index: int, frame: int) -> Float64Array | None:
    """Return the rotation of a further lattice out of the crystal's orientation, or None."""
    drawn = spec.drawn_lattices
    if drawn is None:
        angles = (spec.lattices or ())[index].turned_deg
        if angles is None:
            return None
        x, y, z = map(deg_to_rad, angles)
        return np.array([rotate_xyz(basis, (x, y, z)) for basis in (X, Y, Z)]).T.copy()
    key = _key(drawn, index, frame, _TURN)
    if drawn.orientation == "independent":
        return uniform_rotation(key)
    x, y, z = np.random.default_rng(key).standard_normal(3).tolist()
    length = math.sqrt(x * x + y * y + z * z)
    angle = deg_to_rad(drawn.split_deg or 0.0) * length
    return rotation_about((x / length, y / length, z / length), angle)


def _relative_scale(drawn: DrawnLatticesSpec, index: int, frame: int) -> float:
    scale = drawn.relative_scale
    if not isinstance(scale, tuple):
        return scale
    share = float(np.random.default_rng(_key(drawn, index, frame, _SCALE)).random())
    return scale[0] + share * (scale[1] - scale[0])


def _key(drawn: DrawnLatticesSpec, index: int, frame: int, stream: int) -> list[int]:
    """Name a draw: no other of the sweep changes it."""
    return [drawn.seed or 0, frame if drawn.per_frame else 0, index, stream]
