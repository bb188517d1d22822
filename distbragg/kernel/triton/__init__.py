"""The fused GPU kernel in Triton: same contract as `render_tile`, sums kept in registers.

`library` tells whether it can be used here without loading anything; `render_numerator` and
`render_resident` are the kernel itself.
"""

from __future__ import annotations

from distbragg.kernel.triton.library import (
    OLDEST_CAPABILITY,
    Indices,
    build_id,
    capability,
    installed,
    interpreter_chosen,
    launcher_lacks,
    preferred_indices,
)

__all__ = [
    "OLDEST_CAPABILITY",
    "Indices",
    "build_id",
    "capability",
    "installed",
    "interpreter_chosen",
    "launcher_lacks",
    "preferred_indices",
]
