"""Rotations: orientations as given, and random ones with the generator they are drawn from.

`Ran1` is the uniform generator of nanoBragg.c, for domains and missets that match it: Park and
Miller's multiplicative congruential generator (a = 16807, m = 2^31 - 1) with a Bays-Durham shuffle
of 32 entries; the deviate is rounded to float32, as there.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from distbragg.errors import InputError
from distbragg.matrices import (
    apply3,
    determinant3,
    inverse3,
    matmul3,
    orthogonal_part,
    transposed,
)
from distbragg.models.vectors import (
    Float64Array,
    Vector,
    X,
    Y,
    Z,
    cell_of,
    cell_parameters,
    components,
    cross,
    dot,
    norm,
    rotate_about,
    rotation_about,
    standard_reciprocal,
    unit,
)
from distbragg.spec.crystal import CrystalSpec
from distbragg.spec.experiment import KappaSpec
from distbragg.units import deg_to_rad

_ORTHONORMAL: Final = 1e-3
"""Largest departure of UᵀU from the identity that rounded tables are forgiven."""

_BASIS: Final = {"x": X, "y": Y, "z": Z}

NANOBRAGG_RANDOM_CAP: Final = 90.0
"""Cap that nanoBragg.c passes for a random orientation: meant as degrees, taken as radians."""

_THIRD: Final = float(np.float32(1.0 / 3.0))
_MULTIPLIER: Final = 16807
_MODULUS: Final = 2147483647
_TABLE: Final = 32
_WARM_UP: Final = 8
_DIVISOR: Final = 1 + (_MODULUS - 1) // _TABLE
_LARGEST: Final = float(np.float32(1.0 - 1.2e-7))
_SCALE: Final = 1.0 / _MODULUS


class Ran1:
    """One generator with its shuffle table.

    nanoBragg.c shares one table between all seeds: a negative (or zero) seed fills it
    afresh, a positive one goes on with what it holds. Seeds are as the program holds them: negated.
    """

    def __init__(self, seed: int) -> None:
        self._table = [0] * _TABLE
        self._last = 0
        self._state = 1
        self.reseed(seed)

    def reseed(self, seed: int) -> None:
        """Continue from another seed, by the rule of the class."""
        if seed > 0 and self._last != 0:
            self._state = seed
            return
        self._state = max(-seed, 1)
        for position in range(_TABLE + _WARM_UP - 1, -1, -1):
            self._advance()
            if position < _TABLE:
                self._table[position] = self._state
        self._last = self._table[0]

    def fork(self) -> Ran1:
        """Return a generator that goes on from here by itself."""
        other = Ran1.__new__(Ran1)
        other._table, other._last, other._state = self._table.copy(), self._last, self._state
        return other

    def uniform(self) -> float:
        """Return the next deviate in (0, 1), a float32 value."""
        self._advance()
        position = self._last // _DIVISOR
        self._last = self._table[position]
        self._table[position] = self._state
        return min(float(np.float32(_SCALE * self._last)), _LARGEST)

    def _advance(self) -> None:
        self._state = (_MULTIPLIER * self._state) % _MODULUS


def cap_rotation(cap: float, generator: Ran1) -> Float64Array:
    """Draw one rotation as nanoBragg.c draws a mosaic domain.

    The axis is uniform on the sphere; the angle is cap·(1 − r²)^(1/3) with r uniform on
    [−1, 1], computed in float32 as there (the power is rounded once from float64).
    """
    azimuth = 2.0 * generator.uniform() - 1.0
    height = 2.0 * generator.uniform() - 1.0
    radius = 2.0 * generator.uniform() - 1.0
    base = float(np.float32(1.0 - radius * radius))
    power = np.float32(math.pow(base, _THIRD))
    angle = float(np.float32(cap) * power)
    across = math.sqrt(1.0 - height * height)
    axis = (across * math.sin(math.pi * azimuth), across * math.cos(math.pi * azimuth), height)
    x, y, z = axis
    # The products are in the program's order.
    cosine, sine = math.cos(angle), math.sin(angle)
    rest = 1.0 - cosine
    rest_x = rest * x
    return np.array(
        [
            [cosine + rest * (x * x), rest_x * y - sine * z, rest_x * z + sine * y],
            [rest_x * y + sine * z, cosine + rest * (y * y), rest * y * z - sine * x],
            [rest_x * z - sine * y, rest * y * z + sine * x, cosine + rest * (z * z)],
        ],
        dtype=np.float64,
    )


def cap_domains(spread: float, count: int, generator: Ran1) -> Float64Array:
    """Draw mosaic domains in sequence; the first draw is made and replaced by the identity."""
    rotations = np.empty((count, 3, 3), dtype=np.float64)
    for index in range(count):
        rotations[index] = cap_rotation(spread, generator)
    rotations[0] = np.eye(3)
    return rotations


def gaussian_domains(spread: float | Float64Array, count: int, seed: int) -> Float64Array:
    """Draw domains whose rotation vector is ω = L z, with z of three normal deviates.

    `spread`: standard deviation about every axis, rad, or the root L (3, 3) of their covariance
    L Lᵀ. The first domain is aligned.
    """
    rotations = np.tile(np.eye(3), (count, 1, 1))
    draws = np.random.default_rng(seed).standard_normal((count, 3))
    vectors = apply3(spread, draws) if isinstance(spread, np.ndarray) else spread * draws
    for index, (x, y, z) in enumerate(vectors.tolist()[1:], 1):
        angle = math.sqrt(x * x + y * y + z * z)
        if angle > 0.0:
            rotations[index] = rotation_about((x / angle, y / angle, z / angle), angle)
    return rotations


def random_misset(seed: int, generator: Ran1) -> Vector:
    """Draw the missets (rad) that nanoBragg.c takes for `-misset random` from a seed."""
    generator.reseed(-seed)
    return misset_angles(cap_rotation(NANOBRAGG_RANDOM_CAP, generator))


def misset_angles(rotation: Float64Array) -> Vector:
    """Return the rotations about x, y, z in turn (rad) that make up a rotation matrix."""
    (r00, r01, _), (r10, r11, _), (r20, r21, r22) = rotation.tolist()
    if r20 * r20 < 1.0:
        about_y = math.atan2(-r20, math.sqrt(r21 * r21 + r22 * r22))
        return math.atan2(r21, r22), about_y, math.atan2(r10, r00)
    return math.pi, math.pi / 2.0, math.atan2(r01, -r11)


def quaternion_matrix(x: float, y: float, z: float, w: float) -> Float64Array:
    """Return the (3, 3) matrix of a quaternion in scipy's order (x, y, z, w), any length > 0."""
    length = math.sqrt(x * x + y * y + z * z + w * w)
    x, y, z, w = x / length, y / length, z / length, w / length
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ],
        dtype=np.float64,
    )


