"""Spots in closed form as functions of the parameters: `kernel.closed_model` with gradients.

Where spots are looked for is found from plain numbers and carries no gradient. See `spot_series`
for the polynomials that stand for spots, and `spot_draw` for how they are drawn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from torch import Tensor

from distbragg.fit.orientation import cell_changes
from distbragg.fit.parameters import Parameters
from distbragg.fit.spot_boxes import Window
from distbragg.fit.spot_drawing import Drawing
from distbragg.kernel.closed_model import SpotList, heights
from distbragg.kernel.model import make_sample, with_factors
from distbragg.kernel.scene import Scene, Source
from distbragg.models.beam import Beam
from distbragg.models.build_mosaic import frame_of_mosaic
from distbragg.models.crystal import unit_cells
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import Float64Array, components, cross, rotation_about, unit
from distbragg.physics import arrays
from distbragg.physics.arrays import Array, Triple, constant
from distbragg.physics.closed_form import Incidence, Relps
from distbragg.physics.closed_rotation import Spindle
from distbragg.physics.halos import Spread
from distbragg.physics.near_sphere import (
    CUT,
    GaussianCrystal,
    gaussian_crystal,
    near_sphere,
)
from distbragg.physics.rays import SampleIndex, sample_indices
from distbragg.physics.strain import rows_of, strains_of
from distbragg.physics.symmetric import Symmetric
from distbragg.physics.transform import Spot
from distbragg.shapes import SHAPES
from distbragg.units import RADIANS_PER_DEGREE

_TOGETHER: Final = 1 << 14
"""Pixels taken at once: beyond so many torch takes threads, which cost more than they save."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What the closed form takes of a crystal: float64 tensors, in the middle of the rotation."""

    reciprocal: Tensor  # (3, 3), 1/Å
    covariance: Tensor  # (3, 3), 1/Å²
    mosaic: Tensor  # (3, 3), rad²
    count: Tensor  # det N
    spindle: Spindle
    strains: Tensor  # (k, 3, 3), of a spread of cells

    def numbers(self) -> GaussianCrystal:
        """Return the same without gradients."""
        reciprocal, covariance, mosaic, strains = (
            part.detach().cpu().numpy()
            for part in (self.reciprocal, self.covariance, self.mosaic, self.strains)
        )
        return GaussianCrystal(reciprocal, covariance, mosaic, self.spindle, strains)

    def parts(self) -> list[Shape]:
        """Return the crystal in the middle of each part of the rotation."""
        own = self.numbers().parts()
        axis, spindle = self.spindle.axis, own[0].spindle
        width = spindle.stop - spindle.start
        angles = [(part + 0.5 - 0.5 * len(own)) * width for part in range(len(own))]
        turns = [_tensor(rotation_about(axis, angle), self.reciprocal) for angle in angles]
        return [replace(self.turned(turn), spindle=spindle) for turn in turns]

    def turned(self, turn: Tensor) -> Shape:
        """Return the crystal turned by a rotation matrix."""
        return replace(
            self,
            reciprocal=self.reciprocal @ turn.T,
            covariance=turn @ self.covariance @ turn.T,
            mosaic=turn @ self.mosaic @ turn.T,
            strains=turn @ self.strains @ turn.T,
        )


def _tensor(values: Float64Array, like: Tensor) -> Tensor:
    return torch.from_numpy(np.array(values, dtype=np.float64)).to(like.device)


def shape_of(experiment: Experiment, parameters: Parameters, spot: Spot, real: Tensor) -> Shape:
    """Return the crystal of the parameters, `real` (3, 3) and `spot` having them already."""
    crystal, own = experiment.crystal, gaussian_crystal(experiment.crystal)
    reciprocal = torch.linalg.inv(real).T
    form = torch.stack([torch.stack([_as_tensor(part, real) for part in row]) for row in spot.form])
    index = torch.linalg.inv(2.0 * SHAPES[crystal.shape].decay * form)
    cells = [_as_tensor(part, real) for part in spot.cells]
    still = Shape(
        reciprocal=reciprocal,
        covariance=reciprocal.T @ index @ reciprocal,
        mosaic=_mosaic(experiment, parameters, real, reciprocal),
        count=unit_cells(cells),
        spindle=own.spindle,
        strains=_strains(experiment, parameters, real, reciprocal),
    )
    middle = 0.5 * (crystal.oscillation[0] + crystal.oscillation[1])
    return still.turned(_tensor(rotation_about(components(crystal.spindle_axis), middle), real))


