"""Which kernel runs, where, in what precision: decided once, before any frame.

Importing this module does not import torch: planning and dry runs stay light.
"""

from __future__ import annotations

import logging
import platform
import sys
from dataclasses import dataclass
from importlib import metadata
from typing import Final, Literal

from distbragg.errors import EnvironmentFailure, InputError
from distbragg.kernel import triton
from distbragg.kernel.triton import Indices
from distbragg.spec.compute import ComputeSpec

Precision = Literal["mixed", "float64"]
KernelName = Literal["native", "triton", "eager", "reference"]

logger = logging.getLogger("distbragg")

EAGER_KERNEL_VERSION: Final = "1"
"""Raised whenever a change of the torch kernels changes a bit of their result."""

REFERENCE_KERNEL_VERSION: Final = "1"
"""Raised whenever a change of the plain-loop kernel changes a bit of its result."""


@dataclass(frozen=True, slots=True)
class KernelOptions:
    """How a tile is rendered; none of it changes what is rendered.

    Attributes
    ----------
    precision : {"mixed", "float64"}
        The reference kernel always computes in float64.
    kernel : {"native", "triton", "eager", "reference"}
    device : str
        "cpu", "cuda" or "cuda:N"; the triton and the eager kernel run on a GPU.
    threads : int
        Threads inside one tile, at least 1. The number changes no bit.
    indices : {"wide", "split"}
        How the mixed triton kernel computes (h, k, l): in float64, or in pieces of float32.
    """

    precision: Precision
    kernel: KernelName
    device: str
    threads: int
    indices: Indices = "wide"


def resolve_options(compute: ComputeSpec, threads: int) -> KernelOptions:
    """Choose the kernel that `compute` asks for.

    `auto` takes the native kernel on the CPU where it is compiled, the triton kernel on a GPU
    where it is installed, else the eager one; what to do for the faster one is then logged in
    one line.

    Parameters
    ----------
    compute : ComputeSpec
    threads : int
        Threads inside one tile; values below 1 count as 1.

    Raises
    ------
    InputError
        A kernel that does not run on the device.
    EnvironmentFailure
        The native or triton kernel or a CUDA device is asked for and not there.
    """
    device = compute.device
    on_gpu = device != "cpu"
    if on_gpu and compute.kernel in ("native", "reference"):
        raise InputError(
            f"the {compute.kernel} kernel runs on the CPU only, not on {device}",
            field="compute.kernel",
            remedy="take eager or auto, or device cpu",
        )
    if on_gpu:
        _require_cuda(device)
    kernel = _choose_for_gpu(compute) if on_gpu else _choose_for_cpu(compute)
    indices = triton.preferred_indices(device) if kernel == "triton" else "wide"
    return KernelOptions(compute.precision, kernel, device, max(1, threads), indices)


def _choose_for_gpu(compute: ComputeSpec) -> KernelName:
    if compute.kernel == "eager":
        return "eager"
    reason = _triton_lacks(compute.device)
    if not reason:
        return "triton"
    if compute.kernel == "triton":
        raise EnvironmentFailure(f"compute.kernel: the triton kernel is not available: {reason}")
    logger.warning("rendering with the slower eager kernel on %s: %s", compute.device, reason)
    return "eager"


def _triton_lacks(device: str) -> str:
    """Say why the triton kernel cannot run on a GPU; empty where it can."""
    if not triton.installed():
        return "Triton is not installed; pip install 'distbragg[gpu]', or take kernel eager"
    if triton.interpreter_chosen():
        return "TRITON_INTERPRET asks for the interpreter; unset it, or take device cpu"
    if triton.capability(device) < triton.OLDEST_CAPABILITY:
        return f"{device} is too old for it; take kernel eager"
    missing = triton.launcher_lacks()
    return f"Triton needs {missing}; install it, or take kernel eager" if missing else ""


def _choose_for_cpu(compute: ComputeSpec) -> KernelName:
    if compute.kernel in ("eager", "reference"):
        return compute.kernel
    if compute.kernel == "triton":
        if triton.installed() and triton.interpreter_chosen():
            return "triton"
        raise EnvironmentFailure(
            "compute.kernel: the triton kernel needs a CUDA device; take device cuda on a machine "
            "that has one, or kernel auto"
        )
    from distbragg.kernel import native

    if native.available():
        return "native"
    # Who asks for a level does not want another kernel.
    if compute.kernel == "native" or native.level_asked():
        raise EnvironmentFailure(
            f"compute.kernel: the native kernel is not available: {native.reason()}; "
            "or take kernel eager"
        )
    logger.warning(
        "rendering with the slower eager kernel; the native one is not available: %s",
        native.reason(),
    )
    return "eager"


def cuda_available() -> bool:
    """Whether torch sees a CUDA device here."""
    import torch

    return bool(torch.cuda.is_available())


def cuda_devices() -> int:
    """Count the CUDA devices torch sees here."""
    import torch

    return int(torch.cuda.device_count())


def _require_cuda(device: str) -> None:
    import torch

    index = int(device.partition(":")[2] or 0)
    if not torch.cuda.is_available() or index >= torch.cuda.device_count():
        raise EnvironmentFailure(
            f"compute.device: {device} is not there; take device cpu or a machine with this GPU"
        )


def numeric_class(options: KernelOptions) -> dict[str, str]:
    """Return what the bits of a result depend on besides the plan.

    Two processes whose native classes are equal compute equal bits; others agree to tolerance.
    What the host computes for the kernels is free of linear-algebra libraries, whose rounding
    follows the processor (`distbragg.matrices`). `isa` of the torch kernels on a CPU names its
    family alone: processors of one family whose vector units differ agree to tolerance.

    Returns
    -------
    dict of str
        `device`, `kernel`, `build`, `isa`, `precision`.
    """
    device, build, isa = "cpu", "", platform.machine()
    if options.kernel == "native":
        from distbragg.kernel import native

        build, isa = native.build_id(), native.isa()
    elif options.kernel == "triton":
        build = triton.build_id() + (
            "" if options.precision == "float64" else f"+{options.indices}"
        )
        if options.device == "cpu":
            isa = "interpreter"
        else:
            device, isa = "cuda", _cuda_capability(options.device)
    elif options.kernel == "eager":
        build = f"{EAGER_KERNEL_VERSION}+torch{metadata.version('torch')}"
        if options.device != "cpu":
            device, isa = "cuda", _cuda_capability(options.device)
    else:
        python = ".".join(str(part) for part in sys.version_info[:2])
        build = f"{REFERENCE_KERNEL_VERSION}+python{python}"
    precision = "float64" if options.kernel == "reference" else options.precision
    return {
        "device": device,
        "kernel": options.kernel,
        "build": build,
        "isa": isa,
        "precision": precision,
    }


def _cuda_capability(device: str) -> str:
    major, minor = triton.capability(device)
    return f"sm_{major}{minor}"
