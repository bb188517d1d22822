"""The logarithms of spots as polynomials, with gradients by all that a spot depends on.

The formulas are evaluated at the nodes of each spot's disc alone (ADR 0030), and fitted there. The
disc is the same wherever a panel stands; on a layer of a panel the polynomial is fitted again in
the ellipse that the disc makes there, which is where gradients by the panel come in.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from distbragg.fit.recomputed import recomputed
from distbragg.fit.spot_boxes import Ellipses, Window
from distbragg.fit.spot_draw import seen
from distbragg.fit.spot_fit import NODES, at_nodes, constant, evaluate, fitted
from distbragg.kernel.closed_model import SpotList
from distbragg.kernel.scene import Scene
from distbragg.models.vectors import BoolArray, IntArray
from distbragg.physics.arrays import Array, Triple
from distbragg.physics.closed_form import Incidence, Relps, frame_of, log_over_spectrum
from distbragg.physics.closed_rotation import Spindle, passage_of
from distbragg.physics.places import Places
from distbragg.physics.rays import SampleIndex, sample_rays
from distbragg.physics.symmetric import Symmetric

_BLOCK: Final = 1 << 14
"""Rays evaluated at once."""

_SPECTRUM_NODES: Final = 5
"""Points of a normal spectrum's integral: within 2e-7 of a spot's maximum (spread 0.5°, bandwidth
1 %, divergence 1 mrad)."""

_WELL_FITTED: Final = 5e-6
"""Of a spot's maximum: where the polynomial is farther off at its nodes, it is not taken."""


def series_of(spots: SpotList) -> tuple[Tensor, BoolArray]:
    """Return polynomials in the discs, (parts, spots, coefficients), and which of them fit."""
    step = max(1, _BLOCK // len(NODES))
    found = [
        _logs(some(spots, slice(start, start + step)))
        for start in range(0, len(spots.places), step)
    ]
    return _fitted(torch.cat(found, dim=1))


def on_panel(
    series: Tensor,
    places: Places,
    ellipses: Ellipses,
    *,
    layer: int,
    scene: Scene,
    window: Window,
) -> tuple[Tensor, BoolArray]:
    """Return the same polynomials in the ellipses on a layer of a panel."""
    slow, fast = (
        constant(part + start, series)
        for part, start in zip(ellipses.nodes(NODES), window.corner, strict=True)
    )
    rays = sample_rays(scene.placement, slow, fast, sample=SampleIndex(layer, 0, 0), oversample=1)
    centre, first, second = (
        _along(constant(part, series), rays.direction) for part in (places.centre, *places.disc())
    )
    a, b = first / centre, second / centre
    b = b - constant(places.arc(), series)[:, None] * a * a
    return _fitted(evaluate(series[:, :, None], a, b))


def _along(vectors: Tensor, ray: Triple) -> Tensor:
    x, y, z = vectors[:, :, None].unbind(1)
    found: Tensor = x * ray[0] + y * ray[1] + z * ray[2]
    return found


def some(spots: SpotList, chosen: slice | IntArray) -> SpotList:
    """Return some of the spots."""
    at = chosen if isinstance(chosen, slice) else torch.from_numpy(chosen).to(spots.height.device)
    x, y, z = (part[at] for part in spots.relps.place)
    relps = replace(spots.relps, place=(x, y, z))
    return replace(spots, places=spots.places[chosen], relps=relps, height=spots.height[at])


def seen_at(spots: SpotList, chosen: Tensor, rays: Tensor) -> Tensor:
    """Return chosen spots by the formulas themselves, each at its own ray (points, 3)."""
    place = (part[chosen] for part in spots.relps.place)
    parts = recomputed(_evaluated, *_numbers(spots, spots.incidence.nodes), rays, *place)
    return seen(parts) * spots.height[chosen]


def _fitted(values: Tensor) -> tuple[Tensor, BoolArray]:
    series = fitted(values)
    with torch.no_grad():
        here = seen(values)
        off = (seen(at_nodes(series)) - here).abs().amax(dim=1)
        good = off < _WELL_FITTED * here.amax(dim=1)
    return series, np.asarray(good.cpu().numpy())


def _logs(spots: SpotList) -> Tensor:
    """Return the logarithm at the nodes, or the parts of a passage, (parts, spots, nodes)."""
    found, _ = spots.places.rays(spots.places.radius(), *NODES.T)
    rays, place = constant(found, spots.height), (part[:, None] for part in spots.relps.place)
    return recomputed(_evaluated, *_numbers(spots, _SPECTRUM_NODES), rays, *place)


def _numbers(spots: SpotList, nodes: int) -> tuple[Any, ...]:
    """Return what all spots share, one by one, since gradients flow to each of the numbers."""
    incidence, relps = spots.incidence, spots.relps
    one, two = incidence.spread
    shared = *relps.crystal.parts, *relps.mosaic.parts, *incidence.direction, *one, *two
    strains = tuple(part for strain in relps.strains for row in strain for part in row)
    return spots.spindle, nodes, incidence.wavenumber, incidence.width, *shared, *strains


def _evaluated(
    spindle: Spindle,
    nodes: int,
    wavenumber: Array,
    width: Array,
    *numbers: Array,
) -> Tensor:
    """Evaluate the formulas at the rays, which are among the numbers, as are lattice points."""
    *shared, rays, x, y, z = numbers
    crystal, mosaic = Symmetric((*shared[:6],)), Symmetric((*shared[6:12],))
    direction, one, two = ((*shared[at : at + 3],) for at in (12, 15, 18))
    rows = [(*shared[at : at + 3],) for at in range(21, len(shared), 3)]
    strains = tuple(zip(rows[::3], rows[1::3], rows[2::3], strict=True))
    relps = Relps((x, y, z), crystal, mosaic, strains)
    incidence = Incidence(direction, (one, two), wavenumber, width, nodes)
    x, y, z = rays.unbind(-1)
    if spindle.stop > spindle.start:
        passage = passage_of(relps, incidence, (x, y, z), spindle)
        return torch.stack([passage.top, passage.first, passage.last])
    log: Tensor = log_over_spectrum(frame_of(relps), incidence, (x, y, z))
    return log[None]