def _as_tensor(value: Array, like: Tensor) -> Tensor:
    return torch.as_tensor(value, dtype=torch.float64, device=like.device)


def _strains(
    experiment: Experiment, parameters: Parameters, real: Tensor, reciprocal: Tensor
) -> Tensor:
    """Return T_k at phi = 0, (k, 3, 3); see `physics.strain`."""
    changes = cell_changes(experiment.crystal, real, parameters.cell_spread)
    if changes is None:
        return torch.zeros((0, 3, 3), dtype=torch.float64, device=real.device)
    strains: Tensor = strains_of(reciprocal, changes)
    return strains


def _mosaic(
    experiment: Experiment, parameters: Parameters, real: Tensor, reciprocal: Tensor
) -> Tensor:
    """Return M at phi = 0; where its axes are the crystal's, about them as they are now."""
    crystal, given = experiment.crystal, parameters.mosaic_covariance_deg2
    own = frame_of_mosaic(crystal)
    axes = _axes(real, reciprocal) if crystal.mosaic_axes == "crystal" else _tensor(own, real)
    if given is not None:
        about = 0.5 * (given + given.T) * RADIANS_PER_DEGREE**2
    else:
        about = _tensor(own.T @ crystal.mosaic_covariance @ own, real)
        if parameters.mosaic_spread_deg is not None:
            ratio = parameters.mosaic_spread_deg * (RADIANS_PER_DEGREE / crystal.mosaic_spread)
            about = about * ratio * ratio
    turned: Tensor = axes @ about @ axes.T
    return turned


def _axes(real: Tensor, reciprocal: Tensor) -> Tensor:
    """Return `crystal_axes` of tensors."""
    a, c = real[0].unbind(), reciprocal[2].unbind()
    x = arrays.unit((a[0], a[1], a[2]))
    y = arrays.unit(arrays.cross((c[0], c[1], c[2]), x))
    return torch.stack([torch.stack(axis) for axis in (x, y, arrays.cross(x, y))], dim=1)


def divergence_axes(beam: Beam) -> tuple[Triple, Triple]:
    """Return the ways of a horizontal and a vertical divergence; see `Beam.divergence`."""
    along = components(beam.direction)
    upward = unit(cross(along, components(beam.polarization_axis)))
    return unit(cross(upward, along)), upward


def spread_of(experiment: Experiment, parameters: Parameters, spot: Spot, real: Tensor) -> Spread:
    """Return how domains differ from the crystal of the parameters; see `shape_of`."""
    shape = shape_of(experiment, parameters, spot, real)
    return Spread.of(_symmetric(shape.mosaic), shape.spindle, shape.strains)


def incidence_of(beam: Beam, parameters: Parameters, source: Source) -> Incidence:
    """Return one source, its own numbers those of the parameters, with what it spreads by."""
    direction = source.incident
    k = 1.0 / source.wavelength
    given = parameters.divergence_mrad
    ways: list[Triple] = [components(row) for row in beam.divergence]
    if given is not None:
        sizes = given * 1e-3
        ways = [
            (way[0] * size, way[1] * size, way[2] * size)
            for way, size in zip(divergence_axes(beam), sizes.unbind(), strict=True)
        ]
    spread = []
    for way in ways:
        along = arrays.dot(way, direction)
        x, y, z = (part - along * d for part, d in zip(way, direction, strict=True))
        spread.append((x, y, z))
    width: Array = 0.0
    if parameters.bandwidth_percent is not None:
        width = parameters.bandwidth_percent * 0.01 * k
    elif beam.sources.bandwidth > 0.0:
        width = beam.sources.bandwidth * k
    return Incidence(direction, (spread[0], spread[1]), k, width)


def _plain(incidence: Incidence) -> Incidence:
    """Return a source without gradients."""

    def number(value: Array) -> float:
        return float(arrays.constant(value))

    x, y, z = map(number, incidence.direction)
    one, two = ((number(a), number(b), number(c)) for a, b, c in incidence.spread)
    return Incidence((x, y, z), (one, two), number(incidence.wavenumber), number(incidence.width))


