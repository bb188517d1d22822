"""From pixel numbers to unit vectors and the factors of one sample, in float64.

All of it is outside the loop over domains. `reals` is the block of numbers that
`kernel.triton.pack` lays out; the places are named there and here by the same constants.
"""

from __future__ import annotations

import triton
import triton.language as tl

from distbragg.kernel.triton.device.arithmetic import constant, exponential, fma, sine_cosine
from distbragg.kernel.triton.device.loads import two
from distbragg.kernel.triton.layout import (
    BEAM,
    CLOSE_DISTANCE,
    CYLINDER_FAST,
    CYLINDER_SLOW,
    DISTANCE,
    FAST,
    FLAT,
    FOOT,
    HALF,
    KAHN,
    NANOBRAGG,
    NORMAL,
    ORIGIN,
    SLOW,
    SOLID,
    SPHERE,
    STEP,
)


@triton.jit
def vector(base):
    """Load three neighbouring numbers."""
    return tl.load(base), tl.load(base + 1), tl.load(base + 2)


@triton.jit
def along(x, y, z, u, v, w):
    """Scalar product."""
    return fma(x, u, fma(y, v, z * w))


@triton.jit
def turned(x, y, z, axis, angle):
    """Rotate vectors right-handed about a unit axis, each by its own angle."""
    u, v, w = vector(axis)
    sine, cosine = sine_cosine(angle)
    common = along(x, y, z, u, v, w) * (constant(1.0, cosine) - cosine)
    return (
        u * common + x * cosine + (v * z - w * y) * sine,
        v * common + y * cosine + (w * x - u * z) * sine,
        w * common + z * cosine + (u * y - v * x) * sine,
    )


@triton.jit
def rays(reals, slow, fast, sub_slow, sub_fast, oversample, depth, SURFACE: tl.constexpr):
    """Return unit vectors from the sample to one sub-pixel and layer of each pixel, and 1/R."""
    step, half = tl.load(reals + STEP), tl.load(reals + HALF)
    count = oversample.to(tl.float64)
    f = fma(step, fma(fast, count, sub_fast.to(tl.float64)), half)
    s = fma(step, fma(slow, count, sub_slow.to(tl.float64)), half)
    if SURFACE == FLAT or SURFACE == NANOBRAGG:  # noqa: SIM109 - no `in` here
        x, y, z = flat_place(reals, f, s, depth)
        if SURFACE == NANOBRAGG:
            x, y, z = wrapped(reals, x, y, z)
    else:
        x, y, z = bent(reals, f, s, depth, SURFACE)
    inverse = constant(1.0, x) / tl.sqrt(along(x, y, z, x, y, z))
    return x * inverse, y * inverse, z * inverse, inverse


@triton.jit
def flat_place(reals, f, s, depth):
    """Place on a flat panel."""
    fx, fy, fz = vector(reals + FAST)
    sx, sy, sz = vector(reals + SLOW)
    nx, ny, nz = vector(reals + NORMAL)
    ox, oy, oz = vector(reals + ORIGIN)
    return (
        fma(f, fx, fma(s, sx, fma(depth, nx, ox))),
        fma(f, fy, fma(s, sy, fma(depth, ny, oy))),
        fma(f, fz, fma(s, sz, fma(depth, nz, oz))),
    )


@triton.jit
def wrapped(reals, x, y, z):
    """Read laboratory y and z as arcs on a sphere from the end of the beam: the C program's."""
    distance = tl.load(reals + DISTANCE)
    bx, by, bz = vector(reals + BEAM)
    zero = x * constant(0.0, x)
    first, second = y / distance, z / distance
    x, y, z = zero + distance * bx, zero + distance * by, zero + distance * bz
    x, y, z = turned(x, y, z, reals + SLOW, first)
    return turned(x, y, z, reals + FAST, second)


@triton.jit
def bent(reals, f, s, depth, SURFACE: tl.constexpr):
    """Place on a panel that is bent about the sample; see `native/src/geometry.hpp`."""
    radius = tl.load(reals + CLOSE_DISTANCE)
    reach = radius + depth
    u, v = f + tl.load(reals + FOOT), s + tl.load(reals + FOOT + 1)
    one = constant(1.0, u) + u * constant(0.0, u)
    a, b, ring = u, v, reach * one
    if SURFACE != CYLINDER_FAST:
        sine, cosine = sine_cosine(u / radius)
        a, ring = reach * sine, reach * cosine
    c = ring
    if SURFACE != CYLINDER_SLOW:
        sine, cosine = sine_cosine(v / radius)
        b, c = ring * sine, ring * cosine
    fx, fy, fz = vector(reals + FAST)
    sx, sy, sz = vector(reals + SLOW)
    nx, ny, nz = vector(reals + NORMAL)
    return (
        fma(a, fx, fma(b, sx, c * nx)),
        fma(a, fy, fma(b, sy, c * ny)),
        fma(a, fz, fma(b, sz, c * nz)),
    )


