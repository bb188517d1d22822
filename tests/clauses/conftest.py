"""Every kernel in every precision: a clause is asserted of each, through `render_tile`."""

from __future__ import annotations

import os
from importlib import util

import pytest

from distbragg.kernel import native
from distbragg.kernel.options import KernelOptions
from tests import tolerances
from tests.clauses.scene import Kernel
from tests.interpreter import prepare_once_a_launch

KERNELS = {
    "model": KernelOptions("float64", "model", "cpu", 1),
    "native-float64": KernelOptions("float64", "native", "cpu", 1),
    "native-mixed": KernelOptions("mixed", "native", "cpu", 1),
    "triton": KernelOptions("float64", "triton", "cpu", 1),
}
"""Triton's mixed forms differ in arithmetic alone; tests/property holds them to the model."""

FAST = [name for name in KERNELS if name != "triton"]
"""An interpreted step costs what a million compiled ones do."""


@pytest.fixture(params=KERNELS)
def kernel(request: pytest.FixtureRequest) -> Kernel:
    """Return one kernel; skip it, with the reason, where it cannot run."""
    return _kernel(request.param)


@pytest.fixture(params=FAST)
def fast_kernel(request: pytest.FixtureRequest) -> Kernel:
    """Return one kernel that renders whole images in no time."""
    return _kernel(request.param)


def _kernel(name: str) -> Kernel:
    if name.startswith("native") and not native.available():
        pytest.skip(native.reason())
    if name == "triton":
        if util.find_spec("triton") is None:
            pytest.skip("Triton is not installed")
        if os.environ.get("TRITON_INTERPRET") != "1":
            pytest.skip("Triton's interpreter is not in use")
        prepare_once_a_launch()
    options = KERNELS[name]
    exact = options.precision == "float64"
    relative = tolerances.CLAUSE_FLOAT64_RELATIVE if exact else tolerances.CLAUSE_MIXED_RELATIVE
    return Kernel(options, relative)
