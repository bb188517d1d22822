"""What a machine with a card runs, from the specification to the store, on a pretended one.

A program of its own; arguments: a folder to work in.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import xarray as xr

from tests.unit.kernel_triton import pretended, standin

pretended.install()
standin.install(execute=True)

from distbragg.kernel.options import numeric_class, resolve_options  # noqa: E402
from distbragg.kernel.triton import peak  # noqa: E402
from distbragg.kernel.triton.memory import memory_limited  # noqa: E402
from distbragg.run.bench import How, prepare, time_workload  # noqa: E402  after the stand-ins
from distbragg.run.sweep import sweep  # noqa: E402
from distbragg.run.workloads import load_workloads, make_inputs  # noqa: E402
from distbragg.spec.compute import ComputeSpec  # noqa: E402
from tests.integration.test_gpu_sweep import small_sweep  # noqa: E402
from tools.bench.card import card_facts  # noqa: E402


def take_the_fused_kernel_for_a_card():
    """`auto` is the fused kernel, with indices in float64 on this generation."""
    for device in ("cuda", "cuda:0"):
        options = resolve_options(ComputeSpec(device=device), 1)
        assert (options.kernel, options.indices) == ("triton", "wide")
        assert numeric_class(options)["isa"] == "sm_90"
        assert card_facts(device)["capability"] == "9.0"
        with memory_limited(device, 80 << 20):
            pass
    assert pretended.limits == [(81 << 20) / (80 << 30), 1.0] * 2


def sweep_and_compare(folder):
    """Photon counts of a sweep are those of the CPU, pixel by pixel."""
    images = []
    for name, compute in (("gpu", {"device": "cuda"}), ("cpu", {"kernel": "native"})):
        spec = small_sweep(frames=2, **compute)
        noise = spec.experiment.noise.model_copy(update={"photon": True, "seed": 5})
        experiment = spec.experiment.model_copy(update={"noise": noise})
        spec = spec.model_copy(update={"experiment": experiment})
        assert sweep(spec, folder / name, cluster="serial").done == 2
        images.append(xr.open_zarr(folder / name)["images"].values)
    assert images[0].max() > 0.0
    assert np.array_equal(*images)
    assert standin.launches


def time_a_workload(folder):
    """The bench reads the device's clock, renders into float32, and measures the peak."""
    peak._PROGRAMS["cuda"] = peak._REPEATS["cuda"] = 1
    peak._ROUNDS["cuda"] = 2
    inputs = make_inputs(folder).parent
    changes = {"-detpixels": 24, "-pixel": 7, "-mosaic_domains": 2}
    small = load_workloads()["mosaic_still"].with_arguments("small", changes, 24 * 24 * 2)
    timing = time_workload(prepare(small, inputs, How(1, device="cuda", noise=True)), 1)
    assert timing.image.dtype == np.float32
    assert timing.card == "a pretended card"
    assert 0.0 < timing.seconds < timing.frame_seconds
    assert timing.peak > 0.0


if __name__ == "__main__":
    place = Path(sys.argv[1])
    take_the_fused_kernel_for_a_card()
    sweep_and_compare(place)
    time_a_workload(place / "inputs")