@triton.jit
def slope(reals, x, y, z, SURFACE: tl.constexpr):
    """Cosine between rays and the normal of the surface they meet."""
    if SURFACE == SPHERE:
        value = constant(1.0, x) + x * constant(0.0, x)
    elif SURFACE == CYLINDER_FAST or SURFACE == CYLINDER_SLOW:  # noqa: SIM109 - no `in` here
        # What of a ray runs across a cylinder's axis runs along its normal.
        ax, ay, az = vector(reals + (FAST if SURFACE == CYLINDER_FAST else SLOW))
        share = along(x, y, z, ax, ay, az)
        value = tl.sqrt(fma(-share, share, constant(1.0, x)))
    else:
        nx, ny, nz = vector(reals + NORMAL)
        value = along(x, y, z, nx, ny, nz)
    return value


@triton.jit
def sample_factor(
    reals,
    layer,
    x,
    y,
    z,
    inverse,
    SOLID_ANGLE: tl.constexpr,
    POINT: tl.constexpr,
    CAPTURE: tl.constexpr,
    SURFACE: tl.constexpr,
):
    """Solid angle × capture fraction of a sample, each where it is taken per sample.

    `layer` points at a layer's row: position, −front·μ, −back·μ.
    """
    factor = inverse * constant(0.0, inverse) + constant(1.0, inverse)
    if SOLID_ANGLE:
        factor = tl.load(reals + SOLID) * inverse * inverse
        if not POINT:
            if SURFACE == FLAT or SURFACE == NANOBRAGG:  # noqa: SIM109 - no `in` here
                factor = factor * inverse
            else:
                factor = factor * slope(reals, x, y, z, SURFACE)
    if CAPTURE:
        cosine = slope(reals, x, y, z, SURFACE)
        front, back = tl.load(layer + 1) / cosine, tl.load(layer + 2) / cosine
        factor = factor * (exponential(front) - exponential(back))
    return factor


@triton.jit
def polarization(reals, source, x, y, z):
    """½(1 + cos²2θ − K cos2ψ sin²2θ) with cos2ψ sin²2θ = (d·E)² − (d·B)²."""
    ix, iy = two(source + 2)
    iz, forced = two(source + 4)
    ex, ey = two(source + 6)
    ez, bx = two(source + 8)
    by, bz = two(source + 10)
    c = along(x, y, z, ix, iy, iz)
    electric, magnetic = along(x, y, z, ex, ey, ez), along(x, y, z, bx, by, bz)
    # Where the axis lies along the beam there is no plane and ψ is 0: forced is then 1.
    one = constant(1.0, c)
    plane = fma(electric, electric, -(magnetic * magnetic)) + forced * fma(-c, c, one)
    return constant(0.5, c) * (fma(c, c, one) - tl.load(reals + KAHN) * plane)


@triton.jit
def towards(reals, source, x, y, z, factor, POLARIZED: tl.constexpr):
    """Scattering vectors times λ of unit vectors from the sample, and the factor of a source."""
    ix, iy = two(source + 2)
    iz = tl.load(source + 4)
    share = factor
    if POLARIZED:
        share = factor * polarization(reals, source, x, y, z)
    return x - ix, y - iy, z - iz, share


@triton.jit
def half_length(x, y, z):
    """sin(θ)/λ of scattering vectors."""
    return constant(0.5, x) * tl.sqrt(along(x, y, z, x, y, z))


@triton.jit
def background_squared(
    stol_table, amplitude_table, entries, search_steps, stol, CURVED: tl.constexpr
):
    """F² of the amorphous scatterer, F linear between the table's points and held beyond.

    CURVED: of several, Σ molecules F²; the table then holds three coefficients for each point.
    """
    low = tl.zeros(stol.shape, tl.int32)
    high = low + (entries - 1)
    for _ in range(search_steps):
        middle = (low + high) // 2
        below = tl.load(stol_table + middle) <= stol
        low, high = tl.where(below, middle, low), tl.where(below, high, middle)
    left, right = tl.load(stol_table + low), tl.load(stol_table + high)
    apart = right > left
    if CURVED:
        curve = amplitude_table + 3 * low
        beyond = tl.minimum(tl.maximum(stol - left, constant(0.0, stol)), right - left)
        slope = fma(beyond, tl.load(curve + 2), tl.load(curve + 1))
        return fma(beyond, slope, tl.load(curve))
    first, last = tl.load(amplitude_table + low), tl.load(amplitude_table + high)
    width = tl.where(apart, right - left, constant(1.0, stol))
    part = tl.where(apart, (stol - left) / width, constant(0.0, stol))
    part = tl.minimum(tl.maximum(part, constant(0.0, stol)), constant(1.0, stol))
    amplitude = fma(part, last - first, first)
    return amplitude * amplitude
