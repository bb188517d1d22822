"""Finding the system's C++ compiler, and building the kernel into the user's cache."""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

SOURCE_DIRECTORY = Path(__file__).parent / "src"
MAIN_SOURCE = "render.cpp"
LIBRARY_NAME = "kernel.so"
_COMPILERS = ("g++", "clang++", "c++")
_PROBE_TIMEOUT_S = 30
_BUILD_TIMEOUT_S = 300
_LOCK_TIMEOUT_S = 60
_SEAL = b"DBRG"


class BuildError(Exception):
    """The kernel cannot be built here; the message is one line for the user."""


class NoCompilerError(BuildError):
    """There is no C++ compiler: a plain fact of the machine, not a fault."""


def compile_flags(features: str) -> tuple[str, ...]:
    """Every flag of the build, in this one place.

    No flag may let the compiler re-order a sum or choose where to fuse: the source writes its
    fused multiply-adds out. `-fno-trapping-math` and `-fno-math-errno` change no value; they
    let rounding and square roots be vector instructions.
    """
    native = "-mcpu=native" if platform.machine() in ("arm64", "aarch64") else "-march=native"
    # Compilers prefer 256-bit vectors on AVX-512 machines; this kernel gains from the full width.
    width = ("-mprefer-vector-width=512",) if "avx512f" in features else ()
    return (
        "-std=c++17",
        "-O3",
        native,
        *width,
        "-fopenmp-simd",
        "-ffp-contract=off",
        "-fno-math-errno",
        "-fno-trapping-math",
        "-fPIC",
        "-shared",
        "-pthread",
    )


def cpu_features() -> str:
    """Text that differs between machines whose `-march=native` may differ."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    wanted = ("vendor_id", "cpu family", "model", "flags", "Features", "CPU part")
    found: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() in wanted:
            found.setdefault(name.strip(), " ".join(sorted(value.split())))
    return f"{platform.machine()} {found}"


def cache_directory() -> Path:
    """Where built kernels are kept: DISTBRAGG_CACHE_DIR, else the user's cache folder."""
    chosen = os.environ.get("DISTBRAGG_CACHE_DIR")
    if chosen:
        return Path(chosen) / "native"
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "distbragg" / "native"


def find_compiler() -> tuple[str, ...]:
    """Command of the C++ compiler: CXX from the environment, else g++, clang++ or c++.

    Raises
    ------
    NoCompilerError
        If there is none, or CXX names a program that is not there.
    """
    chosen = os.environ.get("CXX", "").strip()
    if chosen:
        command = tuple(shlex.split(chosen))
        if shutil.which(command[0]) is None:
            raise NoCompilerError(f"CXX names {command[0]}, which is not there")
        return command
    for name in _COMPILERS:
        path = shutil.which(name)
        if path is not None:
            return (path,)
    raise NoCompilerError("no C++ compiler found (looked for CXX, " + ", ".join(_COMPILERS) + ")")


def _run(command: tuple[str, ...], timeout: float) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, check=False, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"{command[0]} did not run: {error}") from error


@dataclass(frozen=True)
class Toolchain:
    """A compiler with the flags of this machine, and the identity of what it builds."""

    compiler: tuple[str, ...]
    version: str
    features: str

    @classmethod
    def detect(cls) -> Toolchain:
        """Look at this machine; raises `BuildError` without a working compiler."""
        compiler = find_compiler()
        result = _run((*compiler, "--version"), _PROBE_TIMEOUT_S)
        if result.returncode != 0:
            raise BuildError(f"{compiler[0]} --version failed")
        return cls(compiler, result.stdout.strip(), cpu_features())

    @property
    def flags(self) -> tuple[str, ...]:
        """Flags of the build."""
        return compile_flags(self.features)

    @cached_property
    def build_id(self) -> str:
        """16 hex digits over source, flags and compiler: equal ids compute equal bits.

        The CPU is not in it: what it adds is the instruction-set level, reported apart.
        """
        digest = hashlib.sha256()
        for path in sorted(SOURCE_DIRECTORY.iterdir()):
            if path.suffix in (".cpp", ".hpp"):
                digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
        digest.update("\0".join((*self.flags, self.version, sys.platform)).encode())
        return digest.hexdigest()[:16]

    @property
    def cache_key(self) -> str:
        """Folder name of the built library: the build and the CPU it was built for."""
        machine = hashlib.sha256(self.features.encode()).hexdigest()[:16]
        return f"{self.build_id}-{machine}"

    def library_path(self) -> Path:
        """Where the built library is, or will be."""
        return cache_directory() / self.cache_key / LIBRARY_NAME

    def build(self, target: Path) -> None:
        """Compile to a name of our own, seal, then rename: many processes may do so at once.

        Raises
        ------
        BuildError
            If the folder cannot be written or the compiler fails.
        """
        try:
            handle, name = tempfile.mkstemp(dir=target.parent, suffix=".so.partial")
            os.close(handle)
        except OSError as error:
            raise BuildError(f"cannot write the kernel cache {target.parent}: {error}") from error
        temporary = Path(name)
        try:
            source = str(SOURCE_DIRECTORY / MAIN_SOURCE)
            result = _run((*self.compiler, *self.flags, source, "-o", name), _BUILD_TIMEOUT_S)
            if result.returncode != 0:
                raise BuildError(f"{self.compiler[0]} failed: {_first_error(result.stderr)}")
            seal(temporary)
            temporary.replace(target)
        except OSError as error:
            raise BuildError(f"cannot write the kernel cache {target.parent}: {error}") from error
        finally:
            temporary.unlink(missing_ok=True)


def make_cache_directory(path: Path) -> None:
    """Make the folder of a built library, for this user only.

    Raises
    ------
    BuildError
        If it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise BuildError(f"cannot write the kernel cache {path}: {error}") from error


def seal(library: Path) -> None:
    """Append the digest of a built library to it: loaders ignore what follows the last section."""
    content = library.read_bytes()
    with library.open("ab") as file:
        file.write(_SEAL + hashlib.sha256(content).digest())
        file.flush()
        os.fsync(file.fileno())


def is_sound(library: Path) -> bool:
    """Whether a built library is whole: loading a truncated one would kill the process."""
    try:
        content = library.read_bytes()
    except OSError:
        return False
    body, mark, digest = content[:-36], content[-36:-32], content[-32:]
    return mark == _SEAL and hashlib.sha256(body).digest() == digest


@contextmanager
def one_builder(directory: Path) -> Iterator[None]:
    """Hold the cache folder's lock so that of many processes one compiles and the others wait.

    Only a courtesy: building is safe without it, so after a while, or where the file system
    has no locks, it is not waited for.
    """
    try:
        import fcntl

        file = (directory / "lock").open("w")
    except (ImportError, OSError):
        yield
        return
    with file:
        deadline = time.monotonic() + _LOCK_TIMEOUT_S
        while time.monotonic() < deadline:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.05)
            except OSError:
                break
        yield


def _first_error(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line.lower()), lines[0] if lines else "")
