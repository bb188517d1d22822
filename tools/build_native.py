"""Compile the native kernel into the package: one shared object for each instruction-set level.

`pip install` and `make wheel` run it through `tools/hatch_build.py`; in a checkout
`python -m tools.build_native`, or `make native`, does the same in place. It needs a C++17 compiler
and nothing but Python's own library: where a wheel is built, distbragg cannot be imported yet.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

ROOT: Final = Path(__file__).resolve().parent.parent
_NATIVE = ROOT / "distbragg" / "kernel" / "native"

if TYPE_CHECKING:
    from distbragg.kernel.native import record
else:
    # By its path, since importing it by name would import the package and what that needs.
    _spec = importlib.util.spec_from_file_location("_native_record", _NATIVE / "record.py")
    record = importlib.util.module_from_spec(_spec)
    sys.modules[_spec.name] = record
    _spec.loader.exec_module(record)

MAIN_SOURCE: Final = "render.cpp"
COMPILERS: Final = ("g++", "clang++", "c++")
_PROBE_TIMEOUT_S = 30
_BUILD_TIMEOUT_S = 900


class BuildError(Exception):
    """The kernel cannot be compiled here; the message is one line for the user."""


class NoCompilerError(BuildError):
    """There is no C++ compiler: a plain fact of the machine, not a fault."""


@dataclass(frozen=True)
class Level:
    """An instruction-set level.

    Attributes
    ----------
    name : str
    features : tuple of str
        What a CPU must offer to run it, as /proc/cpuinfo names them.
    flags : tuple of str
        What tells the compiler to use just that.
    """

    name: str
    features: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()


# Features by their names in /proc/cpuinfo and the compilers' flags; the sets are those of the
# x86-64 psABI's levels. Spelled out, since compilers know the levels' own names only lately.
_SECOND = {
    "cx16": "-mcx16",
    "lahf_lm": "-msahf",
    "popcnt": "-mpopcnt",
    "pni": "-msse3",
    "ssse3": "-mssse3",
    "sse4_1": "-msse4.1",
    "sse4_2": "-msse4.2",
}
_THIRD = {
    **_SECOND,
    "avx": "-mavx",
    "avx2": "-mavx2",
    "bmi1": "-mbmi",
    "bmi2": "-mbmi2",
    "f16c": "-mf16c",
    "fma": "-mfma",
    "abm": "-mlzcnt",
    "movbe": "-mmovbe",
}
_FOURTH = {
    **_THIRD,
    "avx512f": "-mavx512f",
    "avx512bw": "-mavx512bw",
    "avx512cd": "-mavx512cd",
    "avx512dq": "-mavx512dq",
    "avx512vl": "-mavx512vl",
}
# Tuned for common CPUs of each level. Compilers prefer 256-bit vectors on AVX-512 machines;
# this kernel gains from the full width.
_X86_64: Final = (
    Level(
        "x86-64-v4",
        tuple(_FOURTH),
        (*_FOURTH.values(), "-mtune=skylake-avx512", "-mprefer-vector-width=512"),
    ),
    Level("x86-64-v3", tuple(_THIRD), (*_THIRD.values(), "-mtune=haswell")),
    Level("x86-64-v2", tuple(_SECOND), tuple(_SECOND.values())),
)
_LEVELS: Final = {
    "x86_64": _X86_64,
    "amd64": _X86_64,
    "aarch64": (Level("aarch64", (), ("-march=armv8-a",)),),
    "arm64": (Level("aarch64", (), ("-march=armv8-a",)),),
}

COMMON_FLAGS: Final = (
    "-std=c++17",
    "-O3",
    "-fopenmp-simd",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fPIC",
    "-shared",
    "-pthread",
)
"""Flags of every level.

No flag may let the compiler re-order a sum or choose where to fuse: the source writes its fused
multiply-adds out. `-fno-trapping-math` and `-fno-math-errno` change no value; they let rounding
and square roots be vector instructions.
"""


def levels_of(machine: str) -> tuple[Level, ...]:
    """Return the levels of a machine's name, the highest first; its plain code where not listed."""
    return _LEVELS.get(machine, (Level(machine),))


@dataclass(frozen=True)
class Compiler:
    """A C++ compiler.

    Attributes
    ----------
    command : tuple of str
    version : str
        What it says of its version.
    machine : str
        What it compiles for: the first part of its target's name, such as "x86_64".
    """

    command: tuple[str, ...]
    version: str
    machine: str

    @classmethod
    def find(cls) -> Compiler:
        """Find the compiler: CXX from the environment, else g++, clang++ or c++.

        Raises
        ------
        NoCompilerError
            There is none, or CXX names a program that is not there.
        BuildError
            It does not run.
        """
        command = _find_command()
        version = _checked((*command, "--version"), _PROBE_TIMEOUT_S).strip()
        target = _checked((*command, "-dumpmachine"), _PROBE_TIMEOUT_S).strip()
        return cls(command, version, target.partition("-")[0])

    @property
    def levels(self) -> tuple[Level, ...]:
        """The levels that it compiles, the highest first."""
        return levels_of(self.machine)

    @property
    def level_here(self) -> Level:
        """The highest of them that this CPU runs; the lowest where the CPU does not tell."""
        offered = record.cpu_features()
        return next(
            (level for level in self.levels if offered.issuperset(level.features)),
            self.levels[-1],
        )

    @cached_property
    def build_id(self) -> str:
        """16 hex digits over source, flags and compiler: equal ids compute equal bits.

        The same for all levels: which one runs is reported apart.
        """
        flags = (flag for level in self.levels for flag in (level.name, *level.flags))
        parts = (record.sources_digest(), *COMMON_FLAGS, *flags, self.version, sys.platform)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]

    def compile(self, source: Path, target: Path, level: Level, extra: Sequence[str] = ()) -> None:
        """Compile one source into one shared object.

        Raises
        ------
        BuildError
            If the compiler fails.
        """
        flags = (*COMMON_FLAGS, *level.flags, *extra)
        _checked((*self.command, *flags, str(source), "-o", str(target)), _BUILD_TIMEOUT_S)


