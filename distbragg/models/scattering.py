"""How |F|² follows the energy of the beam and the disorder of a crystal.

Of anomalous scatterers it is a short sum of tables times functions of the energy.

F(h, E) = F₀(h) + Σ_a (f′_a(E) + i f″_a(E)) G_a(h), where F₀ has no f′ and f″ of these atoms and G_a
is the structure factor that the atoms a would have if each scattered one electron. Hence

    |F|² = |F₀|² + Σ_a [f′_a 2 Re(F₀* G_a) − f″_a 2 Im(F₀* G_a) + (f′_a² + f″_a²) |G_a|²]
         + Σ_a<b [(f′_a f′_b + f″_a f″_b) 2 Re(G_a G_b*) − (f″_a f′_b − f′_a f″_b) 2 Im(G_a G_b*)]

`tables` are the functions of h k l in this order, `coefficients` those of the energy.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = Any
"""A float64 numpy array or torch tensor."""


def tables(normal: NDArray[np.complex128], parts: NDArray[np.complex128]) -> NDArray[np.float64]:
    """Return B, (terms, n), electrons², of F₀ (n,) and of G (elements, n)."""
    found = [np.abs(normal) ** 2]
    for part in parts:
        product = np.conj(normal) * part
        found += [2.0 * product.real, -2.0 * product.imag, np.abs(part) ** 2]
    for one, other in combinations(parts, 2):
        product = one * np.conj(other)
        found += [2.0 * product.real, -2.0 * product.imag]
    return np.stack(found)


def coefficients(real: Array, imaginary: Array) -> list[Array]:
    """Return c, (energies,) of each term, of f′ and f″, (elements, energies), electrons."""
    found = [real[0] * 0.0 + 1.0]
    for first, second in zip(real, imaginary, strict=True):
        found += [first, second, first * first + second * second]
    for a, b in combinations(range(len(real)), 2):
        found += [
            real[a] * real[b] + imaginary[a] * imaginary[b],
            imaginary[a] * real[b] - real[a] * imaginary[b],
        ]
    return found


def stol_squared(indices: tuple[Array, Array, Array], reciprocal: Array) -> Array:
    """Return (sin θ/λ)² of lattice points, 1/Å²; rows of `reciprocal` (3, 3) are a*, b*, c*."""
    h, k, l = indices  # noqa: E741 - Miller indices
    parts = [h * reciprocal[0][i] + k * reciprocal[1][i] + l * reciprocal[2][i] for i in range(3)]
    return (parts[0] * parts[0] + parts[1] * parts[1] + parts[2] * parts[2]) * 0.25


def attenuation(delta_b: Array, of_stol_squared: Array) -> Array:
    """Return the logarithm of what |F| falls by where B grows by ΔB, Å²: −ΔB (sin θ/λ)²."""
    return -delta_b * of_stol_squared