@dataclass(frozen=True, slots=True)
class Pixels:
    """The pixels asked for: their float64 indices, (pixels,)."""

    slow: Tensor
    fast: Tensor

    def window(self) -> tuple[Window, Tensor]:
        """Return the least rectangle that holds them, and where in it they are."""
        low = int(self.slow.min()), int(self.fast.min())
        width = int(self.fast.max()) - low[1] + 1
        window = Window(low, (int(self.slow.max()) - low[0] + 1, width))
        return window, ((self.slow - low[0]) * width + (self.fast - low[1])).to(torch.int64)


def sum_spots(
    experiment: Experiment, parameters: Parameters, scene: Scene, shape: Shape, pixels: Pixels
) -> Tensor:
    """Return Σ over sources, layers and sub-pixels of w·P·C·Ω·(spots + background), (pixels,)."""
    sampling, panel = scene.sampling, scene.placement.panel
    total = torch.zeros_like(pixels.slow)
    parts = shape.parts()
    window, at = pixels.window()
    indices = list(sample_indices(panel.sensor.count, sampling.oversample))
    for sources in _alike(scene):
        images = [total.new_zeros(math.prod(window.shape)) for _ in indices]
        for source in sources:
            incidence = incidence_of(experiment.beam, parameters, source)
            own = replace(scene, table=scene.table.of_source(source.coefficients))
            for part in parts:
                spots = _spots_of(experiment, own, part, incidence, len(parts))
                if len(sources) > 1:
                    spots = replace(spots, height=spots.height * source.weight)
                drawing = Drawing.of(scene, window, spots)
                for image, index in zip(images, indices, strict=True):
                    drawing.add(image, index)
        contribution = torch.zeros_like(total)
        for image, index in zip(images, indices, strict=True):
            value = image.index_select(0, at)
            contribution = contribution + _seen(scene, sources[0], index, pixels, value)
        total = total + (contribution if len(sources) > 1 else contribution * sources[0].weight)
    return total


def _seen(
    scene: Scene, source: Source, index: SampleIndex, pixels: Pixels, value: Tensor
) -> Tensor:
    """Return P·C·Ω [value + background] of one source and sample, (pixels,)."""
    blocks = (torch.split(part, _TOGETHER) for part in (pixels.slow, pixels.fast, value))
    return torch.cat(
        [
            with_factors(scene, source, make_sample(scene, slow, fast, index), some)
            for slow, fast, some in zip(*blocks, strict=True)
        ]
    )


def _alike(scene: Scene) -> list[list[Source]]:
    """Return sources, those together that have the same factors beside the spots."""
    if scene.background is not None:  # which follows the wavelength
        return [[source] for source in scene.sources]
    found: dict[tuple[float, ...], list[Source]] = {}
    for source in scene.sources:
        way = tuple(float(constant(part)) for part in source.incident)
        found.setdefault(way, []).append(source)
    return list(found.values())


def _spots_of(
    experiment: Experiment, scene: Scene, shape: Shape, incidence: Incidence, parts: int
) -> SpotList:
    """Return the spots of one source in one part of the rotation."""
    crystal, dmin = shape.numbers(), experiment.sampling.dmin
    places = near_sphere(crystal, _plain(incidence), cut=CUT["float64"], dmin=dmin)
    cells = experiment.crystal.unit_cells
    own = heights(scene.table, places, experiment.crystal) / cells / cells
    lit = (own > 0.0).cpu().numpy()
    places = places[lit]
    place = _tensor(places.hkl.astype(np.float64), shape.reciprocal) @ shape.reciprocal
    x, y, z = place.unbind(1)
    covariance, mosaic = _symmetric(shape.covariance), _symmetric(shape.mosaic)
    relps = Relps((x, y, z), covariance, mosaic, rows_of(shape.strains))
    height = (
        own[torch.from_numpy(lit).to(own.device)].to(place.device)
        * shape.count**2
        / parts
        * scene.blocks
    )
    return SpotList(places, relps, incidence, shape.spindle, height)


def _symmetric(matrix: Tensor) -> Symmetric:
    (xx, xy, xz), (_, yy, yz), (_, _, zz) = (row.unbind() for row in matrix)
    return Symmetric((xx, xy, xz, yy, yz, zz))
