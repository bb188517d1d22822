"""Elementary functions as fixed polynomials of IEEE operations, differentiable as they stand.

Vendor vector libraries may use one polynomial in the body of a loop and another in its
tail, so that the bits of a pixel would depend on its place in a tile; and numpy's are not
torch's. Everything here is made of add, subtract, multiply, divide and round, each correctly
rounded, and the same for every element. The coefficients are minimax fits of the relative
error (Remez exchange, 50 digits); the stated errors hold for the rounded evaluation.

Every function takes float64 arrays of any shape, of numpy or of torch, and returns the same.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, Final

import numpy as np

from distbragg.physics.arrays import Array, floats, module_of, whole_numbers

SINE_SERIES: Final = (
    3.141592653589793,
    -5.16771278004997,
    2.5501640398773455,
    -0.5992645293207862,
    0.08214588661098071,
    -0.007370430943554908,
    0.0004663027864672356,
    -2.191524640185696e-05,
    7.9484562969083e-07,
    -2.2276393293078485e-08,
)
"""sin(πt)/t in powers of t², for |t| ≤ 1/2."""

EXP_SERIES: Final = (
    1.0,
    1.0,
    0.5,
    0.16666666666666702,
    0.041666666666665936,
    0.008333333333310084,
    0.0013888888889141847,
    0.00019841269908154208,
    2.4801586915588763e-05,
    2.7557225844302134e-06,
    2.755757410414263e-07,
    2.5114601081023637e-08,
    2.0832019876600545e-09,
)
LOG_SERIES: Final = (
    2.0,
    0.6666666666666666,
    0.40000000000007535,
    0.2857142856880815,
    0.22222222678395206,
    0.18181773631751372,
    0.15387165194005087,
    0.13248673833473634,
    0.13262861870241216,
)
_LOG2_E: Final = 1.4426950408889634
_LN2_HIGH: Final = 6.93147180369123816490e-01
_LN2_LOW: Final = 1.90821492927058770002e-10
_EXP_RANGE: Final = (-708.0, 709.0)
_PI_LOW: Final = 1.2246467991473532e-16


def horner(variable: Array, coefficients: tuple[float, ...]) -> Array:
    """Evaluate Σ cᵢ xⁱ from the highest power down."""
    if module_of(variable) is not np and variable.requires_grad:
        return _polynomial().apply(variable, coefficients)
    return _evaluate(variable, coefficients)


def _evaluate(variable: Array, coefficients: tuple[float, ...]) -> Array:
    total = variable * coefficients[-1]
    for coefficient in coefficients[-2:0:-1]:
        total += coefficient
        total *= variable
    total += coefficients[0]
    return total


@cache
def _polynomial() -> Any:  # noqa: ANN401 - a class of torch's, which is not loaded for numpy
    """Return a polynomial as one step of a gradient: twenty would be kept in its place."""
    import torch

    class Polynomial(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, variable: Array, coefficients: tuple[float, ...]) -> Array:  # noqa: ANN401
            ctx.save_for_backward(variable)
            ctx.coefficients = coefficients
            return _evaluate(variable, coefficients)

        @staticmethod
        def backward(ctx: Any, gradient: Array) -> tuple[Array, None]:  # noqa: ANN401
            (variable,) = ctx.saved_tensors
            slope = tuple(power * c for power, c in enumerate(ctx.coefficients))[1:]
            return gradient * horner(variable, slope), None

    return Polynomial


def sin_pi(turns: Array) -> Array:
    """sin(πt) for |t| ≤ 1/2, relative error below 5e-16."""
    return horner(turns * turns, SINE_SERIES) * turns


def cos_pi(turns: Array) -> Array:
    """cos(πt) for |t| ≤ 1/2, as sin(π(1/2 − |t|))."""
    return sin_pi(0.5 - abs(turns))


def sine_cosine(angle: Array) -> tuple[Array, Array]:
    """Sine and cosine of angles in radians, absolute error 1e-15 for |angle| ≤ 10."""
    module = module_of(angle)
    half_turns = module.round(angle * (1.0 / math.pi))
    rest = ((angle - half_turns * math.pi) - half_turns * _PI_LOW) * (1.0 / math.pi)
    odd = half_turns - 2.0 * module.floor(half_turns * 0.5)
    sign = 1.0 - 2.0 * odd
    rest = module.clip(rest, -0.5, 0.5)
    return sin_pi(rest) * sign, cos_pi(rest) * sign


def exp(argument: Array) -> Array:
    """e**x, relative error below 5e-16 where the result is a normal number.

    0 where the result would be near or below the smallest normal number, inf beyond the largest.
    """
    module = module_of(argument)
    low, high = _EXP_RANGE
    inside = module.clip(argument, low, high)
    whole = module.round(inside * _LOG2_E)
    rest = (inside - whole * _LN2_HIGH) - whole * _LN2_LOW
    # The largest power of two itself would overflow the exponent field: halve, then double.
    scale = _power_of_two(whole - 1.0)
    value = horner(rest, EXP_SERIES) * scale * 2.0
    value = module.where(argument < low, 0.0, value)
    return module.where(argument > high, math.inf, value)


def _power_of_two(exponent: Array) -> Array:
    """2**n of whole n in the normal range, by setting the exponent bits."""
    bits = (whole_numbers(exponent) + 1023) << 52
    return bits.view(module_of(exponent).float64)


def log(argument: Array) -> Array:
    """Natural logarithm of normal positive numbers, error below 4e-16 max(|log x|, 1)."""
    module = module_of(argument)
    bits = (np.asarray(argument) if module is np else argument).view(module.int64)
    exponent = (bits >> 52) - 1023
    mantissa = ((bits & ((1 << 52) - 1)) | (1023 << 52)).view(module.float64)
    large = mantissa > math.sqrt(2.0)
    mantissa = module.where(large, mantissa * 0.5, mantissa)
    whole = floats(exponent) + floats(large)
    ratio = (mantissa - 1.0) / (mantissa + 1.0)
    fraction = horner(ratio * ratio, LOG_SERIES) * ratio
    return whole * _LN2_HIGH + (fraction + whole * _LN2_LOW)
