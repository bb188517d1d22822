"""Processes that render on the CPU touch neither Triton nor the GPU."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys
import torch

def forbidden(*_, **__):
    raise AssertionError("CUDA was touched")

for name in ("is_available", "init", "_lazy_init", "device_count", "current_device", "synchronize"):
    setattr(torch.cuda, name, forbidden)

from distbragg.kernel.finalize import finalize_tile
from distbragg.kernel.options import numeric_class, resolve_options
from distbragg.kernel.render_tile import sum_tile
from distbragg.spec.compute import ComputeSpec
from tests.unit.kernel.experiments import all_sources, make_experiment, whole_tile

for kernel in "auto", "model":
    options = resolve_options(ComputeSpec(kernel=kernel), 2)
    numeric_class(options)
    experiment = make_experiment(photon_noise=True)
    tile = whole_tile(experiment)
    summed = sum_tile(experiment, 0, tile, all_sources(experiment), options, in_place=True)
    finalize_tile(experiment, 0, tile, summed.numerator, frame=0)
assert "triton" not in sys.modules, "Triton was loaded"
assert not torch.cuda.is_initialized()
"""


@pytest.mark.spec("ENG-17")
def test_rendering_on_the_cpu_touches_neither_triton_nor_cuda() -> None:
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
