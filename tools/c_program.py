"""Where nanoBragg.c is, when the user names its binary: for evidence and benchmarks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from distbragg.errors import EnvironmentFailure

VARIABLE: Final = "NB_C_BIN"
"""Environment variable that names the binary."""


def c_binary() -> Path | None:
    """Return the binary that `NB_C_BIN` names; None where it is not set.

    Raises
    ------
    EnvironmentFailure
        It is set and names no executable file.
    """
    name = os.environ.get(VARIABLE, "")
    if not name:
        return None
    path = Path(name).resolve()
    if not path.is_file() or not os.access(path, os.X_OK):
        raise EnvironmentFailure(f"{VARIABLE}: {name} is not an executable file")
    return path
