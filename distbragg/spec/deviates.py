"""Numbers that are drawn: each by itself, from a seed, a name and a position alone.

Philox (Salmon et al., SC'11) maps a key and a counter to random bits. The key is a hash of the
seed, the name of the axis and what the number is for; the counter is the position along the axis.
So no draw depends on how many there are, nor on what else is drawn.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

Float64Array = NDArray[np.float64]

_WORDS: Final = 4  # that Philox4x64 makes of a counter; the first is taken
_UNUSED_BITS: Final = np.uint64(12)
_HALF: Final = math.sqrt(0.5)
_quantile = NormalDist().inv_cdf


@dataclass(frozen=True, slots=True)
class Deviates:
    """The numbers of one axis at its first `count` positions."""

    seed: int
    name: str
    count: int

    def uniform(self, purpose: str) -> Float64Array:
        """Return a number in (0, 1) for each position, (count,): middles of 2⁵² equal parts."""
        text = f"distbragg draw\n{self.seed}\n{self.name}\n{purpose}"
        digest = hashlib.sha256(text.encode()).digest()
        generator = np.random.Philox(key=int.from_bytes(digest[:16], "little"))
        words = generator.random_raw(_WORDS * self.count)[::_WORDS]
        return np.asarray(((words >> _UNUSED_BITS) + 0.5) * 2.0**-52)

    def normal(self, purpose: str) -> Float64Array:
        """Return a standard normal number for each position, (count,)."""
        return normal_quantile(self.uniform(purpose))


def normal_quantile(share: Float64Array) -> Float64Array:
    """Return the standard normal quantiles of shares in (0, 1), to the last digits (AS 241)."""
    return np.array([_quantile(part) for part in share.tolist()], dtype=np.float64)


def normal_share(value: float) -> float:
    """Return the share of the standard normal distribution below a value."""
    return 0.5 * math.erfc(-value * _HALF)
