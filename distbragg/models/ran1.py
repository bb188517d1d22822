"""The uniform generator of nanoBragg.c, for domains and missets that match it.

Park and Miller's multiplicative congruential generator (a = 16807, m = 2^31 - 1) with a
Bays-Durham shuffle of 32 entries; the deviate is rounded to float32, as there.
"""

from __future__ import annotations

from typing import Final

import numpy as np

_MULTIPLIER: Final = 16807
_MODULUS: Final = 2147483647
_TABLE: Final = 32
_WARM_UP: Final = 8
_DIVISOR: Final = 1 + (_MODULUS - 1) // _TABLE
_LARGEST: Final = float(np.float32(1.0 - 1.2e-7))
_SCALE: Final = 1.0 / _MODULUS


class Ran1:
    """One generator with its shuffle table.

    nanoBragg.c shares one table between all seeds: a negative (or zero) seed fills it
    afresh, a positive one goes on with what it holds.

    Parameters
    ----------
    seed : int
        As the C program holds it, that is negated.
    """

    def __init__(self, seed: int) -> None:
        self._table = [0] * _TABLE
        self._last = 0
        self._state = 1
        self.reseed(seed)

    def reseed(self, seed: int) -> None:
        """Continue from another seed, by the rule of the class."""
        if seed > 0 and self._last != 0:
            self._state = seed
            return
        self._state = max(-seed, 1)
        for position in range(_TABLE + _WARM_UP - 1, -1, -1):
            self._advance()
            if position < _TABLE:
                self._table[position] = self._state
        self._last = self._table[0]

    def fork(self) -> Ran1:
        """Return a generator that goes on from here by itself."""
        other = Ran1.__new__(Ran1)
        other._table, other._last, other._state = self._table.copy(), self._last, self._state
        return other

    def uniform(self) -> float:
        """Return the next deviate in (0, 1), a float32 value."""
        self._advance()
        position = self._last // _DIVISOR
        self._last = self._table[position]
        self._table[position] = self._state
        return min(float(np.float32(_SCALE * self._last)), _LARGEST)

    def _advance(self) -> None:
        self._state = (_MULTIPLIER * self._state) % _MODULUS
