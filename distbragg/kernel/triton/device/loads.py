"""Loads of neighbouring numbers, sixteen bytes at once.

All threads of a program read the same numbers, so what counts is the number of instructions.
Blocks start at multiples of sixteen bytes; the interpreter has no such loads and takes plain ones.
"""

from __future__ import annotations

import triton
import triton.language as tl

from distbragg.kernel.triton.device.arithmetic import INTERPRETED


@triton.jit
def two(base):
    """Two neighbouring float64 numbers."""
    if INTERPRETED:
        a, b = tl.load(base), tl.load(base + 1)
    else:
        a, b = tl.inline_asm_elementwise(
            "ld.global.nc.v2.f64 {$0, $1}, [$2];", "=d,=d,l", [base],
            dtype=(tl.float64, tl.float64), is_pure=True, pack=1,
        )  # fmt: skip
    return a, b


@triton.jit
def four(base):
    """Four neighbouring float32 numbers."""
    if INTERPRETED:
        a, b, c, d = tl.load(base), tl.load(base + 1), tl.load(base + 2), tl.load(base + 3)
    else:
        a, b, c, d = tl.inline_asm_elementwise(
            "ld.global.nc.v4.f32 {$0, $1, $2, $3}, [$4];", "=f,=f,=f,=f,l", [base],
            dtype=(tl.float32, tl.float32, tl.float32, tl.float32), is_pure=True, pack=1,
        )  # fmt: skip
    return a, b, c, d
