"""The fused kernel: one program renders a block of pixels from first to last source.

Sources, samples (layer, sub-pixel) and domains are loops inside the program and the sums stay in
registers: nothing of size pixels × domains is ever stored. A pixel's operations do not depend on
its place in a block, so neither the tile nor the batch changes a bit.
"""

from __future__ import annotations

import triton
import triton.language as tl

from distbragg.kernel.triton.device.arithmetic import constant, fma, product_less_turns
from distbragg.kernel.triton.device.geometry import (
    background_squared,
    half_length,
    rays,
    sample_factor,
    towards,
    vector,
)
from distbragg.kernel.triton.device.indices import (
    pieces,
    split_index,
    split_turns,
    wide_index,
)
from distbragg.kernel.triton.device.loads import four, two
from distbragg.kernel.triton.device.step import (
    near_spot,
    nearest_cell,
    off_zero,
    radial_shape,
    radius_squared,
    square_shape,
    tricubic_squared,
)
from distbragg.kernel.triton.layout import (
    BACKGROUND,
    BACKGROUND_ENTRIES,
    BOX,
    CELLS,
    DMIN,
    GRID,
    LAYERS,
    LOWEST,
    METRIC,
    NARROW_NUMBERS,
    OVERSAMPLE,
    REACH_SQUARED,
    SCALE,
    SEARCH_STEPS,
    SOURCE_NUMBERS,
    SPLIT_NUMBERS,
    SQUARE,
    WIDE_NUMBERS,
)

TOGETHER = tl.constexpr(16)
"""Domains whose terms are added in the step's own type before they go to the exact sum."""


@triton.jit
def wide_step(
    domain,
    q,
    cells,
    metric,
    SHAPE: tl.constexpr,
    AXES: tl.constexpr,
    REAL: tl.constexpr,
    LONG: tl.constexpr,
):
    """Nearest indices, distances and squared transform of a step, indices in float64."""
    EXACT: tl.constexpr = tl.float64 == REAL
    x, y, z = q
    a0, a1 = two(domain)
    a2, b0 = two(domain + 2)
    b1, b2 = two(domain + 4)
    c0, c1 = two(domain + 6)
    c2 = tl.load(domain + 8)
    i, u = wide_index(a0, a1, a2, x, y, z, EXACT)
    j, v = wide_index(b0, b1, b2, x, y, z, EXACT)
    m, w = wide_index(c0, c1, c2, x, y, z, EXACT)
    deltas = (u.to(REAL), v.to(REAL), w.to(REAL))
    if SHAPE == SQUARE:
        if LONG:
            far_u, far_v, far_w = off_zero(u, REAL), off_zero(v, REAL), off_zero(w, REAL)
            turns = (
                product_less_turns(far_u, cells[0]).to(REAL),
                product_less_turns(far_v, cells[1]).to(REAL),
                product_less_turns(far_w, cells[2]).to(REAL),
            )
            value = square_shape((far_u.to(REAL), far_v.to(REAL), far_w.to(REAL)), turns, AXES)
        else:
            x = off_zero(deltas[0], REAL)
            y = off_zero(deltas[1], REAL)
            z = off_zero(deltas[2], REAL)
            turns = (
                product_less_turns(x, cells[0].to(REAL)),
                product_less_turns(y, cells[1].to(REAL)),
                product_less_turns(z, cells[2].to(REAL)),
            )
            value = square_shape((x, y, z), turns, AXES)
    else:
        value = radial_shape(radius_squared(u, v, w, metric), SHAPE, REAL)
    return i, j, m, deltas[0], deltas[1], deltas[2], value


@triton.jit
def split_step(domain, q, cells, metric, SHAPE: tl.constexpr, AXES: tl.constexpr):
    """Do what `wide_step` does without float64: `domain` and `q` are pieces."""
    a0, a1, a2, b0 = four(domain)
    b1, b2, c0, c1 = four(domain + 4)
    c2, a3, a4, a5 = four(domain + 8)
    b3, b4, b5, c3 = four(domain + 12)
    c4, c5, a6, a7 = four(domain + 16)
    a8, b6, b7, b8 = four(domain + 20)
    c6, c7, c8, _ = four(domain + 24)
    a, b, c = (a0, a1, a2), (b0, b1, b2), (c0, c1, c2)
    i, u, up = split_index(a, (a3, a4, a5), (a6, a7, a8), q[0], q[1], q[2], q[3], q[4])
    j, v, vp = split_index(b, (b3, b4, b5), (b6, b7, b8), q[0], q[1], q[2], q[3], q[4])
    m, w, wp = split_index(c, (c3, c4, c5), (c6, c7, c8), q[0], q[1], q[2], q[3], q[4])
    deltas = (u + up, v + vp, w + wp)
    if SHAPE == SQUARE:
        hair = constant(1e-12, u)
        turns = (
            tl.abs(split_turns(u, up, cells[0])) + hair * cells[0],
            tl.abs(split_turns(v, vp, cells[1])) + hair * cells[1],
            tl.abs(split_turns(w, wp, cells[2])) + hair * cells[2],
        )
        x = off_zero(deltas[0], tl.float32)
        y = off_zero(deltas[1], tl.float32)
        z = off_zero(deltas[2], tl.float32)
        value = square_shape((x, y, z), turns, AXES)
    else:
        square = radius_squared(deltas[0], deltas[1], deltas[2], metric)
        value = radial_shape(square, SHAPE, tl.float32)
    return i, j, m, deltas[0], deltas[1], deltas[2], value


