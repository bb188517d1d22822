"""How long scattering vectors get, and beyond what length a list of reflections holds nothing."""

from __future__ import annotations

import itertools
import math
import threading
import weakref
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from distbragg.matrices import inverse3
from distbragg.models.beam import Beam, Sources
from distbragg.models.crystal import Reflections
from distbragg.models.detector import Panel
from distbragg.models.vectors import Float64Array
from distbragg.physics.near_sphere import CUT, LINE_SPAN, GaussianCrystal

_MARGIN: Final = 1.0 + 1e-6
"""Far above what rounding can make of a length, and what cells of one key differ by."""

_KEY_DIGITS: Final = 10
_CORNERS: Final = np.array(list(itertools.product((-0.5, 0.5), repeat=3))).T
_AT_ONCE: Final = 1 << 22
"""Entries of a list that are looked at together."""

_DRAWN: Final = max(CUT.values())
_BEYOND: Final = 3.0
"""Times what a spot is drawn to: far above what its ellipse on a panel is grown by."""

_MOST_SHARE: Final = 0.8
"""Of |g|, that what turns may move a reflection by, where a bound is told."""

_KEPT_LISTS: Final = 4
_KEPT_CELLS: Final = 64

_Key = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class _Ends:
    """First and last |F| that is not 0 of each row along l: the longest of all is among them."""

    owner: weakref.ref[Any]  # the list's array
    points: Float64Array  # (3, n)
    lengths: dict[_Key, float] = field(default_factory=dict)  # found for cells


_lists: OrderedDict[int, _Ends] = OrderedDict()
_lock = threading.Lock()
_last: tuple[Sources, tuple[Panel, ...], float] | None = None


def furthest_lit(reflections: Reflections, real_space: Float64Array) -> float:
    """Length of q beyond which every look-up gives exactly 0, 1/Å; infinite where there is none.

    Parameters
    ----------
    reflections : Reflections
    real_space : (3, 3) float64, Å
        Rows a, b, c in any orientation.
    """
    if reflections.interpolate or reflections.default_amplitude != 0.0:
        return math.inf
    key = _key_of(real_space)
    with _lock:
        ends = _ends_of(reflections)
        if key not in ends.lengths:
            if len(ends.lengths) >= _KEPT_CELLS:
                ends.lengths.clear()
            ends.lengths[key] = _furthest(ends.points, inverse3(real_space))
        return ends.lengths[key]


def longest_scattering(beam: Beam, view: Panel) -> float:
    """Return a bound of |q| at all pixels, layers and sources of a panel, 1/Å.

    The directions within an angle of at most a right angle of a beam are a convex cone: when it
    holds the corners of a flat panel it holds the panel.
    """
    sources = beam.sources
    shortest = float(sources.wavelength.min())
    if view.surface != "flat":
        return 2.0 / shortest
    incident = -np.unique(sources.direction, axis=0)
    lowest = float((_corner_rays(view)[:, None] * incident).sum(axis=2).min())
    return math.sqrt(2.0 - 2.0 * lowest) / shortest if lowest > 0.0 else 2.0 / shortest


def field_of_view(view: Panel) -> tuple[Float64Array, float]:
    """Return a direction (3,) and the angle, rad, from it within which all rays to a panel lie.

    The angle is π where the panel is not flat, or not seen within a right angle.
    """
    everywhere = -view.normal, math.pi
    if view.surface != "flat":
        return everywhere
    rays = _corner_rays(view)
    axis = rays.sum(axis=0)
    lowest = float((rays * axis).sum(axis=1).min())
    if not lowest > 0.0:  # nor is it where a corner in the sample has no ray
        return everywhere
    size = math.sqrt(float(np.square(axis).sum()))
    return axis / size, math.acos(min(lowest / size, 1.0))


def _corner_rays(view: Panel) -> Float64Array:
    """Return unit rays (n, 3) to the corners of a flat panel, at its surface and at its layers."""
    slow, fast = (np.array([0.0, n * view.pixel_size]) for n in view.shape)
    corners = (
        view.origin
        + slow[:, None, None, None] * view.slow
        + fast[None, :, None, None] * view.fast
        + np.array([0.0, *view.sensor.position])[None, None, :, None] * view.normal
    ).reshape(-1, 3)
    with np.errstate(invalid="ignore"):  # a corner in the sample has no ray
        rays: Float64Array = corners / np.sqrt(np.square(corners).sum(axis=1))[:, None]
        return rays


