"""The step: lattice transform and structure factor at the indices of one domain."""

from __future__ import annotations

import triton
import triton.language as tl

from distbragg.kernel.triton.device.arithmetic import (
    constant,
    exponential,
    fma,
    nearest_even,
    reciprocal,
    sin_pi,
    sinc3_squared,
)
from distbragg.kernel.triton.device.loads import four
from distbragg.shapes import SHAPES

ROUND = tl.constexpr(SHAPES["round"].code)
GAUSS = tl.constexpr(SHAPES["gauss"].code)
GAUSS_DECAY = tl.constexpr(SHAPES["gauss"].decay)
TOPHAT = tl.constexpr(SHAPES["tophat"].code)
TOPHAT_EDGE = tl.constexpr(SHAPES["tophat"].zero_radius ** 2)


@triton.jit
def off_zero(delta, REAL: tl.constexpr):
    """|δ|, a hair more, so that 0/0 becomes N without a branch; the hair survives in REAL."""
    return tl.abs(delta) + constant(1e-12 if tl.float32 == REAL else 1e-40, delta)


@triton.jit
def ratio_squared(n1, d1, n2, d2, n3, d3):
    """One division for three ratios."""
    ratio = (n1 * n2 * n3) * reciprocal(d1 * d2 * d3)
    return ratio * ratio


@triton.jit
def square_shape(deltas, turns, AXES: tl.constexpr):
    """Squared transform of a parallelepiped; bit n of AXES: axis n has more than one cell.

    `deltas` come from `off_zero`, `turns` are Nδ of the same numbers less their whole turns; of
    neither does the sign matter.
    """
    one = constant(1.0, deltas[0])
    n1, d1, n2, d2, n3, d3 = one, one, one, one, one, one
    if AXES & 1:
        n1, d1 = sin_pi(turns[0]), sin_pi(deltas[0])
    if AXES & 2:
        n2, d2 = sin_pi(turns[1]), sin_pi(deltas[1])
    if AXES & 4:
        n3, d3 = sin_pi(turns[2]), sin_pi(deltas[2])
    return ratio_squared(n1, d1, n2, d2, n3, d3)


@triton.jit
def radius_squared(u, v, w, metric):
    """|G δ|² of the spot shape's quadratic form g00 g01 g02 g11 g12 g22."""
    x = fma(metric[0], u, fma(metric[1], v, metric[2] * w))
    y = fma(metric[3], v, metric[4] * w)
    z = metric[5] * w
    return fma(x, x, fma(y, y, z * z))


@triton.jit
def radial_shape(square, SHAPE: tl.constexpr, REAL: tl.constexpr):
    """Square of a transform that is a function of r, from r², without the common factor."""
    if SHAPE == ROUND:
        value = sinc3_squared(square.to(REAL))
    elif SHAPE == GAUSS:
        value = exponential((square * constant(-GAUSS_DECAY, square)).to(REAL))
    elif SHAPE == TOPHAT:
        value = (square < constant(TOPHAT_EDGE, square)).to(REAL)
    else:
        tl.static_assert(False, "a shape without a transform")
    return value


@triton.jit
def place_in(index, lowest, size):
    """Place on one axis of the table; all that lies outside the box is its border, `size`."""
    return tl.minimum((index - lowest).to(tl.uint32, bitcast=True), size.to(tl.uint32)).to(tl.int32)


@triton.jit
def nearest_cell(table, lowest, size, i, j, m, INSIDE: tl.constexpr):
    """|F|² at whole indices; the border planes of the table hold the default."""
    across, along = size[1] + 1, size[2] + 1
    if INSIDE:
        # The place of 0, 0, 0 is the same for all pixels, and no work for any.
        table -= (lowest[0] * across + lowest[1]) * along + lowest[2]
    else:
        i = place_in(i, lowest[0], size[0])
        j = place_in(j, lowest[1], size[1])
        m = place_in(m, lowest[2], size[2])
    return tl.load(table + ((i * across + j) * along + m))


@triton.jit
def below(whole, delta):
    """Split h = whole + δ into floor(h) and the fraction above it."""
    under = delta < constant(0.0, delta)
    return whole - under.to(tl.int32), tl.where(under, delta + constant(1.0, delta), delta)


@triton.jit
def supported(whole, delta, lowest, size):
    """Whether the four points of an axis lie in the box, by the C program's test on h itself."""
    zero = constant(0.0, delta)
    above = (whole > lowest + size - 3) | ((whole == lowest + size - 3) & (delta > zero))
    return ~above & ((whole > lowest + 2) | ((whole == lowest + 2) & (delta >= zero)))


@triton.jit
def cubic_weight(t, node: tl.constexpr):
    """Lagrange weight at `t` of the node 0 … 3, which stands for −1, 0, 1, 2."""
    before, after = t + constant(1.0, t), t - constant(1.0, t)
    beyond = t - constant(2.0, t)
    if node == 0:
        weight = t * after * beyond * constant(-0.16666666666666667, t)
    elif node == 1:
        weight = before * after * beyond * constant(0.5, t)
    elif node == 2:
        weight = before * t * beyond * constant(-0.5, t)
    else:
        weight = before * t * after * constant(0.16666666666666667, t)
    return weight


@triton.jit
def tricubic_squared(amplitude, lowest, size, i, j, m, u, v, w):
    """Whether the 4×4×4 points lie in the box, and the square of the polynomial through them."""
    inside = supported(i, u, lowest[0], size[0]) & supported(j, v, lowest[1], size[1])
    inside = inside & supported(m, w, lowest[2], size[2])
    i, u = below(i, u)
    j, v = below(j, v)
    m, w = below(m, w)
    first = (i - 1 - lowest[0]) * size[1] + (j - 1 - lowest[1])
    first = first * size[2] + (m - 1 - lowest[2])
    value = u * constant(0.0, u)
    for a in tl.static_range(4):
        plane = value * constant(0.0, u)
        for b in tl.static_range(4):
            line = plane * constant(0.0, u)
            for c in tl.static_range(4):
                point = first + ((a * size[1] + b) * size[2] + c)
                at = tl.load(amplitude + point, mask=inside, other=0.0)
                line = fma(cubic_weight(w, c), at, line)
            plane = fma(cubic_weight(v, b), line, plane)
        value = fma(cubic_weight(u, a), plane, value)
    return inside, value * value


@triton.jit
def near_spot(domain, x, y, z, metric, reach_squared):
    """Whether a float32 index may lie within reach of a lattice point, at a fraction of a step.

    `domain` points at the nine components in float32; `metric` is the quadratic form.
    """
    a0, a1, a2, b0 = four(domain)
    b1, b2, c0, c1 = four(domain + 4)
    h = fma(a0, x, fma(a1, y, a2 * z))
    k = fma(b0, x, fma(b1, y, b2 * z))
    l = fma(c0, x, fma(c1, y, tl.load(domain + 8) * z))  # noqa: E741
    u, v, w = h - nearest_even(h), k - nearest_even(k), l - nearest_even(l)
    return radius_squared(u, v, w, metric) < reach_squared
