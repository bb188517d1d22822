"""Rotations of geometry files."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from distbragg.matrices import matmul3
from distbragg.read.geometry.model import Triple


def rotation_matrix(axis: Triple, degrees: float) -> NDArray[np.float64]:
    """Return the right-handed rotation about a unit vector (Rodrigues' formula), (3, 3) float64."""
    x, y, z = axis
    angle = math.radians(degrees)
    skew = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    turned = np.eye(3) + math.sin(angle) * skew + (1.0 - math.cos(angle)) * matmul3(skew, skew)
    return np.asarray(turned, dtype=np.float64)
