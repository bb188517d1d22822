"""Elementary functions on the device, of fixed polynomials and written-out fused multiply-adds.

The launcher turns the compiler's own contraction off, so the operations are those written here.
Coefficients and limits are those of `native/src/approx.hpp`.
"""

from __future__ import annotations

import triton
import triton.language as tl

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
def then(p, u, coefficient: tl.constexpr):
    """One step of Horner's rule, p·u + coefficient."""
    return fma(p, u, constant(coefficient, p))


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
    u = x * x
    if x.dtype == tl.float32:
        p = constant(0.077655912276013869, x)
        p = then(p, u, -0.59829041128342753)
        p = then(p, u, 2.5500773865289119)
        p = then(p, u, -5.1677100766683144)
        p = then(p, u, 3.1415926400772033)
    else:
        p = constant(7.6978267682241906454e-7, x)
        p = then(p, u, -0.000021903497074626017191)
        p = then(p, u, 0.00046629981618983938014)
        p = then(p, u, -0.0073704305059169434047)
        p = then(p, u, 0.08214588657310289502)
        p = then(p, u, -0.59926452931894468132)
        p = then(p, u, 2.5501640398773004745)
        p = then(p, u, -5.1677127800499696077)
        p = then(p, u, 3.1415926535897932378)
    return x * p


@triton.jit
def sinc3_near(v):
    """3 (sin x / x − cos x) / x² at x = π√v for v ≤ ¼, where the closed form cancels."""
    if v.dtype == tl.float32:
        p = constant(0.0068002873881731106, v)
        p = then(p, v, -0.063512062177698220)
        p = then(p, v, 0.34788321358187148)
        p = then(p, v, -0.98696024048448193)
        p = then(p, v, 0.9999999990021536)
    else:
        p = constant(3.880900095571775749e-8, v)
        p = then(p, v, -1.230496424376872502e-6)
        p = then(p, v, 0.000029685622389628163304)
        p = then(p, v, -0.00054140329583305653092)
        p = then(p, v, 0.0071312312212638312611)
        p = then(p, v, -0.063583941373943875465)
        p = then(p, v, 0.34788961083572094057)
        p = then(p, v, -0.98696044010893584267)
        p = then(p, v, 1.0)
    return p


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
    """Square of the same function for any v ≥ 0; whole turns go before sine and cosine."""
    quarter = constant(0.25, v)
    turns = square_root(tl.maximum(v, quarter))
    rest = turns - nearest_even(turns)
    inverse = constant(1.0, v) / (constant(3.14159265358979323846, v) * turns)
    sine = sin_pi(rest)
    cosine = sin_pi(constant(0.5, v) - tl.abs(rest))
    far = constant(3.0, v) * (sine * inverse - cosine) * inverse * inverse
    value = tl.where(v > quarter, far, sinc3_near(tl.minimum(v, quarter)))
    return value * value


@triton.jit
def exponential(x):
    """e^x of x ≤ 88 (float32) or 709 (float64); exactly 0 below −87 or −708."""
    if x.dtype == tl.float32:
        y = tl.minimum(tl.maximum(x, constant(-87.0, x)), constant(88.0, x))
        n, whole = rounded(y * constant(1.44269504088896341, x))
        r = fma(n, constant(-0.693359375, x), y)
        r = fma(n, constant(2.12194440e-4, x), r)
        p = constant(0.0013941108433972675, x)
        p = then(p, r, 0.0083751263981533357)
        p = then(p, r, 0.041666352896775157)
        p = then(p, r, 0.16666415514653275)
        p = then(p, r, 0.50000000471177577)
        p = then(p, r, 1.0000000377162138)
        p = then(p, r, 1.0)
        power = ((whole + 127) << 23).to(tl.float32, bitcast=True)
        value = tl.where(x < constant(-87.0, x), constant(0.0, x), p * power)
    else:
        y = tl.minimum(tl.maximum(x, constant(-708.0, x)), constant(709.0, x))
        n, whole = rounded(y * constant(1.4426950408889634074, x))
        r = fma(n, constant(-6.93147180369123816490e-01, x), y)
        r = fma(n, constant(-1.90821492927058770002e-10, x), r)
        p = constant(2.0921579964950300073e-9, x)
        p = then(p, r, 2.5114869528657764941e-8)
        p = then(p, r, 2.7557251904174912593e-7)
        p = then(p, r, 2.7557224958392622686e-6)
        p = then(p, r, 0.00002480158735011079562)
        p = then(p, r, 0.00019841269909217101366)
        p = then(p, r, 0.001388888888887188822)
        p = then(p, r, 0.0083333333333095270794)
        p = then(p, r, 0.041666666666666692193)
        p = then(p, r, 0.16666666666666702412)
        p = then(p, r, 0.49999999999999999989)
        p = then(p, r, 0.99999999999999999847)
        p = then(p, r, 1.0)
        bits = (whole + 1023).to(tl.int64) << 52
        value = tl.where(
            x < constant(-708.0, x), constant(0.0, x), p * bits.to(tl.float64, bitcast=True)
        )
    return value


@triton.jit
def sine_cosine(angle):
    """Sine and cosine of float64 angles in radians, absolute error 1e-15 for |angle| ≤ 10."""
    inverse = constant(0.31830988618379067154, angle)
    half_turns = nearest_even(angle * inverse)
    rest = fma(half_turns, constant(-3.141592653589793116, angle), angle)
    rest = fma(half_turns, constant(-1.2246467991473532072e-16, angle), rest) * inverse
    even = nearest_even(half_turns * constant(0.5, angle)) * constant(2.0, angle)
    sign = tl.where(half_turns == even, constant(1.0, angle), constant(-1.0, angle))
    half = constant(0.5, angle)
    rest = tl.minimum(tl.maximum(rest, -half), half)
    return sin_pi(rest) * sign, sin_pi(half - tl.abs(rest)) * sign
