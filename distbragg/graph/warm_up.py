"""What a worker loads as it starts, so that its first unit finds it there."""

from __future__ import annotations

import gc

import numpy.random  # noqa: F401  numpy loads it when it is first asked for

import distbragg.graph.tasks  # noqa: F401  numpy, zarr and the modules of a unit
from distbragg.graph.allocator import keep_freed_memory
from distbragg.kernel.native import library


def dask_setup(worker: object) -> None:
    """Load the native kernel, or build it: Dask calls this in every worker it starts."""
    del worker
    keep_freed_memory()
    library.available()
    # The modules stay as long as the process; see `graph.garbage`.
    gc.freeze()
