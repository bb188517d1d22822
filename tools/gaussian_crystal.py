"""What a Gaussian crystal scatters, by quasi-random sums: plain numpy, nothing of distbragg.

Every random quantity is drawn: rotation vectors of the domains, and directions of the beam. The
wavelength alone is integrated exactly: for one orientation and one direction the intensity is a
Gaussian in k. Points are drawn where they count (about the posterior, by Gauss-Newton), and each is
weighted by the ratio of the two densities, so that the sum is right whatever that choice was.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from scipy.stats import norm, qmc

Floats = NDArray[np.float64]
Turn = tuple[Floats, float, float]
"""A uniform rotation: its axis, and from where to where, rad."""

WIDER = 1.25
"""Points are drawn from a normal distribution so much wider than the posterior."""


@dataclass(frozen=True)
class Scene:
    """One reflection, one beam; lengths in 1/Å, angles in rad, covariances squared."""

    place: Floats  # g
    crystal: Floats  # C
    mosaic: Floats  # M
    beam: Floats  # s₀
    across: Floats  # (3, 2): main axes of the divergence, unit vectors across s₀
    divergence: Floats  # (2,): standard deviations along them
    wavenumber: float
    width: float = 0.0  # standard deviation of k
    strains: Floats = field(default_factory=lambda: np.zeros((0, 3, 3)))
    """T_k of a spread of cells: a domain sees (1 − Σ z T) q, z standard normal."""

    def turned(self, axis: Floats, angle: float) -> Scene:
        """Turn the crystal."""
        r = Rotation.from_rotvec(axis * angle).as_matrix()
        return Scene(
            r @ self.place,
            r @ self.crystal @ r.T,
            r @ self.mosaic @ r.T,
            self.beam,
            self.across,
            self.divergence,
            self.wavenumber,
            self.width,
            r @ self.strains @ r.T,
        )


def mean_by_sampling(
    scene: Scene, rays: Floats, *, log2_points: int = 12, wider: float = WIDER
) -> Floats:
    """Return the mean of exp(−½ Δᵀ C⁻¹ Δ) for each ray, (rays,)."""
    count = 5 + len(scene.strains)
    drawn = _drawn(count, log2_points)
    prior = np.eye(count)
    prior[:3, :3] = scene.mosaic
    prior[3:5, 3:5] = np.diag(scene.divergence**2)
    prior += 1e-18 * np.eye(count)
    means, covariances = _posteriors(scene, rays, prior)
    lower = np.linalg.cholesky(covariances * wider**2 + 1e-22 * np.eye(count))
    inverse, depth = np.linalg.inv(prior), np.linalg.slogdet(prior)[1]
    log_drawn = -0.5 * _products(drawn, drawn)
    sums = np.empty(len(rays))
    for number, (ray, mean, root) in enumerate(zip(rays, means, lower, strict=True)):
        points = mean + drawn @ root.T
        log_prior = -0.5 * (_products(points @ inverse, points) + depth)
        log_density = log_drawn - np.log(np.diag(root)).sum()
        values = _log_intensity(scene, ray, points) + log_prior - log_density
        sums[number] = np.exp(values).mean()
    # The same points weighted as for the linearised problem, whose mean is known to be 1.
    known = wider**count * np.exp((wider**2 - 1.0) * log_drawn)
    return np.asarray(sums / known.mean())


@cache
def _drawn(count: int, log2_points: int) -> Floats:
    uniform = qmc.Sobol(count, seed=1).random_base2(log2_points)
    return np.asarray(norm.ppf(np.clip(uniform, 1e-12, 1.0 - 1e-12)))


def mean_over_rotation(
    scene: Scene,
    rays: Floats,
    turn: Turn,
    *,
    steps: int = 16,
    log2_points: int = 12,
    wider: float = WIDER,
) -> Floats:
    """Return the mean over a uniform rotation of the crystal, by Gauss-Legendre steps."""
    axis, start, stop = turn
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    total = np.zeros(len(rays))
    for node, weight in zip(nodes, weights, strict=True):
        turned = scene.turned(axis, 0.5 * (start + stop) + 0.5 * (stop - start) * node)
        mean = mean_by_sampling(turned, rays, log2_points=log2_points, wider=wider)
        total += 0.5 * weight * mean
    return total


def _log_intensity(scene: Scene, ray: Floats, points: Floats) -> Floats:
    """Return the logarithm for domains and directions that are drawn; k is integrated."""
    beam = scene.beam + points[:, 3:5] @ scene.across.T
    u = ray - beam / np.sqrt(_products(beam, beam))[:, None]
    # As each domain sees it: g and C are the same for all of them there.
    u = Rotation.from_rotvec(-points[:, :3]).apply(u)
    if len(scene.strains):
        flat = scene.strains.reshape(-1, 3)
        strained = (u @ flat.T).reshape(len(u), -1, 3)
        u = u - (points[:, None, 5:] @ strained)[:, 0]
    stiff = np.linalg.inv(scene.crystal)
    along = u @ stiff
    # −½ (A k² − 2 B k + C)
    a = _products(along, u)
    b = along @ scene.place
    c = scene.place @ stiff @ scene.place
    k = scene.wavenumber
    if scene.width == 0.0:
        return np.asarray(-0.5 * (a * k * k - 2.0 * b * k + c))
    p = 1.0 / scene.width**2
    return np.asarray(-0.5 * (c + k * k * p - (b + k * p) ** 2 / (a + p) + np.log1p(a / p)))


def _posteriors(scene: Scene, rays: Floats, prior: Floats) -> tuple[Floats, Floats]:
    """Return where points count: mean and covariance of each ray's linearised problem."""
    k, count = scene.wavenumber, len(prior)
    mean, covariance = (
        np.zeros((len(rays), count)),
        np.broadcast_to(prior, (len(rays), count, count)),
    )
    for _ in range(4):
        turn = Rotation.from_rotvec(mean[:, :3]).as_matrix()
        back = turn.transpose(0, 2, 1)
        place = turn @ scene.place
        beam = scene.beam + mean[:, 3:5] @ scene.across.T
        u = rays - beam / np.sqrt(_products(beam, beam))[:, None]
        strains = turn[:, None] @ scene.strains @ back[:, None]
        moved = -k * np.einsum("rsij,rj->rsi", strains, u)
        u = u + np.einsum("rs,rsi->ri", mean[:, 5:], moved) / k
        across = np.broadcast_to(-k * scene.across, (len(rays), 3, 2))
        jacobian = np.concatenate([_crosses(place), across, moved.transpose(0, 2, 1)], axis=2)
        turned = jacobian.transpose(0, 2, 1)
        width = turn @ scene.crystal @ back + scene.width**2 * u[:, :, None] * u[:, None]
        gain = prior @ turned @ np.linalg.inv(jacobian @ prior @ turned + width)
        off = k * u - place - np.einsum("rij,rj->ri", jacobian, mean)
        mean = -np.einsum("rij,rj->ri", gain, off)
        covariance = prior - gain @ jacobian @ prior
    return mean, 0.5 * (covariance + covariance.transpose(0, 2, 1))


def _products(first: Floats, second: Floats) -> Floats:
    """Return the scalar products of rows."""
    return np.asarray(np.einsum("ij,ij->i", first, second))


def _crosses(vectors: Floats) -> Floats:
    """Return the matrices, (rows, 3, 3), whose products with a vector are the vector products."""
    return np.cross(vectors[:, None], np.eye(3)).transpose(0, 2, 1)
