"""The image, computed a second time from `specs/` alone: plain numpy, slow, float64.

Written from the clauses, not from the package: it imports nothing of distbragg and reads only the
records of a resolved experiment. What several kernels get wrong together shows against it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

ELECTRON_RADIUS_SQUARED = 7.94079248018965e-30
"""r_e², m² (UNI)."""

ROUND_SCALE = 0.723601254558268
GAUSS_PROGRAM, TOPHAT_PROGRAM = 0.63, 0.3969
"""CRY-9 to CRY-11."""

TOPHAT_RADIUS_SQUARED = (3.0 / (4.0 * math.pi)) ** (2.0 / 3.0)


def turned(vectors, axis, angle):
    """Rotate vectors (..., 3) about a unit axis."""
    axis = np.asarray(axis, float)
    along = (vectors @ axis)[..., None] * axis
    across = vectors - along
    return along + across * np.cos(angle) + np.cross(axis, vectors) * np.sin(angle)


# Geometry: GEO-1, GEO-7, GEO-8, GEO-10.


def samples(experiment, panel) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield (layer, points (slow, fast, 3), unit local normals) in the order of the sums."""
    view, n = experiment.detector.panels[panel], experiment.sampling.oversample
    slow, fast = np.mgrid[: view.shape[0], : view.shape[1]].astype(float)
    for layer in range(view.sensor.position.shape[0]):
        depth = float(view.sensor.position[layer])
        for i, j in np.ndindex(n, n):
            along_fast = (fast * n + j + 0.5) * view.pixel_size / n
            along_slow = (slow * n + i + 0.5) * view.pixel_size / n
            flat = (
                view.origin + along_fast[..., None] * view.fast + along_slow[..., None] * view.slow
            )
            yield (layer, *_bent(experiment, view, flat, depth))


def _bent(experiment, view, flat, depth):
    """Points on the panel's surface, and its normal there, from points of its plane."""
    plane = np.broadcast_to(view.normal, flat.shape)
    if view.surface == "flat":
        return flat + depth * view.normal, plane
    if view.surface == "nanobragg":
        flat = flat + depth * view.normal
        start = np.broadcast_to(view.distance * experiment.beam.direction, flat.shape)
        points = np.empty_like(flat)
        for place in np.ndindex(flat.shape[:-1]):
            _, y, z = flat[place] / view.distance
            points[place] = turned(turned(start[place], view.slow, y), view.fast, z)
        return points, plane
    radius = view.close_distance
    u, v = ((flat @ view.fast) / radius)[..., None], ((flat @ view.slow) / radius)[..., None]
    if view.surface == "sphere":
        normal = np.sin(u) * view.fast + np.cos(u) * (
            np.cos(v) * view.normal + np.sin(v) * view.slow
        )
        return (radius + depth) * normal, normal
    if view.surface == "cylinder_slow":
        normal = np.cos(u) * view.normal + np.sin(u) * view.fast
        return (radius + depth) * normal + radius * v * view.slow, normal
    normal = np.cos(v) * view.normal + np.sin(v) * view.slow
    return (radius + depth) * normal + radius * u * view.fast, normal


def solid_angle(view, points, normals):
    """GEO-8."""
    distance = np.linalg.norm(points, axis=-1)
    if view.point_pixel:
        return 1.0 / distance**2
    if view.surface in ("flat", "nanobragg"):
        return view.pixel_size**2 / distance**2 * view.close_distance / distance
    return view.pixel_size**2 / distance**2 * (points * normals).sum(-1) / distance


def capture(view, layer, points, normals):
    """GEO-10."""
    sensor = view.sensor
    if not sensor.absorbs:
        return np.ones(points.shape[:-1])
    cosine = (points * normals).sum(-1) / np.linalg.norm(points, axis=-1)
    path = sensor.attenuation / cosine
    return np.exp(-sensor.front[layer] * path) - np.exp(-sensor.back[layer] * path)


# The crystal: CRY-7 to CRY-11, CRY-14, CRY-15.


