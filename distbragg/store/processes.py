"""Whether a process that left something behind still runs."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path
from typing import Final

import psutil

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_PID_NAMESPACE: Final = Path("/proc/self/ns/pid")


def this_machine() -> str:
    """Name this boot of this machine, and where its process numbers mean what they do here."""
    try:
        boot = _BOOT_ID.read_text().strip()
    except OSError:
        boot = f"{psutil.boot_time():.0f}"
    namespace = ""
    with contextlib.suppress(OSError):
        namespace = str(_PID_NAMESPACE.stat().st_ino)
    # Machines that were cloned while they ran share the boot, not the network card.
    card = uuid.getnode()
    return f"{boot}/{namespace}/{0 if card >> 40 & 1 else card:x}"


def process_start(pid: int) -> str | None:
    """When a process started, in ticks since the boot; empty: none runs; None: can't be told."""
    try:
        # The name of the program, in parentheses, may hold anything.
        status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if status[0] in "ZX" else status[19]
    except (OSError, IndexError):
        pass
    try:
        if Path("/proc/self/stat").exists():
            os.kill(pid, 0)
            return None
        process = psutil.Process(pid)
        alive = process.status() != psutil.STATUS_ZOMBIE
        return f"{process.create_time():.2f}" if alive else ""
    except (ProcessLookupError, OverflowError, ValueError, psutil.NoSuchProcess):
        return ""
    except (OSError, psutil.Error):
        return None
