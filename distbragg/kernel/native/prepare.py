"""What the kernel needs of an experiment but the models do not hold: made once, then kept."""

from __future__ import annotations

import math
import threading
import weakref
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from distbragg.kernel.native.bounds import StepBounds, step_bounds, unit_extent
from distbragg.kernel.table import PAIRS
from distbragg.matrices import cholesky3, dot3, transposed
from distbragg.models.crystal import Crystal, Reflections, Spectral
from distbragg.models.detector import Panel
from distbragg.models.experiment import Experiment
from distbragg.models.vectors import Float64Array
from distbragg.physics.factors import intensity_scale
from distbragg.physics.orientation import domain_vectors
from distbragg.shapes import SHAPES

_KEPT_TABLES = 4
_KEPT_CRYSTALS = 4
_RIGHT_ANGLE = 1e-28
"""Squared cosine below which axes of the spot form count as at right angles."""

_WIDEST_TESTED = 0.4
"""Widest spot, in index units, for which skipping strips is both valid and worth while."""

_WIDEST_SOUGHT = 0.1
"""Widest spot for which looking for the pixels of each costs less than testing all pixels."""

_LARGEST_MIXED_CELLS = 1e18
"""Unit cells up to which the squared transform stays below the largest float32."""


@dataclass(frozen=True, slots=True)
class SquaredTable:
    """|F|² as the kernel looks it up.

    Attributes
    ----------
    values : (nh+1, nk+1, nl+1) float32 or float64
        |F|² / scale, with one border plane above each axis that holds the default.
    scale : float
        Power of two that brings the largest value to at most 1.
    largest : float
        The largest value.
    """

    values: NDArray[Any]
    scale: float
    largest: float


_tables: OrderedDict[tuple[int, bool, float], tuple[weakref.ref[Any], SquaredTable]] = OrderedDict()
_tables_lock = threading.Lock()


def uses_double(crystal: Crystal, precision: str) -> bool:
    """Whether the kernel runs in float64: on request, or where float32 could overflow.

    No determinant of N is more than the product of its diagonal.
    """
    return precision == "float64" or float(np.prod(crystal.cells)) > _LARGEST_MIXED_CELLS


def squared_table(reflections: Reflections, *, double: bool) -> SquaredTable:
    """Return the table of |F|², kept for the last few amplitude arrays by identity.

    Models' arrays are read-only, so an array that is still the same object is still equal.
    """
    amplitude = reflections.amplitude
    key = (id(amplitude), double, reflections.default_amplitude)
    with _tables_lock:
        kept = _tables.get(key)
        if kept is not None and kept[0]() is amplitude:
            _tables.move_to_end(key)
            return kept[1]
    table = _make_squared_table(reflections, double=double)
    with _tables_lock:
        for stale in [k for k, (owner, _) in _tables.items() if owner() is None]:
            del _tables[stale]
        _tables[key] = (weakref.ref(amplitude), table)
        while len(_tables) > _KEPT_TABLES:
            _tables.popitem(last=False)
    return table


def _make_squared_table(reflections: Reflections, *, double: bool) -> SquaredTable:
    amplitude, default = reflections.amplitude, reflections.default_amplitude
    largest = max(abs(default), float(np.max(np.abs(amplitude), initial=0.0)))
    # The scale is the square of a power of two, so dividing by it is exact.
    unit = 2.0 ** math.frexp(largest)[1]
    shape = tuple(n + 1 for n in amplitude.shape) if amplitude.size else (1, 1, 1)
    values = np.full(shape, (default / unit) ** 2, np.float64 if double else np.float32)
    if amplitude.size:
        nh, nk, nl = amplitude.shape
        for plane, row in zip(amplitude, values[:nh, :nk, :nl], strict=True):
            row[...] = (plane / unit) ** 2
    # A product: its overflow is an infinity, refused with the pixels, where a power would raise.
    return SquaredTable(values, unit * unit, (largest / unit) ** 2)


_by_energy: OrderedDict[tuple[int, float], tuple[weakref.ref[Any], Float64Array]] = OrderedDict()


def tables_by_energy(spectral: Spectral, scale: float) -> Float64Array:
    """Return the tables of |F|² / scale as the kernel looks them up, (nh+1, nk+1, nl+1, tables).

    One border plane above each axis holds 0. Kept for the last few by identity.
    """
    tables = spectral.tables
    key = (id(tables), scale)
    with _tables_lock:
        kept = _by_energy.get(key)
        if kept is not None and kept[0]() is tables:
            _by_energy.move_to_end(key)
            return kept[1]
    count, nh, nk, nl = tables.shape
    values = np.zeros((nh + 1, nk + 1, nl + 1, count))
    for number, table in enumerate(tables):
        np.divide(table, scale, out=values[:nh, :nk, :nl, number])
    with _tables_lock:
        for stale in [k for k, (owner, _) in _by_energy.items() if owner() is None]:
            del _by_energy[stale]
        _by_energy[key] = (weakref.ref(tables), values)
        while len(_by_energy) > _KEPT_TABLES:
            _by_energy.popitem(last=False)
    return values


