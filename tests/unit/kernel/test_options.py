"""Choice of kernel and device, and the numeric class it makes."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from distbragg.errors import EnvironmentFailure, InputError
from distbragg.kernel import native
from distbragg.kernel.options import KernelOptions, numeric_class, resolve_options
from distbragg.spec.compute import ComputeSpec


def test_auto_takes_the_native_kernel_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "available", lambda: True)
    assert resolve_options(ComputeSpec(), 2) == KernelOptions("mixed", "native", "cpu", 2)


def test_auto_falls_back_with_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(native, "available", lambda: False)
    monkeypatch.setattr(native, "reason", lambda: "no C++ compiler found")
    with caplog.at_level(logging.WARNING, logger="distbragg"):
        options = resolve_options(ComputeSpec(precision="float64"), 0)
    assert options == KernelOptions("float64", "eager", "cpu", 1)
    assert len(caplog.records) == 1
    assert "no C++ compiler found" in caplog.text
    assert "g++" in caplog.text


def test_native_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "available", lambda: False)
    with pytest.raises(EnvironmentFailure, match=r"compute\.kernel"):
        resolve_options(ComputeSpec(kernel="native"), 1)


@pytest.mark.parametrize("kernel", ["eager", "reference"])
def test_named_kernels_are_taken(kernel: str) -> None:
    compute = ComputeSpec.model_validate({"kernel": kernel})
    assert resolve_options(compute, 1).kernel == kernel


@pytest.mark.parametrize("kernel", ["native", "reference"])
def test_cpu_kernels_on_a_gpu_are_refused(kernel: str) -> None:
    compute = ComputeSpec.model_validate({"kernel": kernel, "device": "cuda"})
    with pytest.raises(InputError, match="CPU only"):
        resolve_options(compute, 1)


def test_absent_gpu_is_an_environment_failure() -> None:
    with pytest.raises(EnvironmentFailure, match="cuda:999"):
        resolve_options(ComputeSpec(device="cuda:999"), 1)


@pytest.mark.spec("ENG-11")
def test_numeric_class_tells_kernels_and_precisions_apart() -> None:
    classes = [
        numeric_class(KernelOptions(precision, kernel, "cpu", threads))  # type: ignore[arg-type]
        for kernel in ("eager", "reference")
        for precision in ("mixed", "float64")
        for threads in (1, 2)
    ]
    assert classes[0] == classes[1]
    assert classes[0] != classes[2]
    assert classes[0] != classes[4]
    assert classes[4] == classes[6]
    assert set(classes[0]) == {"device", "kernel", "build", "isa", "precision"}


def test_importing_options_does_not_load_torch() -> None:
    code = "import sys, distbragg.kernel.options; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
