"""What this process may use of its machine: memory, disk, cores."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

import psutil

_GROUPS: Final = Path("/sys/fs/cgroup")
_MEMBERSHIP: Final = Path("/proc/self/cgroup")


def memory_bytes() -> int:
    """Memory this process may use: the machine's, or its control groups' limit where lower."""
    limits = [int(psutil.virtual_memory().total)]
    for (text,) in _settings("memory", ("memory.max",), ("memory.limit_in_bytes",)):
        if text.isdecimal():
            limits.append(int(text))
    return min(limits)


def usable_cores() -> int:
    """Cores this process may use: its affinity's, or its control groups' share, rounded up."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        cores = os.cpu_count() or 1
    for found in _settings("cpu", ("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        quota, period = " ".join(found).split()
        if quota.isdecimal() and int(quota) > 0:
            cores = min(cores, math.ceil(int(quota) / int(period)))
    return cores


def _settings(
    controller: str, second: tuple[str, ...], first: tuple[str, ...]
) -> Iterator[list[str]]:
    """Yield what files say in each control group that holds this process, itself and those above.

    `second` are the files' names in version 2 of control groups, `first` in version 1. In a
    container the group's own folder may not be seen, but the container's limit stands at the root.
    """
    try:
        lines = _MEMBERSHIP.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root, names = (_GROUPS / controller, first) if controllers else (_GROUPS, second)
        own = PurePosixPath(path.lstrip("/"))
        for group in {own, *own.parents}:
            try:
                yield [(root / group / name).read_text().strip() for name in names]
            except OSError:
                continue


def free_disk_bytes(path: Path) -> int:
    """Free bytes where `path` lies or would lie."""
    folder = path.absolute()
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free