@triton.jit
def three(base, TYPE: tl.constexpr):
    """Load three numbers in a type."""
    x, y, z = vector(base)
    return x.to(TYPE), y.to(TYPE), z.to(TYPE)


@triton.jit
def domain_sum(
    x,
    y,
    z,
    domains,
    vectors,
    narrow_vectors,
    table,
    amplitude,
    reals,
    wholes,
    SHAPE: tl.constexpr,
    AXES: tl.constexpr,
    REAL: tl.constexpr,
    SPLIT: tl.constexpr,
    LONG: tl.constexpr,
    INTERPOLATE: tl.constexpr,
    NARROW: tl.constexpr,
    INSIDE: tl.constexpr,
):
    """Σ over domains of |F|² F_latt² at scattering vectors (x, y, z), float64, scaled.

    Up to `TOGETHER` terms are added in their own type: all are positive, so that this costs as
    many halves of a unit in the last place at most. Their sums are added in float64, or in float32
    with the rounding error carried along where indices are split.
    """
    INDEX: tl.constexpr = tl.float32 if SPLIT else tl.float64
    cells = three(reals + CELLS, INDEX)
    g0, g1, g2 = vector(reals + METRIC)
    g3, g4, g5 = vector(reals + METRIC + 3)
    coarse = (
        g0.to(tl.float32), g1.to(tl.float32), g2.to(tl.float32),
        g3.to(tl.float32), g4.to(tl.float32), g5.to(tl.float32),
    )  # fmt: skip
    metric = coarse if SPLIT else (g0, g1, g2, g3, g4, g5)
    reach_squared = tl.load(reals + REACH_SQUARED).to(tl.float32)
    lowest, size = vector(wholes + LOWEST), vector(wholes + BOX)
    if SPLIT:
        grid, finer = tl.load(reals + GRID), tl.load(reals + GRID + 1)
        x1, x2, x3, x4, x5 = pieces(x, grid, finer)
        y1, y2, y3, y4, y5 = pieces(y, grid, finer)
        z1, z2, z3, z4, z5 = pieces(z, grid, finer)
        q = ((x1, y1, z1), (x2, y2, z2), (x3, y3, z3), (x4, y4, z4), (x5, y5, z5))
    else:
        q = (x, y, z)
    near_x, near_y, near_z = x.to(tl.float32), y.to(tl.float32), z.to(tl.float32)
    total = tl.zeros(x.shape, tl.float32 if SPLIT else tl.float64)
    lost = tl.zeros(x.shape, tl.float32)
    domain, narrow = vectors, narrow_vectors
    for first in range(0, domains, TOGETHER):
        part = tl.zeros(x.shape, REAL)
        for _ in range(tl.minimum(TOGETHER, domains - first)):
            wanted = True
            if NARROW:
                close = near_spot(narrow, near_x, near_y, near_z, coarse, reach_squared)
                wanted = tl.max(close.to(tl.int32), axis=0) > 0
            if wanted:
                if SPLIT:
                    i, j, m, u, v, w, latt = split_step(domain, q, cells, metric, SHAPE, AXES)
                else:
                    i, j, m, u, v, w, latt = wide_step(
                        domain, q, cells, metric, SHAPE, AXES, REAL, LONG
                    )
                cell = nearest_cell(table, lowest, size, i, j, m, INSIDE)
                if INTERPOLATE:
                    inside, smooth = tricubic_squared(amplitude, lowest, size, i, j, m, u, v, w)
                    cell = tl.where(inside, smooth, cell)
                # The table is scaled to at most 1, so that the product stays in float32's range.
                part += latt * cell
            domain += SPLIT_NUMBERS if SPLIT else WIDE_NUMBERS
            narrow += NARROW_NUMBERS
        if SPLIT:
            more = part - lost
            sum_ = total + more
            lost = (sum_ - total) - more
            total = sum_
        else:
            total += part.to(tl.float64)
    if SPLIT:
        result = total.to(tl.float64) - lost.to(tl.float64)
    else:
        result = total
    return result


