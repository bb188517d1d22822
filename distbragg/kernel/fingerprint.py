"""Which code and which mathematical library make a pixel: two short names, equal where bits are.

A version number tells neither: two commits of one version may differ, and one C library takes
other instructions, and rounds otherwise, on another processor.
"""

from __future__ import annotations

import hashlib
import math
import platform
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np

from distbragg._version import __version__

PACKAGE: Final = Path(__file__).parents[1]

SOURCES: Final = (
    "*.py",
    "kernel/**/*.py",
    "models/**/*.py",
    "physics/**/*.py",
    "plan/**/*.py",
    "predict/**/*.py",
    "read/**/*.py",
    "rendering/**/*.py",
    "spec/**/*.py",
    "engine/context.py",
    "engine/unit.py",
    "store/grids.py",
    "store/layout.py",
    "store/shard.py",
    "store/spots.py",
    "store/write.py",
)
"""What can change a number of a stack; the C++ sources have a name of their own, the build's."""

_DIGITS: Final = 16
_SAMPLES: Final = 2048


@cache
def code_digest(package: Path = PACKAGE) -> str:
    """Name the Python sources that can change a pixel: 16 hex digits, computed once per process.

    Line ends and spaces before them do not count, so that a checkout and a wheel of one commit
    have one name. Where there are no sources the version stands in.
    """
    digest = hashlib.sha256()
    sources = sorted(path for pattern in SOURCES for path in package.glob(pattern))
    for path in sources:
        lines = (line.rstrip() for line in path.read_bytes().splitlines())
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + b"\n".join(lines))
        digest.update(b"\0")
    return digest.hexdigest()[:_DIGITS] if sources else f"version {__version__}"


@cache
def maths_digest() -> str:
    """Name the C library and numpy by their version and by what they compute.

    Sines, exponentials and the like of a few thousand numbers tell apart what the version does
    not: the instructions that a library takes on this processor.
    """
    library = "".join(platform.libc_ver()) or platform.platform()
    digest = hashlib.sha256()
    # Whole steps of an irrational number, exact to the bit everywhere: products and sums alone.
    steps = np.arange(1, _SAMPLES + 1) * 0.6180339887498949
    unit = steps % 1.0
    for found in (
        *(np.sin(steps), np.cos(steps), np.log(steps), np.sqrt(steps)),
        *(np.arccos(unit), np.arctan(steps), np.exp(unit), np.hypot(steps, unit)),
    ):
        digest.update(found.tobytes())
    pairs = list(zip(steps.tolist(), unit.tolist(), strict=True))
    for number in (
        [f(a) for a, _ in pairs for f in (math.sin, math.cos, math.log, math.tan)],
        [f(b) for _, b in pairs for f in (math.acos, math.exp, math.erf, math.cbrt)],
        [f(a, b) for a, b in pairs for f in (math.atan2, math.hypot, math.pow)],
    ):
        digest.update(np.array(number).tobytes())
    return f"{library} numpy{np.__version__} {digest.hexdigest()[:_DIGITS]}"
