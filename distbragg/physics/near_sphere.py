"""Which reflections of a Gaussian crystal are seen from one source, and where, to first order.

A reflection's displacement from the Ewald sphere is the sum of normal ones, of covariance
Σ = C + k² D + [g]ₓ M [g]ₓᵀ + σ_k² u uᵀ with u = s₁ − s₀ (`closed_form` tells of what), and of a
spread of cells Σ_k (T_k g)(T_k g)ᵀ beside (`strain`). Along the
outgoing ray its variance is Σ_rr, and the reflection lies ε from the sphere: it is seen where ε
is at most `cut` standard deviations, somewhere in the rotation. Across the ray the displacement
has, given ε, the mean −ε Σ_tr/Σ_rr and the covariance Σ_tt − Σ_tr Σ_rt/Σ_rr, which are the spot's
place and its ellipse, in units of k.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from distbragg.matrices import dot3, inverse3, matmul3, norm3, transposed
from distbragg.models.beam import Beam
from distbragg.models.crystal import Crystal
from distbragg.models.vectors import Float64Array, IntArray, components, rotation_about
from distbragg.physics.closed_form import Incidence, Relps
from distbragg.physics.closed_rotation import Spindle
from distbragg.physics.places import Places
from distbragg.physics.strain import crystal_strains, rows_of, strain_covariance
from distbragg.physics.symmetric import Symmetric
from distbragg.physics.unrolled import Sphere
from distbragg.shapes import SHAPES

CUT: Final = {"mixed": 4.55, "float64": 6.1}
"""Standard deviations from a spot's middle beyond which nothing is rendered: 3e-5 of the greatest
that the reflection can be, and 8e-9."""

LINE_SPAN: Final = 0.05
LINE_GAP: Final = 0.01
"""Of a wavenumber: `mixed` takes lines of a spectrum together over so much of it at most, and none
together between which it leaves more. A spot's polynomials hold about the middle of its lines.
"""

_LONGEST_PART: Final = math.radians(2.0)
"""Rotation within which the angle at which a reflection passes is straight enough to be found."""

_PARTS_BY_STRAIN: Final = 8000.0
"""Further parts of a rotation, for each rad of it and unit of strain: where cells are spread, the
logarithm of a reflection's passage is not a parabola for long: at 1 % for a third of a degree.
"""

_BEYOND: Final = 2.2
"""Times k: no |g| beyond is on the sphere, nor near it."""

_SETTLING: Final = 2
"""Steps to the brightest ray of a spot."""

_NEAR_BEAM: Final = 1e-6
"""Sine of the angle with the beam below which no direction leads towards it."""

_ROUNDING: Final = 1e-9

_COLUMNS: Final = 1 << 18
"""Columns of h and k looked at together."""

_UPPER: Final = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
_PAIRS: Final = ((0, 0), (0, 1), (1, 1))


@dataclass(frozen=True, slots=True)
class GaussianCrystal:
    """A crystal in the middle of a frame's rotation, in the laboratory."""

    reciprocal: Float64Array  # (3, 3), 1/Å: rows a*, b*, c*
    covariance: Float64Array  # (3, 3), 1/Å²: C of a lattice point
    mosaic: Float64Array  # (3, 3), rad²: M
    spindle: Spindle  # from the middle
    strains: Float64Array = field(default_factory=lambda: np.zeros((0, 3, 3)))
    """(k, 3, 3): T_k of a spread of cells, see `strain`."""

    @property
    def rotates(self) -> bool:
        """Whether the spindle turns during the frame."""
        return self.spindle.stop > self.spindle.start

    @property
    def part_count(self) -> int:
        """Into how many equal parts the rotation is cut."""
        turned = self.spindle.stop - self.spindle.start
        strain = math.sqrt(float((self.strains * self.strains).sum()))
        parts = turned / _LONGEST_PART + turned * strain * _PARTS_BY_STRAIN
        return max(1, math.ceil(parts - _ROUNDING))

    def parts(self) -> list[GaussianCrystal]:
        """Return the crystal in the middle of each part of the rotation."""
        count, axis = self.part_count, self.spindle.axis
        if count == 1:
            return [self]
        width = (self.spindle.stop - self.spindle.start) / count
        middles = [self.spindle.start + (part + 0.5) * width for part in range(count)]
        spindle = Spindle(axis, -0.5 * width, 0.5 * width)
        return [
            replace(self.turned(rotation_about(axis, middle)), spindle=spindle)
            for middle in middles
        ]

    def turned(self, turn: Float64Array) -> GaussianCrystal:
        """Return the crystal turned by a rotation matrix."""
        back = transposed(turn)
        return replace(
            self,
            reciprocal=matmul3(self.reciprocal, back),
            covariance=matmul3(matmul3(turn, self.covariance), back),
            mosaic=matmul3(matmul3(turn, self.mosaic), back),
            strains=matmul3(matmul3(turn, self.strains), back),
        )

    def relps(self, places: Float64Array) -> Relps:
        """Return lattice points g, (n, 3) 1/Å, as the closed form takes them."""
        x, y, z = np.asarray(places).T
        covariance, mosaic = symmetric(self.covariance), symmetric(self.mosaic)
        return Relps((x, y, z), covariance, mosaic, rows_of(self.strains))


