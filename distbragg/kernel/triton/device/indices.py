"""Miller indices: nearest lattice point and the distance from it, to 1e-10 or better.

Two ways, the same contract. Each returns the nearest whole index (int32), the distance δ in
(−½, ½] as it is to be used (`REAL`), and Nδ less its whole turns. `wide` takes float64; `split`
needs none: the numbers come as sums of short float32 whose products and sums are exact (see
docs/explanation/gpu.md).
"""

from __future__ import annotations

import triton
import triton.language as tl

from distbragg.kernel.triton.device.arithmetic import constant, fma, nearest_even, rounded


@triton.jit
def wide_index(a, b, c, x, y, z, EXACT: tl.constexpr):
    """Nearest whole number of h = a·x + b·y + c·z, and δ, in float64.

    Of two equally near indices the lower one is wanted: ceil(h − ½). Unless EXACT, h is lowered
    by 2⁻³⁹, which settles ties that way without a test and is far within 1e-10.
    """
    if EXACT:
        h = fma(a, x, fma(b, y, c * z))
        nearest, whole = rounded(h)
        delta = h - nearest
        tie = delta <= constant(-0.5, delta)
        whole = whole - tie.to(tl.int32)
        delta = tl.where(tie, -delta, delta)
    else:
        h = fma(a, x, fma(b, y, fma(c, z, constant(-1.8189894035458565e-12, z))))
        nearest, whole = rounded(h)
        delta = h - nearest
    return whole, delta


@triton.jit
def split_index(first, second, third, first_q, second_q, third_q, rest_q, single_q):
    """Nearest whole number of h, and δ as a sum of two float32, from short float32 pieces.

    `first`, `second`, `third` are the pieces of a cell vector, three numbers each; `first_q`,
    `second_q`, `third_q` those of the scattering vector. `rest_q` is the sum of the last two and
    `single_q` of all three, rounded.
    """
    a1, b1, c1 = first
    a2, b2, c2 = second
    a3, b3, c3 = third
    x1, y1, z1 = first_q
    x2, y2, z2 = second_q
    # Products and sums of these two are exact, by the choice of the pieces.
    high = fma(a1, x1, fma(b1, y1, c1 * z1))
    middle = fma(a1, x2, fma(b1, y2, fma(c1, z2, fma(a2, x1, fma(b2, y1, c2 * z1)))))
    low = fma(a2, rest_q[0], fma(b2, rest_q[1], c2 * rest_q[2]))
    low = fma(a1, third_q[0], fma(b1, third_q[1], fma(c1, third_q[2], low)))
    low = fma(a3, single_q[0], fma(b3, single_q[1], fma(c3, single_q[2], low)))
    turns, first_whole = rounded(high)
    high = high - turns
    # high + middle as a sum and its exact rounding error.
    total = high + middle
    part = total - high
    low = ((high - (total - part)) + (middle - part)) + low
    head = total + low
    tail = low - (head - total)
    turns, second_whole = rounded(head)
    head = head - turns
    # ceil(h − ½): of two equally near indices the lower one.
    half = constant(0.5, head)
    zero = constant(0.0, head)
    up = (head >= half) & (tail > zero)
    down = (head <= -half) & (tail <= zero)
    shift = up.to(tl.int32) - down.to(tl.int32)
    return first_whole + second_whole + shift, head - shift.to(tl.float32), tail


@triton.jit
def split_turns(head, tail, cells):
    """Nδ less its whole turns; the product's own rounding error is kept."""
    product = cells * head
    error = fma(cells, head, -product)
    return (product - nearest_even(product)) + fma(cells, tail, error)


@triton.jit
def pieces(value, grid, finer):
    """Split float64 numbers into two on fixed grids and the rest; see `split_index`.

    `grid` and `finer` are 1.5·2^52 times the grids: adding one rounds to the grid.
    """
    first = (value + grid) - grid
    rest = value - first
    second = (rest + finer) - finer
    third = rest - second
    return (
        first.to(tl.float32), second.to(tl.float32), third.to(tl.float32),
        (value - first).to(tl.float32), value.to(tl.float32),
    )  # fmt: skip
