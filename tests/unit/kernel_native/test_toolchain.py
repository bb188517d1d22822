"""Building the kernel: races, missing and broken compilers, damaged caches."""

from __future__ import annotations

import ctypes
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from distbragg.kernel import native
from distbragg.kernel.native import library, toolchain
from distbragg.kernel.native.abi import Parameters

needs_compiler = pytest.mark.skipif(not native.available(), reason=native.reason())

STATE = """
import logging, sys
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="LOG %(message)s")
from distbragg.kernel import native
print(native.available(), repr(native.reason()), native.build_id(), native.isa(), sep="|")
print(native.available(), repr(native.reason()), native.build_id(), native.isa(), sep="|")
"""


def _start(tmp_path: Path, **environment: str) -> subprocess.Popen[str]:
    root = Path(__file__).resolve().parents[3]
    return subprocess.Popen(
        [sys.executable, "-c", STATE],
        env={
            **os.environ,
            "PYTHONPATH": str(root),
            "DISTBRAGG_CACHE_DIR": str(tmp_path),
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _finish(process: subprocess.Popen[str]) -> list[str]:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out.splitlines()


@needs_compiler
@pytest.mark.slow
def test_processes_that_start_at_once_share_one_cache(tmp_path):
    processes = [_start(tmp_path) for _ in range(5)]
    states = {_finish(process)[-1] for process in processes}
    assert len(states) == 1
    assert states.pop().startswith("True|''|")
    files = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    assert files == [toolchain.LIBRARY_NAME, "lock"]


def test_without_a_compiler_there_is_a_reason_and_no_exception(tmp_path):
    lines = _finish(_start(tmp_path, CXX="", PATH=str(tmp_path)))
    assert len(lines) == 2
    assert lines[0].startswith("False|'no C++ compiler found")
    assert not list(tmp_path.rglob("*.so"))


def test_a_named_compiler_that_is_not_there_is_the_reason(tmp_path):
    lines = _finish(_start(tmp_path, CXX="/nonexistent/g++"))
    assert lines[0].startswith("False|'CXX names /nonexistent/g++")


def test_a_compiler_that_fails_is_logged_once(tmp_path):
    broken = tmp_path / "broken"
    broken.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && exit 0\necho "x.cpp: error: no" >&2\nexit 1\n'
    )
    broken.chmod(0o755)
    lines = _finish(_start(tmp_path / "cache", CXX=str(broken)))
    assert [line for line in lines if line.startswith("LOG")] == [
        f"LOG the native kernel could not be built: {broken} failed: x.cpp: error: no"
    ]
    assert lines[-1].startswith("False|")
    assert not list((tmp_path / "cache").rglob("*.partial"))


def test_a_cache_that_cannot_be_written_is_the_reason(tmp_path):
    occupied = tmp_path / "file"
    occupied.write_text("")
    lines = _finish(_start(tmp_path, DISTBRAGG_CACHE_DIR=str(occupied)))
    assert "cannot write the kernel cache" in lines[-1]


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("damage", [slice(0), slice(1000), slice(-1)])
def test_a_damaged_library_is_built_anew(tmp_path, damage):
    kept = toolchain.Toolchain.detect().library_path()
    path = tmp_path / "native" / kept.parent.name / kept.name
    path.parent.mkdir(parents=True)
    path.write_bytes(kept.read_bytes()[damage])
    lines = _finish(_start(tmp_path))
    assert lines[-1].startswith("True|")
    assert path.read_bytes()[-36:-32] == kept.read_bytes()[-36:-32]
    assert toolchain.is_sound(path)


@needs_compiler
def test_the_parameter_block_has_the_size_the_source_compiles_to():
    assert library.library().distbragg_parameter_bytes() == ctypes.sizeof(Parameters)


@needs_compiler
def test_identity_and_instruction_set_are_reported():
    assert len(native.build_id()) == 16
    assert native.isa() in {"avx512f", "avx2+fma", "fma", "neon", "baseline"}


def test_flags_neither_reorder_sums_nor_leave_contraction_to_the_compiler():
    flags = toolchain.compile_flags("flags avx512f")
    assert "-ffp-contract=off" in flags
    assert not {"-ffast-math", "-Ofast", "-fassociative-math"} & set(flags)
    assert "-mprefer-vector-width=512" in flags
    assert "-mprefer-vector-width=512" not in toolchain.compile_flags("flags avx2")


def test_the_cache_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("DISTBRAGG_CACHE_DIR", str(tmp_path / "a"))
    assert toolchain.cache_directory() == tmp_path / "a" / "native"
    monkeypatch.delenv("DISTBRAGG_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "b"))
    assert toolchain.cache_directory() == tmp_path / "b" / "distbragg" / "native"


def test_another_cpu_has_another_cache_folder_but_the_same_build():
    here = toolchain.Toolchain(("g++",), "g++ 12", "flags avx2")
    there = toolchain.Toolchain(("g++",), "g++ 12", "flags avx2 sse4a")
    newer = toolchain.Toolchain(("g++",), "g++ 13", "flags avx2")
    assert here.build_id == there.build_id != newer.build_id
    assert here.cache_key != there.cache_key


def test_an_unavailable_library_is_refused_with_its_reason(monkeypatch):
    outcome = library._Outcome(None, "", "", "no compiler")
    monkeypatch.setattr(library, "_outcome", outcome)
    assert not native.available()
    with pytest.raises(RuntimeError, match="no compiler"):
        library.library()
    assert logging.getLogger("distbragg") is library._log
