"""Which kernel runs, where, in what precision: decided once, before any frame.

Importing this module does not import torch: planning and dry runs stay light.
"""

from __future__ import annotations

import logging
import platform
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from typing import Final, Literal

from distbragg.errors import EnvironmentFailure, InputError
from distbragg.kernel import triton
from distbragg.kernel.fingerprint import code_digest, maths_digest
from distbragg.kernel.triton import Indices
from distbragg.spec.compute import FORMER_KERNELS, ComputeSpec

Precision = Literal["mixed", "float64"]
KernelName = Literal["native", "triton", "model"]

logger = logging.getLogger("distbragg")

MODEL_KERNEL_VERSION: Final = "1"
"""Raised whenever a change of the torch model changes a bit of its result."""


@dataclass(frozen=True, slots=True)
class KernelOptions:
    """How a tile is rendered; none of it changes what is rendered."""

    precision: Precision = "mixed"  # the model always computes in float64
    kernel: KernelName = "native"
    device: str = "cpu"  # or "cuda", "cuda:N" for the triton kernel and the model
    threads: int = 1  # inside one tile, at least 1; the number changes no bit
    indices: Indices = "wide"
    """How the mixed triton kernel computes (h, k, l): in float64, or in pieces of float32."""


def resolve_options(compute: ComputeSpec, threads: int) -> KernelOptions:
    """Choose the kernel that `compute` asks for.

    `auto` takes the native kernel on the CPU where it is compiled, the triton kernel on a GPU
    where it is installed, else the model; what to do for the faster one is then logged in
    one line. `eager` and `reference`, names of earlier releases, mean the model. `threads`
    inside one tile below 1 count as 1.

    Raises
    ------
    InputError
        A kernel that does not run on the device.
    EnvironmentFailure
        The native or triton kernel, torch or a CUDA device is asked for and not there.
    """
    device, asked = compute.device, compute.kernel
    on_gpu = device != "cpu"
    if on_gpu and asked == "native":
        raise InputError(
            f"the native kernel runs on the CPU only, not on {device}",
            field="compute.kernel",
            remedy="take model or auto, or device cpu",
        )
    if on_gpu:
        _require_cuda(device)
    if asked == "model" or asked in FORMER_KERNELS:
        kernel: KernelName = "model"
    else:
        kernel = _compiled_for_gpu(asked, device) if on_gpu else _compiled_for_cpu(asked)
    if kernel == "model":
        require_torch("compute.kernel: the model kernel")
    indices = triton.preferred_indices(device) if kernel == "triton" else "wide"
    return KernelOptions(compute.precision, kernel, device, max(1, threads), indices)


def _compiled_for_gpu(asked: str, device: str) -> KernelName:
    """Take the triton kernel, or for `auto` the model where Triton lacks something."""
    reason = _triton_lacks(device)
    if not reason:
        return "triton"
    if asked == "triton":
        raise EnvironmentFailure(f"compute.kernel: the triton kernel is not available: {reason}")
    logger.warning("rendering with the slower model kernel on %s: %s", device, reason)
    return "model"


def _triton_lacks(device: str) -> str:
    """Say why the triton kernel cannot run on a GPU; empty where it can."""
    if not triton.installed():
        return "Triton is not installed; pip install 'distbragg[gpu]', or take kernel model"
    if triton.interpreter_chosen():
        return "TRITON_INTERPRET asks for the interpreter; unset it, or take device cpu"
    if triton.capability(device) < triton.OLDEST_CAPABILITY:
        return f"{device} is too old for it; take kernel model"
    missing = triton.launcher_lacks()
    return f"Triton needs {missing}; install it, or take kernel model" if missing else ""


def _compiled_for_cpu(asked: str) -> KernelName:
    if asked == "triton":
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
    if asked == "native" or native.level_asked():
        raise EnvironmentFailure(
            f"compute.kernel: the native kernel is not available: {native.reason()}; "
            "or take kernel model"
        )
    require_torch(
        f"compute.kernel: the native kernel is not available: {native.reason()}; the model kernel"
    )
    logger.warning(
        "rendering with the slower model kernel; the native one is not available: %s",
        native.reason(),
    )
    return "model"


def require_torch(what: str) -> None:
    """Refuse where torch, an extra of the installation, is missing.

    Raises
    ------
    EnvironmentFailure
        With `what` needs it, and how to install it.
    """
    if find_spec("torch") is None:
        raise EnvironmentFailure(f"{what} needs torch: pip install 'distbragg[torch]'")


def cuda_available() -> bool:
    """Whether torch is installed and sees a CUDA device here."""
    return cuda_devices() > 0


def cuda_devices() -> int:
    """Count the CUDA devices that torch sees here; none where it is not installed."""
    if find_spec("torch") is None:
        return 0
    import torch

    return int(torch.cuda.device_count())


def _require_cuda(device: str) -> None:
    require_torch(f"compute.device: {device}")
    if int(device.partition(":")[2] or 0) >= cuda_devices():
        raise EnvironmentFailure(
            f"compute.device: {device} is not available; take device cpu or a machine with this GPU"
        )


def numeric_class(options: KernelOptions) -> dict[str, str]:
    """Return what the bits of a result depend on besides the plan.

    Two processes whose native classes are equal compute equal bits; others agree to tolerance.
    `code` names every Python source that can change a pixel, `maths` the mathematical library and
    how it rounds on this processor. What the host computes for the kernels is free of
    linear-algebra libraries, whose rounding follows the processor (`distbragg.matrices`). `isa` of
    the torch kernels on a CPU names its family alone: processors of one family whose vector units
    differ agree to tolerance.
    """
    isa, on_gpu = platform.machine(), options.device != "cpu"
    if options.kernel == "native":
        from distbragg.kernel import native

        build, isa = native.build_id(), native.isa()
    elif options.kernel == "triton":
        build, isa = triton.build_id(), "interpreter"
        if options.precision != "float64":
            build += f"+{options.indices}"
    else:
        build = f"{MODEL_KERNEL_VERSION}+torch{metadata.version('torch')}"
    if on_gpu:
        isa = "sm_{}{}".format(*triton.capability(options.device))
    return {
        "device": "cuda" if on_gpu else "cpu",
        "kernel": options.kernel,
        "build": build,
        "isa": isa,
        "precision": "float64" if options.kernel == "model" else options.precision,
        "code": code_digest(),
        "maths": maths_digest(),
    }
