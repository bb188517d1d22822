"""What may be shown of a frame: its images, variants of them, and the maps that there are.

A map of numbers is coloured like the images. Those of `hkl` and `lattice` name what a pixel
belongs to: every name has a colour of its own, as far as colours go.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from distbragg.plan.maps import MAP_TYPES, NO_LATTICE, NO_REFLECTION
from distbragg.plan.variants import Variant
from distbragg.store.layout import IMAGES
from distbragg.viewer.levels import COLOURS, Limits
from distbragg.viewer.plane import Pooling, Pyramid

LATTICES: Final = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195")
"""Colours of lattices, in their order: told apart by colour-blind eyes, on white and on black."""

_MIX: Final = tuple(np.uint32(factor) for factor in (1, 19349663, 83492791))
"""Factors of the numbers of a name, which make neighbours differ in colour."""
_GOLDEN: Final = 0.618034  # of the circle of hues from one colour to the next


@dataclass(frozen=True, slots=True)
class Kind:
    """How one array of a frame is shown."""

    name: str
    scale: Literal["linear"] | None = None  # None: as the reader asks
    limits: Limits | None = None  # None: percentiles of each frame, or as the reader asks
    pooling: Pooling | None = None  # None: as the reader asks
    nothing: int | None = None  # value that names nothing; None where values are numbers

    @property
    def names(self) -> bool:
        """Whether its values are names, which have neither mean nor difference."""
        return self.nothing is not None

    def pyramid(self, stored: NDArray[Any]) -> Pyramid:
        """Return what is coloured of stored values, (panels, slow, fast[, numbers of a name])."""
        return Pyramid(self._codes(stored) if self.names else stored)

    def _codes(self, stored: NDArray[Any]) -> NDArray[np.float32]:
        """Return the colour of every name, as a number; NaN where there is no name."""
        numbers = stored if stored.ndim == 4 else stored[..., np.newaxis]
        mixed = np.zeros(numbers.shape[:3], np.uint32)
        for index in range(numbers.shape[-1]):
            mixed ^= numbers[..., index].astype(np.uint32) * _MIX[index]
        mixed %= np.uint32(COLOURS)
        codes = mixed.astype(np.float32)
        codes[numbers[..., 0] == self.nothing] = np.nan
        return codes

    def text(self, stored: NDArray[Any]) -> str:
        """Write the stored value of one pixel."""
        if not self.names:
            return number_text(float(stored))
        numbers = np.atleast_1d(stored).tolist()
        return "–" if numbers[0] == self.nothing else " ".join(map(str, numbers))

    def palette(self) -> list[str] | None:
        """Return the colours of names; None of numbers, which have those that are asked for."""
        if not self.names:
            return None
        return lattice_colours() if self.name == "lattice" else _hues()


_SHARE: Final = Limits(0.0, 1.0, "linear")
_ALL_NAMES: Final = Limits(0.0, COLOURS - 1.0, "linear")
_KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind("bragg_share", limits=_SHARE),
        Kind("spot_mask", limits=_SHARE),
        # The longest of some wavelengths says less than their mean.
        Kind("mean_wavelength", scale="linear", pooling="mean"),
        Kind("hkl", limits=_ALL_NAMES, pooling="brightest", nothing=NO_REFLECTION),
        Kind("lattice", limits=_ALL_NAMES, pooling="brightest", nothing=NO_LATTICE),
    )
}


def kind_of(name: str) -> Kind:
    """Return how an array is shown."""
    return _KINDS.get(name) or Kind(name)


def kinds_in(stored: Iterable[str], variants: Iterable[str] = ()) -> tuple[str, ...]:
    """Return which of the arrays that there are can be shown, images first, then their variants."""
    there = set(stored)
    return tuple(name for name in (IMAGES, *variants, *MAP_TYPES) if name in there)


def over_frame(
    variant: Variant, stored: NDArray[Any], shape: tuple[int, int, int]
) -> NDArray[np.floating[Any]]:
    """Lay a variant, (panels, slow, fast), over the pixels of its frame that it is made of.

    Each of its pixels covers those it was pooled of; pixels that it has nothing of are NaN.
    """
    whole = np.full(shape, np.nan, np.result_type(stored.dtype, np.float32))
    large = stored.repeat(variant.factor, axis=1).repeat(variant.factor, axis=2)
    slow, fast = variant.offset
    whole[:, slow : slow + large.shape[1], fast : fast + large.shape[2]] = large
    return whole


def lattice_colours() -> list[str]:
    """Return a colour for each of all levels, those of lattices in turn."""
    return [LATTICES[number % len(LATTICES)] for number in range(COLOURS)]


@cache
def _hues() -> list[str]:
    """Return colours that differ from their neighbours, for reflections."""
    found = []
    for number in range(COLOURS):
        shade = colorsys.hls_to_rgb(number * _GOLDEN % 1.0, (0.38, 0.5, 0.62)[number % 3], 0.75)
        found.append("#" + "".join(f"{round(255 * part):02x}" for part in shade))
    return found


def number_text(value: float) -> str:
    """Write a pixel's value in few characters."""
    if np.isnan(value):
        return "–"
    return f"{value:.0f}" if float(value).is_integer() and abs(value) < 1e5 else f"{value:.3g}"
