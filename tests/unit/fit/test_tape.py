"""Formulas written down as steps: compiled code runs what torch does, and differentiates it so."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from distbragg.fit import spot_formulas
from distbragg.fit.spot_formulas import at_rays
from distbragg.fit.tape import Tape
from distbragg.kernel.native import steps as compiled
from distbragg.physics.arrays import module_of
from distbragg.physics.closed_rotation import Spindle

pytestmark = pytest.mark.skipif(not compiled.available(), reason="no kernel")

STILL = Spindle((0.0, 1.0, 0.0), 0.0, 0.0)
TURNING = Spindle((0.0, 1.0, 0.0), -0.002, 0.003)
NONE = [0.0] * 6
DIVERGENCE = [0.0, 1e-3, 0.0, 0.0, 0.0, 5e-4]
STRAIN = [1e-3, 2e-4, 0.0, 2e-4, -5e-4, 0.0, 1e-4, 0.0, 3e-4]


def spots_and_rays(spots: int = 21, rays: int = 11) -> tuple[torch.Tensor, torch.Tensor]:
    """Return lattice points on the Ewald sphere of 1 Å along x, and rays about their spots."""
    generator = np.random.default_rng(5)
    length, way = generator.uniform(0.1, 0.6, spots), generator.uniform(0.0, 2.0 * np.pi, spots)
    across = np.sqrt(length**2 - 0.25 * length**4)
    place = np.stack([-0.5 * length**2, across * np.cos(way), across * np.sin(way)], axis=1)
    ray = place[:, np.newaxis] + [1.0, 0.0, 0.0] + generator.normal(size=(spots, rays, 3)) * 2e-3
    ray /= np.linalg.norm(ray, axis=-1, keepdims=True)
    return torch.from_numpy(place), torch.from_numpy(ray)


@pytest.mark.parametrize(
    ("spindle", "width", "spread", "strain"),
    [
        (STILL, 0.0, NONE, []),
        (STILL, 0.004, NONE, []),
        (STILL, 0.004, DIVERGENCE, STRAIN),
        (TURNING, 0.0, NONE, []),
        (TURNING, 0.004, DIVERGENCE, STRAIN),
    ],
    ids=["line", "width", "still", "turning-line", "turning"],
)
def test_compiled_steps_are_the_formulas_and_their_slopes(
    spindle: Spindle,
    width: float,
    spread: list[float],
    strain: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place, rays = spots_and_rays()
    crystal, mosaic = [4e-6, 1e-7, 0, 5e-6, -2e-7, 6e-6], [1e-5, 0, 2e-6, 2e-5, 0, 1e-5]
    found = []
    for twin in (True, False):
        monkeypatch.setattr(spot_formulas.compiled, "available", lambda twin=twin: twin)
        numbers = [
            *(torch.tensor(one, dtype=torch.float64) for one in (1.0, *crystal, *mosaic, *strain)),
            *(place[:, at : at + 1].clone() for at in range(3)),
        ]
        inputs = [rays.clone(), *numbers]
        for one in inputs:
            one.requires_grad_()
        k, shared, others = inputs[1], inputs[2:14], inputs[14:]
        beam = (1.0, 0.0, 0.0, *spread)
        values = at_rays(spindle, 5, inputs[0], k, width, *shared, *beam, *others)
        weights = torch.linspace(0.5, 1.5, values.numel(), dtype=torch.float64)
        found.append([values, *torch.autograd.grad(weights @ values.flatten(), inputs)])
    for ours, theirs in zip(*found, strict=True):
        assert ours.shape == theirs.shape
        assert float((ours - theirs).detach().norm()) <= 1e-8 * float(theirs.detach().norm())
    assert all(float(one.detach().norm()) > 0.0 for one in found[0])


def test_what_is_known_or_no_step_is_not_written_down_again() -> None:
    tape = Tape()
    x, y = (tape.read(compiled.BY_SPOT, sloped=True) for _ in range(2))
    product = x * y
    assert (y * x).number == product.number
    assert (0.0 + product * 1.0 - 0.0).number == product.number
    assert 0.0 * x == 0.0
    assert module_of(x) is tape
    steps = tape.finish([product + 1.0])
    assert len(steps.steps) == 2


def test_no_slope_flows_through_what_is_cut_nor_to_what_is_not_taken() -> None:
    tape = Tape()
    x = tape.read(compiled.BY_SPOT, sloped=True)
    steps = tape.finish([tape.clip(x, -1.0, 1.0) * x.detach(), x**4 / tape.exp(x)])
    values = [np.array([-2.0, 0.5, 3.0])]
    out = steps.run(values, (3, 1))
    assert out[0, :, 0] == pytest.approx([2.0, 0.25, 3.0])
    first, second = np.zeros((2, 3, 1)), np.zeros((2, 3, 1))
    first[0], second[1] = 1.0, 1.0
    assert steps.run_back(values, (3, 1), first)[0] == pytest.approx([0.0, 0.5, 0.0])
    x0 = values[0]
    slope = (4.0 * x0**3 - x0**4) * np.exp(-x0)
    assert steps.run_back(values, (3, 1), second)[0] == pytest.approx(slope)
