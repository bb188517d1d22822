"""Elementary functions as fixed polynomials of IEEE operations.

Vendor vector libraries may use one polynomial in the body of a loop and another in its
tail, so that the bits of a pixel would depend on its place in a tile. Everything here is
made of add, subtract, multiply, divide and round, each correctly rounded, and the same for
every element. The coefficients are minimax fits of the relative error (Remez exchange,
50 digits); the stated errors hold for the rounded evaluation.

Every function takes float32 or float64 tensors of any shape and returns the same dtype,
unless it says otherwise.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

SIN_PI_ERROR: Final = {torch.float32: 3.0e-7, torch.float64: 5.0e-16}
"""Largest relative error of `sin_pi` on [−1/2, 1/2]."""

EXP_ERROR: Final = {torch.float32: 2.0e-7, torch.float64: 5.0e-16}
"""Largest relative error of `exp` where the result is a normal number."""

LOG_ERROR: Final = 4.0e-16
"""Largest error of `log` relative to max(|log x|, 1) for normal x."""

_SIN_PI: Final = {
    torch.float32: (
        3.1415926535233454,
        -5.167712762115771,
        2.5501632403168237,
        -0.5992513300965929,
        0.08204647878182501,
        -0.007022163444196542,
    ),
    torch.float64: (
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
    ),
}
_EXP: Final = {
    torch.float32: (
        1.0000000005541647,
        1.0000000363230943,
        0.499999920798404,
        0.1666642017026965,
        0.041668225566092766,
        0.008374815778155631,
        0.0013836846136895651,
    ),
    torch.float64: (
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
    ),
}
_LOG: Final = (
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
_EXP_RANGE: Final = {torch.float32: (-86.5, 88.0), torch.float64: (-708.0, 709.0)}
_PI: Final = math.pi
_PI_LOW: Final = 1.2246467991473532e-16


def horner(variable: Tensor, coefficients: tuple[float, ...]) -> Tensor:
    """Evaluate Σ cᵢ xⁱ from the highest power down."""
    total = variable * coefficients[-1]
    for coefficient in coefficients[-2:0:-1]:
        total.add_(coefficient).mul_(variable)
    return total.add_(coefficients[0])


def sin_pi(turns: Tensor) -> Tensor:
    """sin(πt) for |t| ≤ 1/2, relative error `SIN_PI_ERROR`."""
    return horner(turns * turns, _SIN_PI[turns.dtype]).mul_(turns)


def cos_pi(turns: Tensor) -> Tensor:
    """cos(πt) for |t| ≤ 1/2, as sin(π(1/2 − |t|))."""
    return sin_pi(0.5 - turns.abs())


def sine_cosine(angle: Tensor) -> tuple[Tensor, Tensor]:
    """Sine and cosine of float64 angles in radians, absolute error 1e-15 for |angle| ≤ 10."""
    half_turns = torch.round(angle * (1.0 / _PI))
    rest = ((angle - half_turns * _PI) - half_turns * _PI_LOW) * (1.0 / _PI)
    odd = half_turns - 2.0 * torch.floor(half_turns * 0.5)
    sign = 1.0 - 2.0 * odd
    rest = rest.clamp(-0.5, 0.5)
    return sin_pi(rest) * sign, cos_pi(rest) * sign


def _power_of_two(exponent: Tensor, dtype: torch.dtype) -> Tensor:
    """2**n of whole n in the normal range, by setting the exponent bits."""
    if dtype == torch.float32:
        return ((exponent.to(torch.int32) + 127) << 23).view(torch.float32)
    return ((exponent.to(torch.int64) + 1023) << 52).view(torch.float64)


def exp(argument: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
    """e**x of float64 arguments, evaluated in `dtype` after the range reduction.

    Relative error `EXP_ERROR[dtype]`; 0 where the result would be near or below the smallest
    normal number, inf beyond the largest.
    """
    low, high = _EXP_RANGE[dtype]
    inside = argument.clamp(low, high)
    whole = torch.round(inside * _LOG2_E)
    rest = (inside - whole * _LN2_HIGH) - whole * _LN2_LOW
    # The largest power of two itself would overflow the exponent field: halve, then double.
    scale = _power_of_two(whole - 1.0, dtype)
    value = horner(rest.to(dtype), _EXP[dtype]).mul_(scale).mul_(2.0)
    value = torch.where(argument < low, torch.zeros_like(value), value)
    value = torch.where(argument > high, torch.full_like(value, math.inf), value)
    return torch.where(torch.isnan(argument), argument.to(dtype), value)


def log(argument: Tensor) -> Tensor:
    """Natural logarithm of normal positive float64 numbers, error `LOG_ERROR`."""
    bits = argument.view(torch.int64)
    exponent = (bits >> 52) - 1023
    mantissa = ((bits & ((1 << 52) - 1)) | (1023 << 52)).view(torch.float64)
    large = mantissa > math.sqrt(2.0)
    mantissa = torch.where(large, mantissa * 0.5, mantissa)
    whole = exponent.to(torch.float64) + large.to(torch.float64)
    ratio = (mantissa - 1.0) / (mantissa + 1.0)
    fraction = horner(ratio * ratio, _LOG).mul_(ratio)
    return whole * _LN2_HIGH + (fraction + whole * _LN2_LOW)
