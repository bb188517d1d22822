"""Orientations beyond missets: Euler angles, orientation matrices, and a kappa goniometer."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from distbragg.errors import InputError
from distbragg.matrices import apply3, determinant3, matmul3, orthogonal_part, transposed
from distbragg.models.arrays import Float64Array
from distbragg.models.rotations import quaternion_matrix
from distbragg.models.vectors import Vector, cross, dot, norm, rotate_about, rotation_about, unit
from distbragg.spec.crystal import CrystalSpec
from distbragg.spec.sampling import KappaSpec
from distbragg.units import deg_to_rad

_ORTHONORMAL: Final = 1e-3
"""Largest departure of UᵀU from the identity that rounded tables are forgiven."""

_BASIS: Final[dict[str, Vector]] = {
    "x": (1.0, 0.0, 0.0),
    "y": (0.0, 1.0, 0.0),
    "z": (0.0, 0.0, 1.0),
}


def given_orientation(spec: CrystalSpec) -> Float64Array | None:
    """Return the rotation of a quaternion, Euler angles or a matrix, (3, 3); None of neither.

    Raises
    ------
    InputError
        It is no rotation.
    """
    if spec.quaternion_xyzw is not None:
        if not 0.0 < math.hypot(*spec.quaternion_xyzw) < math.inf:
            raise InputError("a quaternion of length zero", field="crystal.quaternion_xyzw")
        return quaternion_matrix(*spec.quaternion_xyzw)
    if spec.euler_deg is not None:
        return euler_matrix(spec.euler_axes, spec.euler_deg)
    if spec.u_matrix is not None:
        return nearest_rotation(np.array(spec.u_matrix, dtype=np.float64).reshape(3, 3))
    return None


def euler_matrix(axes: str, degrees: Vector) -> Float64Array:
    """Return the rotation of three Euler angles.

    Parameters
    ----------
    axes : str
        As scipy names them: upper case about the crystal's own axes as they turn (intrinsic,
        the first rotation is the leftmost factor), lower case about the laboratory's.
    degrees : three floats
    """
    first, second, third = (
        rotation_about(_BASIS[axis.lower()], deg_to_rad(angle))
        for axis, angle in zip(axes, degrees, strict=True)
    )
    if axes.isupper():
        return matmul3(first, second, third)
    return matmul3(third, second, first)


def nearest_rotation(matrix: Float64Array) -> Float64Array:
    """Return the rotation nearest to a matrix that is one but for rounding.

    Raises
    ------
    InputError
        It is a reflection, or far from any rotation.
    """
    far = float(np.abs(matmul3(transposed(matrix), matrix) - np.eye(3)).max())
    if not far <= _ORTHONORMAL:
        raise InputError(
            f"is no rotation: UᵀU differs from the identity by {far:.2g}",
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

    Parameters
    ----------
    spec : KappaSpec
    omega : unit vector
        Axis of ω.
    beam : unit vector
        Where the spec gives no κ axis, that of ω is turned by alpha about the beam.

    Raises
    ------
    InputError
        The ω axis lies along the beam and no κ axis is given.
    """
    kappa_axis = _kappa_axis(spec, omega, beam)
    kappa = rotation_about(kappa_axis, deg_to_rad(spec.kappa_deg))
    phi_axis = omega if spec.phi_axis is None else unit(spec.phi_axis)
    if spec.scan == "omega":
        return matmul3(kappa, rotation_about(phi_axis, deg_to_rad(spec.fixed_deg))), omega
    setting = matmul3(rotation_about(omega, deg_to_rad(spec.fixed_deg)), kappa)
    x, y, z = apply3(setting, phi_axis).tolist()
    return setting, (x, y, z)


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
