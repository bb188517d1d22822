"""Functions that are computed again for their gradient, so that nothing between is kept.

Unlike `torch.utils.checkpoint` this looks at no tensor on its way: of functions of thousands of
small operations that took most of the time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Function = Callable[..., Tensor]


class _Recomputed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, function: Function, *inputs: Any) -> Tensor:  # noqa: ANN401 - of torch
        ctx.function, ctx.inputs = function, inputs
        return function(*inputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        inputs = list(ctx.inputs)
        needed = [at for at, wanted in enumerate(ctx.needs_input_grad[1:]) if wanted]
        for at in needed:
            inputs[at] = inputs[at].detach().requires_grad_()
        with torch.enable_grad():
            value = ctx.function(*inputs)
        found = torch.autograd.grad(
            value, [inputs[at] for at in needed], gradient, allow_unused=True
        )
        gradients: list[Tensor | None] = [None] * len(inputs)
        for at, one in zip(needed, found, strict=True):
            gradients[at] = one
        return None, *gradients


def recomputed(function: Function, *inputs: Any) -> Tensor:  # noqa: ANN401 - numbers and tensors
    """Return function(*inputs); gradients flow to those inputs that are tensors."""
    wanted = any(isinstance(one, Tensor) and one.requires_grad for one in inputs)
    if wanted and torch.is_grad_enabled():
        value: Tensor = _Recomputed.apply(function, *inputs)  # type: ignore[no-untyped-call]
        return value
    return function(*inputs)
