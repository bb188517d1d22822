"""The true spots of a series of frames, as reflection lists of other programs have them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from distbragg.models.vectors import IntArray

Columns = Mapping[str, NDArray[np.float64]]

_MEANS: Final = ("slow", "fast", "variance_slow", "variance_fast", "resolution")


@dataclass(frozen=True, slots=True)
class TrueSpots:
    """Spots of a series; all columns are (spots,) float64.

    `columns` has h, k, l, panel, lattice, slow and fast (pixels from the panel's outer corner),
    variance_slow and variance_fast (pixels²), photons, partiality, resolution (Å), z (frames from
    the start of the series), first and last (places of the frames in the series, from 0).
    """

    columns: Columns
    rotation: bool

    @property
    def experiments(self) -> tuple[list[int], list[int]]:
        """Place of the frame that an experiment is of, and lattice, of each spot."""
        place = self.columns["first"]
        if self.rotation:
            place = np.zeros_like(place)
        return place.astype(int).tolist(), self.columns["lattice"].astype(int).tolist()


def true_spots(
    labels: Mapping[str, NDArray[np.generic]],
    places: IntArray,
    *,
    phi: float = 0.0,
    oscillation: float = 0.0,
) -> TrueSpots:
    """Make the spots of a series of its labels.

    A reflection that a rotation records in several frames on end is one spot: photons and
    partialities add up, places are means weighted by photons.

    Parameters
    ----------
    labels : mapping
        Columns of `open_labels`.
    places : (rows,) int
        Place of each row's frame in the series, from 0.
    phi, oscillation : float
        Start of the series and width of a frame, degrees; a width of 0 is a series of stills.
    """
    wanted = ("h", "k", "l", "panel", "lattice", "photons", "partiality", *_MEANS)
    rows = {name: np.asarray(labels[name], dtype=np.float64) for name in wanted}
    rows["first"] = rows["last"] = np.asarray(places, dtype=np.float64)
    if oscillation == 0.0:
        return TrueSpots({**rows, "z": rows["first"] + 0.5}, rotation=False)
    rows["z"] = (np.asarray(labels["phi"], dtype=np.float64) - phi) / oscillation
    keys = [rows[name] for name in ("lattice", "panel", "h", "k", "l")]
    order = np.lexsort([rows["first"], *keys[::-1]])
    rows = {name: values[order] for name, values in rows.items()}
    changed = np.any([np.diff(key[order]) != 0.0 for key in keys], axis=0)
    starts = np.flatnonzero(np.r_[True, changed | (np.diff(rows["first"]) > 1.0)])
    if not len(order):
        return TrueSpots(rows, rotation=True)
    ends = np.r_[starts[1:], len(order)] - 1
    joined = {name: values[starts] for name, values in rows.items()}
    joined["last"] = rows["last"][ends]
    for name in ("photons", "partiality"):
        joined[name] = np.add.reduceat(rows[name], starts)
    for name in (*_MEANS, "z"):
        joined[name] = np.add.reduceat(rows[name] * rows["photons"], starts) / joined["photons"]
    return TrueSpots(joined, rotation=True)