def least_spacing(beam: Beam, panels: tuple[Panel, ...], crystal: GaussianCrystal) -> float:
    """Return a spacing, Å, below which no reflection of a Gaussian crystal is drawn on any panel.

    What is drawn of a reflection lies within a few times the cut of it: of lattice points whose
    length is beyond that of every scattering vector by three times as much, no pixel sees any.
    The same for all panels, so that their tiles share what is found. 0: no limit.
    """
    wavenumbers = 1.0 / beam.sources.wavelength
    most = float(wavenumbers.max())
    together = min(float(np.ptp(wavenumbers)), LINE_SPAN * most)
    longest = _longest_of_all(beam, panels)
    flat = float(np.trace(crystal.covariance)) + 4.0 * (beam.sources.bandwidth * most) ** 2
    flat += most * most * float((beam.divergence**2).sum())
    turned = float(np.trace(crystal.mosaic)) + float((crystal.strains**2).sum())
    half = 0.5 * (crystal.spindle.stop - crystal.spindle.start) / crystal.part_count
    share = _BEYOND * (_DRAWN * math.sqrt(turned) + half)
    if share > _MOST_SHARE:
        return 0.0
    beside = _BEYOND * (_DRAWN * math.sqrt(flat) + 2.0 * together)
    return (1.0 - share) / (longest + beside)


def _longest_of_all(beam: Beam, panels: tuple[Panel, ...]) -> float:
    """Return the longest q of all panels, kept for those asked for last."""
    global _last
    last = _last  # once: another thread may put its own there meanwhile
    if last is None or last[0] is not beam.sources or last[1] is not panels:
        longest = max(longest_scattering(beam, view) for view in panels)
        _last = last = (beam.sources, panels, longest)
    return last[2]


def _key_of(real_space: Float64Array) -> _Key:
    """Six lengths that make a cell, rounded: the same whichever way it is turned."""
    a, b, c = real_space.tolist()
    lengths = (
        *(math.hypot(*edge) for edge in (a, b, c)),
        *(math.dist(one, other) for one, other in ((a, b), (b, c), (c, a))),
    )
    return tuple(round(math.log(length), _KEY_DIGITS) for length in lengths)


def _ends_of(reflections: Reflections) -> _Ends:
    """Return the ends of a list, kept for the last few arrays by identity."""
    amplitude = reflections.amplitude
    kept = _lists.get(id(amplitude))
    if kept is None or kept.owner() is not amplitude:
        points = _row_ends(amplitude) + np.array(reflections.origin, dtype=np.float64)[:, None]
        kept = _lists[id(amplitude)] = _Ends(weakref.ref(amplitude), points)
    _lists.move_to_end(id(amplitude))
    while len(_lists) > _KEPT_LISTS:
        _lists.popitem(last=False)
    return kept


def _row_ends(amplitude: Float64Array) -> Float64Array:
    """Places in the box of the first and the last of each row that is not 0, (3, n)."""
    found = [np.zeros((3, 0))]
    size_h, size_k, size_l = amplitude.shape
    # Some planes at a time: a mask of the whole box could be large.
    step = max(1, _AT_ONCE // max(1, size_k * size_l))
    for start in range(0, size_h, step):
        lit = amplitude[start : start + step] != 0.0
        h, k = np.nonzero(lit.any(axis=2))
        rows = lit[h, k]
        first, last = rows.argmax(axis=1), size_l - 1 - rows[:, ::-1].argmax(axis=1)
        found += [np.stack([h + start, k, end]) for end in (first, last)]
    return np.concatenate(found, axis=1)


def _furthest(points: Float64Array, inverse: Float64Array) -> float:
    """Length of the longest lattice vector and half the longest diagonal of a cell, with a margin.

    `inverse`: columns a*, b*, c*, 1/Å.
    """
    if points.size == 0:
        return 0.0
    lattice, diagonal = (
        math.sqrt(np.square(inverse @ p).sum(axis=0).max()) for p in (points, _CORNERS)
    )
    return (lattice + diagonal) * _MARGIN
