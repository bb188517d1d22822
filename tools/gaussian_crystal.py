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
    sums = np.array([_mean(scene, ray, drawn, wider) for ray in rays])
    # The same points weighted as for the linearised problem, whose mean is known to be 1.
    known = wider**count * np.exp(-0.5 * (wider**2 - 1.0) * _products(drawn, drawn))
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


def _mean(scene: Scene, ray: Floats, drawn: Floats, wider: float) -> float:
    count = drawn.shape[1]
    prior = np.eye(count)
    prior[:3, :3] = scene.mosaic
    prior[3:5, 3:5] = np.diag(scene.divergence**2)
    prior += 1e-18 * np.eye(count)
    mean, covariance = _posterior(scene, ray, prior)
    lower = np.linalg.cholesky(covariance * wider**2 + 1e-22 * np.eye(count))
    points = mean + drawn @ lower.T
    log_prior = -0.5 * _products(points @ np.linalg.inv(prior), points)
    log_prior -= 0.5 * np.linalg.slogdet(prior)[1]
    log_drawn = -0.5 * _products(drawn, drawn) - np.log(np.diag(lower)).sum()
    values = _log_intensity(scene, ray, points) + log_prior - log_drawn
    return float(np.exp(values).mean())


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


def _posterior(scene: Scene, ray: Floats, prior: Floats) -> tuple[Floats, Floats]:
    """Return where points count: mean and covariance of the linearised problem."""
    mean, covariance = np.zeros(len(prior)), prior
    for _ in range(4):
        turn = Rotation.from_rotvec(mean[:3]).as_matrix()
        place = turn @ scene.place
        u = ray - _unit(scene.beam + scene.across @ mean[3:5])
        moved = [turn @ strain @ turn.T @ (-scene.wavenumber * u) for strain in scene.strains]
        u = u + np.tensordot(mean[5:], np.reshape(moved, (-1, 3)), 1) / scene.wavenumber
        jacobian = np.concatenate(
            [_cross(place), -scene.wavenumber * scene.across, np.reshape(moved, (-1, 3)).T], axis=1
        )
        width = turn @ scene.crystal @ turn.T + scene.width**2 * np.outer(u, u)
        gain = prior @ jacobian.T @ np.linalg.inv(jacobian @ prior @ jacobian.T + width)
        mean = -gain @ (scene.wavenumber * u - place - jacobian @ mean)
        covariance = prior - gain @ jacobian @ prior
    return mean, 0.5 * (covariance + covariance.T)


def _products(first: Floats, second: Floats) -> Floats:
    """Return the scalar products of rows."""
    return np.asarray(np.einsum("ij,ij->i", first, second))


def _cross(vector: Floats) -> Floats:
    x, y, z = vector
    return np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])


def _unit(vector: Floats) -> Floats:
    return vector / np.linalg.norm(vector)
