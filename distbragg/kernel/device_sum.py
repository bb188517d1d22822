"""A tile's numerator that stays on the GPU until its frame is finished."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from distbragg.models.arrays import Float64Array

if TYPE_CHECKING:
    from torch import Tensor


class DeviceSum:
    """Un-normalised sum of a tile in device memory, added to like a numpy array.

    Additions are the same IEEE float64 additions that numpy does, so that merging here or on
    the host gives the same bits.

    Parameters
    ----------
    values : (pixels,) float64 tensor
    seconds : float
        Time that the device took to make it, s; 0 where no clock of the device was read.
    """

    __slots__ = ("seconds", "values")

    def __init__(self, values: Tensor, seconds: float = 0.0) -> None:
        if str(values.dtype) != "torch.float64" or values.ndim != 1:
            raise TypeError(f"a sum is flat float64, not {values.dtype} of {tuple(values.shape)}")
        self.values = values
        self.seconds = seconds

    @property
    def dtype(self) -> np.dtype[Any]:
        """float64."""
        return np.dtype(np.float64)

    @property
    def ndim(self) -> int:
        """1."""
        return 1

    @property
    def size(self) -> int:
        """Pixels."""
        return int(self.values.shape[0])

    @property
    def shape(self) -> tuple[int, ...]:
        """(pixels,)."""
        return (self.size,)

    def copy(self) -> DeviceSum:
        """Return a sum of its own memory."""
        return DeviceSum(self.values.clone())

    def __iadd__(self, other: DeviceSum) -> DeviceSum:
        self.values += other.values
        return self

    def to_host(self) -> Float64Array:
        """Return the sum as a numpy array."""
        host: Float64Array = self.values.cpu().numpy()
        return host

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a sum in device memory does not travel: take it to the host first")