def symmetric(matrix: Float64Array) -> Symmetric:
    """Return a symmetric matrix (3, 3) by its components."""
    xx, xy, xz, yy, yz, zz = (float(matrix[place]) for place in _UPPER)
    return Symmetric((xx, xy, xz, yy, yz, zz))


def gaussian_crystal(crystal: Crystal) -> GaussianCrystal:
    """Turn a crystal, and what belongs to it, to the middle of the frame's rotation.

    The square of its transform falls as exp(−c δᵀ S δ) in indices, which is a covariance of
    (2 c S)⁻¹ there.
    """
    start, stop = crystal.oscillation
    turn = rotation_about(components(crystal.spindle_axis), 0.5 * (start + stop))
    reciprocal = matmul3(crystal.reciprocal, transposed(turn))
    index = inverse3(2.0 * SHAPES[crystal.shape].decay * crystal.spot_form)
    half = 0.5 * (stop - start)
    return GaussianCrystal(
        reciprocal=reciprocal,
        covariance=matmul3(matmul3(transposed(reciprocal), index), reciprocal),
        mosaic=matmul3(matmul3(turn, crystal.mosaic_covariance), transposed(turn)),
        spindle=Spindle(components(crystal.spindle_axis), -half, half),
        strains=matmul3(matmul3(turn, crystal_strains(crystal)), transposed(turn)),
    )


def incidence_of(beam: Beam, source: int) -> Incidence:
    """Return one source; what of the divergence runs along its own direction is none."""
    sources = beam.sources
    direction = -sources.direction[source]
    along = dot3(beam.divergence, direction)
    one, two = beam.divergence - along[:, np.newaxis] * direction
    k = 1.0 / float(sources.wavelength[source])
    spread = (components(one), components(two))
    return Incidence(components(direction), spread, k, sources.bandwidth * k)


def near_sphere(
    crystal: GaussianCrystal, incidence: Incidence, *, cut: float, dmin: float = 0.0
) -> Places:
    """Find the reflections that one source lights, those of a spacing below `dmin`, Å, left out."""
    k = incidence.wavenumber
    farthest = min(_BEYOND * k, 1.0 / dmin) if dmin > 0.0 else _BEYOND * k
    thickness = float(_thickness(crystal, incidence, np.array(farthest), cut))
    middle = k * np.array(incidence.direction)
    return Places.joined(
        [
            _see(crystal, incidence, hkl, cut, dmin)
            for hkl in _indices(
                crystal.reciprocal, farthest, middle, (k - thickness, k + thickness)
            )
        ]
    )


