"""Random and given rotations: mosaic domains, missets, quaternions."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from distbragg.models.arrays import Float64Array
from distbragg.models.ran1 import Ran1
from distbragg.models.vectors import Vector, rotate_xyz, rotation_about

NANOBRAGG_RANDOM_CAP: Final = 90.0
"""Cap that nanoBragg.c passes for a random orientation: meant as degrees, taken as radians."""

_THIRD: Final = float(np.float32(1.0 / 3.0))


def cap_rotation(cap: float, generator: Ran1) -> Float64Array:
    """Draw one rotation as nanoBragg.c draws a mosaic domain.

    The axis is uniform on the sphere; the angle is cap·(1 − r²)^(1/3) with r uniform on
    [−1, 1], computed in float32 as there (the power is rounded once from float64).

    Parameters
    ----------
    cap : float
        Largest angle, rad.
    generator : Ran1
        Gives three deviates.

    Returns
    -------
    (3, 3) float64
    """
    azimuth = 2.0 * generator.uniform() - 1.0
    height = 2.0 * generator.uniform() - 1.0
    radius = 2.0 * generator.uniform() - 1.0
    base = float(np.float32(1.0 - radius * radius))
    power = np.float32(math.pow(base, _THIRD))
    angle = float(np.float32(cap) * power)
    across = math.sqrt(1.0 - height * height)
    axis = (across * math.sin(math.pi * azimuth), across * math.cos(math.pi * azimuth), height)
    return _axis_angle(axis, angle)


def _axis_angle(axis: Vector, angle: float) -> Float64Array:
    """Rotation matrix from axis and angle, with the products in the C program's order."""
    x, y, z = axis
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
    """Draw mosaic domains in sequence; the first draw is made and replaced by the identity.

    Returns
    -------
    (count, 3, 3) float64
    """
    rotations = np.empty((count, 3, 3), dtype=np.float64)
    for index in range(count):
        rotations[index] = cap_rotation(spread, generator)
    rotations[0] = np.eye(3)
    return rotations


def gaussian_domains(spread: float, count: int, seed: int) -> Float64Array:
    """Draw domains whose rotation vector is normal with standard deviation `spread` per axis.

    The first domain is aligned.

    Returns
    -------
    (count, 3, 3) float64
    """
    rotations = np.empty((count, 3, 3), dtype=np.float64)
    rotations[0] = np.eye(3)
    draws = np.random.default_rng(seed).standard_normal((count, 3))
    for index in range(1, count):
        x, y, z = (spread * float(part) for part in draws[index])
        angle = math.sqrt(x * x + y * y + z * z)
        if angle > 0.0:
            rotations[index] = rotation_about((x / angle, y / angle, z / angle), angle)
        else:
            rotations[index] = np.eye(3)
    return rotations


def random_misset(seed: int, generator: Ran1) -> Vector:
    """Draw the missets (rad) that nanoBragg.c takes for `-misset random` from a seed."""
    generator.reseed(-seed)
    return misset_angles(cap_rotation(NANOBRAGG_RANDOM_CAP, generator))


def misset_angles(rotation: Float64Array) -> Vector:
    """Return the rotations about x, y, z in turn (rad) that make up a rotation matrix."""
    (_, _, _), (r10, _, _), (r20, r21, r22) = rotation.tolist()
    r00, r01 = float(rotation[0, 0]), float(rotation[0, 1])
    if r20 * r20 < 1.0:
        about_y = math.atan2(-r20, math.sqrt(r21 * r21 + r22 * r22))
        return math.atan2(r21, r22), about_y, math.atan2(r10, r00)
    return math.pi, math.pi / 2.0, math.atan2(r01, -float(rotation[1, 1]))


def misset_matrix(angles: Vector) -> Float64Array:
    """Return the (3, 3) matrix that rotates about laboratory x, then y, then z (rad)."""
    columns = [
        rotate_xyz(basis, angles) for basis in ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    ]
    return np.array(columns, dtype=np.float64).T.copy()


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


def uniform_rotation(seed: int) -> Float64Array:
    """Draw one rotation uniform on SO(3) (Shoemake's three-deviate quaternion).

    Returns
    -------
    (3, 3) float64
    """
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
