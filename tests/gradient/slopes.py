"""Gradients against central differences, with as few images as that takes.

`gradcheck` goes back through an image twice for each pixel of it. Here the pixels are added with
random weights, which no wrong pixel leaves alone; its other looks are left to a few tests.
Images are taken as shares of their greatest pixel, so that a bar means the same of all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch

from tests.tolerances import GRADIENT_EPSILON, GRADIENT_RELATIVE

MOST_NUMBERS = 3
"""Numbers of a parameter of which each is stepped by itself; more of them along as many random
directions, none of which a wrong number leaves alone."""


def check_slopes(
    image: Callable[..., torch.Tensor], start: Sequence[torch.Tensor], *, absolute: float
) -> list[torch.Tensor]:
    """Hold the gradients of an image by its arguments to differences; return them, weighted.

    `absolute` is the absolute error that the slope by each number may have.
    """
    generator = torch.Generator().manual_seed(3)
    found = image(*start)
    height = found.detach().max()
    assert height > 0.0
    weights = torch.rand(found.numel(), generator=generator, dtype=torch.float64) / height
    gradients = torch.autograd.grad(weights @ found.flatten(), start)
    for place, tensor in enumerate(start):
        for direction in _directions(tensor, generator):
            step = GRADIENT_EPSILON * direction
            with torch.no_grad():
                ends = [
                    image(*start[:place], tensor + way, *start[place + 1 :])
                    for way in (step, -step)
                ]
            slope = weights @ (ends[0] - ends[1]).flatten() / (2 * GRADIENT_EPSILON)
            # Along a direction the errors of its numbers add up, each with its own bar.
            parts = gradients[place] * direction
            bar = absolute * direction.abs() + GRADIENT_RELATIVE * parts.abs()
            assert abs(float(parts.sum() - slope)) <= float(bar.sum())
    return list(gradients)


def _directions(start: torch.Tensor, generator: torch.Generator) -> Iterator[torch.Tensor]:
    """Return the directions along which a parameter is stepped, of length 1."""
    count = start.numel()
    drawn = torch.randn((MOST_NUMBERS, count), generator=generator, dtype=torch.float64)
    for one in torch.eye(count, dtype=torch.float64) if count <= MOST_NUMBERS else drawn:
        yield (one / one.norm()).reshape(start.shape)
