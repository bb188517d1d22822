"""Every tolerance of the test suite, each with the reason for its size."""

from __future__ import annotations

GOLDEN_FLOAT64_RELATIVE = 2e-6
"""float64 against the C program: float32 storage of its image costs 6e-8, its float32 mosaic
and misset angles and re-ordered sums the rest; the bar of the project."""

GOLDEN_FLOOR_OF_MAXIMUM = 1e-9
"""Pixels below this share of the image's maximum are rounding residue of the sincg zeros."""

GOLDEN_MIXED_RELATIVE = 1e-3
"""Mixed precision, pixels above `GOLDEN_MIXED_FLOOR` of the maximum; the bar of the project."""

GOLDEN_MIXED_FLOOR = 1e-4
"""Share of the maximum above which mixed precision is compared relatively."""

GOLDEN_MIXED_OF_MAXIMUM = 1e-5
"""Mixed precision, any pixel, as a share of the image's maximum."""

GOLDEN_MIXED_TOTAL = 1e-5
"""Mixed precision, total intensity."""

KERNEL_TWIN_FLOAT64_RELATIVE = 1e-11
"""A float64 kernel against the plain-loop reference: the same formulas, sums re-associated."""
