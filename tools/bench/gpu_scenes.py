"""Scenes that a GPU and the CPU both render, and how far apart the images may be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from distbragg.errors import AccountingError
from distbragg.run.bench import INPUT_FILE, How, Workload, prepare
from distbragg.run.machine import usable_cores

BRIGHT_SHARE: Final = 1e-4
"""Share of the maximum above which pixels are compared relatively."""

BRIGHT_BAR: Final = 1e-3
OF_MAXIMUM_BAR: Final = 1e-5
TOTAL_BAR: Final = 1e-5
"""Bars of mixed precision: bright pixels relatively, any pixel as a share of the maximum, and the
total."""

_COMMON: Final = (
    f"-hkl {INPUT_FILE} -cell 79.1 79.1 38 90 90 90 -misset 10 20 30 -lambda 1 -distance 150 "
    "-oversample 1 -N 20 -mosaic 0.3 -nonoise"
)
_SHAPES: Final = {"square": "", "round": "-round_xtal", "gauss": "-gauss_xtal -N 4",
                  "tophat": "-binary_spots -N 4"}  # fmt: skip
_LOOK_UPS: Final = {"nearest": "-nointerpolate", "tricubic": "-interpolate"}
_CORRECTIONS: Final = {
    "square, every sample": "-oversample 2 -detector_thick 450 -detector_thicksteps 2 "
    "-detector_abs 234 -dmin 1.9 --physics exact",
    "square, curved detector, 90 cells": "-curved_det -N 90",
}

WAYS: Final = (("mixed", "wide"), ("mixed", "split"), ("float64", "wide"))
"""Precision and indices of the fused kernel."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How far an image is from the expected one.

    Attributes
    ----------
    scene, precision, indices : str
    bright : float
        Largest relative error of pixels above `BRIGHT_SHARE` of the maximum.
    of_maximum : float
        Largest error of any pixel, as a share of the maximum.
    total : float
        Relative error of the sum.
    """

    scene: str
    precision: str
    indices: str
    bright: float
    of_maximum: float
    total: float

    @property
    def held(self) -> bool:
        """Whether the bars are kept; not a number is not."""
        return bool(
            self.bright <= BRIGHT_BAR
            and self.of_maximum <= OF_MAXIMUM_BAR
            and self.total <= TOTAL_BAR
        )


def difference(
    found: NDArray[Any], expected: NDArray[Any], *, scene: str, precision: str, indices: str
) -> Difference:
    """Compare two images of one scene.

    Raises
    ------
    AccountingError
        The expected image is dark.
    """
    ours, theirs = found.astype(np.float64), expected.astype(np.float64)
    top = float(theirs.max())
    error = np.abs(ours - theirs)
    if not top > 0.0:
        raise AccountingError(f"{scene}: no photon in it, nothing to compare")
    bright = theirs > BRIGHT_SHARE * top
    return Difference(
        scene,
        precision,
        indices,
        float((error[bright] / theirs[bright]).max()),
        float(error.max() / top),
        abs(float(ours.sum() - theirs.sum())) / float(theirs.sum()),
    )


def scenes(edge: int, domains: int, sources: int) -> Iterator[Workload]:
    """Yield every spot shape with every look-up, and two scenes with what else there is.

    Parameters
    ----------
    edge : int
        Pixels along each side of a detector of 174 mm.
    domains, sources : int
    """
    size = f"-detpixels {edge} -pixel {174.08 / edge:.4f} -mosaic_domains {domains} "
    # One wavelength has no range.
    size += f"-dispersion 1 -dispsteps {sources}" if sources > 1 else ""
    named = {
        f"{shape}, {look_up}": f"{_SHAPES[shape]} {_LOOK_UPS[look_up]}"
        for shape in _SHAPES
        for look_up in _LOOK_UPS
    }
    for name, words in {**named, **_CORRECTIONS}.items():
        yield Workload(name, tuple(f"{_COMMON} {size} {words}".split()), edge**2 * domains)


def compare_scenes(
    inputs: Path, device: str, *, edge: int, domains: int, sources: int
) -> Iterator[Difference]:
    """Render every scene on a device in every way, and in float64 by the CPU's own kernel."""
    for scene in scenes(edge, domains, sources):
        expected = prepare(scene, inputs, How(usable_cores(), "float64")).render()[0]
        for precision, indices in WAYS:
            how = How(1, precision, "triton", device, indices)
            found = prepare(scene, inputs, how).render()[0]
            yield difference(
                found, expected, scene=scene.name, precision=precision, indices=indices
            )
