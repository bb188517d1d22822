"""Small experiments of every kind, and the intensity formula written out in plain numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from distbragg.models.arrays import frozen_float64
from distbragg.models.beam import Beam, Sources
from distbragg.models.crystal import Crystal, Reflections
from distbragg.models.detector import Detector, Panel, SensorLayers
from distbragg.models.experiment import Background, Experiment, Noise, Sampling
from distbragg.plan.keys import SourceChunk, Tile


@dataclass(frozen=True)
class Options:
    """The fields of `KernelOptions` that the kernel reads."""

    precision: str = "float64"
    threads: int = 1


def turn(vectors, axis, angle):
    """Rotate row vectors about a unit axis."""
    axis = np.asarray(axis, float)
    c, s = np.cos(angle), np.sin(angle)
    return vectors * c + np.cross(axis, vectors) * s + np.outer(vectors @ axis, axis) * (1 - c)


def make_crystal(
    rng, *, shape="square", cells=(7, 5, 9), domains=3, phi=(0.0, 0.4), fudge=1.0, physics="exact"
):
    a, b, c = 25.0, 31.0, 35.0
    cell = np.array([[a, 0, 0], [0.17 * b, 0.985 * b, 0], [0.09 * c, 0.26 * c, 0.96 * c]])
    for axis, angle in zip(np.eye(3), (0.2, 0.4, 0.5), strict=True):
        cell = turn(cell, axis, angle)
    rotations = [np.eye(3)]
    for _ in range(domains - 1):
        axis = rng.normal(size=3)
        rotations.append(turn(np.eye(3), axis / np.linalg.norm(axis), 0.02 * rng.random()).T)
    return Crystal(
        real_space=frozen_float64(cell),
        reciprocal=frozen_float64(np.linalg.inv(cell).T),
        cell=frozen_float64([a, b, c, 1.4, 1.5, 1.3]),
        cells=frozen_float64(cells),
        shape=shape,
        fudge=fudge,
        spot_form=frozen_float64(_form(shape, physics, fudge, np.array(cells), cell)),
        mosaic_spread=0.02,
        mosaic_rotations=frozen_float64(rotations),
        phi=frozen_float64(phi),
        spindle_axis=frozen_float64([0.0, 0.0, 1.0]),
    )


def _form(shape, physics, fudge, cells, cell):
    """S of r² = δᵀ S δ; see specs/crystal.md."""
    reciprocal = np.linalg.inv(cell).T
    metric, count = reciprocal @ reciprocal.T, np.prod(cells)
    if physics == "nanobragg" and shape in {"gauss", "tophat"}:
        width = 0.63 / (2 / np.pi) if shape == "gauss" else 0.3969 / (3 / (4 * np.pi)) ** (2 / 3)
        return fudge * count**2 / width * metric
    if shape == "gauss_star":
        return fudge * (count * np.linalg.det(cell)) ** (2 / 3) * metric
    return (1.0 if shape == "square" else fudge) * np.diag(cells.astype(float) ** 2)


def make_panel(shape=(23, 37), *, layers=1, surface="flat", point=False, mask=None):
    slow, fast = shape
    pixel = 0.8e-3
    absorbs = layers > 1
    edges = np.linspace(0.0, 0.5e-3, layers + 1) if absorbs else np.zeros(layers + 1)
    origin = [0.08, 0.4 * slow * pixel, -0.45 * fast * pixel]
    axes = turn(np.array([[0, 0, 1.0], [0, -1.0, 0], [1.0, 0, 0]]), [0, 1.0, 0], 0.05)
    return Panel(
        name="panel",
        shape=shape,
        pixels=shape,
        pixel_size=pixel,
        origin=frozen_float64(origin),
        fast=frozen_float64(axes[0]),
        slow=frozen_float64(axes[1]),
        normal=frozen_float64(axes[2]),
        close_distance=float(np.dot(origin, axes[2])),
        distance=0.08,
        surface=surface,
        point_pixel=point,
        sensor=SensorLayers(
            absorbs=absorbs,
            attenuation=1.0 / 0.4e-3 if absorbs else 0.0,
            position=frozen_float64((edges[:-1] + edges[1:]) / 2),
            front=frozen_float64(edges[:-1]),
            back=frozen_float64(edges[1:]),
        ),
        active=np.ones(shape, bool) if mask is None else mask,
    )


def make_experiment(
    *,
    shape="square",
    cells=(7, 5, 9),
    domains=3,
    phi=(0.0, 0.4),
    fudge=1.0,
    sources=3,
    one_way=False,
    interpolate=False,
    default=3.0,
    dmin=0.0,
    oversample=1,
    layers=1,
    surface="flat",
    point=False,
    polarized=True,
    kahn=0.9,
    background=True,
    physics="exact",
    box=(5, 6, 7),
    mask=None,
    seed=1,
):
    """An experiment with every feature adjustable; defaults use most of them."""
    rng = np.random.default_rng(seed)
    direction = np.array([[-1.0, 0, 0]]) + 0.01 * rng.normal(size=(sources, 3))
    if one_way:
        direction[:] = direction[0]
    direction /= np.linalg.norm(direction, axis=1)[:, None]
    weight = 0.5 + rng.random(sources) / 2
    per_sample = physics == "exact"
    amplitude = 100 * rng.random(tuple(2 * n + 1 for n in box))
    if box == (0, 0, 0):
        amplitude = np.zeros((0, 0, 0))
    return Experiment(
        physics=physics,
        beam=Beam(
            sources=Sources(
                direction=frozen_float64(direction),
                wavelength=frozen_float64(1.0 + 0.02 * rng.random(sources)),
                weight=frozen_float64(weight),
                total_weight=float(weight.sum()),
                listed=sources,
                rule="sum",
            ),
            wavelength=1.0,
            direction=frozen_float64([1.0, 0, 0]),
            fluence=1e24,
            polarized=polarized,
            kahn_factor=kahn,
            polarization_axis=frozen_float64([0.0, 0.1, 0.995]),
        ),
        crystal=make_crystal(
            rng, shape=shape, cells=cells, domains=domains, phi=phi, fudge=fudge, physics=physics
        ),
        reflections=Reflections(
            amplitude=frozen_float64(amplitude),
            origin=(-box[0], -box[1] + 1, -box[2]),
            default_amplitude=default,
            interpolate=interpolate,
        ),
        detector=Detector((make_panel(layers=layers, surface=surface, point=point, mask=mask),)),
        sampling=Sampling(oversample, dmin, per_sample, per_sample, per_sample),
        background=Background(
            molecules=50.0 if background else 0.0,
            stol=frozen_float64([0.02, 0.1, 0.3]),
            amplitude=frozen_float64([2.57, 4.0, 1.0]),
        ),
        noise=Noise(photon=False, seed=0),
    )


def _f_latt(crystal, d):
    na, nb, nc = crystal.cells
    if crystal.shape == "square":
        value = np.ones(d.shape[:-1])
        for axis, n in enumerate(crystal.cells):
            if n > 1:
                x = np.pi * d[..., axis]
                near = np.abs(x) < 1e-9
                value *= np.where(near, n, np.sin(n * x) / np.sin(np.where(near, 1, x)))
        return value
    volume = na * nb * nc
    square = np.einsum("...i,ij,...j", d, crystal.spot_form, d)
    if crystal.shape == "round":
        x = np.pi * np.sqrt(square)
        safe = np.maximum(x, 0.1)
        far = 3 * (np.sin(safe) / safe - np.cos(safe)) / safe**2
        near = 1 - x**2 / 10 + x**4 / 280 - x**6 / 15120 + x**8 / 1330560
        return volume * 0.723601254558268 * np.where(x < 0.1, near, far)
    if crystal.shape == "tophat":
        return volume * (square < (3 / (4 * np.pi)) ** (2 / 3))
    return volume * np.exp(-np.pi / 2 * square)


def _lagrange(t):
    nodes = np.arange(-1, 3)
    return np.stack(
        [np.prod([(t - m) / (n - m) for m in nodes if m != n], axis=0) for n in nodes],
        axis=-1,
    )


def _f_cell(reflections, hkl, nearest):
    table, origin = reflections.amplitude, np.array(reflections.origin)
    if not table.size:
        return np.full(hkl.shape[:-1], reflections.default_amplitude)
    at = (nearest - origin).astype(int)
    inside = ((at >= 0) & (at < table.shape)).all(-1)
    at = np.where(inside[..., None], at, 0)
    value = np.where(
        inside, table[at[..., 0], at[..., 1], at[..., 2]], reflections.default_amplitude
    )
    if reflections.interpolate:
        ok = ((hkl - origin + 3 <= table.shape) & (hkl - 2 >= origin)).all(-1)
        base = np.floor(hkl)
        first = np.where(ok[..., None], base - 1 - origin, 0).astype(int)
        w = [_lagrange((hkl - base)[..., axis]) for axis in range(3)]
        cubic = np.zeros(hkl.shape[:-1])
        for i in range(4):
            for j in range(4):
                for m in range(4):
                    part = table[first[..., 0] + i, first[..., 1] + j, first[..., 2] + m]
                    cubic += w[0][..., i] * w[1][..., j] * w[2][..., m] * part
        value = np.where(ok, cubic, value)
    return value


def _directions(experiment, panel, layer, sub_s, sub_f):
    n, size = experiment.sampling.oversample, panel.pixel_size
    slow, fast = np.mgrid[: panel.shape[0], : panel.shape[1]].astype(float)
    f = (size / n) * (fast * n + sub_f) + size / (2 * n)
    s = (size / n) * (slow * n + sub_s) + size / (2 * n)
    flat = f[..., None] * panel.fast + s[..., None] * panel.slow + panel.origin
    flat = flat + panel.sensor.position[layer] * panel.normal
    if panel.surface == "nanobragg":
        flat = flat.reshape(-1, 3)
        straight = panel.distance * experiment.beam.direction[None]
        flat = np.concatenate(
            [
                turn(
                    turn(straight, panel.slow, v[1] / panel.distance),
                    panel.fast,
                    v[2] / panel.distance,
                )
                for v in flat
            ]
        ).reshape(*panel.shape, 3)
    elif panel.surface != "flat":
        flat = _bent(panel, flat)
    path = np.linalg.norm(flat, axis=-1)
    return flat / path[..., None], path


def _bent(panel, flat):
    """Bend places on a flat panel about the sample; see specs/geometry.md, GEO-7."""
    n, f, s, radius = panel.normal, panel.fast, panel.slow, panel.close_distance
    u, v = ((flat @ axis)[..., None] for axis in (f, s))
    reach = (flat @ n)[..., None]
    if panel.surface == "cylinder_slow":
        return reach * (np.cos(u / radius) * n + np.sin(u / radius) * f) + v * s
    across = np.cos(v / radius) * n + np.sin(v / radius) * s
    if panel.surface == "cylinder_fast":
        return reach * across + u * f
    return reach * (np.sin(u / radius) * f + np.cos(u / radius) * across)


def _cosine(panel, d):
    """Between rays and the normal of the surface they meet."""
    if panel.surface == "sphere":
        return np.ones(panel.shape)
    if panel.surface in {"cylinder_fast", "cylinder_slow"}:
        axis = panel.slow if panel.surface == "cylinder_slow" else panel.fast
        return np.linalg.norm(np.cross(d, axis), axis=-1)
    return d @ panel.normal


def _area(panel, d, path):
    """Pixel seen from the sample, m²; 1 for a point pixel."""
    if panel.point_pixel:
        return 1.0
    if panel.surface in {"flat", "nanobragg"}:
        return panel.pixel_size**2 * panel.close_distance / path
    return panel.pixel_size**2 * _cosine(panel, d)


def _polarization(beam, incident, d):
    if not beam.polarized:
        return 1.0
    b = np.cross(beam.polarization_axis, incident)
    b /= np.linalg.norm(b)
    e = np.cross(incident, b)
    cos2 = (d @ incident) ** 2
    psi = -np.arctan2(d @ b, d @ e)
    return 0.5 * (1 + cos2 - beam.kahn_factor * np.cos(2 * psi) * (1 - cos2))


def plain_numerator(experiment):
    """Numerator of the whole first panel by the formulas of physics.md, (slow, fast)."""
    panel, crystal = experiment.detector.panels[0], experiment.crystal
    beam, sampling, sensor = experiment.beam, experiment.sampling, panel.sensor
    total = np.zeros(panel.shape)
    for i in range(beam.sources.count):
        incident = -beam.sources.direction[i]
        for layer, sub_s, sub_f in np.ndindex(
            sensor.count, sampling.oversample, sampling.oversample
        ):
            d, path = _directions(experiment, panel, layer, sub_s, sub_f)
            q = (d - incident) / beam.sources.wavelength[i]
            stol = np.linalg.norm(q, axis=-1) / 2
            term = np.zeros(panel.shape)
            for phi in crystal.phi:
                turned = turn(crystal.real_space, crystal.spindle_axis, phi)
                for rotation in crystal.mosaic_rotations:
                    hkl = q @ (turned @ rotation.T).T
                    nearest = np.ceil(hkl - 0.5)
                    cell = _f_cell(experiment.reflections, hkl, nearest)
                    term += (cell * _f_latt(crystal, hkl - nearest)) ** 2
            if sampling.dmin > 0:
                term = np.where(stol <= 0.5 / sampling.dmin, term, 0.0)
            if experiment.physics == "exact":
                table = experiment.background
                amplitude = np.interp(stol, table.stol, table.amplitude)
                steps = crystal.phi.size * crystal.mosaic_rotations.shape[0]
                term = term + steps * table.molecules * amplitude**2
            if sampling.per_sample_polarization:
                term = term * _polarization(beam, incident, d)
            if sampling.per_sample_solid_angle:
                term = term * _area(panel, d, path) / path**2
            if sampling.per_sample_capture and sensor.absorbs:
                slant = sensor.attenuation / _cosine(panel, d)
                term = term * (
                    np.exp(-sensor.front[layer] * slant) - np.exp(-sensor.back[layer] * slant)
                )
            total += beam.sources.weight[i] * term
    return np.where(panel.active, total, 0.0)


def whole(experiment):
    """The tile and the source chunk that cover everything."""
    slow, fast = experiment.detector.panels[0].shape
    return Tile(0, slow, 0, fast), SourceChunk(0, experiment.beam.sources.count)
