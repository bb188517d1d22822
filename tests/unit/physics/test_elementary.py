"""The package's own elementary functions against the C library's."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from distbragg.physics import elementary
from tests.unit.physics.kit import BOTH, Make, numpy_array, torch_tensor


def relative_error(found: object, expected: list[float]) -> float:
    truth = np.array(expected)
    return float(np.max(np.abs(np.asarray(found) - truth) / np.abs(truth)))


@BOTH
def test_sine_of_half_turns_keeps_its_stated_relative_error(make: Make) -> None:
    turns = np.concatenate([np.linspace(1e-9, 0.5, 20_011), -np.logspace(-20, -0.31, 5_003)])
    exact = [math.sin(math.pi * value) for value in turns.tolist()]
    assert relative_error(elementary.sin_pi(make(turns)), exact) < 5.0e-16


@BOTH
def test_cosine_of_half_turns_is_the_shifted_sine(make: Make) -> None:
    turns = np.linspace(-0.5, 0.5, 10_001)
    exact = np.array([math.cos(math.pi * value) for value in turns.tolist()])
    error = np.abs(np.asarray(elementary.cos_pi(make(turns))) - exact)
    assert error.max() < 5.0e-16


@BOTH
def test_sine_of_zero_is_zero(make: Make) -> None:
    assert elementary.sin_pi(make([0.0, 0.0])).tolist() == [0.0, 0.0]


@BOTH
def test_sine_and_cosine_of_any_angle(make: Make) -> None:
    angles = np.linspace(-10.0, 10.0, 20_003)
    sine, cosine = elementary.sine_cosine(make(angles))
    assert np.abs(np.asarray(sine) - [math.sin(value) for value in angles]).max() < 1e-15
    assert np.abs(np.asarray(cosine) - [math.cos(value) for value in angles]).max() < 1e-15


@BOTH
def test_exponential_keeps_its_stated_relative_error(make: Make) -> None:
    values = np.linspace(-707.9, 708.9, 30_011)
    exact = [math.exp(value) for value in values.tolist()]
    assert relative_error(elementary.exp(make(values)), exact) < 5.0e-16


@BOTH
def test_exponential_beyond_its_range_is_zero_or_infinite(make: Make) -> None:
    found = elementary.exp(make([-1e300, -math.inf, 0.0, 1e4, math.inf, math.nan])).tolist()
    assert found[:5] == [0.0, 0.0, 1.0, math.inf, math.inf]
    assert math.isnan(found[5])


@BOTH
def test_logarithm_keeps_its_stated_error(make: Make) -> None:
    values = np.concatenate([np.logspace(-300, 300, 20_011), np.linspace(0.5, 2.0, 20_011)])
    exact = np.array([math.log(value) for value in values.tolist()])
    error = np.abs(np.asarray(elementary.log(make(values))) - exact)
    assert (error / np.maximum(np.abs(exact), 1.0)).max() < 4.0e-16


FUNCTIONS = (
    elementary.sin_pi,
    elementary.cos_pi,
    elementary.exp,
    lambda values: elementary.exp(values * 80.0),
    lambda values: elementary.log(values + 0.6),
    lambda values: elementary.sine_cosine(values * 9.0)[1],
)


def test_numpy_and_torch_give_the_same_bits() -> None:
    values = np.random.default_rng(3).uniform(-0.5, 0.5, 5_003)
    for function in FUNCTIONS:
        one, other = function(numpy_array(values)), function(torch_tensor(values))
        assert np.array_equal(one, other.numpy())


@pytest.mark.parametrize("start", [0, 1, 3, 7])
@pytest.mark.parametrize("length", [1, 5, 17, 131, 4_097])
def test_bits_do_not_depend_on_the_place_in_an_array(start: int, length: int) -> None:
    values = np.random.default_rng(3).uniform(-0.5, 0.5, 5_003)
    span = slice(start, start + length)
    more = (
        lambda turns: torch.ceil(turns * 40.0 - 0.5),
        lambda turns: torch.round(turns * 40.0),
        lambda turns: torch.sqrt(turns * turns + 0.1),
        lambda turns: turns / 0.3,
    )
    turns = torch_tensor(values)
    for function in (*FUNCTIONS, *more):
        assert torch.equal(function(turns[span]), function(turns)[span])
    for function in FUNCTIONS:
        assert np.array_equal(function(values[span]), function(values)[span])


def test_gradients_are_those_of_the_functions() -> None:
    points = torch.linspace(-0.45, 0.45, 13, dtype=torch.float64, requires_grad=True)
    for function, slope in (
        (elementary.sin_pi, lambda t: math.pi * torch.cos(math.pi * t)),
        (elementary.exp, torch.exp),
        (lambda t: elementary.sine_cosine(9.0 * t)[0], lambda t: 9.0 * torch.cos(9.0 * t)),
        (lambda t: elementary.exp(-900.0 - t), lambda t: 0.0 * t),
    ):
        found = torch.autograd.grad(function(points).sum(), points)[0]
        torch.testing.assert_close(found, slope(points.detach()), rtol=1e-12, atol=1e-13)
