"""Where, when and with what a run was made: recorded, never compared."""

from __future__ import annotations

import datetime
import getpass
import importlib.metadata
import os
import platform
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from distbragg._version import __version__

_PACKAGES = (
    "numpy",
    "torch",
    "dask",
    "distributed",
    "xarray",
    "zarr",
    "numcodecs",
    "pydantic",
    "gemmi",
    "scipy",
)


@cache
def source_commit() -> str:
    """Commit of the git checkout the package is imported from; empty where there is none.

    A checkout with local changes is marked with a trailing `+`.
    """
    folder = Path(__file__).resolve().parent
    root = folder.parent.parent
    if not (root / ".git").exists():
        return ""
    commit = _git(root, "rev-parse", "HEAD")
    if not commit:
        return ""
    changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    return f"{commit}+" if changed else commit


def gather_provenance() -> dict[str, Any]:
    """Versions, host, user, commit, command and time."""
    return {
        "distbragg": __version__,
        "commit": source_commit(),
        "python": platform.python_version(),
        "packages": _versions(),
        "platform": platform.platform(),
        "host": platform.node(),
        "user": _user(),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]] if sys.argv else [],
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _versions() -> dict[str, str]:
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "absent"
    return versions


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
