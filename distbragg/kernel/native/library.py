"""The compiled kernel as a loaded library: once per process, never an exception at look-up."""

from __future__ import annotations

import ctypes
import os
import threading
from dataclasses import dataclass
from pathlib import Path

from distbragg.kernel.native.abi import Parameters
from distbragg.kernel.native.record import (
    OBJECTS,
    SOURCES,
    BuildRecord,
    CompiledObject,
    cpu_features,
    read_record,
    sources_digest,
)
from distbragg.kernel.table import table_id

LEVEL_VARIABLE = "DISTBRAGG_ISA"
"""Names the instruction-set level to load; unset, the highest that the CPU runs."""

_lock = threading.Lock()


class _NotUsable(Exception):
    """The kernel cannot be used here; the message is one line with its remedy."""


@dataclass(frozen=True)
class _Outcome:
    library: ctypes.CDLL | None
    build_id: str
    isa: str
    reason: str


_outcome: _Outcome | None = None


def available() -> bool:
    """Whether the native kernel can be used; loads it at the first call."""
    return _load().library is not None


def reason() -> str:
    """Why the native kernel cannot be used, with the remedy; empty where it can."""
    return _load().reason


def build_id() -> str:
    """Identity of source, flags and compiler, 16 hex digits; empty where there is no kernel."""
    return _load().build_id


def isa() -> str:
    """Instruction-set level of the loaded kernel; empty where there is no kernel."""
    return _load().isa


def level_asked() -> str:
    """Return the level that the environment asks for; empty where it leaves the choice."""
    return os.environ.get(LEVEL_VARIABLE, "").strip()


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
                _outcome = find_and_open(OBJECTS, SOURCES)
    return _outcome


def find_and_open(objects: Path, sources: Path) -> _Outcome:
    """Open the object of the highest level, or the one asked for, that runs here."""
    try:
        record = _usable_record(objects, sources)
        chosen = _choose(record, level_asked())
        opened = _open(objects / chosen.file)
    except _NotUsable as error:
        return _Outcome(None, "", "", str(error))
    return _Outcome(opened, record.build, chosen.level, "")


def _usable_record(objects: Path, sources: Path) -> BuildRecord:
    """Read the record, and refuse one without objects or of other sources than those here."""
    here = sources_digest(sources)
    # A checkout is built in place; what was installed without its sources is installed again.
    again = "install it again (pip install --force-reinstall --no-cache-dir)"
    remedy = "run `make native` (python -m tools.build_native)" if here else again
    record = read_record(objects)
    if record is None:
        raise _NotUsable(f"it is not compiled: {remedy}")
    if record.missing:
        raise _NotUsable(f"it was not compiled: {record.missing}; fix that, then {remedy}")
    if here and record.sources != here:
        raise _NotUsable(f"its sources are not those it was compiled from: {remedy}")
    return record


def _choose(record: BuildRecord, wanted: str) -> CompiledObject:
    offered = cpu_features()
    runnable = [each for each in record.objects if offered.issuperset(each.features)]
    if wanted:
        runnable = [each for each in runnable if each.level == wanted]
    if runnable:
        return runnable[0]
    built = ", ".join(each.level for each in record.objects)
    if wanted:
        raise _NotUsable(
            f"{LEVEL_VARIABLE} asks for {wanted}, which is not compiled or which this CPU does "
            f"not run; compiled: {built}"
        )
    raise _NotUsable(f"this CPU runs none of the levels compiled: {built}")


def _open(path: Path) -> ctypes.CDLL:
    try:
        opened = ctypes.CDLL(str(path))
        opened.distbragg_table_id.restype = ctypes.c_char_p
        opened.distbragg_table_id.argtypes = ()
        if opened.distbragg_table_id().decode("ascii") != table_id():
            problem = "it was compiled from another table than this package's: install it again"
            raise _NotUsable(problem)
        _declare(opened)
    except (OSError, AttributeError) as error:
        text = " ".join(str(error).split())
        raise _NotUsable(f"its object does not load: {text}") from error
    return opened


def _declare(opened: ctypes.CDLL) -> None:
    """Tell ctypes the types of the functions."""
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
    opened.distbragg_spread.restype = ctypes.c_int
    opened.distbragg_spread.argtypes = (
        ctypes.c_void_p,
        ctypes.c_int,
        ctypes.c_int64,
        ctypes.c_int64,
        ctypes.c_int64,
        reals,
        ctypes.c_int64,
        ctypes.c_int64,
        ctypes.c_int64,
        reals,
    )
    opened.distbragg_draw_series.restype = ctypes.c_int
    opened.distbragg_draw_series.argtypes = (ctypes.c_void_p,) * 2
    opened.distbragg_differentiate_series.restype = ctypes.c_int
    opened.distbragg_differentiate_series.argtypes = (ctypes.c_void_p,) * 4
    opened.distbragg_run_tape.restype = ctypes.c_int
    opened.distbragg_run_tape.argtypes = (ctypes.c_void_p,) * 2
    opened.distbragg_run_tape_back.restype = ctypes.c_int
    opened.distbragg_run_tape_back.argtypes = (ctypes.c_void_p,) * 2
    singles, whole, word = ctypes.POINTER(ctypes.c_float), ctypes.c_int64, ctypes.c_uint64
    opened.distbragg_normals.restype = None
    opened.distbragg_normals.argtypes = (whole, whole, word, word, ctypes.c_uint32, reals)
    opened.distbragg_record.restype = whole
    opened.distbragg_record.argtypes = (ctypes.c_void_p, whole, whole, singles, singles, reals)
    opened.distbragg_lit.restype = whole
    opened.distbragg_lit.argtypes = (
        ctypes.c_void_p,
        ctypes.c_void_p,
        whole,
        whole,
        *[ctypes.c_void_p] * 2,
    )
    opened.distbragg_moments.restype = ctypes.c_int
    opened.distbragg_moments.argtypes = (
        ctypes.c_void_p,
        ctypes.c_void_p,
        whole,
        *[ctypes.c_void_p] * 6,
    )