@dataclass(frozen=True, slots=True)
class SpotShapeNumbers:
    """The quadratic form of a spot shape, and the factor all its steps share.

    Attributes
    ----------
    metric : (6,) float64
        Upper triangle g00 g01 g02 g11 g12 g22 of G with GᵀG = `Crystal.spot_form`, so that
        r² = |G δ|²; zeros for SQUARE.
    scale : float
        Squared height of the spot, 1 for SQUARE, times the number of blocks.
    zero_beyond : float
        r beyond which results are exactly 0 in the kernel's type; infinite where there is none.
    """

    metric: Float64Array
    scale: float
    zero_beyond: float = math.inf


def spot_shape_numbers(crystal: Crystal, *, double: bool) -> SpotShapeNumbers:
    """Return the numbers of a crystal's spots."""
    row = SHAPES[crystal.shape]
    if row.transform == "interference":
        return SpotShapeNumbers(np.zeros(6), crystal.scale)
    height = crystal.unit_cells * row.height
    beyond = row.zero_radius
    if row.decay > 0.0:
        lowest = PAIRS["EXP_LOWEST"]["double" if double else "float"]
        beyond = min(beyond, math.sqrt(-lowest / row.decay))
    return SpotShapeNumbers(_triangle(crystal.spot_form), height * height * crystal.scale, beyond)


def _triangle(form: Float64Array) -> Float64Array:
    """Return the upper triangle G of GᵀG = form by rows; see `SpotShapeNumbers`."""
    # Mixed terms that are but the rounding of turned right angles are none: that saves products.
    lengths = np.diag(form)
    mixed = form * form > _RIGHT_ANGLE * lengths[:, None] * lengths
    return transposed(cholesky3(np.where(mixed, form, 0.0)))[np.triu_indices(3)]


def spot_reach(numbers: SpotShapeNumbers, vectors: Float64Array, wavelength: float) -> float:
    """Radius for the kernel's float32 test of narrow spots; 0 where the test must not be used.

    A spot is exactly 0 beyond `zero_beyond`. The test works on float32 indices, whose error is
    bounded by 16 · 2⁻²⁴ |a| |q|, |q| ≤ 2/λ; the radius is widened by what that error can do.
    Where the widened ellipsoid comes near half an index the rounded indices of the test and of
    the step may differ, and the test would be wrong.

    Parameters
    ----------
    numbers : SpotShapeNumbers
    vectors : (domains, 9) float64, Å
        Components of a, then b, then c.
    wavelength : float
        Shortest wavelength, Å.
    """
    if not math.isfinite(numbers.zero_beyond):
        return 0.0
    longest = math.sqrt(float((vectors.reshape(-1, 3) ** 2).sum(axis=1).max()))
    index_error = 16 * 2.0**-24 * longest * 2.0 / wavelength
    widest = math.sqrt(math.fsum(part * part for part in numbers.metric.tolist()))
    reach = numbers.zero_beyond * (1.0 + 1e-5) + 2.0 * widest * index_error
    extent = reach * float(unit_extent(numbers.metric).max())
    return reach if extent + 2.0 * index_error < _WIDEST_TESTED else 0.0


@dataclass(frozen=True)
class PreparedCrystal:
    """All that the kernel needs of a crystal, the same for every tile and chunk of a frame.

    Attributes
    ----------
    vectors : (domains, 9) float64, Å
    spot : SpotShapeNumbers
    reach : float
        See `spot_reach`.
    wavelength : float, Å
        Shortest of the sources.
    """

    vectors: Float64Array
    spot: SpotShapeNumbers
    reach: float
    wavelength: float

    @property
    def sought(self) -> bool:
        """Whether spots are so narrow that their pixels are looked for."""
        if self.reach == 0.0:
            return False
        return self.reach * float(unit_extent(self.spot.metric).max()) < _WIDEST_SOUGHT

    @cached_property
    def bounds(self) -> StepBounds:
        """What is needed to leave out steps within a tolerance."""
        return step_bounds(self.vectors, self.spot.metric, self.wavelength)


_crystals: OrderedDict[tuple[int, bool, float], tuple[Crystal, PreparedCrystal]] = OrderedDict()
_crystals_lock = threading.Lock()


