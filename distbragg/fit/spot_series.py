"""The logarithms of spots as polynomials, with gradients by all that a spot depends on.

The formulas are evaluated at the nodes of each spot's disc alone (ADR 0030), and fitted there. The
disc is the same wherever a panel stands; on a layer of a panel the polynomial is fitted again in
the ellipse that the disc makes there, which is where gradients by the panel come in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from distbragg.fit.spot_boxes import Ellipses, Window
from distbragg.fit.spot_draw import seen
from distbragg.fit.spot_fit import NODES, at_nodes, constant, evaluate, fitted
from distbragg.fit.spot_formulas import at_rays
from distbragg.kernel.closed_model import SpotList
from distbragg.kernel.scene import Scene
from distbragg.models.vectors import BoolArray, IntArray
from distbragg.physics.arrays import Triple
from distbragg.physics.places import Places
from distbragg.physics.rays import SampleIndex, sample_rays

_TOGETHER: Final = (1 << 14) // len(NODES)
"""Spots evaluated at once: beyond so many numbers torch takes threads, which cost more than they
save."""

_SPECTRUM_NODES: Final = 5
"""Points of a normal spectrum's integral: within 2e-7 of a spot's maximum (spread 0.5°, bandwidth
1 %, divergence 1 mrad)."""

_WELL_FITTED: Final = 5e-6
"""Of a spot's maximum: where the polynomial is farther off at its nodes, it is not taken."""


def series_of(spots: SpotList) -> tuple[Tensor, BoolArray]:
    """Return polynomials in the discs, (parts, spots, coefficients), and which of them fit."""
    return _joined(_fitted(_logs(some(spots, at))) for at in _together(spots.places))


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

    def there(at: IntArray, own: Tensor) -> Tensor:
        slow, fast = (
            constant(part + start, series)
            for part, start in zip(ellipses[at].nodes(NODES), window.corner, strict=True)
        )
        index = SampleIndex(layer, 0, 0)
        rays = sample_rays(scene.placement, slow, fast, sample=index, oversample=1)
        return _at_rays_of(own, places[at], rays.direction)

    parts = zip(_together(places), torch.split(series, _TOGETHER, dim=1), strict=True)
    return _joined(_fitted(there(at, own)) for at, own in parts)


def _joined(found: Iterable[tuple[Tensor, BoolArray]]) -> tuple[Tensor, BoolArray]:
    """Join polynomials, and which of them fit."""
    series, fits = zip(*found, strict=True)
    return torch.cat(series, dim=1), np.concatenate(fits)


def _at_rays_of(series: Tensor, places: Places, rays: Triple) -> Tensor:
    """Return polynomials in the discs at rays, (parts, spots, rays)."""
    centre, first, second = (
        _along(constant(part, series), rays) for part in (places.centre, *places.disc())
    )
    a, b = first / centre, second / centre
    b = b - constant(places.arc(), series)[:, None] * a * a
    return evaluate(series[:, :, None], a, b)


def _together(places: Places) -> Iterator[IntArray]:
    """Yield the spots that are evaluated at once."""
    for start in range(0, len(places), _TOGETHER):
        yield np.arange(start, min(start + _TOGETHER, len(places)))


def _along(vectors: Tensor, ray: Triple) -> Tensor:
    x, y, z = vectors[:, :, None].unbind(1)
    found: Tensor = x * ray[0] + y * ray[1] + z * ray[2]
    return found


def some(spots: SpotList, chosen: IntArray) -> SpotList:
    """Return some of the spots."""
    at = torch.from_numpy(chosen).to(spots.height.device)
    x, y, z = (part[at] for part in spots.relps.place)
    relps = replace(spots.relps, place=(x, y, z))
    return replace(spots, places=spots.places[chosen], relps=relps, height=spots.height[at])


def seen_at(spots: SpotList, chosen: Tensor, rays: Tensor) -> Tensor:
    """Return chosen spots by the formulas themselves, each at its own ray (points, 3)."""
    place = (part[chosen, None] for part in spots.relps.place)
    nodes = spots.incidence.nodes
    parts = at_rays(spots.spindle, nodes, rays[:, None], *_numbers(spots), *place)
    value: Tensor = seen(parts[..., 0]) * spots.height[chosen]
    return value


def _fitted(values: Tensor) -> tuple[Tensor, BoolArray]:
    series = fitted(values)
    # By numpy, since torch takes threads for so few numbers.
    here, there = (
        seen(part.detach().cpu().numpy()) for part in (values, at_nodes(series.detach()))
    )
    good = np.abs(there - here).max(axis=1) < _WELL_FITTED * here.max(axis=1)
    return series, np.asarray(good)


def _logs(spots: SpotList) -> Tensor:
    """Return the logarithm at the nodes, or the parts of a passage, (parts, spots, nodes)."""
    found, _ = spots.places.rays(spots.places.radius(), *NODES.T)
    rays, place = constant(found, spots.height), (part[:, None] for part in spots.relps.place)
    return at_rays(spots.spindle, _SPECTRUM_NODES, rays, *_numbers(spots), *place)


def _numbers(spots: SpotList) -> tuple[Any, ...]:
    """Return what all spots share, one by one, since gradients flow to each of the numbers."""
    incidence, relps = spots.incidence, spots.relps
    one, two = incidence.spread
    shared = *relps.crystal.parts, *relps.mosaic.parts, *incidence.direction, *one, *two
    strains = tuple(part for strain in relps.strains for row in strain for part in row)
    return incidence.wavenumber, incidence.width, *shared, *strains