def transform(crystal, physics, offset):
    """F_latt without its sign at offsets (..., 3) in index units from the nearest point."""
    height = float(np.prod(crystal.cells))
    if crystal.shape == "square":
        value = np.ones(offset.shape[:-1])
        for axis, count in enumerate(crystal.cells):
            below = np.sin(np.pi * offset[..., axis])
            ratio = np.where(
                below == 0.0,
                count,
                np.sin(np.pi * count * offset[..., axis]) / np.where(below == 0.0, 1.0, below),
            )
            value = value * (ratio if count > 1.0 else 1.0)
        return np.abs(value)
    by_cells = ((offset * crystal.cells) ** 2).sum(-1) * crystal.fudge
    if crystal.shape == "round":
        return height * ROUND_SCALE * np.abs(_ball(np.pi * np.sqrt(by_cells)))
    by_length = ((offset @ crystal.reciprocal) ** 2).sum(-1) * crystal.fudge
    if crystal.shape == "gauss_star":
        volume = float(np.linalg.det(crystal.real_space))
        return height * np.exp(-0.5 * np.pi * by_length * (height * volume) ** (2.0 / 3.0))
    if physics == "nanobragg":
        by_product = by_length * height**2
        if crystal.shape == "gauss":
            return height * np.exp(-by_product / GAUSS_PROGRAM)
        return np.where(by_product < TOPHAT_PROGRAM, height, 0.0)
    if crystal.shape == "gauss":
        return height * np.exp(-0.5 * np.pi * by_cells)
    return np.where(by_cells < TOPHAT_RADIUS_SQUARED, height, 0.0)


def _ball(x):
    """3 (sin x/x − cos x)/x², 1 at 0."""
    far = np.maximum(x, 0.05)
    series = 1 - x**2 / 10 * (1 - x**2 / 28 * (1 - x**2 / 54 * (1 - x**2 / 88)))
    return np.where(x < 0.05, series, 3 * (np.sin(far) / far - np.cos(far)) / far**2)


def amplitude(table, index):
    """|F| at indices (..., 3)."""
    origin, shape = np.array(table.origin), np.array(table.amplitude.shape)
    if table.amplitude.size == 0:
        return np.full(index.shape[:-1], table.default_amplitude)
    place = np.ceil(index - 0.5).astype(int) - origin
    inside = ((place >= 0) & (place < shape)).all(-1)
    h, k, l = np.moveaxis(np.where(inside[..., None], place, 0), -1, 0)  # noqa: E741
    nearest = np.where(inside, table.amplitude[h, k, l], table.default_amplitude)
    if not table.interpolate:
        return nearest
    supported = ((index - origin + 3 <= shape) & (index - 2 >= origin)).all(-1)
    if not supported.any():
        return nearest
    base = np.floor(index)
    h, k, l = np.moveaxis(  # noqa: E741
        np.where(supported[..., None], base - 1 - origin, 0).astype(int), -1, 0
    )
    along_h, along_k, along_l = np.moveaxis(_lagrange(index - base), -2, 0)
    value = np.zeros(index.shape[:-1])
    for a, b, c in np.ndindex(4, 4, 4):
        weight = along_h[..., a] * along_k[..., b] * along_l[..., c]
        value += weight * table.amplitude[h + a, k + b, l + c]
    return np.where(supported, value, nearest)


def _lagrange(rest):
    """Weights (..., 4) of the values at −1, 0, 1 and 2 in the cubic through them."""
    nodes = range(-1, 3)
    return np.stack(
        [np.prod([(rest - m) / (n - m) for m in nodes if m != n], axis=0) for n in nodes], axis=-1
    )


def bragg(experiment, scattering):
    """Σ over spindle steps and domains of F_cell² F_latt²."""
    crystal = experiment.crystal
    total = np.zeros(scattering.shape[:-1])
    for phi in crystal.phi:
        at_phi = turned(crystal.real_space, crystal.spindle_axis, phi)
        for rotation in crystal.mosaic_rotations:
            cell = np.array([rotation @ edge for edge in at_phi])
            index = scattering @ cell.T
            offset = index - np.ceil(index - 0.5)
            lattice = transform(crystal, experiment.physics, offset)
            total += (amplitude(experiment.reflections, index) * lattice) ** 2
    return total


