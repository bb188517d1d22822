"""Elementary functions on the device, of fixed polynomials and written-out fused multiply-adds.

The launcher turns the compiler's own contraction off, so the operations are those written here.
Coefficients and limits come from the kernels' table, as those of `native/src/approx.hpp` do.
"""

from __future__ import annotations

import triton
import triton.language as tl

from distbragg.kernel.triton.layout import (
    EXP_DOUBLE,
    EXP_HIGHEST_DOUBLE,
    EXP_HIGHEST_SINGLE,
    EXP_LOWEST_DOUBLE,
    EXP_LOWEST_SINGLE,
    EXP_SINGLE,
    INVERSE_PI,
    LN2_HIGH_DOUBLE,
    LN2_HIGH_SINGLE,
    LN2_LOW_DOUBLE,
    LN2_LOW_SINGLE,
    LOG2_E,
    PI,
    PI_LOW,
    SIN_PI_DOUBLE,
    SIN_PI_SINGLE,
    SINC3_COSINE_DOUBLE,
    SINC3_COSINE_SINGLE,
    SINC3_NEAR_DOUBLE,
    SINC3_NEAR_SINGLE,
    SINC3_PEAK_DOUBLE,
    SINC3_PEAK_SINGLE,
    SINC3_SINE_DOUBLE,
    SINC3_SINE_SINGLE,
)

INTERPRETED = tl.constexpr(bool(triton.knobs.runtime.interpret))
"""Whether numpy stands in for a GPU: it has no fused multiply-add, which float64 then imitates."""


@triton.jit
def constant(value: tl.constexpr, like):
    """Make a number of the type of `like`; a bare literal could pass through float32."""
    return tl.full([], value, like.dtype)


@triton.jit
def fma(x, y, z):
    """x·y + z, rounded once."""
    if not INTERPRETED:
        value = tl.fma(x, y, z)
    elif x.dtype == tl.float32:
        # The product of two float32 is exact in float64.
        value = (x.to(tl.float64) * y.to(tl.float64) + z.to(tl.float64)).to(tl.float32)
    else:
        value = x * y + z
    return value


@triton.jit
def polynomial(coefficients: tl.constexpr, u):
    """Horner's rule from the highest power down, each step one fused multiply-add."""
    p = constant(coefficients[0], u)
    for place in tl.static_range(1, len(coefficients)):
        p = fma(p, u, constant(coefficients[place], u))
    return p


@triton.jit
def nearest_even(x):
    """Nearest whole number, ties to even, of |x| < 2^22 (float32) or 2^51 (float64)."""
    if x.dtype == tl.float32:
        shift = constant(12582912.0, x)
    else:
        shift = constant(6755399441055744.0, x)
    return (x + shift) - shift


@triton.jit
def rounded(x):
    """Nearest whole number, ties to even, as a float and as int32: the bits of one addition."""
    if x.dtype == tl.float32:
        shift = constant(12582912.0, x)
        shifted = x + shift
        number = shifted.to(tl.int32, bitcast=True) - 0x4B400000
    else:
        shift = constant(6755399441055744.0, x)
        shifted = x + shift
        number = shifted.to(tl.int64, bitcast=True).to(tl.int32)
    return shifted - shift, number


@triton.jit
def product_less_turns(x, y):
    """x·y less its nearest whole number, both from the exact product."""
    if x.dtype == tl.float32:
        shift = constant(12582912.0, x)
    else:
        shift = constant(6755399441055744.0, x)
    return fma(y, x, shift - fma(y, x, shift))


@triton.jit
def reciprocal(x):
    """1/x to about one ulp (float32), or rounded correctly (float64)."""
    if (not INTERPRETED) and x.dtype == tl.float32:
        value = tl.inline_asm_elementwise(
            "rcp.approx.ftz.f32 $0, $1;", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1
        )
    else:
        value = constant(1.0, x) / x
    return value


