"""The model on a GPU agrees with itself on the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from distbragg.kernel.options import KernelOptions, numeric_class
from distbragg.kernel.render_tile import render_tile
from tests.tolerances import KERNEL_TWIN_FLOAT64_RELATIVE
from tests.unit.kernel.experiments import all_sources, make_experiment, whole_tile

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.mark.parametrize("shape", ["square", "round", "gauss", "gauss_star", "tophat"])
def test_gpu_renders_what_the_cpu_renders(shape: str) -> None:
    experiment = make_experiment(
        shape=shape, pixels=(61, 79), domains=3, phi=(0.1, 0.4), wavelengths=(1.0, 1.1),
        weights=(0.7, 0.3), oversample=2, kahn_factor=0.9, masked=0.2, molecules=1e3, layers=2,
        interpolate=True, dmin=1.5,
    )  # fmt: skip
    tile, chunk = whole_tile(experiment), all_sources(experiment)
    images = [
        render_tile(experiment, 0, tile, chunk, KernelOptions("float64", "model", device, 1))
        for device in ("cpu", "cuda")
    ]
    bound = KERNEL_TWIN_FLOAT64_RELATIVE * (images[0] + images[0].max())
    assert (np.abs(images[1] - images[0]) <= bound).all()


def test_gpu_is_a_numeric_class_of_its_own() -> None:
    cpu = numeric_class(KernelOptions("mixed", "model", "cpu", 1))
    assert numeric_class(KernelOptions("mixed", "model", "cuda", 1)) != cpu