def _indices(
    reciprocal: Float64Array, farthest: float, middle: Float64Array, shell: tuple[float, float]
) -> Iterator[IntArray]:
    """Yield Miller indices with |g| ≤ farthest and |middle + g| in the shell, and few beside.

    In order, some planes of h at a time.
    """
    edges = norm3(transposed(inverse3(reciprocal)))
    most = [int(farthest * edge) for edge in edges.tolist()]
    columns = 2 * most[1] + 1
    step = max(1, _COLUMNS // columns)
    for start in range(-most[0], most[0] + 1, step):
        planes = np.arange(start, min(start + step, most[0] + 1))
        h = np.repeat(planes, columns)
        k = np.tile(np.arange(-most[1], most[1] + 1), len(planes))
        base = _placed(np.stack([h, k, 0 * h], axis=1), reciprocal)
        low, high = _within(base, reciprocal[2], farthest)
        near = np.flatnonzero(low <= high)
        h, k, base = h[near], k[near], base[near]
        low, high = low[near], high[near]
        outer = _within(base + middle, reciprocal[2], shell[1])
        inner = _within(base + middle, reciprocal[2], max(shell[0], 0.0))
        low, high = np.maximum(low, outer[0]), np.minimum(high, outer[1])
        # Columns that do not come inside have all before the hole.
        hollow = inner[0] <= inner[1]
        last = np.floor(np.where(hollow, np.minimum(high, inner[0]), high))
        first = np.maximum(np.ceil(np.where(hollow, inner[1], np.inf)), last + 1.0)
        ranges = np.stack([np.ceil(low), last, np.maximum(first, np.ceil(low)), np.floor(high)], 1)
        starts, stops = ranges.reshape(-1, 2).T
        count = np.where(starts <= stops, stops - starts + 1.0, 0.0).astype(np.int64)
        own = np.repeat(np.arange(len(count)), count)
        l = np.arange(len(own)) - (np.cumsum(count) - count)[own]  # noqa: E741
        l = l + starts[own].astype(np.int64)  # noqa: E741
        yield np.stack([h[own // 2], k[own // 2], l], axis=1)


def _within(
    base: Float64Array, step: Float64Array, radius: float
) -> tuple[Float64Array, Float64Array]:
    """Return the l between which |base + l·step| ≤ radius; the first is above where none is."""
    square = dot3(step, step)
    middle = -dot3(base, step) / square
    half = middle * middle - (dot3(base, base) - radius * radius) / square
    half = np.where(half >= 0.0, np.sqrt(np.maximum(half, 0.0)), -np.inf)
    return middle - half, middle + half


def _placed(hkl: IntArray, reciprocal: Float64Array) -> Float64Array:
    h, k, l = (part[:, np.newaxis] for part in hkl.T)  # noqa: E741 - Miller indices
    return np.asarray(h * reciprocal[0] + k * reciprocal[1] + l * reciprocal[2])


def _see(
    crystal: GaussianCrystal, incidence: Incidence, hkl: IntArray, cut: float, dmin: float
) -> Places:
    """Keep of some reflections those that are seen."""
    k, direction = incidence.wavenumber, np.array(incidence.direction)
    g = _placed(hkl, crystal.reciprocal)
    outgoing = k * direction + g
    size = norm3(outgoing)
    kept = (size > 0.0) & (abs(size - k) <= _thickness(crystal, incidence, norm3(g), cut))
    if dmin > 0.0:
        kept &= norm3(g) * dmin <= 1.0
    hkl, g, outgoing, size = hkl[kept], g[kept], outgoing[kept], size[kept]
    ray = outgoing / size[:, np.newaxis]
    level, total = displacement_covariances(crystal, incidence, g, ray - direction)
    image = (total * ray[:, np.newaxis, :]).sum(axis=2)
    along = dot3(ray, image)
    axis, start, stop = crystal.spindle.axis, crystal.spindle.start, crystal.spindle.stop
    speed = np.cross(np.array(axis), g)
    towards, off = dot3(speed, ray), size - k
    with np.errstate(divide="ignore", invalid="ignore"):
        nearest = np.where(towards != 0.0, -off / towards, 0.0)
    rest = off + np.clip(nearest, start, stop) * towards
    square = rest * rest / along
    seen = np.flatnonzero(square <= cut * cut)
    hkl, level, total = hkl[seen], level[seen], total[seen]
    g, ray, image, speed = (part[seen] for part in (g, ray, image, speed))
    along, towards, nearest, off, square = (
        part[seen] for part in (along, towards, nearest, off, square)
    )
    reach = np.sqrt(cut * cut - square)
    width = np.sqrt(along) / np.maximum(np.abs(towards), 1e-30)
    lit = _lit(crystal.spindle, nearest, width, reach, cut)
    first, second = _across(ray)
    lean, own = met_widths(total, image, along, (first, second), k)
    steps = [dot3(axis, speed) for axis in (first, second)]
    rest = off + lit.middle * towards
    away = [(lit.middle * step - part * rest) / k for step, part in zip(steps, lean, strict=True)]
    drift = [(step - part * towards) / k for step, part in zip(steps, lean, strict=True)]
    covariance = [
        lit.wider * part + drift[i] * drift[j] * lit.variance
        for part, (i, j) in zip(own, _PAIRS, strict=True)
    ]
    centre = ray + away[0][:, np.newaxis] * first + away[1][:, np.newaxis] * second
    centre = _unit(centre)
    first = _unit(first - dot3(first, centre)[:, np.newaxis] * centre)
    flat = Places(
        hkl,
        g,
        centre,
        first,
        np.cross(centre, first),
        np.stack(covariance, axis=1),
        np.zeros(len(hkl)),
        reach,
    )
    passage = _Passage(crystal, incidence, lit.middle, level, total, inverse3(total))
    return _turned_to_beam(_settled(flat, passage, own, lit.wider), level, incidence)


@dataclass(frozen=True, slots=True)
class _Passage:
    """Reflections in the middle of what is lit of each."""

    crystal: GaussianCrystal
    incidence: Incidence
    angle: Float64Array  # (n,), rad
    level: Float64Array  # (n, 3, 3), 1/Å²: the part of Σ that does not rotate
    total: Float64Array  # (n, 3, 3), 1/Å²: Σ
    precision: Float64Array  # (n, 3, 3), Å²: Σ⁻¹

    def flat(self, off: Float64Array) -> Float64Array:
        """Return what of displacements (n, 3) does not rotate, on average."""
        pull = (self.precision * off[:, np.newaxis, :]).sum(axis=2)
        return np.asarray((self.level * pull[:, np.newaxis, :]).sum(axis=2))

    def in_plane(
        self, axes: Sequence[Float64Array], rest: Float64Array
    ) -> tuple[list[Float64Array], list[Float64Array]]:
        """Return where along two axes (n, 3) Σ is densest in their plane, `rest` away from there.

        And its covariance there, 11, 12, 22. These are (A Σ⁻¹ Aᵀ)⁻¹ A Σ⁻¹ d and (A Σ⁻¹ Aᵀ)⁻¹ of
        the rows A, taken of Σ itself: of a crystal that is a million times as thin as it is wide
        float64 keeps too little of its inverse, and made variances negative.
        """
        normal = np.cross(axes[0], axes[1])
        area = dot3(normal, normal)[:, np.newaxis]
        duals = np.cross(axes[1], normal) / area, np.cross(normal, axes[0]) / area
        image = (self.total * normal[:, np.newaxis, :]).sum(axis=2)
        lean, covariance = met_widths(self.total, image, dot3(normal, image), duals, 1.0)
        off = dot3(normal, rest)
        return [
            dot3(dual, rest) - part * off for dual, part in zip(duals, lean, strict=True)
        ], covariance


def _settled(
    places: Places, passage: _Passage, own: list[Float64Array], wider: Float64Array
) -> Places:
    """Move centres to where spots are brightest on the sphere that rotations keep |g| to.

    By Gauss-Newton, whose last matrix is the inverse of the covariance there. `own` is that of the
    angles at one angle of the spindle, 11, 12, 22, to first order from g alone; `wider`, how many
    times it is part of the covariance.
    """
    k, direction = passage.incidence.wavenumber, np.array(passage.incidence.direction)
    g = _turned(places.relp, np.array(passage.crystal.spindle.axis), passage.angle)
    length = norm3(g)
    lies = length > 0.0
    sphere = Sphere(np.where(lies, length, 1.0), g / np.where(lies, length, 1.0)[:, np.newaxis])
    centre, first = places.centre, places.first
    settled = own
    for _ in range(_SETTLING):
        second = np.cross(centre, first)
        seen = sphere.seen(k * (centre - direction))
        # What is flat of it leaves that sphere by its sagitta.
        steps = [seen.moved(k * axis) for axis in (first, second)]
        rest, axes = seen.flattened(steps, passage.flat)
        (one, two), settled = passage.in_plane(axes, rest)
        moved = centre - one[:, np.newaxis] * first - two[:, np.newaxis] * second
        centre = np.where(lies[:, np.newaxis], _unit(moved), centre)
        first = _unit(first - dot3(first, centre)[:, np.newaxis] * centre)
    more = [np.where(lies, wider * (new - old), 0.0) for new, old in zip(settled, own, strict=True)]
    return replace(
        places,
        centre=centre,
        first=first,
        second=np.cross(centre, first),
        covariance=places.covariance + np.stack(more, axis=1),
    )


def _unit(vectors: Float64Array) -> Float64Array:
    """Return vectors (n, 3) of length 1."""
    return np.asarray(vectors / norm3(vectors)[:, np.newaxis])


def _turned(vectors: Float64Array, axis: Float64Array, angle: Float64Array) -> Float64Array:
    """Return vectors (n, 3) turned about a unit axis, each by its own angle."""
    sine, cosine = np.sin(angle)[:, np.newaxis], np.cos(angle)[:, np.newaxis]
    along = (dot3(vectors, axis)[:, np.newaxis] * axis) * (1.0 - cosine)
    return np.asarray(vectors * cosine + np.cross(axis, vectors) * sine + along)


def _turned_to_beam(places: Places, flat: Float64Array, incidence: Incidence) -> Places:
    """Turn the axes across each spot about the beam and towards it, and give its ridge a bow.

    Rotations leave |q| as it is, so that they spread a spot along the circle of its scattering
    angle, whose curvature is cot 2θ. What does not rotate is spread straight; what is as wide as it
    is far from the beam is not an arc.
    """
    k, direction = incidence.wavenumber, np.array(incidence.direction)
    about = np.cross(direction, places.centre)
    sine = norm3(about)
    off = sine >= _NEAR_BEAM
    length = np.where(off, sine, 1.0)
    axis = np.where(off[:, np.newaxis], about / length[:, np.newaxis], places.first)
    c, s = dot3(places.first, axis), dot3(places.second, axis)
    xx, xy, yy = places.covariance.T
    both = 2.0 * c * s * xy
    turned = (
        c * c * xx + both + s * s * yy,
        (c * c - s * s) * xy + c * s * (yy - xx),
        s * s * xx - both + c * c * yy,
    )
    straight = dot3(axis, (flat * axis[:, np.newaxis, :]).sum(axis=2))
    rotated = 1.0 - straight / np.maximum(k * k * turned[0], 1e-300)
    is_arc = off & (places.reach * np.sqrt(turned[0]) < 0.5 * sine)
    bow = np.where(is_arc, 0.5 * dot3(places.centre, direction) / length, 0.0)
    bow = bow * np.maximum(rotated, 0.0) ** 2
    second = np.cross(places.centre, axis)
    return replace(places, first=axis, second=second, covariance=np.stack(turned, axis=1), bow=bow)


@dataclass(frozen=True, slots=True)
class _Lit:
    """The part of a rotation in which reflections are lit, (n,) each."""

    middle: Float64Array  # rad
    variance: Float64Array  # rad²
    wider: Float64Array  # how many times the rest of the covariance is taken


def _lit(
    spindle: Spindle, nearest: Float64Array, width: Float64Array, reach: Float64Array, cut: float
) -> _Lit:
    """Return all of a reflection's passage, of a width in rad, or as far as the rotation goes.

    A part makes a band whose ends an ellipse of its length would cut: that is taken larger.
    """
    start = np.maximum(spindle.start, nearest - cut * width)
    stop = np.minimum(spindle.stop, nearest + cut * width)
    clipped = np.clip(nearest, spindle.start, spindle.stop)
    middle = np.where(start <= stop, 0.5 * (start + stop), clipped)
    half = np.maximum(0.5 * (stop - start), 0.0)
    whole = half >= 0.99 * cut * width
    part = half / np.maximum(reach, 1e-3)
    variance = np.where(whole, width * width, 3.0 * part * part)
    return _Lit(middle, variance, np.where(whole | (half == 0.0), 1.0, 1.25))


def _thickness(
    crystal: GaussianCrystal, incidence: Incidence, length: Float64Array, cut: float
) -> Float64Array:
    """Return how far from the sphere a reflection of |g| = `length` may lie and still be seen."""
    k, half = incidence.wavenumber, crystal.spindle.stop
    spread: Float64Array = np.array(incidence.spread, dtype=np.float64)
    variance = np.trace(crystal.covariance) + k * k * (spread * spread).sum()
    strain = float((crystal.strains * crystal.strains).sum())
    variance = variance + length * length * (np.trace(crystal.mosaic) + strain)
    variance = variance + 4.0 * incidence.width * incidence.width
    return np.asarray(cut * np.sqrt(variance) + length * half * (1.0 + half))


def displacement_covariances(
    crystal: GaussianCrystal, incidence: Incidence, g: Float64Array, u: Float64Array
) -> tuple[Float64Array, Float64Array]:
    """Return of every reflection the part of Σ that does not rotate, and all of it, 1/Å².

    Σ is of its displacement from the Ewald sphere; both are (n, 3, 3), `g` and `u` = s₁ − s₀
    (n, 3), in 1/Å and of unit vectors.
    """
    rows = np.cross(g[:, np.newaxis, :], crystal.mosaic[np.newaxis])
    rotated = np.cross(g[:, np.newaxis, :], rows.swapaxes(1, 2))
    k, wide = incidence.wavenumber, incidence.width * u
    spread: Float64Array = np.array(incidence.spread, dtype=np.float64)
    across = (spread[:, :, np.newaxis] * spread[:, np.newaxis]).sum(axis=0)
    flat = np.broadcast_to(crystal.covariance + (k * k) * across, rotated.shape)
    if len(crystal.strains):
        flat = flat + strain_covariance(crystal.strains, g)
    return flat, flat + rotated + wide[:, :, np.newaxis] * wide[:, np.newaxis, :]


def met_widths(
    total: Float64Array,
    image: Float64Array,
    along: Float64Array,
    across: tuple[Float64Array, Float64Array],
    wavenumber: float,
) -> tuple[list[Float64Array], list[Float64Array]]:
    """Return how Σ leans along two axes across a ray, and its widths there given that |q| is met.

    `image` is Σ times the ray and `along` its variance along it. The widths are the covariance of
    the angles along both axes, its parts 00, 01 and 11, (n,) each, rad².
    """
    lean = [dot3(axis, image) / along for axis in across]
    own = []
    for i, j in _PAIRS:
        whole = dot3(across[i], (total * across[j][:, np.newaxis, :]).sum(axis=2))
        own.append((whole - lean[i] * lean[j] * along) / (wavenumber * wavenumber))
    return lean, own


def _across(forward: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return two unit vectors across each unit vector and each other."""
    x, y, z = forward.T
    flat, zero = z * z < 0.5, np.zeros_like(x)
    first = np.stack(
        [np.where(flat, -y, zero), np.where(flat, x, -z), np.where(flat, zero, y)], axis=1
    )
    first = _unit(first)
    return first, np.cross(forward, first)