@triton.jit(
    do_not_specialize=[
        "count", "width", "slow_start", "fast_start", "source_start", "source_stop", "domains"
    ],
    do_not_specialize_on_alignment=["positions"],
)  # fmt: skip
def render_block(
    out,
    positions,
    count,
    width,
    slow_start,
    fast_start,
    source_start,
    source_stop,
    domains,
    reals,
    wholes,
    sources,
    layers,
    vectors,
    narrow_vectors,
    table,
    amplitude,
    stol_table,
    stol_amplitude,
    SHAPE: tl.constexpr,
    AXES: tl.constexpr,
    REAL: tl.constexpr,
    SPLIT: tl.constexpr,
    LONG: tl.constexpr,
    INTERPOLATE: tl.constexpr,
    NARROW: tl.constexpr,
    SINGLE: tl.constexpr,
    SURFACE: tl.constexpr,
    POINT: tl.constexpr,
    SOLID_ANGLE: tl.constexpr,
    CAPTURE: tl.constexpr,
    POLARIZED: tl.constexpr,
    CUT: tl.constexpr,
    WITH_BACKGROUND: tl.constexpr,
    CURVED: tl.constexpr,
    ONE_WAY: tl.constexpr,
    INSIDE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Add the sources [source_start, source_stop) to the numerators `out` of a tile's pixels.

    Parameters
    ----------
    out : (tile pixels,) float64
        Numerators so far; a pixel's sum goes on in the order of the sources.
    positions : (count,) int32
        Row-major places of the pixels in the tile.
    width, slow_start, fast_start : int
        Pixels of a row of the tile, and its first pixel on the panel.
    reals, wholes : (REALS,) float64, (WHOLES,) int32
        See `layout`.
    sources : (all sources, SOURCE_NUMBERS) float64
    layers : (layers, 3) float64
        Depth, −front·μ, −back·μ.
    vectors : (domains, 9) float64, or (domains, 27) float32 where SPLIT
        Components of a, then b, then c.
    narrow_vectors : (domains, 9) float32
    table, amplitude : REAL
        |F|² with border planes, and |F|, scaled to at most 1.
    stol_table, stol_amplitude : float64
        Background; where CURVED the latter is (entries, 3), see `background_squared`.
    ONE_WAY, INSIDE : bool
        All sources come from one direction; the table holds every index that a pixel can reach.
    """
    lanes = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    used = lanes < count
    place = tl.load(positions + lanes, mask=used, other=0)
    slow = (slow_start + place // width).to(tl.float64)
    fast = (fast_start + place % width).to(tl.float64)
    oversample = tl.load(wholes + OVERSAMPLE)
    samples = tl.load(wholes + LAYERS) * oversample * oversample
    scale = tl.load(reals + SCALE)
    total = tl.load(out + place, mask=used, other=0.0)
    if SINGLE:
        dx, dy, dz, inverse = rays(
            reals, slow, fast, samples - 1, samples - 1, oversample, tl.load(layers), SURFACE
        )
        factor = sample_factor(
            reals, layers, dx, dy, dz, inverse, SOLID_ANGLE, POINT, CAPTURE, SURFACE
        )
        if ONE_WAY:
            ux, uy, uz, share = towards(reals, sources, dx, dy, dz, factor, POLARIZED)
    for s in range(source_start, source_stop):
        source = sources + s * SOURCE_NUMBERS
        inverse_wavelength, weight = two(source)
        contribution = tl.zeros((BLOCK,), tl.float64)
        for k in range(1 if SINGLE else samples):
            if not SINGLE:
                layer = layers + 3 * (k // (oversample * oversample))
                sub = k % (oversample * oversample)
                dx, dy, dz, inverse = rays(
                    reals, slow, fast, sub // oversample, sub % oversample, oversample,
                    tl.load(layer), SURFACE,
                )  # fmt: skip
                factor = sample_factor(
                    reals, layer, dx, dy, dz, inverse, SOLID_ANGLE, POINT, CAPTURE, SURFACE
                )
            if not (SINGLE and ONE_WAY):
                ux, uy, uz, share = towards(reals, source, dx, dy, dz, factor, POLARIZED)
            x, y, z = ux * inverse_wavelength, uy * inverse_wavelength, uz * inverse_wavelength
            value = domain_sum(
                x, y, z, domains, vectors, narrow_vectors, table, amplitude, reals, wholes,
                SHAPE, AXES, REAL, SPLIT, LONG, INTERPOLATE, NARROW, INSIDE,
            )  # fmt: skip
            if CUT:
                beyond = tl.load(reals + DMIN) * half_length(x, y, z) > constant(0.5, x)
                value = tl.where(beyond, constant(0.0, value), value)
            if WITH_BACKGROUND:
                squared = background_squared(
                    stol_table, stol_amplitude, tl.load(wholes + BACKGROUND_ENTRIES),
                    tl.load(wholes + SEARCH_STEPS), half_length(x, y, z), CURVED,
                )  # fmt: skip
                value = fma(tl.load(reals + BACKGROUND), squared, value)
            contribution = fma(share, scale * value, contribution)
        total = fma(weight, contribution, total)
    tl.store(out + place, total, mask=used)