# Beam and background: SCL-5, SCL-7, SCL-8, SAM-8.


def polarization(beam, incident, direction):
    """SCL-5, by its angles."""
    if not beam.polarized:
        return np.ones(direction.shape[:-1])
    across = np.cross(beam.polarization_axis, incident)
    across = across / np.linalg.norm(across)
    along = np.cross(incident, across)
    cosine = direction @ incident
    psi = -np.arctan2(direction @ across, direction @ along)
    return 0.5 * (1 + cosine**2 - beam.kahn_factor * np.cos(2 * psi) * (1 - cosine**2))


def background(experiment, stol):
    """Molecules times F² at sin θ/λ, of all materials: SCL-14."""
    total = np.zeros(stol.shape)
    for table in (experiment.background, *experiment.background.others):
        if table.molecules != 0.0 and table.stol.size > 0:
            total += table.molecules * np.interp(stol, table.stol, table.amplitude) ** 2
    return total


def numerator(experiment, panel=0):
    """Σ of SCL-1 or SCL-2 before anything that is applied once, (slow, fast)."""
    view, beam, sampling = experiment.detector.panels[panel], experiment.beam, experiment.sampling
    steps = experiment.crystal.phi.shape[0] * experiment.crystal.mosaic_rotations.shape[0]
    total = np.zeros(view.shape)
    for source in range(beam.sources.wavelength.shape[0]):
        incident = -beam.sources.direction[source]
        for layer, points, normals in samples(experiment, panel):
            direction = points / np.linalg.norm(points, axis=-1)[..., None]
            scattering = (direction - incident) / beam.sources.wavelength[source]
            length = np.linalg.norm(scattering, axis=-1)
            term = np.where(sampling.dmin * length > 1.0, 0.0, bragg(experiment, scattering))
            if experiment.physics == "exact":
                term = term + steps * background(experiment, length / 2)
            if sampling.per_sample_polarization:
                term = term * polarization(beam, incident, direction)
            if sampling.per_sample_solid_angle:
                term = term * solid_angle(view, points, normals)
            if sampling.per_sample_capture:
                term = term * capture(view, layer, points, normals)
            total += beam.sources.weight[source] * term
    return np.where(view.active, total, 0.0)


def image(experiment, panel=0):
    """Expected photons, (slow, fast)."""
    view, beam, sampling = experiment.detector.panels[panel], experiment.beam, experiment.sampling
    crystal, sources = experiment.crystal, beam.sources
    steps = crystal.phi.shape[0] * crystal.mosaic_rotations.shape[0] * sampling.oversample**2
    scale = ELECTRON_RADIUS_SQUARED * beam.fluence
    total = numerator(experiment, panel)
    if experiment.physics == "nanobragg":
        start = float(background(experiment, np.zeros(1))[0]) * scale
        total = total + start * (1.0 if sources.rule == "count" else math.fsum(sources.weight))
        total = total * _pixel_factors(experiment, panel)
    return np.where(view.active, scale / (steps * sources.total_weight) * total, 0.0)


def _pixel_factors(experiment, panel):
    """SCL-3: one solid angle, capture fraction and polarisation for the whole pixel."""
    view, beam, sampling = experiment.detector.panels[panel], experiment.beam, experiment.sampling
    every = list(samples(experiment, panel))
    factor = np.ones(view.shape)
    if not sampling.per_sample_solid_angle:
        factor = factor * solid_angle(view, *every[0][1:])
    if not sampling.per_sample_capture:
        factor = factor * capture(view, *every[-(sampling.oversample**2)])
    if sampling.per_sample_polarization or not beam.polarized:
        return factor
    first = np.full(view.shape, np.nan)
    for _, points, _ in every:
        direction = points / np.linalg.norm(points, axis=-1)[..., None]
        for source in range(beam.sources.wavelength.shape[0]):
            incident = -beam.sources.direction[source]
            length = np.linalg.norm(direction - incident, axis=-1) / beam.sources.wavelength[source]
            counts = np.isnan(first) & ~(sampling.dmin * length > 1.0)
            first = np.where(counts, polarization(beam, incident, direction), first)
    return factor * np.nan_to_num(first)
