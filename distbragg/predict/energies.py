"""How |F|² of reflections differs from source to source."""

from __future__ import annotations

import numpy as np

from distbragg.models.crystal import Reflections
from distbragg.models.vectors import Float64Array, IntArray


class Energies:
    """|F|² of each source, of its mean over the sources; 1 where it does not follow the energy."""

    def __init__(self, reflections: Reflections) -> None:
        self._reflections = reflections

    @property
    def differ(self) -> bool:
        """Whether |F|² follows the energy."""
        return self._reflections.spectral is not None

    def of_source(self, hkl: IntArray, source: int) -> Float64Array:
        """Return the ratio of one source, (n,), of reflections (n, 3) that the table holds."""
        return self.of_sources(hkl, slice(source, source + 1))[:, 0]

    def of_sources(self, hkl: IntArray, sources: slice) -> Float64Array:
        """Return the ratios of some sources, (n, sources)."""
        reflections, spectral = self._reflections, self._reflections.spectral
        if spectral is None:
            return np.ones((len(hkl), 1))
        h, k, l = (hkl - np.array(reflections.origin)).T  # noqa: E741 - Miller indices
        mean = reflections.amplitude[h, k, l] ** 2
        total = np.zeros((len(hkl), len(spectral.coefficients[sources])))
        for table, share in zip(spectral.tables, spectral.coefficients[sources].T, strict=True):
            total += table[h, k, l][:, np.newaxis] * share
        return np.maximum(total, 0.0) / np.where(mean > 0.0, mean, 1.0)[:, np.newaxis]
