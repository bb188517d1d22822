"""What pixels look at as arrays of xarray that are made where they are read."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from distbragg.physics.pixels import coordinates_of_pixels
from distbragg.store.geometry import FrameGeometry

QUANTITIES: Final = {
    "q": {"units": "1/angstrom", "long_name": "scattering vector 4 pi sin(theta)/lambda"},
    "resolution": {"units": "angstrom", "long_name": "resolution d = 2 pi/q"},
    "two_theta": {"units": "degree", "long_name": "angle to the beam"},
    "azimuth": {
        "units": "degree",
        "long_name": "about the beam: 0 to the right and 90 up, seen along the beam",
    },
}


@dataclass(frozen=True)
class PixelArray(BackendArray):
    """A quantity of pixels over (moving dimensions…, panels, slow, fast), made where it is read."""

    geometry: FrameGeometry
    quantity: str  # one of the above, or `active`
    positions: tuple[tuple[str, tuple[int, ...]], ...]  # places along the dimensions that move
    fixed: tuple[tuple[str, int], ...]  # and along those that are fixed
    panels: tuple[int, ...]
    slow: NDArray[np.float64]  # indices of pixels, 0 for the middle of the first
    fast: NDArray[np.float64]

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes, those of moving dimensions first."""
        moving = tuple(len(places) for _, places in self.positions)
        return (*moving, len(self.panels), self.slow.size, self.fast.size)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Truth values, or float64."""
        return np.dtype(np.bool_ if self.quantity == "active" else np.float64)

    def __dask_tokenize__(self) -> tuple[object, ...]:
        where = (self.quantity, self.positions, self.fixed, self.panels)
        return (self.geometry.__dask_tokenize__(), where, self.slow.tobytes(), self.fast.tobytes())

    def __getitem__(self, key: indexing.ExplicitIndexer) -> NDArray[Any]:
        found: NDArray[Any] = indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )
        return found

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        places = [np.atleast_1d(np.arange(n)[k]) for n, k in zip(self.shape, key, strict=True)]
        *moving, panels, slow, fast = places
        found = np.empty(tuple(part.size for part in places), dtype=self.dtype)
        for at in product(*(range(part.size) for part in moving)):
            position = dict(self.fixed)
            for (name, own), part, index in zip(self.positions, moving, at, strict=True):
                position[name] = own[part[index]]
            frame = self.geometry.sweep.frame_at(position)
            for row, panel in enumerate(panels):
                pixels = self.slow[slow][:, np.newaxis], self.fast[fast]
                found[(*at, row)] = self._pixels(frame, self.panels[panel], *pixels)
        given = (0 if np.ndim(np.arange(n)[k]) == 0 else slice(None)
                 for n, k in zip(self.shape, key, strict=True))  # fmt: skip
        return np.asarray(found[tuple(given)])

    def _pixels(
        self, frame: int, panel: int, slow: NDArray[np.float64], fast: NDArray[np.float64]
    ) -> NDArray[Any]:
        experiment = self.geometry.experiment(frame)
        if self.quantity == "active":
            active = np.asarray(experiment.detector.panels[panel].active)
            return np.asarray(active[np.rint(slow).astype(int), np.rint(fast).astype(int)])
        found = coordinates_of_pixels(experiment, panel, slow, fast)
        return np.asarray(getattr(found, self.quantity))
