"""Places of the numbers in the blocks that host and device share.

Device code needs them wrapped in `tl.constexpr`; `operator.index` gives the number.
"""

from __future__ import annotations

import triton.language as tl

STEP = tl.constexpr(0)
HALF = tl.constexpr(1)
ORIGIN = tl.constexpr(2)
FAST = tl.constexpr(5)
SLOW = tl.constexpr(8)
NORMAL = tl.constexpr(11)
BEAM = tl.constexpr(14)
DISTANCE = tl.constexpr(17)
SOLID = tl.constexpr(18)
KAHN = tl.constexpr(19)
DMIN = tl.constexpr(20)
BACKGROUND = tl.constexpr(21)
SCALE = tl.constexpr(22)
TOPHAT_CUT = tl.constexpr(23)
CELLS = tl.constexpr(24)
METRIC = tl.constexpr(27)
REACH_SQUARED = tl.constexpr(33)
GRID = tl.constexpr(34)
REALS = tl.constexpr(36)
"""Length of the block of float64 numbers."""

OVERSAMPLE = tl.constexpr(0)
LAYERS = tl.constexpr(1)
BOX = tl.constexpr(2)
LOWEST = tl.constexpr(5)
BACKGROUND_ENTRIES = tl.constexpr(8)
SEARCH_STEPS = tl.constexpr(9)
WHOLES = tl.constexpr(10)
"""Length of the block of int32 numbers."""

SOURCE_NUMBERS = tl.constexpr(12)
"""Of a source: 1/λ, weight, incident direction, forced polarisation plane, E, B."""

WIDE_NUMBERS = tl.constexpr(10)
"""From one domain's nine float64 components to the next, a multiple of sixteen bytes."""

SPLIT_NUMBERS = tl.constexpr(28)
"""The same of the 27 float32 pieces."""

NARROW_NUMBERS = tl.constexpr(12)
"""The same of the nine float32 components that find out whether a spot is near."""

SQUARE = tl.constexpr(0)
ROUND = tl.constexpr(1)
GAUSS = tl.constexpr(2)
TOPHAT = tl.constexpr(3)
