"""Keeping memory that a worker frees and asks for again a thousand times a second.

Dask starts its workers with MALLOC_TRIM_THRESHOLD_, by which the C library hands every larger
buffer back to the system as soon as it is free, and has it zeroed page by page when it asks for
the next. For workers that keep data that is right; ours hold a few buffers of a frame's size.
"""

from __future__ import annotations

import ctypes
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
"""`M_TRIM_THRESHOLD` and `M_MMAP_THRESHOLD` of glibc's malloc.h."""

KEPT_BYTES: Final = 8 << 20
"""Free memory at the end of the heap above which it is handed back."""

LARGEST_KEPT: Final = 4 << 20
"""Buffers above this are never kept."""


def keep_freed_memory() -> bool:
    """Let malloc keep buffers of small frames; whether the C library knows how."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False  # not glibc
    kept = [
        bool(mallopt(option, value))
        for option, value in ((_MMAP_THRESHOLD, LARGEST_KEPT), (_TRIM_THRESHOLD, KEPT_BYTES))
    ]
    return all(kept)
