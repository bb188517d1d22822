"""Resolved crystal: cell vectors in the laboratory, size, shape, mosaic domains, spindle."""

from __future__ import annotations

from dataclasses import dataclass, field

from distbragg.models.arrays import Float64Array
from distbragg.notes import Notes
from distbragg.shapes import SpotShape

__all__ = ["Crystal", "Reflections", "SpotShape"]


@dataclass(frozen=True, slots=True)
class Crystal:
    """The crystal at phi = 0 with its mosaic domains and spindle rotation.

    Attributes
    ----------
    real_space : (3, 3) float64, Å
        Rows a, b, c in the laboratory frame (missets applied, phi and mosaic not).
    reciprocal : (3, 3) float64, 1/Å
        Rows a*, b*, c*, dual to `real_space`.
    cell : (6,) float64
        a, b, c in Å and alpha, beta, gamma in radians.
    cells : (3,) float64
        Numbers of unit cells Na, Nb, Nc, each at least 1; whole for SQUARE.
    shape : SpotShape
    fudge : float
    spot_form : (3, 3) float64
        S, symmetric: r² = δᵀ S δ with δ the distance of h, k, l from the nearest lattice point,
        and r what the transforms of `distbragg.shapes` depend on. `fudge` is part of it.
    mosaic_spread : float, rad
    mosaic_rotations : (domains, 3, 3) float64
        Rotation matrices applied after the spindle; the first is the identity.
    phi : (phi steps,) float64, rad
    spindle_axis : (3,) float64
    """

    real_space: Float64Array
    reciprocal: Float64Array
    cell: Float64Array
    cells: Float64Array
    shape: SpotShape
    fudge: float
    spot_form: Float64Array
    mosaic_spread: float
    mosaic_rotations: Float64Array
    phi: Float64Array
    spindle_axis: Float64Array


@dataclass(frozen=True, slots=True)
class Reflections:
    """|F| on a box of Miller indices.

    Attributes
    ----------
    amplitude : (nh, nk, nl) float64, electrons
        Value at index (h, k, l) − origin; points the file lacks hold `default_amplitude`.
        Shape (0, 0, 0) where there is no table.
    origin : (3,) int64
        Lowest h, k, l of the box.
    default_amplitude : float
        Value outside the box.
    interpolate : bool
        Tricubic look-up where its 4×4×4 support lies inside the box, nearest elsewhere.
    notes : tuple of Note
        What the file's reader chose or left out. Not part of the physics.
    """

    amplitude: Float64Array
    origin: tuple[int, int, int]
    default_amplitude: float
    interpolate: bool
    notes: Notes = field(default=(), metadata={"hashed": False})