def uniform_rotation(seed: int | list[int]) -> Float64Array:
    """Draw one rotation uniform on SO(3) (Shoemake's three-deviate quaternion)."""
    first, second, third = (float(value) for value in np.random.default_rng(seed).random(3))
    inner, outer = math.sqrt(1.0 - first), math.sqrt(first)
    return quaternion_matrix(
        inner * math.sin(2.0 * math.pi * second),
        inner * math.cos(2.0 * math.pi * second),
        outer * math.sin(2.0 * math.pi * third),
        outer * math.cos(2.0 * math.pi * third),
    )


def fold_seed(seed: int, frame: int) -> int:
    """Mix a seed with a frame index into a positive 31-bit seed."""
    mixed = np.random.SeedSequence([abs(seed), int(seed < 0), frame]).generate_state(1)[0]
    return int(mixed) % 2147483646 + 1


def given_orientation(spec: CrystalSpec) -> Float64Array | None:
    """Return the rotation of a quaternion, Euler angles or a matrix, (3, 3); None of neither."""
    if spec.quaternion_xyzw is not None:
        return quaternion_matrix(*spec.quaternion_xyzw)
    if spec.euler_deg is not None:
        return euler_matrix(spec.euler_axes, spec.euler_deg)
    if spec.u_matrix is not None:
        return nearest_rotation(np.array(spec.u_matrix, dtype=np.float64).reshape(3, 3))
    return None


def euler_matrix(axes: str, degrees: Vector) -> Float64Array:
    """Return the rotation of three Euler angles.

    `axes` are named as by scipy: upper case about the crystal's own axes as they turn (intrinsic,
    the first rotation is the leftmost factor), lower case about the laboratory's.
    """
    first, second, third = (
        rotation_about(_BASIS[axis.lower()], deg_to_rad(angle))
        for axis, angle in zip(axes, degrees, strict=True)
    )
    if axes.isupper():
        return matmul3(first, second, third)
    return matmul3(third, second, first)


def nearest_rotation(matrix: Float64Array) -> Float64Array:
    """Return the rotation nearest to a matrix that is one but for rounding."""
    far = float(np.abs(matmul3(transposed(matrix), matrix) - np.eye(3)).max())
    if not far <= _ORTHONORMAL:
        raise InputError(
            f"is not a rotation: UᵀU differs from the identity by {far:.2g}",
            field="crystal.u_matrix",
            remedy="give U, not UB; nine numbers, rows first",
        )
    if determinant3(matrix) < 0:
        raise InputError("is a reflection, not a rotation", field="crystal.u_matrix")
    return orthogonal_part(matrix)


def kappa_setting(spec: KappaSpec, omega: Vector, beam: Vector) -> tuple[Float64Array, Vector]:
    """Return what the axes at rest do to the crystal, and the axis that turns.

    With the crystal on φ, φ on κ, κ on ω, the whole rotation is R_ω R_κ R_φ. Where ω turns,
    the crystal is set by R_κ R_φ; where φ turns, it is set by R_ω R_κ, and φ's axis with it.

    `omega`: unit vector; axis of ω. `beam`: unit vector; where the spec gives no κ axis, that of
    ω is turned by alpha about the beam.
    """
    kappa_axis = _kappa_axis(spec, omega, beam)
    kappa = rotation_about(kappa_axis, deg_to_rad(spec.kappa_deg))
    phi_axis = omega if spec.phi_axis is None else unit(spec.phi_axis)
    if spec.scan == "omega":
        return matmul3(kappa, rotation_about(phi_axis, deg_to_rad(spec.fixed_deg))), omega
    setting = matmul3(rotation_about(omega, deg_to_rad(spec.fixed_deg)), kappa)
    return setting, components(apply3(setting, phi_axis))


def _kappa_axis(spec: KappaSpec, omega: Vector, beam: Vector) -> Vector:
    if spec.kappa_axis is not None:
        return unit(spec.kappa_axis)
    across = cross(omega, beam)
    if norm(across) < 1e-6 or abs(dot(omega, beam)) > 1.0 - 1e-9:
        raise InputError(
            "the omega axis lies along the beam: the kappa axis is not determined",
            field="goniometer.kappa.kappa_axis",
            remedy="give it",
        )
    return rotate_about(omega, beam, deg_to_rad(spec.alpha_deg))


def orientation_of(real: Float64Array) -> Float64Array:
    """Return the rotation from the standard setting of a cell to these rows a, b, c (Å)."""
    cell = cell_parameters(cell_of(real))
    standard = np.array(standard_reciprocal(cell, "exact"), dtype=np.float64).T
    return orthogonal_part(matmul3(inverse3(real), inverse3(standard)))
