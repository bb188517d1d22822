"""The package's own elementary functions against the C library's."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from distbragg.kernel import polynomials


def relative_error(found: torch.Tensor, expected: list[float]) -> float:
    truth = np.array(expected)
    return float(np.max(np.abs(found.to(torch.float64).numpy() - truth) / np.abs(truth)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sine_of_half_turns_keeps_its_stated_relative_error(dtype: torch.dtype) -> None:
    turns = torch.cat([torch.linspace(1e-9, 0.5, 20_011), -torch.logspace(-20, -0.31, 5_003)])
    turns = turns.to(dtype)
    exact = [math.sin(math.pi * value) for value in turns.tolist()]
    assert relative_error(polynomials.sin_pi(turns), exact) < polynomials.SIN_PI_ERROR[dtype]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_cosine_of_half_turns_is_the_shifted_sine(dtype: torch.dtype) -> None:
    turns = torch.linspace(-0.5, 0.5, 10_001).to(dtype)
    exact = np.array([math.cos(math.pi * value) for value in turns.tolist()])
    error = np.abs(polynomials.cos_pi(turns).to(torch.float64).numpy() - exact)
    assert error.max() < polynomials.SIN_PI_ERROR[dtype]


def test_sine_of_zero_is_zero() -> None:
    assert polynomials.sin_pi(torch.zeros(3)).tolist() == [0.0, 0.0, 0.0]


def test_sine_and_cosine_of_any_angle() -> None:
    angles = torch.linspace(-10.0, 10.0, 20_003, dtype=torch.float64)
    sine, cosine = polynomials.sine_cosine(angles)
    exact_sine = np.array([math.sin(value) for value in angles.tolist()])
    exact_cosine = np.array([math.cos(value) for value in angles.tolist()])
    assert np.abs(sine.numpy() - exact_sine).max() < 1e-15
    assert np.abs(cosine.numpy() - exact_cosine).max() < 1e-15


@pytest.mark.parametrize(
    ("dtype", "low", "high"), [(torch.float32, -86.0, 87.9), (torch.float64, -707.9, 708.9)]
)
def test_exponential_keeps_its_stated_relative_error(
    dtype: torch.dtype, low: float, high: float
) -> None:
    values = torch.linspace(low, high, 30_011, dtype=torch.float64)
    exact = [math.exp(value) for value in values.tolist()]
    assert relative_error(polynomials.exp(values, dtype), exact) < polynomials.EXP_ERROR[dtype]


def test_exponential_beyond_its_range_is_zero_or_infinite() -> None:
    values = torch.tensor([-1e300, -math.inf, 0.0, 1e4, math.inf, math.nan], dtype=torch.float64)
    for dtype in (torch.float32, torch.float64):
        found = polynomials.exp(values, dtype).tolist()
        assert found[:5] == [0.0, 0.0, 1.0, math.inf, math.inf]
        assert math.isnan(found[5])


def test_logarithm_keeps_its_stated_error() -> None:
    values = torch.cat(
        [
            torch.logspace(-300, 300, 20_011, dtype=torch.float64),
            torch.linspace(0.5, 2.0, 20_011, dtype=torch.float64),
        ]
    )
    exact = np.array([math.log(value) for value in values.tolist()])
    error = np.abs(polynomials.log(values).numpy() - exact) / np.maximum(np.abs(exact), 1.0)
    assert error.max() < polynomials.LOG_ERROR


@pytest.mark.parametrize("start", [0, 1, 3, 7])
@pytest.mark.parametrize("length", [1, 5, 17, 131, 4_097])
def test_bits_do_not_depend_on_the_place_in_an_array(start: int, length: int) -> None:
    generator = torch.Generator().manual_seed(3)
    turns = torch.rand(5_003, generator=generator, dtype=torch.float64) - 0.5
    span = slice(start, start + length)
    for function in (
        polynomials.sin_pi,
        polynomials.cos_pi,
        polynomials.exp,
        lambda values: polynomials.sin_pi(values.to(torch.float32)),
        lambda values: polynomials.exp(values * 80.0, torch.float32),
        lambda values: polynomials.log(values + 0.6),
        lambda values: polynomials.sine_cosine(values * 9.0)[1],
        lambda values: torch.ceil(values * 40.0 - 0.5),
        lambda values: torch.round(values * 40.0),
        lambda values: torch.sqrt(values * values + 0.1),
        lambda values: values / 0.3,
    ):
        assert torch.equal(function(turns[span]), function(turns)[span])
