"""The columns of predicted spots."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from distbragg.models.vectors import Float64Array, IntArray

ELLIPSE: Final = ("variance_slow", "variance_fast", "covariance")


@dataclass(frozen=True, slots=True)
class Spots:
    """Spots of a frame, in order of panel, lattice and h, k, l; all columns are (spots,).

    Partiality, of a rotation: photons over those of a full passage through the sphere. Of a
    still: mean of G(ε)/G(0), the share of what the crystal would give on the sphere throughout.
    """

    h: NDArray[np.int32]
    k: NDArray[np.int32]
    l: NDArray[np.int32]  # noqa: E741 the field's letter
    panel: NDArray[np.int32]
    slow: Float64Array  # mean position, pixels from the panel's outer corner: the first pixel's
    fast: Float64Array  # centre is 0.5
    variance_slow: Float64Array  # pixels², of the photons about the mean position, and their
    variance_fast: Float64Array  # covariance: the ellipse of the spot; a sampled frame has none,
    covariance: Float64Array  # not a number
    f_squared: Float64Array  # electrons²
    partiality: Float64Array
    photons: Float64Array  # expected, of the whole spot without background, wherever its pixels lie
    wavelength: Float64Array  # Å, mean over the samples, weighted by their photons
    phi: Float64Array  # degrees, likewise
    resolution: Float64Array  # Å
    active: NDArray[np.bool_]  # the pixel at the mean position is
    lattice: NDArray[np.int32]  # number of its lattice, from 0

    def __len__(self) -> int:
        return int(self.h.shape[0])

    def only(self, chosen: IntArray) -> Spots:
        """Return some of the spots."""
        return Spots(**{item.name: getattr(self, item.name)[chosen] for item in fields(self)})

    def columns(self) -> dict[str, NDArray[np.generic]]:
        """Return the columns by name."""
        return {item.name: getattr(self, item.name) for item in fields(self)}


def ordered(parts: list[Spots]) -> Spots:
    """Join parts that are in order of lattice and h, k, l, and put the panels in order."""
    columns = {
        item.name: np.concatenate([getattr(part, item.name) for part in parts])
        for item in fields(Spots)
    }
    return Spots(**columns).only(np.argsort(columns["panel"], kind="stable"))
