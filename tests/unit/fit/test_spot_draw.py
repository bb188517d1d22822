"""Drawing spots from the polynomials of their logarithms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from distbragg.fit.spot_boxes import Ellipses, Window
from distbragg.fit.spot_draw import Grid, draw
from distbragg.fit.spot_fit import POWERS
from distbragg.kernel.native import series as compiled

WAYS = pytest.mark.parametrize(
    "twin",
    [
        pytest.param(True, marks=pytest.mark.skipif(not compiled.available(), reason="no kernel")),
        False,
    ],
    ids=["compiled", "model"],
)


@WAYS
def test_pixels_beside_a_passing_spot_are_nothing_whatever_its_polynomials_say_of_them(
    twin: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pixel aside is 50 radii away, where the passage would end long before it begins."""
    monkeypatch.setattr(compiled, "available", lambda: twin)
    at = {power: place for place, power in enumerate(POWERS)}
    series = torch.zeros((3, 1, len(POWERS)), dtype=torch.float64)
    series[1:, 0, at[0, 0]] = torch.tensor([1.0, 2.0])  # from 1 to 2 in the middle of the disc
    series[1:, 0, at[0, 1]] = torch.tensor([0.01, 1.0])
    series.requires_grad_()
    ellipses = Ellipses(
        middle=np.array([[2.0, 2.0]]),
        root=np.array([[0.02, 0.0, 0.02]]),
        oval=np.array([True]),
        first=np.array([[1.98, 1.98]]),
        last=np.array([[2.02, 2.02]]),
    )
    middles = {0: np.zeros(1)}
    image = torch.zeros(25, dtype=torch.float64)
    draw(
        image,
        series,
        torch.ones(1, dtype=torch.float64),
        ellipses,
        grid=Grid(np.zeros((1, 2), dtype=np.int64), middles, middles),
        window=Window((0, 0), (5, 5)),
    )
    (slope,) = torch.autograd.grad(image.sum(), series)
    expected = np.zeros(25)
    expected[12] = math.erf(2.0) - math.erf(1.0)
    assert image.detach().numpy() == pytest.approx(expected, rel=1e-12)
    assert bool(torch.isfinite(slope).all())


def random_spots(parts: int, generator: np.random.Generator) -> tuple[torch.Tensor, Ellipses, Grid]:
    """Return narrow and wide spots, some across the edges of a window of 30 x 20 pixels."""
    count = 40
    series = generator.normal(size=(parts, count, len(POWERS))) * 0.2
    if parts == 3:
        # Passages within the rotation, before it, and after it.
        start = generator.uniform(-4.0, 3.0, count)
        series[1, :, 0] += start
        series[2, :, 0] += start + 3.0
    middle = generator.uniform(-2.0, [32.0, 22.0], (count, 2))
    # Along a row the model expands about its middle, and loses digits where a spot is narrow there.
    root = generator.uniform([0.05, -1.0, 0.7], [4.0, 1.0, 4.0], (count, 3))
    half = np.stack([root[:, 0], np.hypot(root[:, 1], root[:, 2])], axis=1)
    ellipses = Ellipses(middle, root, np.full(count, True), middle - half, middle + half)
    points = {number: (np.arange(number) + 0.5) / number - 0.5 for number in (1, 2, 5)}
    grid = Grid(generator.choice(list(points), (count, 2)), points, points)
    return torch.from_numpy(series), ellipses, grid


@pytest.mark.skipif(not compiled.available(), reason="no kernel")
@pytest.mark.parametrize("parts", [1, 3])
def test_the_compiled_twin_draws_and_differentiates_as_the_model(
    parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(7)
    series, ellipses, grid = random_spots(parts, generator)
    height = torch.from_numpy(generator.uniform(0.5, 2.0, len(ellipses.root)))
    height[3] = 0.0
    slope = torch.from_numpy(generator.normal(size=600))
    found = []
    for twin in (True, False):
        monkeypatch.setattr(compiled, "available", lambda twin=twin: twin)
        inputs = series.clone().requires_grad_(), height.clone().requires_grad_()
        image = torch.zeros(600, dtype=torch.float64)
        draw(image, *inputs, ellipses, grid=grid, window=Window((0, 0), (30, 20)))
        slopes = torch.autograd.grad(slope @ image, inputs)
        found.append([image.detach(), *slopes])
    for ours, theirs in zip(*found, strict=True):
        assert float(theirs.abs().max()) > 0.0
        assert float((ours - theirs).abs().max()) < 1e-11 * float(theirs.abs().max())
