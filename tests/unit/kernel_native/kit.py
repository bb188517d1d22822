"""Small experiments of every kind."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from distbragg.models.beam import Beam, Sources
from distbragg.models.crystal import Crystal, Reflections
from distbragg.models.detector import Detector, Panel, SensorLayers
from distbragg.models.diffuse import Diffuse
from distbragg.models.experiment import Background, Experiment, Noise, Sampling
from distbragg.models.vectors import frozen_float64
from distbragg.plan.frame import SourceChunk, Tile


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


def make_diffuse(stencil):
    """Displacements that differ by axis, averaged over a twofold axis."""
    return Diffuse(
        gamma=frozen_float64([30.0, 20.0, 40.0]),
        sigma=frozen_float64([0.3, 0.5, 0.2]),
        axes=frozen_float64(turn(np.eye(3), [0.6, 0.0, 0.8], 0.3)),
        operations=frozen_float64([np.eye(3), np.diag([-1.0, 1.0, -1.0])]),
        stencil=stencil,
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
    halo=None,
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
        crystal=replace(
            make_crystal(
                rng,
                shape=shape,
                cells=cells,
                domains=domains,
                phi=phi,
                fudge=fudge,
                physics=physics,
            ),
            diffuse=None if halo is None else make_diffuse(halo),
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


def whole(experiment):
    """The tile and the source chunk that cover everything."""
    slow, fast = experiment.detector.panels[0].shape
    return Tile(0, slow, 0, fast), SourceChunk(0, experiment.beam.sources.count)
