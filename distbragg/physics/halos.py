"""The mean of a halo of diffuse scattering over mosaicity, divergence, wavelength and rotation.

What is random about a pixel displaces its scattering vector q in the frame of the domain that sees
it, in which the halos stand still. Turns move q on a sphere, a wavelength along itself, a direction
of the beam by k δ, a cell of its own by Σ z_k T_k q, a place within the pixel across the ray. To
first order the displacements add up to a normal one, of covariance

    N = [q]ₓ M [q]ₓᵀ + (σ_k/k)² q qᵀ + k² D + Σ_k (T_k q)(T_k q)ᵀ + the pixel's,

and of the mean −½ (tr M − M) q + ½ k tr(D) s₀, which is second order: a turn leaves q on its
sphere, and δ leaves s₀ a unit vector. Uniform distributions, of a rotation and of a place within a
pixel, are taken as normal ones as wide; a long rotation is cut into parts first (`lattices`).

The halo is a mixture of Gaussians, 1/(1 + x)² = ∫ t exp(−t (1 + x)) dt, whose means are Gaussians:
with x = |K Δ|², K = 2π γ W, and R = K N Kᵀ in the unit of K the mean of exp(−t x) is
|1 + 2 t R|^(−½) exp(−t yᵀ (1 + 2 t R)⁻¹ y), where y is the mean of K Δ. `EXPONENTIALS` stand for
the integral, as close everywhere as to a halo that is not spread: a mean of small errors is small.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from distbragg.physics.amplitude import AmplitudeTable, nearest_amplitude
from distbragg.physics.arrays import Array, Triple, dot, root
from distbragg.physics.closed_form import Incidence
from distbragg.physics.closed_rotation import Spindle
from distbragg.physics.diffuse import DiffuseTerms, Rows, moved, strength
from distbragg.physics.elementary import exp
from distbragg.physics.strain import Strain, rows_of
from distbragg.physics.symmetric import Symmetric, outer

EXPONENTIALS: Final = (
    (0.002117159189, 8.084065186e-06),
    (0.008691379556, 8.892210177e-05),
    (0.02644448386, 0.0007269296476),
    (0.07529180342, 0.005409023803),
    (0.2073571491, 0.03485132357),
    (0.5532451903, 0.1699316211),
    (1.431060333, 0.4586188434),
    (3.642323292, 0.3293278579),
)
"""Exponents t and weights w: Σ w exp(−t x) is 1/(1 + x)² to 1.5e-3 of it up to x = 1, to 3e-3 up
to 10, and to 1e-2 up to 1000. Found by least squares, weighted until the greatest errors were
alike."""

_UNIT: Final = Symmetric((1.0, 0.0, 0.0, 1.0, 0.0, 1.0))


@dataclass(frozen=True, slots=True)
class Spread:
    """How the domains of a crystal differ from its mean, in the middle of a part of the rotation.

    Attributes
    ----------
    turns : Symmetric, rad²
        M, of the domains' rotation vectors and of the rotation about the spindle.
    strains : matrices
        T_k of a spread of cells (`strain`).
    """

    turns: Symmetric
    strains: tuple[Strain, ...] = ()

    @classmethod
    def of(cls, mosaic: Symmetric, spindle: Spindle, strains: Array) -> Spread:
        """Return that of a mosaic spread, a uniform rotation and a spread of cells, (k, 3, 3)."""
        turned = outer(_times(spindle.axis, (spindle.stop - spindle.start) / 12.0**0.5))
        return cls(mosaic + turned, rows_of(strains))


def displaced(spread: Spread, incidence: Incidence, q: Triple) -> tuple[Triple, Symmetric]:
    """Return mean and covariance of the displacement of scattering vectors, without the pixel's.

    Parameters
    ----------
    spread : Spread
    incidence : Incidence
        Of the source.
    q : three (...) float64, 1/Å

    Returns
    -------
    three (...) float64, 1/Å, and Symmetric, 1/Å²
    """
    k, turns = incidence.wavenumber, spread.turns
    x, y, z = q
    zero = 0.0 * x
    rows = (zero, -z, y), (z, zero, -x), (-y, x, zero)
    covariance = turns.within(rows) + outer(_times(q, incidence.width / k))
    covariance = covariance + outer(_times(incidence.spread[0], k))
    covariance = covariance + outer(_times(incidence.spread[1], k))
    for one, two, three in spread.strains:
        covariance = covariance + outer((dot(one, q), dot(two, q), dot(three, q)))
    lost = 0.5 * k * sum(dot(one, one) for one in incidence.spread)
    trace = turns.trace()
    one, two, three = (
        0.5 * (image - trace * part) + lost * along
        for image, part, along in zip(turns.times(q), q, incidence.direction, strict=True)
    )
    return (one, two, three), covariance


def within_pixel(ways: tuple[Triple, Triple], ray: Triple, width: Array) -> Symmetric:
    """Return the covariance of q over the area of a pixel, 1/Å².

    `ways` are those of fast and slow along the surface, `ray` the unit vectors to its middle, and
    `width` is k times a sub-pixel's edge over the distance, 1/Å.
    """
    total = None
    for way in ways:
        along = dot(way, ray)
        x, y, z = (part - along * d for part, d in zip(way, ray, strict=True))
        square = outer(_times((x, y, z), width / 12.0**0.5))
        total = square if total is None else total + square
    assert total is not None
    return total


def _times(vector: Triple, number: Array) -> Triple:
    return vector[0] * number, vector[1] * number, vector[2] * number


def mean_intensity(
    terms: DiffuseTerms,
    table: AmplitudeTable,
    offsets: Triple,
    nearest: Triple,
    covariance: Symmetric,
) -> Array:
    """Return `diffuse_intensity` where h, k and l are spread, electrons².

    Parameters
    ----------
    terms : DiffuseTerms
    table : AmplitudeTable
    offsets, nearest : three (...) float64
        Of the means of h, k, l.
    covariance : Symmetric
        Of h, k, l.
    """
    shapes = [_shapes(rows, covariance) for rows in terms.correlation]
    total: Array = 0.0
    for step in terms.stencil:
        place, away = moved(nearest, step, 1.0), moved(offsets, step, -1.0)
        amplitude = nearest_amplitude(table, place)
        halos: Array = 0.0
        for rows, own, shape in zip(terms.correlation, terms.displacement, shapes, strict=True):
            y = dot(rows[0], away), dot(rows[1], away), dot(rows[2], away)
            halo = sum(height * exp(-form.between(y, y)) for height, form in shape)
            halos = halos + strength(own, place) * halo
        total = total + amplitude * amplitude * halos
    return total * terms.height


def _shapes(rows: Rows, covariance: Symmetric) -> list[tuple[Array, Symmetric]]:
    """Return height and form of the Gaussians of a halo, in the unit of K."""
    own = covariance.within(rows)
    found = []
    for exponent, weight in EXPONENTIALS:
        wide = _UNIT + _scaled(own, 2.0 * exponent)
        found.append((weight / root(wide.determinant()), _scaled(wide.inverse(), exponent)))
    return found


def _scaled(matrix: Symmetric, number: float) -> Symmetric:
    xx, xy, xz, yy, yz, zz = (part * number for part in matrix.parts)
    return Symmetric((xx, xy, xz, yy, yz, zz))
