"""Small device programs around single functions of the kernel."""

from __future__ import annotations

import triton
import triton.language as tl

from distbragg.kernel.triton.device.geometry import vector
from distbragg.kernel.triton.device.indices import pieces, split_index, wide_index


@triton.jit
def split(table, q, grids, whole, head, tail, count: tl.constexpr):
    at = tl.arange(0, count)
    grid, finer = tl.load(grids), tl.load(grids + 1)
    x1, x2, x3, x4, x5 = pieces(tl.load(q + at), grid, finer)
    y1, y2, y3, y4, y5 = pieces(tl.load(q + count + at), grid, finer)
    z1, z2, z3, z4, z5 = pieces(tl.load(q + 2 * count + at), grid, finer)
    n, h, t = split_index(
        vector(table), vector(table + 9), vector(table + 18),
        (x1, y1, z1), (x2, y2, z2), (x3, y3, z3), (x4, y4, z4), (x5, y5, z5),
    )  # fmt: skip
    tl.store(whole + at, n)
    tl.store(head + at, h)
    tl.store(tail + at, t)


@triton.jit
def wide(table, q, whole, delta, count: tl.constexpr, exact: tl.constexpr):
    at = tl.arange(0, count)
    n, d = wide_index(
        tl.load(table), tl.load(table + 1), tl.load(table + 2),
        tl.load(q + at), tl.load(q + count + at), tl.load(q + 2 * count + at), exact,
    )  # fmt: skip
    tl.store(whole + at, n)
    tl.store(delta + at, d)
