"""Choice of kernel and device, and the numeric class it makes."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from distbragg.errors import EnvironmentFailure, InputError
from distbragg.kernel import native, triton
from distbragg.kernel import options as options_module
from distbragg.kernel.native import library as native_library
from distbragg.kernel.options import KernelOptions, numeric_class, resolve_options
from distbragg.kernel.triton import library
from distbragg.spec.compute import ComputeSpec


def test_auto_takes_the_native_kernel_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "available", lambda: True)
    assert resolve_options(ComputeSpec(), 2) == KernelOptions("mixed", "native", "cpu", 2)


def test_auto_falls_back_with_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(native, "available", lambda: False)
    monkeypatch.setattr(native, "reason", lambda: "it is not compiled: run `make native`")
    with caplog.at_level(logging.WARNING, logger="distbragg"):
        options = resolve_options(ComputeSpec(precision="float64"), 0)
    assert options == KernelOptions("float64", "model", "cpu", 1)
    assert len(caplog.records) == 1
    assert "it is not compiled: run `make native`" in caplog.text


def test_native_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "available", lambda: False)
    with pytest.raises(EnvironmentFailure, match=r"compute\.kernel"):
        resolve_options(ComputeSpec(kernel="native"), 1)


@pytest.mark.spec("ENG-23")
def test_a_level_that_cannot_be_loaded_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISTBRAGG_ISA", "avx2")
    monkeypatch.setattr(native_library, "_outcome", None)
    with pytest.raises(EnvironmentFailure, match="DISTBRAGG_ISA asks for avx2"):
        resolve_options(ComputeSpec(), 1)


def test_the_model_is_taken_where_it_is_named(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="distbragg"):
        assert resolve_options(ComputeSpec(kernel="model"), 1).kernel == "model"
    assert not caplog.records


@pytest.mark.parametrize("kernel", ["eager", "reference"])
def test_names_of_earlier_releases_mean_the_model(kernel: str) -> None:
    assert resolve_options(ComputeSpec.model_validate({"kernel": kernel}), 1).kernel == "model"


def test_the_native_kernel_on_a_gpu_is_refused() -> None:
    compute = ComputeSpec.model_validate({"kernel": "native", "device": "cuda"})
    with pytest.raises(InputError, match="CPU only"):
        resolve_options(compute, 1)


def test_triton_without_a_gpu_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(EnvironmentFailure, match="needs a CUDA device") as caught:
        resolve_options(ComputeSpec(kernel="triton"), 1)
    assert str(caught.value).startswith("compute.kernel: ")
    assert "\n" not in str(caught.value)


def test_triton_on_the_cpu_is_the_interpreter_where_that_is_chosen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setattr(triton, "installed", lambda: True)
    options = resolve_options(ComputeSpec(kernel="triton"), 1)
    assert options == KernelOptions("mixed", "triton", "cpu", 1, "wide")


@pytest.mark.spec("ENG-17")
@pytest.mark.parametrize(
    ("capability", "installed", "asked", "kernel", "indices"),
    [
        ((9, 0), True, "auto", "triton", "wide"),
        ((8, 9), True, "auto", "triton", "split"),
        ((8, 9), True, "triton", "triton", "split"),
        ((9, 0), True, "model", "model", "wide"),
        ((9, 0), True, "reference", "model", "wide"),
        ((9, 0), False, "auto", "model", "wide"),
        ((7, 0), True, "auto", "model", "wide"),
    ],
)
def test_a_gpu_gets_the_fused_kernel_where_it_can(
    monkeypatch: pytest.MonkeyPatch,
    capability: tuple[int, int],
    installed: bool,
    asked: str,
    kernel: str,
    indices: str,
) -> None:
    _pretend_gpu(monkeypatch, capability, installed=installed)
    compute = ComputeSpec.model_validate({"device": "cuda:1", "kernel": asked})
    options = resolve_options(compute, 1)
    assert (options.kernel, options.device, options.indices) == (kernel, "cuda:1", indices)


@pytest.mark.parametrize(
    ("capability", "installed", "interpreted", "what"),
    [
        ((9, 0), False, False, "pip install 'distbragg\\[gpu\\]'"),
        ((7, 0), True, False, "too old"),
        ((9, 0), True, True, "TRITON_INTERPRET"),
    ],
)
def test_a_gpu_that_cannot_run_triton_is_told_why(
    monkeypatch: pytest.MonkeyPatch,
    capability: tuple[int, int],
    installed: bool,
    interpreted: bool,
    what: str,
) -> None:
    _pretend_gpu(monkeypatch, capability, installed=installed)
    monkeypatch.setenv("TRITON_INTERPRET", "1" if interpreted else "0")
    compute = ComputeSpec(device="cuda", kernel="triton")
    with pytest.raises(EnvironmentFailure, match=what):
        resolve_options(compute, 1)


def test_a_machine_that_cannot_build_tritons_launcher_is_told_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _pretend_gpu(monkeypatch, (9, 0), installed=True)
    monkeypatch.setattr(triton, "launcher_lacks", library.launcher_lacks)
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    compute = ComputeSpec(device="cuda", kernel="triton")
    with pytest.raises(EnvironmentFailure, match="needs a C compiler"):
        resolve_options(compute, 1)
    assert resolve_options(ComputeSpec(device="cuda"), 1).kernel == "model"
    monkeypatch.setenv("CC", "cc")
    monkeypatch.setattr(library.sysconfig, "get_paths", lambda **_: {"include": str(tmp_path)})
    with pytest.raises(EnvironmentFailure, match="Python's C headers"):
        resolve_options(compute, 1)
    (tmp_path / "Python.h").touch()
    assert resolve_options(compute, 1).kernel == "triton"


def _pretend_gpu(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], *, installed: bool
) -> None:
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    monkeypatch.setattr(options_module, "_require_cuda", lambda device: None)
    monkeypatch.setattr(triton, "installed", lambda: installed)
    monkeypatch.setattr(triton, "launcher_lacks", lambda: "")
    monkeypatch.setattr(triton, "capability", lambda device: capability)
    monkeypatch.setattr("distbragg.kernel.triton.library.capability", lambda device: capability)


@pytest.mark.spec("ENG-17")
def test_class_of_the_fused_kernel_names_build_triton_indices_and_card(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(triton, "capability", lambda device: (9, 0))
    wide = numeric_class(KernelOptions("mixed", "triton", "cuda", 1, "wide"))
    split = numeric_class(KernelOptions("mixed", "triton", "cuda", 1, "split"))
    interpreted = numeric_class(KernelOptions("mixed", "triton", "cpu", 1, "wide"))
    assert wide["isa"] == "sm_90"
    assert wide["device"] == "cuda"
    assert "+triton" in wide["build"]
    assert wide["build"].endswith("+wide")
    assert split["build"].endswith("+split")
    assert (interpreted["device"], interpreted["isa"]) == ("cpu", "interpreter")


def test_absent_gpu_is_an_environment_failure() -> None:
    with pytest.raises(EnvironmentFailure, match="cuda:999"):
        resolve_options(ComputeSpec(device="cuda:999"), 1)


@pytest.mark.spec("ENG-11")
def test_numeric_class_tells_kernels_and_precisions_apart() -> None:
    classes = [
        numeric_class(KernelOptions(precision, "model", "cpu", threads))  # type: ignore[arg-type]
        for precision in ("mixed", "float64")
        for threads in (1, 2)
    ]
    assert all(found == classes[0] for found in classes)
    assert classes[0]["precision"] == "float64"
    mixed, double = (numeric_class(KernelOptions(precision)) for precision in ("mixed", "float64"))
    assert mixed != double
    assert double != classes[0]
    names = {"device", "kernel", "build", "isa", "precision", "code", "maths"}
    assert set(classes[0]) == names


def test_importing_options_does_not_load_torch() -> None:
    code = "import sys, distbragg.kernel.options; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
