"""Reflections of Gaussian crystals of every size, and how far the closed form is from their mean.

What it is compared with are the quasi-random sums of `tools.gaussian_crystal`. The tests of physics
and the table of docs/explanation/closed-form.md share these cases.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from scipy.spatial.transform import Rotation

from distbragg.physics.arrays import Triple
from distbragg.physics.closed_form import Incidence, Relps, mean_transform
from distbragg.physics.closed_rotation import Spindle, mean_over_rotation
from distbragg.physics.near_sphere import GaussianCrystal
from distbragg.physics.strain import edge_changes, rows_of, strains_of
from distbragg.physics.symmetric import Symmetric
from tools.gaussian_crystal import WIDER, Floats, Scene, Turn, mean_by_sampling
from tools.gaussian_crystal import mean_over_rotation as rotated_by_sampling

DEGREE: Final = math.pi / 180.0
UPPER: Final = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
EDGE: Final = 5
"""Pixels of a patch about a spot."""

STEPS: Final = 10
"""Gauss-Legendre steps of a rotation in the table: twice as many change nothing."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table: widths, which are standard deviations, and the bars of SAM-13.

    The sums have 2 to the power of `log2_points` points for each pixel, and each step of a
    rotation.
    """

    spread_deg: float
    bandwidth: float = 0.0
    divergence: float = 0.0  # rad
    rotation_deg: float = 0.0
    reflections: int = 96
    log2_points: int = 13
    wider: float = WIDER  # than the posterior the points are drawn
    bars: tuple[float, float] = (3e-3, 1e-3)
    cells: float = 0.0  # standard deviation of a, b, c, of themselves, and of the angles in rad
    plates: bool = False  # blocks of 400 to 20,000 Å, each axis by itself

    @property
    def name(self) -> str:
        """How the table calls it."""
        parts = [f"spread {self.spread_deg:g}°"]
        if self.bandwidth:
            parts.append(f"bandwidth {100.0 * self.bandwidth:g} %")
        if self.divergence:
            parts.append(f"divergence {1e3 * self.divergence:g} mrad")
        if self.cells:
            parts.append(f"cells {100.0 * self.cells:g} %")
        if self.rotation_deg:
            parts.append(f"rotation {self.rotation_deg:g}°")
        if self.plates:
            parts.append("plates")
        return ", ".join(parts)

    def scene(self, seed: int) -> Scene:
        """Return one of its reflections."""
        return scene_of(
            seed,
            spread=self.spread_deg,
            bandwidth=self.bandwidth,
            divergence=self.divergence,
            cells=self.cells,
            plates=self.plates,
        )


ROWS: Final = (
    Row(0.5),
    Row(0.05, bandwidth=0.01),
    Row(0.05, divergence=1e-3),
    Row(0.5, 0.01, 1e-3),
    Row(0.1, cells=0.01, reflections=24),
    Row(0.5, 0.005, 5e-4, cells=0.01, reflections=12, log2_points=15),
    Row(0.3, 0.005, 7e-4, rotation_deg=1.0, reflections=48, log2_points=12),
    Row(0.3, 0.002, 2e-4, reflections=48, log2_points=14, wider=2.0, plates=True),
    Row(1.5, 0.01, 1e-3, reflections=24, log2_points=17, wider=2.0, bars=(1.5e-2, 3e-3)),
)


@dataclass(frozen=True, slots=True)
class Error:
    """How far an image of one spot is off: of its maximum, and of its photons."""

    of_maximum: float
    of_photons: float

    @classmethod
    def of(cls, seen: Floats, expected: Floats) -> Error:
        """Compare two images of a spot."""
        worst = float(np.abs(seen - expected).max() / expected.max())
        return cls(worst, abs(float(seen.sum() / expected.sum()) - 1.0))

    def within(self, bars: tuple[float, float]) -> bool:
        """Whether neither is more than its bar."""
        return self.of_maximum <= bars[0] and self.of_photons <= bars[1]


def error_of(row: Row, seed: int) -> Error:
    """Compare the closed form of one reflection with the quasi-random sum."""
    scene = row.scene(seed)
    rays = patch(scene)
    if not row.rotation_deg:
        expected = mean_by_sampling(scene, rays, log2_points=row.log2_points, wider=row.wider)
        return Error.of(closed(scene, rays), expected)
    turn = turn_of(seed, row.rotation_deg)
    expected = rotated_by_sampling(scene, rays, turn, steps=STEPS, log2_points=row.log2_points)
    return Error.of(rotated(scene, rays, turn), expected)


def closed(scene: Scene, rays: Floats) -> Floats:
    """Return the closed form at rays (n, 3)."""
    seen: Floats = np.asarray(mean_transform(*arguments(scene, rays)))
    return seen


def rotated(scene: Scene, rays: Floats, turn: Turn) -> Floats:
    """Return the closed form of a rotation at rays (n, 3)."""
    axis, start, stop = turn
    # Only the rotation and the strains decide about its parts.
    own = Spindle(triple(axis), start, stop)
    none = np.zeros((3, 3))
    count = GaussianCrystal(none, none, none, own, scene.strains).part_count
    ends = np.linspace(start, stop, count + 1)
    given = arguments(scene, rays)
    parts = [
        np.asarray(mean_over_rotation(*given, Spindle(own.axis, *pair))) for pair in pairwise(ends)
    ]
    return np.asarray(np.mean(parts, axis=0))


def arguments(scene: Scene, rays: Floats) -> tuple[Relps, Incidence, Triple]:
    """Return a scene as the closed form takes it."""
    crystal, mosaic = symmetric(scene.crystal), symmetric(scene.mosaic)
    relps = Relps(triple(scene.place), crystal, mosaic, rows_of(scene.strains))
    one, two = (triple(column) for column in (scene.across * scene.divergence).T)
    incidence = Incidence(triple(scene.beam), (one, two), scene.wavenumber, scene.width)
    return relps, incidence, triple(rays)


def symmetric(matrix: Floats) -> Symmetric:
    """Return a symmetric matrix by its components; those of a tensor stay tensors."""
    xx, xy, xz, yy, yz, zz = (matrix[place] for place in UPPER)
    return Symmetric((xx, xy, xz, yy, yz, zz))


def triple(vector: Floats) -> Triple:
    """Return vectors (..., 3) by their components."""
    return vector[..., 0], vector[..., 1], vector[..., 2]


def scene_of(
    seed: int,
    *,
    spread: float,
    bandwidth: float,
    divergence: float,
    cells: float = 0.0,
    plates: bool = False,
) -> Scene:
    """Make a reflection between 1.2 and 20 Å of a cell of 30 to 300 Å, near the Ewald sphere.

    The spread, in degrees, is isotropic where the seed is even. `cells` is the spread of a, b and
    c, of themselves, and a third of it that of each angle, rad. Blocks have 3 to 60 cells along
    each axis, 300 to 3,000 Å where that allows, `plates` 400 to 20,000 Å.
    """
    rng = np.random.default_rng(seed)
    spacing = np.exp(rng.uniform(np.log(1.2), np.log(20.0)))
    edges = np.exp(rng.uniform(np.log(30.0), np.log(300.0), 3))
    counts = np.clip(rng.uniform(300.0, 3000.0, 3) / edges, 3.0, 60.0)
    beam, across = np.array([1.0, 0.0, 0.0]), np.eye(3)[:, 1:]
    opening, azimuth = 2.0 * np.arcsin(0.5 / spacing), rng.uniform(0.0, 2.0 * np.pi)
    ray = np.array([0.0, np.cos(azimuth), np.sin(azimuth)]) * np.sin(opening)
    ray[0] = np.cos(opening)
    turn = Rotation.random(random_state=seed).as_matrix()
    # exp(−2π Σ (δN)²) in index space is a covariance of 1/(4π N²).
    sizes = np.exp(rng.uniform(np.log(400.0), np.log(20_000.0), 3)) if plates else edges * counts
    crystal = turn @ np.diag(1.0 / (4.0 * np.pi * sizes**2)) @ turn.T
    axes = Rotation.random(random_state=seed + 1).as_matrix()
    widths = np.array([1.0, 1.0, 1.0] if seed % 2 == 0 else [1.0, 0.5, 0.25]) * spread * DEGREE
    mosaic = axes @ np.diag(widths**2) @ axes.T
    place = ray - beam
    strains = _strains(turn, edges, cells)
    image = np.cross(np.eye(3), place)
    total = crystal + image @ mosaic @ image.T + divergence**2 * across @ across.T
    total += bandwidth**2 * np.outer(place, place)
    total += (strains @ place).T @ (strains @ place)
    place = place + 0.7 * np.linalg.cholesky(total) @ rng.normal(size=3)
    width = np.array([divergence, 0.6 * divergence])
    return Scene(place, crystal, mosaic, beam, across, width, 1.0, bandwidth, strains)


def _strains(turn: Floats, edges: Floats, cells: float) -> Floats:
    """Return T_k of an orthogonal cell with edges along the columns of `turn`, (k, 3, 3)."""
    if not cells:
        return np.zeros((0, 3, 3))
    real = edges[:, None] * turn.T
    roots = np.diag([*(cells * edges), *([cells / 3.0] * 3)])
    changes = edge_changes(real, roots)
    return np.asarray(strains_of(np.linalg.inv(real).T, changes))


def turn_of(seed: int, degrees: float) -> Turn:
    """Return a spindle across the beam, and from where to where it turns, rad."""
    rng = np.random.default_rng(seed)
    axis = np.array([0.1, 0.1, 1.0]) * rng.normal(1.0, 0.1, 3)
    start = rng.uniform(-1.1, 0.1) * degrees * DEGREE
    return axis / np.linalg.norm(axis), start, start + degrees * DEGREE


def patch(scene: Scene) -> Floats:
    """Return rays to a grid of pixels that holds the spot to some three standard deviations."""
    centre = scene.place + scene.beam * scene.wavenumber
    half = 0.1
    for _ in range(8):
        centre = centre / np.linalg.norm(centre)
        rays, steps = grid(centre, half, 61)
        seen = closed(scene, rays)
        weight = seen / seen.sum()
        away = steps - weight @ steps
        centre = weight @ rays
        half = 3.0 * float(np.sqrt((weight @ away**2).max()))
    return grid(centre / np.linalg.norm(centre), half, EDGE)[0]


def grid(centre: Floats, half: float, count: int) -> tuple[Floats, Floats]:
    """Return rays on a square about one, and their places on it, (count², 3) and (count², 2)."""
    one = np.cross(centre, [0.3, 0.5, 0.81])
    one /= np.linalg.norm(one)
    two = np.cross(centre, one)
    places = np.linspace(-half, half, count)
    steps = np.stack(np.meshgrid(places, places), axis=-1).reshape(-1, 2)
    rays = centre + steps @ np.stack([one, two])
    return rays / np.linalg.norm(rays, axis=1)[:, None], steps
