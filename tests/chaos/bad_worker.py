"""What the workers of a test load, of which one shall be bad: a preload of Dask.

An environment variable names the kind, which is empty for a good one. All load distbragg before
they are given work, so that on a busy machine too none is done before another has begun; nothing
here imports it where the worker shall be without it.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
import time
from typing import Any

VARIABLE = "DISTBRAGG_BAD_WORKER"


def raises(code: int) -> None:
    """Fail every unit at once."""

    def render_unit(*_: Any) -> Any:
        raise OSError(code, os.strerror(code), "/tmp/x")

    importlib.import_module("distbragg.engine.unit").render_unit = render_unit


def store_refuses(code: int) -> None:
    """Let nothing be opened for writing in the store, as where it is mounted read-only, or full."""
    open_file = os.open

    def refuse(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        caller = sys._getframe(1).f_globals["__name__"]
        if flags & (os.O_WRONLY | os.O_RDWR) and caller.startswith("distbragg.store"):
            raise OSError(code, os.strerror(code), path)
        return open_file(path, flags, *arguments, **options)

    os.open = refuse


def of_another_class() -> None:
    """Compute in another numeric class than the run."""
    context: Any = importlib.import_module("distbragg.engine.context")
    own = context.numeric_class
    context.numeric_class = lambda options: {**own(options), "isa": "other"}


def of_another_version() -> None:
    """Run another version of distbragg."""
    workers: Any = importlib.import_module("distbragg.engine.dask_workers")
    workers.__version__ = "9.9.9"


class _Absent:
    """Finds no distbragg."""

    def find_spec(self, name: str, *_: Any) -> None:
        if name.partition(".")[0] == "distbragg":
            raise ModuleNotFoundError("No module named 'distbragg'", name="distbragg")


def without_distbragg() -> None:
    """Behave as an installation without distbragg."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "distbragg"]:
        del sys.modules[name]
    sys.meta_path.insert(0, _Absent())  # type: ignore[arg-type]


def hangs() -> None:
    """Never end a unit."""

    def render_unit(*_: Any) -> Any:
        while True:
            time.sleep(1.0)

    importlib.import_module("distbragg.engine.unit").render_unit = render_unit


KINDS = {
    "raises": lambda: raises(errno.ENOSPC),
    "read-only": lambda: store_refuses(errno.EROFS),
    "full": lambda: store_refuses(errno.ENOSPC),
    "class": of_another_class,
    "version": of_another_version,
    "absent": without_distbragg,
    "hangs": hangs,
}


def dask_setup(worker: object) -> None:
    """Load distbragg or become bad: Dask calls this in the worker, which then asks for work."""
    del worker
    kind = os.environ[VARIABLE]
    if kind != "absent":
        importlib.import_module("distbragg.engine.unit")
    if kind:
        KINDS[kind]()
