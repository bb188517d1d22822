"""Whether the Triton kernel can be used here, and its identity; nothing is loaded to find out."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import sysconfig
import tempfile
from functools import lru_cache
from importlib import metadata, util
from pathlib import Path
from typing import Final, Literal

Indices = Literal["wide", "split"]
"""How (h, k, l) are computed: in float64, or in exact float32 pieces."""

FULL_RATE_FLOAT64: Final = frozenset({(6, 0), (7, 0), (8, 0), (9, 0), (10, 0)})
"""Compute capabilities whose float64 runs at half the rate of float32; elsewhere it is 1/32 or
1/64, and indices without it are the faster ones."""

OLDEST_CAPABILITY: Final = (7, 5)
"""Oldest compute capability that Triton compiles for."""

_log = logging.getLogger("distbragg")


def installed() -> bool:
    """Whether Triton is there."""
    return util.find_spec("triton") is not None


def interpreter_chosen() -> bool:
    """Whether the environment asks Triton to interpret kernels on the CPU, as tests do."""
    return os.environ.get("TRITON_INTERPRET", "0").strip().lower() in ("1", "true", "on", "yes")


def cache_directory() -> Path:
    """Where compiled GPU kernels are kept: below DISTBRAGG_CACHE_DIR, else the user's cache folder.

    What is compiled for a card depends on the card, so that no wheel can hold it.
    """
    chosen = os.environ.get("DISTBRAGG_CACHE_DIR")
    if chosen:
        return Path(chosen) / "triton"
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "distbragg" / "triton"


def prepare_cache() -> None:
    """Let Triton keep compiled kernels in one folder for all processes of the user.

    Where that folder cannot be written, as in a container, this process and those that it starts
    keep them in a temporary one.
    """
    if os.environ.get("TRITON_CACHE_DIR"):
        return
    folder = cache_directory()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        folder = Path(tempfile.mkdtemp(prefix="distbragg-triton-"))
        _log.info("compiled GPU kernels are kept in %s: %s", folder, error.strerror)
    os.environ["TRITON_CACHE_DIR"] = str(folder)


def launcher_lacks() -> str:
    """Say what is missing to build Triton's launcher, once for a user; empty where nothing is.

    Triton compiles a small C extension of Python when a kernel is launched for the first time.
    """
    if not (os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")):
        return "a C compiler (gcc or clang)"
    scheme = sysconfig.get_default_scheme().replace("posix_local", "posix_prefix")
    if not Path(sysconfig.get_paths(scheme=scheme)["include"], "Python.h").is_file():
        return "Python's C headers (Python.h)"
    return ""


def capability(device: str) -> tuple[int, int]:
    """Compute capability of a CUDA device."""
    import torch

    major, minor = torch.cuda.get_device_capability(device)
    return major, minor


def preferred_indices(device: str) -> Indices:
    """Choose how indices are computed: float64 where the device is good at it."""
    if device == "cpu" or capability(device) in FULL_RATE_FLOAT64:
        return "wide"
    return "split"


@lru_cache(maxsize=1)
def build_id() -> str:
    """Identity of the kernel's source and of Triton: equal ids compute equal bits on one card."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return f"{digest.hexdigest()[:16]}+triton{metadata.version('triton')}"
