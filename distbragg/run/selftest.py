"""A few images of the C program, rendered anew: does this machine compute what it should."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from distbragg.kernel.options import KernelOptions
from distbragg.models.build import build_experiment
from distbragg.models.vectors import Float64Array
from distbragg.plan.frame import plan_frame
from distbragg.rendering.frame import render_frame
from distbragg.spec.nanobragg import parse_nanobragg

DATA: Final = Path(__file__).parents[1] / "data" / "selftest"
"""Parts of the golden images of `tests/golden`, and the inputs of their command lines."""

RELATIVE_FLOOR: Final = 1e-9
"""Share of the maximum above which float64 is compared relatively: fainter pixels are rounding
residue of zeros between fringes."""

BRIGHT_FLOOR: Final = 1e-4
"""Share of the maximum above which mixed precision is compared relatively."""

FLOAT64_BAR: Final = 2e-6
"""Relative. The program stores float32, which costs 6e-8; its float32 mosaic and misset angles
and the order of sums cost the rest."""

BRIGHT_BAR: Final = 1e-3
OF_MAXIMUM_BAR: Final = 1e-5
TOTAL_BAR: Final = 1e-5
"""Of mixed precision: bright pixels relatively, any pixel as a share of the maximum, the total."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far an image is from the expected one."""

    relative: float  # worst error of pixels above `RELATIVE_FLOOR` of the maximum
    bright: float  # the same above `BRIGHT_FLOOR`
    of_maximum: float  # worst error of any pixel as a share of the maximum
    total: float  # relative error of the summed image

    def held(self, precision: str) -> bool:
        """Whether the bars of "float64" or "mixed" are kept; not a number keeps none."""
        if precision == "float64":
            return self.relative <= FLOAT64_BAR
        return (
            self.bright <= BRIGHT_BAR
            and self.of_maximum <= OF_MAXIMUM_BAR
            and self.total <= TOTAL_BAR
        )


def agreement(found: Float64Array, expected: Float64Array) -> Agreement:
    """Compare two images (slow, fast), photons per pixel; the expected one has lit pixels."""
    maximum = float(expected.max())
    error = np.abs(found - expected)
    relative = np.divide(error, expected, out=np.zeros_like(error), where=expected > 0.0)
    lit, bright = (expected > floor * maximum for floor in (RELATIVE_FLOOR, BRIGHT_FLOOR))
    return Agreement(
        float(relative[lit].max()),
        float(relative[bright].max()),
        float(error.max()) / maximum,
        abs(math.fsum(found.ravel()) / math.fsum(expected.ravel()) - 1.0),
    )


@dataclass(frozen=True, slots=True)
class Case:
    """One command line of nanoBragg and the region of its image that is compared."""

    name: str
    covers: str
    arguments: tuple[str, ...]
    window: tuple[slice, slice]
    expected: Float64Array


def selftest_cases() -> Iterator[Case]:
    """Yield the cases that come with the package."""
    table = json.loads((DATA / "cases.json").read_text(encoding="utf-8"))
    (slow, slow_stop), (fast, fast_stop) = table["window"]
    window = (slice(slow, slow_stop), slice(fast, fast_stop))
    region = ("-roi", str(fast), str(fast_stop - 1), str(slow), str(slow_stop - 1))
    with np.load(DATA / "images.npz") as images:
        for case in table["cases"]:
            expected = images[case["id"]].astype(np.float64)
            arguments = (*case["args"].split(), *region)
            yield Case(case["id"], case["covers"], arguments, window, expected)


def check(case: Case, options: KernelOptions) -> Agreement:
    """Render a case as any frame is rendered, and compare."""
    spec = parse_nanobragg(list(case.arguments), base_dir=DATA).spec
    experiment = build_experiment(spec)
    compute = spec.compute.model_copy(update={"precision": options.precision})
    image = render_frame(experiment, plan_frame(experiment, compute), replace(options, threads=1))
    return agreement(image[0].astype(np.float64)[case.window], case.expected)