def _find_command() -> tuple[str, ...]:
    chosen = os.environ.get("CXX", "").strip()
    if chosen:
        command = tuple(shlex.split(chosen))
        if shutil.which(command[0]) is None:
            raise NoCompilerError(f"CXX names {command[0]}, which is not found")
        return command
    for name in COMPILERS:
        path = shutil.which(name)
        if path is not None:
            return (path,)
    raise NoCompilerError("no C++ compiler found (looked for CXX, " + ", ".join(COMPILERS) + ")")


def _checked(command: tuple[str, ...], timeout: float) -> str:
    """Run the compiler and return what it prints."""
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, check=False, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"{command[0]} did not run: {error}") from error
    if result.returncode != 0:
        lines = [line.strip() for line in result.stderr.splitlines() if line.strip()]
        first = next((line for line in lines if "error" in line.lower()), "".join(lines[:1]))
        raise BuildError(f"{command[0]} failed: {first}")
    return result.stdout


def build(folder: Path | None = None, *, here_only: bool = False) -> record.BuildRecord:
    """Compile what is not yet compiled of the kernel, and write the record.

    Objects carry the build in their names and appear whole: a process that has loaded earlier
    ones goes on with them.

    Parameters
    ----------
    folder : Path, optional
        Of the objects; the package's own unless given.
    here_only : bool
        Compile the level of this CPU alone.

    Raises
    ------
    BuildError
        There is no compiler, it fails, or the folder cannot be written.
    """
    folder = folder or record.OBJECTS
    built = record.read_record(folder)
    try:
        compiler = Compiler.find()
    except NoCompilerError:
        if built is not None and _is_whole(folder, built):
            return built
        raise
    levels = (compiler.level_here,) if here_only else compiler.levels
    if built is not None and _holds(folder, built, compiler, levels):
        return built
    objects = {
        level: record.CompiledObject(
            level.name, f"{level.name}-{compiler.build_id}.so", level.features
        )
        for level in levels
    }
    made = record.BuildRecord(
        build=compiler.build_id,
        sources=record.sources_digest(),
        compiler=compiler.version.partition("\n")[0],
        missing="",
        objects=tuple(objects.values()),
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(partial(_compile_into, folder, compiler), objects.items()))
        _replace_record(folder, made)
    except OSError as error:
        raise BuildError(f"cannot write {folder}: {error}") from error
    return made


def build_or_record_why_not(folder: Path | None = None) -> record.BuildRecord:
    """Build, or record why not: an installation without a compiler goes on without the kernel."""
    folder = folder or record.OBJECTS
    try:
        return build(folder)
    except BuildError as error:
        made = record.BuildRecord("", record.sources_digest(), "", str(error), ())
        folder.mkdir(parents=True, exist_ok=True)
        _replace_record(folder, made)
        return made


def _is_whole(folder: Path, built: record.BuildRecord) -> bool:
    """Whether a folder holds what its record names, compiled from the sources that are here."""
    files = [folder / each.file for each in built.objects]
    return (
        bool(files) and built.sources == record.sources_digest() and all(map(Path.is_file, files))
    )


def _holds(
    folder: Path, built: record.BuildRecord, compiler: Compiler, levels: Sequence[Level]
) -> bool:
    """Whether a folder holds what this compiler would make of these levels."""
    names = {each.level for each in built.objects}
    return (
        built.build == compiler.build_id
        and _is_whole(folder, built)
        and names.issuperset(level.name for level in levels)
    )


def _compile_into(
    folder: Path, compiler: Compiler, wanted: tuple[Level, record.CompiledObject]
) -> None:
    """Compile to a name of our own, then rename: several processes may do so at once."""
    level, made = wanted
    handle, name = tempfile.mkstemp(dir=folder, suffix=".partial")
    os.close(handle)
    temporary = Path(name)
    try:
        compiler.compile(record.SOURCES / MAIN_SOURCE, temporary, level)
        temporary.chmod(0o755)
        temporary.replace(folder / made.file)
    finally:
        temporary.unlink(missing_ok=True)


def _replace_record(folder: Path, made: record.BuildRecord) -> None:
    """Write the record, then remove the objects of earlier builds."""
    made.write(folder)
    kept = {each.file for each in made.objects}
    for path in folder.glob("*.so"):
        if path.name not in kept:
            path.unlink(missing_ok=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Build in place and say what there is; 1 where it cannot be built."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.build_native", description="Compile the native kernel in place."
    )
    parser.add_argument("--here", action="store_true", help="the level of this CPU alone")
    chosen = parser.parse_args(arguments)
    try:
        built = build(here_only=chosen.here)
    except BuildError as error:
        sys.stderr.write(f"the native kernel cannot be built: {error}\n")
        return 1
    levels = ", ".join(each.level for each in built.objects)
    sys.stdout.write(f"native kernel {built.build}: {levels}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
