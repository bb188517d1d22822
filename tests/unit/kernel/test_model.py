"""The eager kernel holds blocks, never sources × orientations × pixels."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from distbragg.kernel import eager
from distbragg.kernel.options import KernelOptions
from distbragg.kernel.render_tile import render_tile
from tests.unit.kernel.experiments import all_sources, make_experiment, whole_tile


class LargestTensor(TorchDispatchMode):
    """Keeps the number of elements of the largest tensor that any operation returned."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.elements = max(self.elements, result.numel())
        return result


@pytest.mark.parametrize("pixels", [(3, 5), (37, 41), (150, 160)])
def test_no_tensor_exceeds_the_block_or_the_pixels_of_a_block(pixels: tuple[int, int]) -> None:
    experiment = make_experiment(
        pixels=pixels, pixel_size=4e-4, domains=19, phi=(0.1, 0.2), wavelengths=(1.0, 1.1, 1.2),
        weights=(1.0, 1.0, 1.0), box=(3, 5, 7), interpolate=True,
    )  # fmt: skip
    options = KernelOptions("mixed", "eager", "cpu", 1)
    with LargestTensor() as seen:
        render_tile(experiment, 0, whole_tile(experiment), all_sources(experiment), options)
    assert 0 < seen.elements <= eager._BLOCK_ELEMENTS["cpu"]