@triton.jit
def sin_pi(x):
    """sin(πx) for |x| ≤ ½."""
    if x.dtype == tl.float32:
        p = polynomial(SIN_PI_SINGLE, x * x)
    else:
        p = polynomial(SIN_PI_DOUBLE, x * x)
    return x * p


@triton.jit
def square_root(x):
    """Correctly rounded square root: the default of float32 is not."""
    if x.dtype == tl.float32:
        root = tl.sqrt_rn(x)
    else:
        root = tl.sqrt(x)
    return root


@triton.jit
def sinc3_squared(v):
    """(3 (sin x/x − cos x)/x²)² at x = π√v, v ≥ 0; see `native/src/approx.hpp`."""
    if v.dtype == tl.float32:
        near = polynomial(SINC3_PEAK_SINGLE, v)
        limit = constant(SINC3_NEAR_SINGLE, v)
    else:
        near = polynomial(SINC3_PEAK_DOUBLE, v)
        limit = constant(SINC3_NEAR_DOUBLE, v)
    beyond = tl.maximum(v, limit)
    turns = square_root(beyond)
    rest = turns - nearest_even(turns)
    u = rest * rest
    if v.dtype == tl.float32:
        sine, cosine = polynomial(SINC3_SINE_SINGLE, u), polynomial(SINC3_COSINE_SINGLE, u)
    else:
        sine, cosine = polynomial(SINC3_SINE_DOUBLE, u), polynomial(SINC3_COSINE_DOUBLE, u)
    wave = fma(rest, sine, -(turns * cosine))
    far = (wave * wave) * reciprocal(beyond * beyond * beyond)
    return tl.where(v > limit, far, near * near)


@triton.jit
def exponential(x):
    """e^x of x ≤ 88 (float32) or 709 (float64); exactly 0 below −87 or −708."""
    if x.dtype == tl.float32:
        lowest, highest = constant(EXP_LOWEST_SINGLE, x), constant(EXP_HIGHEST_SINGLE, x)
        y = tl.minimum(tl.maximum(x, lowest), highest)
        n, whole = rounded(y * constant(LOG2_E, x))
        r = fma(n, constant(LN2_HIGH_SINGLE, x), y)
        r = fma(n, constant(LN2_LOW_SINGLE, x), r)
        power = ((whole + 127) << 23).to(tl.float32, bitcast=True)
        value = polynomial(EXP_SINGLE, r) * power
    else:
        lowest, highest = constant(EXP_LOWEST_DOUBLE, x), constant(EXP_HIGHEST_DOUBLE, x)
        y = tl.minimum(tl.maximum(x, lowest), highest)
        n, whole = rounded(y * constant(LOG2_E, x))
        r = fma(n, constant(LN2_HIGH_DOUBLE, x), y)
        r = fma(n, constant(LN2_LOW_DOUBLE, x), r)
        power = ((whole + 1023).to(tl.int64) << 52).to(tl.float64, bitcast=True)
        value = polynomial(EXP_DOUBLE, r) * power
    return tl.where(x < lowest, constant(0.0, x), value)


@triton.jit
def sine_cosine(angle):
    """Sine and cosine of float64 angles in radians, absolute error 1e-15 for |angle| ≤ 10."""
    inverse = constant(INVERSE_PI, angle)
    half_turns = nearest_even(angle * inverse)
    rest = fma(-half_turns, constant(PI, angle), angle)
    rest = fma(-half_turns, constant(PI_LOW, angle), rest) * inverse
    even = nearest_even(half_turns * constant(0.5, angle)) * constant(2.0, angle)
    sign = tl.where(half_turns == even, constant(1.0, angle), constant(-1.0, angle))
    half = constant(0.5, angle)
    rest = tl.minimum(tl.maximum(rest, -half), half)
    return sin_pi(rest) * sign, sin_pi(half - tl.abs(rest)) * sign
