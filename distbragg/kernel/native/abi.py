"""The parameter block of the C++ kernel as ctypes sees it, from the table."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any, Final

from distbragg.kernel.table import INTEGER, PARAMETERS, REAL

_TYPES: Final[dict[str, Any]] = {INTEGER: ctypes.c_int64, REAL: ctypes.c_double}


def _fields() -> Iterator[tuple[str, Any]]:
    for _, section in PARAMETERS:
        for fields in section:
            kind = _TYPES.get(fields.kind, ctypes.c_void_p)
            for name, length in fields:
                yield name, kind * length if length else kind


class Parameters(ctypes.Structure):
    """Everything one call of the kernel reads, and where it writes."""

    _fields_ = tuple(_fields())
