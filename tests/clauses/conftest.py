"""Every kernel in every precision: a clause is asserted of each, through `render_tile`."""

from __future__ import annotations

import os
from importlib import util

import pytest

from distbragg.kernel import native
from distbragg.kernel.options import KernelOptions
from tests import tolerances
from tests.clauses.scene import Kernel

KERNELS = {
    "model": KernelOptions("float64", "eager", "cpu", 1),
    "native-float64": KernelOptions("float64", "native", "cpu", 1),
    "native-mixed": KernelOptions("mixed", "native", "cpu", 1),
    "triton-float64": KernelOptions("float64", "triton", "cpu", 1),
    "triton-mixed": KernelOptions("mixed", "triton", "cpu", 1, "wide"),
    "triton-split": KernelOptions("mixed", "triton", "cpu", 1, "split"),
}


@pytest.fixture(params=KERNELS)
def kernel(request: pytest.FixtureRequest) -> Kernel:
    """Return one kernel; skip it, with the reason, where it cannot run."""
    name = request.param
    if name.startswith("native") and not native.available():
        pytest.skip(native.reason())
    if name.startswith("triton"):
        if util.find_spec("triton") is None:
            pytest.skip("Triton is not installed")
        if os.environ.get("TRITON_INTERPRET") != "1":
            pytest.skip("Triton's interpreter is not in use")
    options = KERNELS[name]
    exact = options.precision == "float64"
    relative = tolerances.CLAUSE_FLOAT64_RELATIVE if exact else tolerances.CLAUSE_MIXED_RELATIVE
    return Kernel(options, relative)
