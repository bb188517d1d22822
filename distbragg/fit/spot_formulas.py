"""The closed form at rays, with gradients: by compiled code where there is some, else by torch.

Compiled code runs the same formulas, written down once (`tape`).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from distbragg.fit.recomputed import recomputed
from distbragg.fit.tape import Tape
from distbragg.kernel.native import steps as compiled
from distbragg.models.vectors import Float64Array
from distbragg.physics.arrays import Array, Triple
from distbragg.physics.closed_form import Incidence, Relps, frame_of, log_over_spectrum
from distbragg.physics.closed_rotation import Spindle, passage_of
from distbragg.physics.symmetric import Symmetric


def at_rays(spindle: Spindle, nodes: int, rays: Tensor, *numbers: Array) -> Tensor:
    """Evaluate the formulas at rays.

    Parameters
    ----------
    spindle : Spindle
    nodes : int
        Points of a normal spectrum's integral.
    rays : (spots, rays, 3) tensor
        Unit vectors from the crystal.
    *numbers
        What `_parts` takes: numbers, () tensors, and (spots, 1) tensors.

    Returns
    -------
    (1 or 3, spots, rays) tensor
        The logarithm, or the parts of a passage.
    """
    if rays.device.type == "cpu" and compiled.available():
        found: Tensor = _Compiled.apply(spindle, nodes, rays, *numbers)  # type: ignore[no-untyped-call]
        return found
    return recomputed(_stacked, spindle, nodes, rays, *numbers)


def _stacked(spindle: Spindle, nodes: int, rays: Tensor, *numbers: Array) -> Tensor:
    x, y, z = rays.unbind(-1)
    return torch.stack(_parts(spindle, nodes, (x, y, z), *numbers))


def _parts(
    spindle: Spindle, nodes: int, ray: Triple, wavenumber: Array, width: Array, *numbers: Array
) -> list[Array]:
    """Evaluate the formulas, of the crystal, the beam, and lattice points last."""
    *shared, x, y, z = numbers
    crystal, mosaic = Symmetric((*shared[:6],)), Symmetric((*shared[6:12],))
    direction, one, two = ((*shared[at : at + 3],) for at in (12, 15, 18))
    rows = [(*shared[at : at + 3],) for at in range(21, len(shared), 3)]
    strains = tuple(zip(rows[::3], rows[1::3], rows[2::3], strict=True))
    relps = Relps((x, y, z), crystal, mosaic, strains)
    incidence = Incidence(direction, (one, two), wavenumber, width, nodes)
    if spindle.stop > spindle.start:
        passage = passage_of(relps, incidence, ray, spindle)
        return [passage.top, passage.first, passage.last]
    return [log_over_spectrum(frame_of(relps), incidence, ray)]


class _Compiled(torch.autograd.Function):
    """The formulas by compiled steps, which are run again for their gradient."""

    @staticmethod
    def forward(ctx: Any, spindle: Spindle, nodes: int, rays: Tensor, *numbers: Any) -> Tensor:  # noqa: ANN401 - of torch
        by_ray, *needs = ctx.needs_input_grad[2:]
        kinds = tuple(_kind(one, sloped) for one, sloped in zip(numbers, needs, strict=True))
        ctx.steps = _written_down(spindle, nodes, by_ray, kinds)
        ctx.given = [at for at, kind in enumerate(kinds) if kind is not None]
        along = rays.detach().numpy().transpose(2, 0, 1)
        ctx.values = [*along, *(_plain(numbers[at]) for at in ctx.given)]
        ctx.shape = rays.shape[0], rays.shape[1]
        return torch.from_numpy(ctx.steps.run(ctx.values, ctx.shape))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        x, y, z, *found = ctx.steps.run_back(ctx.values, ctx.shape, slope.numpy())
        slopes: list[Tensor | None] = [None] * (len(ctx.needs_input_grad) - 3)
        for at, one in zip(ctx.given, found, strict=True):
            if one is not None:
                slopes[at] = torch.from_numpy(one if one.ndim == 0 else one[:, np.newaxis])
        by_rays = None if x is None else torch.from_numpy(np.stack([x, y, z], axis=-1))
        return None, None, by_rays, *slopes


def _kind(number: Any, sloped: bool) -> tuple[int, bool] | None:  # noqa: ANN401
    """Return where a number varies, and whether its slope is asked for; None of a plain zero."""
    if isinstance(number, Tensor):
        return (compiled.BY_SPOT if number.ndim else compiled.NOWHERE), sloped
    return None if number == 0.0 else (compiled.NOWHERE, False)


def _plain(number: Any) -> Float64Array:  # noqa: ANN401
    if isinstance(number, Tensor):
        return np.asarray(number.detach().numpy()[:, 0] if number.ndim else number.detach().numpy())
    return np.array(number, dtype=np.float64)


@lru_cache(maxsize=64)
def _written_down(
    spindle: Spindle, nodes: int, by_ray: bool, kinds: tuple[tuple[int, bool] | None, ...]
) -> compiled.Steps:
    """Return the steps of the formulas, of the rays and of numbers that are no plain zeros."""
    tape = Tape()
    x, y, z = (tape.read(compiled.BY_RAY, sloped=by_ray) for _ in range(3))
    numbers = [0.0 if kind is None else tape.read(kind[0], sloped=kind[1]) for kind in kinds]
    return tape.finish(_parts(spindle, nodes, (x, y, z), *numbers))
