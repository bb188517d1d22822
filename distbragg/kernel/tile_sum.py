"""What a kernel returns of one tile × source chunk."""

from __future__ import annotations

from dataclasses import dataclass

from distbragg.kernel.device_sum import DeviceSum
from distbragg.models.arrays import Float64Array


@dataclass(frozen=True, slots=True)
class TileSum:
    """Sum over the steps of a tile, and what was left out of it.

    Attributes
    ----------
    numerator : (pixels,) float64
        See `render_tile`. In the memory of a GPU where it was asked to stay there.
    skipped : float
        At most this much was left out of any pixel, in the numerator's unit and with the
        factors that `finalize_tile` may still apply; 0 where no tolerance is set.
    evaluated : int or None
        Steps that the tolerance did not leave out; None where all were taken.
    """

    numerator: Float64Array | DeviceSum
    skipped: float = 0.0
    evaluated: int | None = None

    def on_host(self) -> Float64Array:
        """Return the numerator as a numpy array, from wherever it is."""
        numerator = self.numerator
        return numerator.to_host() if isinstance(numerator, DeviceSum) else numerator
