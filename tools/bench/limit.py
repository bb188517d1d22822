"""The limit a CPU kernel is held against: one plain vectorised loop, timed here and now."""

from __future__ import annotations

import ctypes
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tools.build_native import BuildError, Compiler

SOURCE: Final = Path(__file__).with_name("plain_loop.cpp")
BLOCK_PIXELS: Final = 1024

_DOMAINS: Final = 25
_CELLS: Final = (20.0, 20.0, 20.0)
_HALF: Final = (42, 42, 20)
_EDGES: Final = (79.1, 79.1, 38.0)
_ROUNDS: Final = 400


class PlainLoop:
    """The compiled loop of `plain_loop.cpp`, in a folder of its own until `close`.

    Raises
    ------
    BuildError
        No compiler, or it fails.
    """

    def __init__(self) -> None:
        self._folder = tempfile.mkdtemp(prefix="distbragg-")
        try:
            self._function = _build(Path(self._folder) / "loop.so")
        except (BuildError, OSError):
            self.close()
            raise
        generator = np.random.default_rng(7)
        self._vectors = _domain_vectors(generator)
        size = [2 * half + 1 for half in _HALF]
        self._table: NDArray[np.float32] = generator.random(size, dtype=np.float32)
        self._cells = np.array(_CELLS)
        self._half = np.array(_HALF, dtype=np.int32)

    def close(self) -> None:
        """Remove the compiled file."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def steps_per_s(self, threads: int) -> float:
        """Run the loop once on each of `threads` threads and return their steps per second."""
        workers = [threading.Thread(target=self._run) for _ in range(threads)]
        started = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        seconds = time.perf_counter() - started
        return threads * _ROUNDS * BLOCK_PIXELS * _DOMAINS / seconds

    def _run(self) -> None:
        arrays = (self._vectors, self._cells, self._table, self._half)
        vectors, cells, table, half = (array.ctypes.data for array in arrays)
        self._function(vectors, _DOMAINS, cells, table, half, _ROUNDS)


def _build(target: Path) -> Callable[..., float]:
    compiler = Compiler.find()
    # The yardstick may contract and drop signs of zero: it is a limit, not a result.
    loose = ("-ffp-contract=fast", "-fno-signed-zeros")
    compiler.compile(SOURCE, target, compiler.level_here, loose)
    function = ctypes.CDLL(str(target)).distbragg_plain_loop
    pointer, count = ctypes.c_void_p, ctypes.c_int64
    function.argtypes = (pointer, count, pointer, pointer, pointer, count)
    function.restype = ctypes.c_double
    loop: Callable[..., float] = function
    return loop


def _domain_vectors(generator: np.random.Generator) -> NDArray[np.float64]:
    """Cell vectors of slightly turned domains at 1 Å, (domains, 9) float64."""
    tilt = generator.normal(0.0, 0.003, (_DOMAINS, 3, 3))
    turned = (np.eye(3) + tilt - tilt.transpose(0, 2, 1)) * np.array(_EDGES)[:, np.newaxis]
    return np.ascontiguousarray(turned.reshape(_DOMAINS, 9))
