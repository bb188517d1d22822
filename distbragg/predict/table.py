"""The columns of predicted spots."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from distbragg.models.vectors import Float64Array, IntArray

ELLIPSE: Final = ("variance_slow", "variance_fast", "covariance")
_TYPES: Final = {
    **dict.fromkeys(("h", "k", "l", "panel", "lattice"), np.int32), "active": np.bool_
}  # fmt: skip
"""Of columns that are not float64."""


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


def no_spots() -> Spots:
    """Return the spots of what scatters nothing."""
    return Spots(
        **{item.name: np.zeros(0, _TYPES.get(item.name, np.float64)) for item in fields(Spots)}
    )


def ordered(parts: list[Spots]) -> Spots:
    """Join parts that are in order of lattice and h, k, l, and put the panels in order."""
    columns = {
        item.name: np.concatenate([getattr(part, item.name) for part in parts])
        for item in fields(Spots)
    }
    return Spots(**columns).only(np.argsort(columns["panel"], kind="stable"))


def together(spots: Spots, minimum_photons: float) -> Spots:
    """Join the rows of one reflection on one panel, blocks of several sizes, by their photons."""
    keys = np.stack([spots.panel, spots.lattice, spots.h, spots.k, spots.l], axis=1)
    _, first, own = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    own = own.reshape(-1)

    def total(values: Float64Array) -> Float64Array:
        return np.bincount(own, values, len(first)).astype(np.float64)

    photons = total(spots.photons)

    def mean(values: Float64Array) -> Float64Array:
        return np.asarray(total(spots.photons * values) / photons)

    slow, fast = mean(spots.slow), mean(spots.fast)
    with np.errstate(divide="ignore", invalid="ignore"):
        whole = total(np.where(spots.photons > 0.0, spots.photons / spots.partiality, 0.0))
    joined = replace(
        spots.only(first),
        slow=slow,
        fast=fast,
        variance_slow=mean(spots.variance_slow + spots.slow**2) - slow**2,
        variance_fast=mean(spots.variance_fast + spots.fast**2) - fast**2,
        covariance=mean(spots.covariance + spots.slow * spots.fast) - slow * fast,
        partiality=photons / whole,
        photons=photons,
        wavelength=mean(spots.wavelength),
        phi=mean(spots.phi),
    )
    return joined.only(np.flatnonzero((photons > 0.0) & (photons >= minimum_photons)))
