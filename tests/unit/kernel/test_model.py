"""The model holds blocks, never sources × orientations × pixels, and keeps its table of |F|."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from distbragg.kernel import model
from distbragg.kernel.options import KernelOptions
from distbragg.kernel.render_tile import render_tile
from distbragg.kernel.scene import amplitude_table
from distbragg.models.crystal import Reflections
from distbragg.models.vectors import frozen_float64
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
    options = KernelOptions(kernel="model")
    with LargestTensor() as seen:
        render_tile(experiment, 0, whole_tile(experiment), all_sources(experiment), options)
    assert 0 < seen.elements <= model._BLOCK_ELEMENTS["cpu"]


def test_table_is_kept_by_identity_and_not_by_shape() -> None:
    cpu = torch.device("cpu")
    first, second = make_experiment(seed=1).reflections, make_experiment(seed=1).reflections
    assert amplitude_table(first, cpu).values is amplitude_table(first, cpu).values
    other = Reflections(frozen_float64(second.amplitude * 2.0), second.origin, 5.5, False)
    values = amplitude_table(other, cpu).values.numpy()
    assert (values[:-1] == other.amplitude.ravel()).all()
    assert values[-1] == 5.5


@pytest.mark.parametrize("precision", ["mixed", "float64"])
def test_the_model_is_float64_whatever_precision_is_asked_for(precision: str) -> None:
    experiment = make_experiment(domains=2, shape="round")
    options = KernelOptions(precision, "model", "cpu", 1)  # type: ignore[arg-type]
    tile, chunk = whole_tile(experiment), all_sources(experiment)
    found = render_tile(experiment, 0, tile, chunk, options)
    usual = render_tile(experiment, 0, tile, chunk, KernelOptions(kernel="model"))
    assert found.tobytes() == usual.tobytes()
