"""Nothing but fused multiply-adds: what the card can do in float32."""

from __future__ import annotations

import triton
import triton.language as tl

from distbragg.kernel.triton.device.arithmetic import fma


@triton.jit
def multiply_add(numbers, rounds, BLOCK: tl.constexpr):
    """Run eight independent chains of 16 `rounds` fused multiply-adds in every lane.

    `numbers` holds the factor, the addend, and a place for each lane's result, which keeps the
    compiler from leaving the work out.
    """
    lanes = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    factor = tl.load(numbers) + tl.zeros((BLOCK,), tl.float32)
    addend = tl.load(numbers + 1) + tl.zeros((BLOCK,), tl.float32)
    a = lanes.to(tl.float32)
    b, c, d = a + 1.0, a + 2.0, a + 3.0
    e, f, g, h = a + 4.0, a + 5.0, a + 6.0, a + 7.0
    for _ in range(rounds):
        # Sixteen in a row, so that counting rounds takes nothing from them.
        for _ in tl.static_range(16):
            a, b, c, d = (
                fma(a, factor, addend), fma(b, factor, addend),
                fma(c, factor, addend), fma(d, factor, addend),
            )  # fmt: skip
            e, f, g, h = (
                fma(e, factor, addend), fma(f, factor, addend),
                fma(g, factor, addend), fma(h, factor, addend),
            )  # fmt: skip
    tl.store(numbers + 2 + lanes, ((a + b) + (c + d)) + ((e + f) + (g + h)))
