"""One resolved experiment whose numbers a test can work out by hand, and the kernels to ask.

The beam runs along z with λ = 1 Å; fast is x, slow is y. The default pixel is small and lies at
(30, 40, 120) mm, 130 mm from the sample, so that d = (3, 4, 12)/13 and q = (3, 4, −1)/13 in 1/Å.
The crystal's edges lie along x, y and z, as long as it takes for (h, k, l) to be what is asked for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from distbragg.kernel.options import KernelOptions
from distbragg.kernel.render_tile import render_tile
from distbragg.models.beam import Beam, Sources
from distbragg.models.crystal import Crystal, Reflections
from distbragg.models.detector import Detector, Panel, SensorLayers
from distbragg.models.experiment import Background, Experiment, Noise, Sampling
from distbragg.models.vectors import frozen_float64
from distbragg.plan.frame import SourceChunk, Tile

DIRECTION = np.array([3.0, 4.0, 12.0]) / 13.0
SCATTERING = np.array([3.0, 4.0, -1.0]) / 13.0
"""q of the default pixel, 1/Å."""

PIXEL = 1e-6
SOLID_ANGLE = 1e-12 / 0.13**2 * 12.0 / 13.0
"""Ω of the default pixel: p²/R² · 120/130."""


@dataclass(frozen=True)
class Kernel:
    """One kernel in one precision, with the relative error it may make in a bright pixel."""

    options: KernelOptions
    relative: float

    def numerator(self, experiment, panel=0, chunk=None):
        """The un-normalised sum of a whole panel, (slow, fast)."""
        shape = experiment.detector.panels[panel].shape
        chunk = chunk or SourceChunk(0, experiment.beam.sources.count)
        tile = Tile(0, shape[0], 0, shape[1])
        return render_tile(experiment, panel, tile, chunk, self.options).reshape(shape)

    def pixel(self, experiment):
        """The un-normalised sum of a detector of one pixel."""
        return float(self.numerator(experiment)[0, 0])

    def squared_transform(self, **changes):
        """F_latt² at the default pixel, |F| being 1 and nothing else at work."""
        return self.pixel(scene(**changes)) / SOLID_ANGLE


def panel(**changes):
    """A flat panel facing the sample; by default of one small pixel."""
    values = {
        "name": "panel",
        "shape": (1, 1),
        "pixel_size": PIXEL,
        "origin": (0.03 - PIXEL / 2, 0.04 - PIXEL / 2, 0.12),
        "fast": (1.0, 0.0, 0.0),
        "slow": (0.0, 1.0, 0.0),
        "normal": (0.0, 0.0, 1.0),
        "surface": "flat",
        "point_pixel": False,
        "sensor": sensor(),
        "active": None,
        **changes,
    }
    shape = values["shape"]
    close = float(np.dot(values["origin"], values["normal"]))
    values.setdefault("pixels", shape)
    values.setdefault("close_distance", close)
    values.setdefault("distance", close)
    active = np.ones(shape, bool) if values["active"] is None else np.asarray(values["active"])
    vectors = {name: frozen_float64(values[name]) for name in ("origin", "fast", "slow", "normal")}
    return Panel(**{**values, **vectors, "active": active})


def sensor(*edges, attenuation=0.0):
    """Layers between the given depths (m), sampled in their middle; without any, the surface."""
    depths = np.array(edges or (0.0, 0.0))
    return SensorLayers(
        absorbs=bool(edges),
        attenuation=attenuation,
        position=frozen_float64((depths[:-1] + depths[1:]) / 2),
        front=frozen_float64(depths[:-1]),
        back=frozen_float64(depths[1:]),
    )


def sources(*rows, rule="sum"):
    """A table of (direction towards the source, wavelength, weight)."""
    rows = rows or (((0.0, 0.0, -1.0), 1.0, 1.0),)
    weight = [row[2] for row in rows]
    total = {"sum": math.fsum(weight), "count": float(len(rows)), "none": 1.0}[rule]
    return Sources(
        direction=frozen_float64([np.array(row[0]) / np.linalg.norm(row[0]) for row in rows]),
        wavelength=frozen_float64([row[1] for row in rows]),
        weight=frozen_float64(weight),
        total_weight=total,
        listed=len(rows),
        rule=rule,
    )


def beam(table=None, *, polarized=False, kahn=0.0, axis=(1.0, 0.0, 0.0), fluence=1e24):
    """A beam along z."""
    return Beam(
        sources=sources() if table is None else table,
        wavelength=1.0,
        direction=frozen_float64([0.0, 0.0, 1.0]),
        fluence=fluence,
        polarized=polarized,
        kahn_factor=kahn,
        polarization_axis=frozen_float64(axis),
    )


def crystal(
    index=(1.0, 1.0, 1.0),
    *,
    shape="square",
    cells=(1.0, 1.0, 1.0),
    fudge=1.0,
    edges=None,
    phi=(0.0,),
    rotations=None,
    physics="exact",
    scattering=SCATTERING,
    beside=(),
):
    """A crystal that has the given fractional (h, k, l), none of them 0, at the default pixel."""
    cell = np.diag(np.array(index) / scattering) if edges is None else np.array(edges, float)
    dual = np.linalg.inv(cell).T
    cells = np.array(cells, float)
    form = _spot_form(shape, cells, fudge, cell, dual, physics)
    if beside:
        d, e, f = beside
        matrix = np.diag(cells) + np.array([[0.0, d, f], [d, 0.0, e], [f, e, 0.0]])
        form = fudge * matrix @ matrix
    return Crystal(
        real_space=frozen_float64(cell),
        reciprocal=frozen_float64(dual),
        cell=frozen_float64([*np.linalg.norm(cell, axis=1), 0.0, 0.0, 0.0]),
        cells=frozen_float64(cells),
        shape=shape,
        fudge=fudge,
        mosaic_spread=0.0,
        mosaic_rotations=frozen_float64([np.eye(3)] if rotations is None else rotations),
        phi=frozen_float64(phi),
        spindle_axis=frozen_float64([1.0, 0.0, 0.0]),
        spot_form=frozen_float64(form),
        cells_beside=beside,
    )


def _spot_form(shape, cells, fudge, cell, dual, physics):
    """r² = δᵀ form δ of CRY-9 to CRY-11, written out."""
    product = float(np.prod(cells))
    if shape == "gauss_star":
        volume = abs(float(np.linalg.det(cell)))
        return fudge * (dual @ dual.T) * (product * volume) ** (2.0 / 3.0)
    if physics == "nanobragg" and shape == "gauss":
        return fudge * (dual @ dual.T) * product**2 / 0.63 / (math.pi / 2)
    if physics == "nanobragg" and shape == "tophat":
        return fudge * (dual @ dual.T) * product**2 * (3 / (4 * math.pi)) ** (2 / 3) / 0.3969
    return fudge * np.diag(cells**2)


def no_reflections(default=1.0):
    """The same |F| everywhere."""
    return Reflections(frozen_float64(np.zeros((0, 0, 0))), (0, 0, 0), default, False)


def reflections(box, origin, *, default=0.0, interpolate=False):
    """|F| on a box of indices."""
    return Reflections(frozen_float64(box), origin, default, interpolate)


def scene(
    *,
    physics="exact",
    table=None,
    view=None,
    beam_of=None,
    oversample=1,
    dmin=0.0,
    molecules=0.0,
    stol=(0.0,),
    background=(1.0,),
    per_sample=(False, False, False),
    **crystal_changes,
):
    """An experiment; what is not named is off, and F_latt and |F| are 1."""
    every = (True, True, True) if physics == "exact" else per_sample
    return Experiment(
        physics=physics,
        beam=beam() if beam_of is None else beam_of,
        crystal=crystal(physics=physics, **crystal_changes),
        reflections=no_reflections() if table is None else table,
        detector=Detector((panel() if view is None else view,)),
        sampling=Sampling(oversample, dmin, *every),
        background=Background(molecules, frozen_float64(stol), frozen_float64(background)),
        noise=Noise(photon=False, seed=0),
    )


def dark(experiment):
    """The same without Bragg scattering."""
    return replace(experiment, reflections=no_reflections(0.0))
