"""What holds for all tests: the compiled kernel, threads, how hypothesis draws its examples."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests import loaded
from tests.processes import forking_program
from tests.workers import METHOD, fork_workers
from tools.build_native import BuildError, Compiler

if TYPE_CHECKING:
    from distributed import Client
    from execnet import XSpec

os.environ.setdefault("OMP_NUM_THREADS", "1")

# Elsewhere every run draws new examples; a verdict of CI must not depend on the draw.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

# A job in the background of a shell ignores these, and so would the commands that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

fork_workers()

# Triton decides when it is loaded whether it compiles for a GPU or runs through numpy. Only a
# machine with an NVIDIA driver can compile and run; elsewhere the tests interpret.
CARD = any(Path(sign).exists() for sign in ("/proc/driver/nvidia/version", "/dev/nvidiactl"))
if not CARD:
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: pytest.Config, specs: list[XSpec]) -> None:
    """Start once what forks processes for all those of xdist, and fork these too.

    Not so where there is a card: what a process knows of it does not outlive a fork.
    """
    loaded.address()
    if not CARD:
        program = forking_program(config.args)
        for spec in specs:
            spec.python = program


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_collection() -> Iterator[None]:
    """Keep the collector off what stays: a million objects of tests, seen again and again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_sessionstart() -> None:
    """Refuse to begin where the native kernel only waits to be compiled.

    Its tests are skipped where it cannot be used; after a change of its sources that would hide
    what the change does.
    """
    from distbragg.kernel import native

    if native.available():
        return
    try:
        Compiler.find()
    except BuildError:
        return
    pytest.exit(f"the native kernel cannot be used: {native.reason()}", returncode=4)


@pytest.fixture(autouse=True)
def keep_interrupts() -> Iterator[None]:
    """Take back what a test changes of Ctrl-C: importing dask_jobqueue makes it a SystemExit."""
    before = signal.getsignal(signal.SIGINT)
    yield
    if signal.getsignal(signal.SIGINT) is not before:
        signal.signal(signal.SIGINT, before)


@pytest.fixture
def nothing_frozen() -> Iterator[None]:
    """Let the collector see all objects, as it does in a process of a user."""
    gc.unfreeze()
    yield
    gc.freeze()


@pytest.fixture
def workers_started_anew() -> Iterator[None]:
    """Start workers as users do, where a test is about what they load or hold."""
    import dask

    with dask.config.set({METHOD: "spawn"}):
        yield


@pytest.fixture(scope="module")
def two_workers() -> Iterator[Client]:
    """Give the client of two worker processes, for all tests of a module that kill none."""
    from distbragg.clusters.open import open_client

    with open_client("local:2") as opened:
        yield opened.client
