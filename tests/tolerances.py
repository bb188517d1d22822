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

NATIVE_MIXED_RELATIVE = 2e-5
"""Mixed native kernel, bright pixels: a few float32 roundings of each of six sine factors, twice
because of the square; for ROUND the float32 argument of its sine at some tens of turns, for GAUSS
a float32 exponent of up to 87."""

NATIVE_MIXED_OF_MAXIMUM = 2e-6
"""Mixed native kernel, any pixel and the total, as a share of the maximum or of the total."""

DENSITY_TRANSFORM_OF_MAXIMUM = 3e-4
"""|F| by density and Fourier transform against direct summation, as a share of the largest:
gemmi's density is cut at 1e-5 and sampled at 1.5 times the Nyquist rate; 2e-5 was measured."""

GOLDEN_EDGE_PIXELS = 1e-4
"""Share of pixels that may differ from the C program because a step of theirs lies within 1e-9
of a half-integer index or of the top-hat edge: either side is a correct rounding."""

WEIGHTED_SOURCES_RELATIVE = 1e-12
"""A weighted table against its sources rendered one by one and added with `math.fsum`: the two
differ in the order of at most 2,000 positive float64 additions."""

FIT_KERNEL_RELATIVE = 1e-10
"""The differentiable renderer against a float64 kernel: cell vectors that went through cell and
orientation and back differ by some ulp, which the slope of a steep flank multiplies."""

FIT_KERNEL_OF_MAXIMUM = 1e-13
"""The same between the zeros of the side lobes, where only the absolute error of δ counts."""

GRADIENT_EPSILON = 1e-6
"""Step of finite differences in parameters of order 1: truncation 1e-12 times the third
derivative against 1e-16/1e-6 of cancellation."""

GRADIENT_RELATIVE = 1e-5
"""Analytic derivative against central differences, relative."""

GRADIENT_OF_MAXIMUM = 1e-7
"""The same, absolute, for images normalised to a maximum of 1: cancellation is some 1e-9."""

GRADIENT_OF_FIT = 2e-6
"""The same in closed form, where a polynomial's nodes move with a parameter and the gradient takes
them as they are: some 1e-6 of the maximum at 9 standard deviations."""

CHUNKED_SOURCES_ULP = 1
"""Stored float32 of another source chunking, or of weights times a factor: the float64 sums differ
by a few of their own ulp, which can only tip a rounding to float32."""

DIRECT_SUMMATION_OF_MAXIMUM = 1e-6
"""|F| of a small molecule against a sum in plain numpy, as a share of the largest: gemmi's form
factors are float32 coefficients; 8.3e-8 was measured over the 230 space groups."""

MTZ_FLOAT32_OF_MAXIMUM = 1e-6
"""The same after a round trip through the float32 columns of an MTZ file: 1.2e-7 measured."""

NATIVE_MIXED_UNDERFLOW = 1e-34
"""Mixed precision, as a share of the highest possible step: the transform of a narrow spot is a
float32 relative to its peak, denormal below 1e-38, times at most 10^4 for point pixels near the
sample. It shows only in images that hold no spot at all."""

PLANE_SECTION_RELATIVE = {
    "square": 4e-3,
    "round": 4e-3,
    "gauss": 1e-6,
    "gauss_star": 1e-6,
    "tophat": 5e-3,
}
"""Plane sections against sums of the transform itself, as a share of the central section: the
fringes of a crystal of some ten cells that lie in the next lattice point's cell, and the edge of
the top hat on the grid of the sum."""

SECTION_TAIL_RELATIVE = 1e-2
"""What of a peak lies farther from its lattice point than sixty widths."""

SPOT_PHOTONS_RELATIVE = 0.03
"""Predicted photons of a spot against the sum of a noise-free image: fringes beyond the image and
beyond the reflection's own cell, the curvature of the Ewald sphere, samples of a pixel."""

SPOT_POSITION_PIXELS = 0.3
"""Predicted place of a spot against the centre of mass of the pixels about its brightest one."""

TRITON_MIXED_OF_SPOT = 1e-13
"""Mixed fused kernel, as a share of the highest possible step: between the zeros of the side lobes
of a crystal of 90 cells only the absolute error of Nδ counts, a few 2⁻²⁴ turns squared."""

FINISH_DEVICE_RELATIVE = 4e-15
"""Factors per pixel in torch and in numpy: torch's float64 roots on a CPU are not exactly rounded,
and a solid angle holds the third power of one."""

WORKER_MEMORY_RELATIVE = 0.2
"""Peak memory of a worker against the plan: the baseline differs by some MB between builds of
Python and numpy, and how well a frame compresses is only estimated."""

CLAUSE_FLOAT64_RELATIVE = 1e-9
"""A bright pixel against a number worked out by hand, float64: an index is good to 1e-10."""

CLAUSE_MIXED_RELATIVE = 2e-5
"""The same in mixed precision: `NATIVE_MIXED_RELATIVE`'s reasons."""

ORACLE_OF_MAXIMUM = 1e-9
"""A float64 kernel against the oracle, any pixel, as a share of the maximum."""
