"""Names of code and mathematical library: equal where bits are, and only there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from distbragg.kernel import fingerprint
from distbragg.kernel.fingerprint import code_digest, maths_digest
from distbragg.kernel.native.record import cpu_features

pytestmark = pytest.mark.spec("ENG-11")


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    package = tmp_path / "distbragg"
    shutil.copytree(
        fingerprint.PACKAGE, package, ignore=shutil.ignore_patterns("objects", "__pycache__")
    )
    return package


def test_copy_without_cpp_sources_and_with_other_line_ends_has_the_same_name(copied: Path) -> None:
    shutil.rmtree(copied / "kernel" / "native" / "src")
    constants = copied / "constants.py"
    constants.write_bytes(constants.read_bytes().replace(b"\n", b" \r\n"))
    assert code_digest(copied) == code_digest()


@pytest.mark.parametrize(
    "name", ["constants.py", "models/vectors.py", "store/write.py", "kernel/triton/pack.py"]
)
def test_one_changed_digit_of_what_makes_a_pixel_is_other_code(copied: Path, name: str) -> None:
    with (copied / name).open("a") as source:
        source.write("_CHANGED = 1\n")
    assert code_digest(copied) != code_digest()


def test_what_no_pixel_depends_on_may_change(copied: Path) -> None:
    with (copied / "cli" / "main.py").open("a") as source:
        source.write("_CHANGED = 1\n")
    assert code_digest(copied) == code_digest()


def test_package_without_sources_is_named_by_its_version(tmp_path: Path) -> None:
    assert code_digest(tmp_path) == f"version {fingerprint.__version__}"


def maths_of_a_process(**environment: str) -> str:
    code = "from distbragg.kernel.fingerprint import maths_digest; print(maths_digest())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_equal_processes_name_their_mathematical_library_alike() -> None:
    assert maths_of_a_process() == maths_digest()
    assert maths_of_a_process(PYTHONHASHSEED="7", OMP_NUM_THREADS="1") == maths_digest()


@pytest.mark.skipif(
    not {"avx2", "fma"} <= cpu_features() or "glibc" not in maths_digest(),
    reason="the C library has no other sine for this processor",
)
def test_library_that_takes_other_instructions_has_another_name() -> None:
    assert maths_of_a_process(GLIBC_TUNABLES="glibc.cpu.hwcaps=-AVX2,-FMA") != maths_digest()
