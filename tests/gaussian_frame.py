"""Frames of a Gaussian crystal by quasi-random sums, from the records of a resolved experiment.

`tools.gaussian_crystal` has the sums and `tests.oracle` all other factors; nothing of distbragg is
imported.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from tests import oracle
from tools.gaussian_crystal import Scene, mean_by_sampling, mean_over_rotation


def scene_of(experiment, hkl, source: int = 0) -> Scene:
    """One reflection at phi = 0 in the light of one source."""
    crystal, beam = experiment.crystal, experiment.beam
    direction = -beam.sources.direction[source]
    k = 1.0 / float(beam.sources.wavelength[source])
    size = np.linalg.norm(beam.divergence, axis=1)
    assert size.all() or not size.any()
    one = np.cross(direction, np.eye(3)[np.argmin(np.abs(direction))])
    one /= np.linalg.norm(one)
    plain = np.stack([one, np.cross(direction, one)])
    across = beam.divergence / size[:, None] if size.any() else plain
    reciprocal = crystal.reciprocal
    return Scene(
        np.asarray(hkl) @ reciprocal,
        _covariance(crystal, reciprocal),
        np.asarray(crystal.mosaic_covariance),
        direction,
        across.T,
        size,
        k,
        beam.sources.bandwidth * k,
    )


def _covariance(crystal, reciprocal):
    """C, 1/Å²: the square of CRY-10 is exp(−π r²)."""
    if crystal.shape == "gauss_star":
        volume = float(np.prod(crystal.cells)) * abs(float(np.linalg.det(crystal.real_space)))
        return np.eye(3) / (2.0 * math.pi * volume ** (2.0 / 3.0))
    return reciprocal.T @ np.diag(1.0 / (2.0 * math.pi * crystal.cells**2)) @ reciprocal


def image(experiment, panel, reflections, *, points=(1, 1), log2_points=11, wider=1.25, steps=8):
    """Expected photons, (slow, fast), of some reflections of a panel.

    Where the area of a pixel is integrated, the mean over it is taken by so many points of Gauss
    and Legendre along slow and fast; all other factors are those of its middle (SAM-16).
    """
    view, beam, crystal = experiment.detector.panels[panel], experiment.beam, experiment.crystal
    slow, fast = (list(zip(*np.polynomial.legendre.leggauss(n), strict=True)) for n in points)
    factors = {"log2_points": log2_points, "wider": wider}
    total = np.zeros(view.shape)
    for layer, places, normals in oracle.samples(experiment, panel):
        solid = oracle.solid_angle(view, places, normals)
        solid = solid * oracle.capture(view, layer, places, normals)
        rays = places / np.linalg.norm(places, axis=-1)[..., None]
        for source in range(beam.sources.count):
            seen = np.zeros(view.shape)
            for (down, one), (across, two) in itertools.product(slow, fast):
                off = 0.5 * view.pixel_size * (down * view.slow + across * view.fast)
                moved = (places + off).reshape(-1, 3)
                moved /= np.linalg.norm(moved, axis=1)[:, None]
                share = 0.25 * one * two
                for hkl in reflections:
                    scene = scene_of(experiment, hkl, source)
                    mean = _mean(scene, moved, crystal, factors, steps)
                    seen += share * _height(experiment, hkl) * mean.reshape(view.shape)
            incident = -beam.sources.direction[source]
            lit = seen * solid * oracle.polarization(beam, incident, rays)
            total += beam.sources.weight[source] * lit
    scale = oracle.ELECTRON_RADIUS_SQUARED * beam.fluence / beam.sources.total_weight
    return np.where(view.active, scale * total / experiment.sampling.oversample**2, 0.0)


def _mean(scene, rays, crystal, factors, steps):
    start, stop = crystal.oscillation
    axis = np.asarray(crystal.spindle_axis)
    if stop > start:
        return mean_over_rotation(scene, rays, (axis, start, stop), steps=steps, **factors)
    return mean_by_sampling(scene.turned(axis, start), rays, **factors)


def _height(experiment, hkl) -> float:
    amplitude = oracle.amplitude(experiment.reflections, np.asarray(hkl, float))
    return float((amplitude * np.prod(experiment.crystal.cells)) ** 2)


def seen_at(experiment, hkl):
    """Where a reflection is seen to first order: its ray, two axes across, σ along them, rad.

    And how many standard deviations it lies from the Ewald sphere.
    """
    scene = scene_of(experiment, hkl)
    start, stop = experiment.crystal.oscillation
    axis = np.asarray(experiment.crystal.spindle_axis)
    scene = scene.turned(axis, 0.5 * (start + stop))
    speed = np.cross(axis, scene.place)
    k = scene.wavenumber
    ray = k * scene.beam + scene.place
    off = float(np.linalg.norm(ray)) - k
    ray /= np.linalg.norm(ray)
    image = np.cross(np.eye(3), scene.place)
    total = scene.crystal + image @ scene.mosaic @ image.T
    total += k**2 * (scene.across * scene.divergence**2) @ scene.across.T
    total += scene.width**2 * np.outer(ray - scene.beam, ray - scene.beam)
    total += (stop - start) ** 2 / 12.0 * np.outer(speed, speed)
    along = float(ray @ total @ ray)
    moved = scene.place - total @ ray * off / along + k * scene.beam
    centre = moved / np.linalg.norm(moved)
    rest = total - np.outer(total @ ray, total @ ray) / along
    flat = np.eye(3) - np.outer(centre, centre)
    sizes, axes = np.linalg.eigh(flat @ rest @ flat)
    return centre, axes[:, 1:].T, np.sqrt(np.maximum(sizes[1:], 0.0)) / k, off / math.sqrt(along)
