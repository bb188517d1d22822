"""The built kernel as a loaded library: once per process, never an exception at look-up."""

from __future__ import annotations

import ctypes
import logging
import os
import threading
from dataclasses import dataclass
from pathlib import Path

from distbragg.kernel.native.abi import Parameters
from distbragg.kernel.native.toolchain import (
    BuildError,
    NoCompilerError,
    Toolchain,
    is_sound,
    make_cache_directory,
    one_builder,
)

_log = logging.getLogger("distbragg")
_lock = threading.Lock()


@dataclass(frozen=True)
class _Outcome:
    library: ctypes.CDLL | None
    build_id: str
    isa: str
    reason: str


_outcome: _Outcome | None = None


def available() -> bool:
    """Whether the native kernel can be used; builds and loads it at the first call."""
    return _load().library is not None


def reason() -> str:
    """Why the native kernel cannot be used; empty where it can."""
    return _load().reason


def build_id() -> str:
    """Identity of source, flags and compiler, 16 hex digits; empty where there is no kernel."""
    return _load().build_id


def isa() -> str:
    """Instruction-set level the kernel was compiled for; empty where there is no kernel."""
    return _load().isa


def library() -> ctypes.CDLL:
    """Return the loaded library.

    Raises
    ------
    RuntimeError
        If it is not available; callers ask `available()` first.
    """
    outcome = _load()
    if outcome.library is None:
        raise RuntimeError(f"the native kernel is not available: {outcome.reason}")
    return outcome.library


def _load() -> _Outcome:
    global _outcome
    if _outcome is None:
        with _lock:
            if _outcome is None:
                _outcome = _build_and_open()
    return _outcome


def _build_and_open() -> _Outcome:
    try:
        toolchain = Toolchain.detect()
        path = toolchain.library_path()
        opened = _open_cached(path)
        if opened is None:
            make_cache_directory(path.parent)
            with one_builder(path.parent):
                opened = _open_cached(path)
                if opened is None:
                    toolchain.build(path)
                    opened = _open(path)
    except (BuildError, OSError, AttributeError) as error:
        text = " ".join(str(error).split())
        if not isinstance(error, NoCompilerError):
            _log.warning("the native kernel could not be built: %s", text)
        return _Outcome(None, "", "", text)
    name = opened.distbragg_isa().decode("ascii")
    return _Outcome(opened, toolchain.build_id, name, "")


def _open_cached(path: Path) -> ctypes.CDLL | None:
    """Open what an earlier process built; None if absent, damaged or not ours."""
    try:
        status = path.stat()
        if hasattr(os, "getuid") and status.st_uid not in (os.getuid(), 0):
            return None
        return _open(path) if is_sound(path) else None
    except (OSError, AttributeError, BuildError):
        return None


def _open(path: Path) -> ctypes.CDLL:
    opened = ctypes.CDLL(str(path))
    opened.distbragg_parameter_bytes.restype = ctypes.c_int64
    opened.distbragg_parameter_bytes.argtypes = ()
    opened.distbragg_isa.restype = ctypes.c_char_p
    opened.distbragg_isa.argtypes = ()
    opened.distbragg_render.restype = ctypes.c_int
    opened.distbragg_render.argtypes = (ctypes.POINTER(Parameters), ctypes.c_int64)
    reals, integers = ctypes.POINTER(ctypes.c_double), ctypes.POINTER(ctypes.c_int64)
    opened.distbragg_poisson.restype = None
    opened.distbragg_poisson.argtypes = (
        reals,
        integers,
        ctypes.c_int64,
        ctypes.c_uint64,
        ctypes.c_uint64,
        reals,
        reals,
    )
    if opened.distbragg_parameter_bytes() != ctypes.sizeof(Parameters):
        raise BuildError("the kernel's parameter block differs from this package's")
    return opened