def prepare_crystal(crystal: Crystal, *, double: bool, wavelength: float) -> PreparedCrystal:
    """Return what depends on the crystal alone, kept for the last few crystals by identity.

    Parameters
    ----------
    crystal : Crystal
    double : bool
        Whether the kernel runs in float64.
    wavelength : float
        Shortest wavelength of the sources, Å.
    """
    key = (id(crystal), double, wavelength)
    with _crystals_lock:
        kept = _crystals.get(key)
        if kept is not None:
            return kept[1]
    vectors = domain_vectors(crystal)
    spot = spot_shape_numbers(crystal, double=double)
    reach = spot_reach(spot, vectors, wavelength)
    prepared = PreparedCrystal(vectors, spot, reach, wavelength)
    with _crystals_lock:
        # The crystal is held as well: its identity cannot pass to another one meanwhile.
        _crystals[key] = (crystal, prepared)
        while len(_crystals) > _KEPT_CRYSTALS:
            _crystals.popitem(last=False)
    return prepared


_TRICUBIC_OVERSHOOT: Final = 1.25**6
"""Four-point Lagrange weights add up to at most 1.25 in size along an axis: |F| may exceed the
grid by the third power of that, |F|² by the sixth."""


_ONLY_ZERO: Final = 1e-30
"""A limit that nothing but 0 is below: steps are counted in units of the greatest |F|²."""


def most_squared(table: SquaredTable, *, interpolate: bool) -> float:
    """Greatest |F|² a look-up can give, in units of the table's scale."""
    return table.largest * (_TRICUBIC_OVERSHOOT if interpolate else 1.0)


def most_of_a_step(experiment: Experiment, panel: Panel) -> float:
    """Greatest product of the factors of one sample: solid angle, polarisation, capture."""
    nearest = _nearest(panel)
    if nearest == 0.0:
        return math.inf
    close = 1.0 if panel.point_pixel else panel.pixel_size**2 * abs(panel.close_distance) / nearest
    kahn = abs(experiment.beam.kahn_factor) if experiment.beam.polarized else 0.0
    return close / nearest**2 * max(1.0, 0.5 * (1.0 + kahn))


def _nearest(panel: Panel) -> float:
    """Return a distance from the sample within which no sample of a panel's pixels lies, m."""
    if panel.surface != "flat":
        return abs(panel.distance if panel.surface == "nanobragg" else panel.close_distance)
    plane = float(dot3(panel.origin, panel.normal))
    away = min(abs(plane + float(depth)) for depth in panel.sensor.position)
    slow, fast = (size * panel.pixel_size for size in panel.shape)
    beside = 0.0
    for axis in (panel.fast, panel.slow):
        start, along, down = (float(dot3(v, axis)) for v in (panel.origin, panel.fast, panel.slow))
        ends = [start + f * along + s * down for f in (0.0, fast) for s in (0.0, slow)]
        beside = max(beside, min(ends), -max(ends))
    return math.hypot(away, beside)


def samples_per_source(experiment: Experiment, panel: Panel) -> int:
    """Sub-pixels × sensor layers."""
    return experiment.sampling.oversample**2 * panel.sensor.count


def skip_limit(experiment: Experiment, panel: Panel, scale: float, *, sought: bool) -> float:
    """Bound below which a step may be left out, in units of the scaled table; 0: no step.

    Every step of a pixel at this limit would add up to the tolerance exactly. A shape with an edge,
    as TOPHAT has, is bounded by exactly 0 beyond it: looking for its steps this way loses nothing,
    and is done for narrow spots, whether a tolerance is set or not.

    Parameters
    ----------
    experiment : Experiment
    panel : Panel
    scale : float
        `spot_scale · table_scale` of the kernel.
    sought : bool
        Spots are small beside the distance between them.
    """
    tolerance = experiment.sampling.tolerance
    only_zero = tolerance <= 0.0
    # The bounds know flat panels only.
    ends = SHAPES[experiment.crystal.shape].zero_radius < math.inf
    if panel.surface != "flat" or (not sought if ends else only_zero):
        return 0.0
    weights = float(np.abs(experiment.beam.sources.weight).sum())
    domains = len(experiment.crystal.phi) * len(experiment.crystal.mosaic_rotations)
    steps = weights * domains * samples_per_source(experiment, panel)
    photons = intensity_scale(experiment) * most_of_a_step(experiment, panel) * scale * steps
    if not 0.0 < photons < math.inf:
        return 0.0  # a step of 0 may still not be a number
    # Below: the product and the sums over steps round too.
    return _ONLY_ZERO if only_zero else tolerance / photons * (1.0 - 1e-4)
