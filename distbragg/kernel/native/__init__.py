"""The native CPU kernel: C++ compiled with the package, same contract as `render_tile`.

`available()` tells whether it can be used here and `reason()` why not; neither raises.
`render_sum` is the kernel itself, `render_photons` the kernel with the last step done too.
"""

from __future__ import annotations

from distbragg.kernel.native.library import available, build_id, isa, level_asked, reason
from distbragg.kernel.native.render import (
    find_strongest,
    finishes_in_kernel,
    render_numerator,
    render_photons,
    render_sum,
)

__all__ = [
    "available",
    "build_id",
    "find_strongest",
    "finishes_in_kernel",
    "isa",
    "level_asked",
    "reason",
    "render_numerator",
    "render_photons",
    "render_sum",
]
