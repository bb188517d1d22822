"""The live display on a pseudo-terminal: its cost is measured where no terminal is."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from distbragg.engine.events import EventCallback
from distbragg.run.progress import ProgressDisplay, Terminal

ROWS, COLUMNS = 24, 120


@contextmanager
def on_terminal() -> Iterator[EventCallback]:
    """Yield a progress display that draws on a pseudo-terminal, whose text is thrown away."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    reader = threading.Thread(target=_drain, args=(master,), daemon=True)
    reader.start()
    kept, sys.stderr = sys.stderr, os.fdopen(slave, "w", buffering=1, encoding="utf-8")
    try:
        with ProgressDisplay(Terminal()) as view:
            yield view
    finally:
        sys.stderr.close()
        sys.stderr = kept
        reader.join()
        os.close(master)


def _drain(master: int) -> None:
    """Read until the other end is closed, which Linux reports as an error."""
    with contextlib.suppress(OSError):
        while os.read(master, 4096):
            pass
