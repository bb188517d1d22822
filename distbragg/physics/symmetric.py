"""Symmetric 3 × 3 matrices by their components, which may be arrays of numpy or of torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from distbragg.physics.arrays import Array, Triple, dot

_PLACE: Final = ((0, 1, 2), (1, 3, 4), (2, 4, 5))


@dataclass(frozen=True, slots=True)
class Symmetric:
    """A symmetric matrix, or an array of them.

    Attributes
    ----------
    parts : six (...) float64
        Components 00, 01, 02, 11, 12, 22; they broadcast against each other.
    """

    parts: tuple[Array, Array, Array, Array, Array, Array]

    def __getitem__(self, place: tuple[int, int]) -> Array:
        return self.parts[_PLACE[place[0]][place[1]]]

    def row(self, index: int) -> Triple:
        """Return a row, which is a column as well."""
        return self[index, 0], self[index, 1], self[index, 2]

    def __add__(self, other: Symmetric) -> Symmetric:
        first, second = self.parts, other.parts
        return Symmetric(
            (
                first[0] + second[0],
                first[1] + second[1],
                first[2] + second[2],
                first[3] + second[3],
                first[4] + second[4],
                first[5] + second[5],
            )
        )

    def scaled(self, along: Array, across: Array) -> Symmetric:
        """Return S·matrix·S with S = diag(along, across, across)."""
        xx, xy, xz, yy, yz, zz = self.parts
        cross, square = along * across, across * across
        return Symmetric(
            (xx * (along * along), xy * cross, xz * cross, yy * square, yz * square, zz * square)
        )

    def times(self, vector: Triple) -> Triple:
        """Return matrix · vector."""
        xx, xy, xz, yy, yz, zz = self.parts
        return dot((xx, xy, xz), vector), dot((xy, yy, yz), vector), dot((xz, yz, zz), vector)

    def between(self, first: Triple, second: Triple) -> Array:
        """Return firstᵀ · matrix · second."""
        return dot(first, self.times(second))

    def trace(self) -> Array:
        """Return the trace."""
        return self.parts[0] + self.parts[3] + self.parts[5]

    def trace_with(self, other: Symmetric) -> Array:
        """Return the trace of the product of two matrices."""
        a, b = self.parts, other.parts
        diagonal = a[0] * b[0] + a[3] * b[3] + a[5] * b[5]
        return diagonal + (a[1] * b[1] + a[2] * b[2] + a[4] * b[4]) * 2.0

    def determinant(self) -> Array:
        """Return the determinant."""
        xx, xy, xz, yy, yz, zz = self.parts
        return xx * (yy * zz - yz * yz) - xy * (xy * zz - yz * xz) + xz * (xy * yz - yy * xz)

    def inverse(self) -> Symmetric:
        """Return the inverse of a positive definite matrix."""
        xx, xy, xz, yy, yz, zz = self.parts
        over = 1.0 / self.determinant()
        return Symmetric(
            (
                (yy * zz - yz * yz) * over,
                (xz * yz - xy * zz) * over,
                (xy * yz - xz * yy) * over,
                (xx * zz - xz * xz) * over,
                (xy * xz - xx * yz) * over,
                (xx * yy - xy * xy) * over,
            )
        )

    def within(self, frame: tuple[Triple, Triple, Triple]) -> Symmetric:
        """Return rows · matrix · rowsᵀ: the components in a frame, where it is of unit vectors."""
        images = [self.times(axis) for axis in frame]
        return Symmetric(
            (
                dot(frame[0], images[0]),
                dot(frame[0], images[1]),
                dot(frame[0], images[2]),
                dot(frame[1], images[1]),
                dot(frame[1], images[2]),
                dot(frame[2], images[2]),
            )
        )

    def turning(self, axis: int) -> Symmetric:
        """Return d(R matrix Rᵀ)/dω at ω = 0, for a rotation R about a coordinate axis by ω."""
        b, c = (axis + 1) % 3, (axis + 2) % 3
        changed = {
            frozenset((axis,)): 0.0 * self[axis, axis],
            frozenset((axis, b)): -self[axis, c],
            frozenset((axis, c)): self[axis, b],
            frozenset((b,)): self[b, c] * -2.0,
            frozenset((b, c)): self[b, b] - self[c, c],
            frozenset((c,)): self[b, c] * 2.0,
        }
        xx, xy, xz, yy, yz, zz = (
            changed[frozenset(place)] for place in ((0,), (0, 1), (0, 2), (1,), (1, 2), (2,))
        )
        return Symmetric((xx, xy, xz, yy, yz, zz))


def outer(vector: Triple) -> Symmetric:
    """Return vector · vectorᵀ."""
    x, y, z = vector
    return Symmetric((x * x, x * y, x * z, y * y, y * z, z * z))
