"""The counter-based generator of all noise: Philox4x32-10, and normal deviates made of its words.

Philox (Salmon et al., SC'11) maps a key and a counter to random bits. The key is a seed; the
counter holds pixel, frame and draw. No state is carried from pixel to pixel, so tiles, workers and
retries change nothing. Draws below `STREAM` are those of photon counts; every other use has a
stream of its own above. Everything is of numpy, or of torch where its arguments are; the native
library does the same operations in the same order (`native/src/normals.hpp`).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from distbragg.models.vectors import Float64Array, IntArray
from distbragg.physics.arrays import Array, floats, module_of
from distbragg.physics.elementary import log, sin_pi

MASK: Final = 0xFFFFFFFF
_MULTIPLIERS: Final = (0xD2511F53, 0xCD9E8D57)
_WEYL: Final = (0x9E3779B9, 0xBB67AE85)
_ROUNDS: Final = 10

STREAM: Final = 1 << 24
"""Draws of a stream; counts need a few of the first."""

READOUT: Final = 1 * STREAM
PIXEL_FLICKER: Final = 2 * STREAM
CALIBRATION: Final = 3 * STREAM
BAD_PIXELS: Final = 4 * STREAM
"""Streams: of seed and frame, those of the detector itself of its own seed and frame 0."""

RUN: Final = 64
"""Pixels in a row whose numbers come from as many blocks; four such runs share them."""

Words = tuple[Array, Array, Array, Array]


def philox(counter: Words, key: tuple[int, int]) -> Words:
    """Philox4x32-10: four words of 32 random bits per element, in int64 as counter and key are."""
    first, second, third, fourth = counter
    key_first, key_second = key
    for _ in range(_ROUNDS):
        high_first, low_first = _multiply(first, _MULTIPLIERS[0])
        high_third, low_third = _multiply(third, _MULTIPLIERS[1])
        first, second = high_third ^ second ^ key_first, low_third
        third, fourth = high_first ^ fourth ^ key_second, low_first
        key_first = (key_first + _WEYL[0]) & MASK
        key_second = (key_second + _WEYL[1]) & MASK
    return first, second, third, fourth


def _multiply(word: Array, factor: int) -> tuple[Array, Array]:
    """High and low 32 bits of a 32 × 32 bit product; int64 wraps, its bits do not change."""
    product = word * factor
    return (product >> 32) & MASK, product & MASK


def random_words(numbers: Array, *, seed: int, frame: int, draw: int) -> Words:
    """Return the four words that a pixel or a block of this number has for a draw, int64."""
    high = (numbers >> 32) | ((frame >> 32) << 16)
    still = module_of(numbers).zeros_like(numbers)
    counter = (numbers & MASK, high & MASK, still + (frame & MASK), still + draw)
    return philox(counter, (seed & MASK, (seed >> 32) & MASK))


def uniforms(first: int, count: int, *, seed: int, frame: int, stream: int) -> Float64Array:
    """Return a deviate in (0, 1), of 32 bits, for each of `count` pixels from number `first` on.

    A block of four words serves four pixels that lie `RUN` apart.
    """
    blocks, lane = _blocks(first, count)
    kept, place = np.unique(blocks, return_inverse=True)
    words = np.stack(random_words(kept, seed=seed, frame=frame, draw=stream))
    unit: Float64Array = _to_unit(words[lane, place])
    return unit


def normals(first: int, count: int, *, seed: int, frame: int, stream: int) -> Float64Array:
    """Return a normal deviate for each of `count` pixels from number `first` on, (count,).

    Two deviates are made of two words (Box and Muller), four of a block. None is beyond 6.8.
    """
    blocks, lane = _blocks(first, count)
    kept, place = np.unique(blocks, return_inverse=True)
    words = random_words(kept, seed=seed, frame=frame, draw=stream)
    four = np.stack([*_pair(words[0], words[1]), *_pair(words[2], words[3])])
    drawn: Float64Array = four[lane, place]
    return drawn


def _blocks(first: int, count: int) -> tuple[IntArray, IntArray]:
    """Return the block of every pixel, and which of its four numbers is the pixel's."""
    pixels = np.arange(first, first + count, dtype=np.int64)
    return (pixels // (4 * RUN)) * RUN + pixels % RUN, pixels // RUN % 4


def _to_unit(word: Array) -> Array:
    """32 random bits to the middles of 2³² equal parts of (0, 1)."""
    return (floats(word) + 0.5) * 2.0**-32


def _pair(word: Array, other: Array) -> tuple[Array, Array]:
    """Box and Muller: two normal deviates from two words."""
    module = module_of(word)
    length = module.sqrt(log(_to_unit(word)) * -2.0)
    half_turns = _to_unit(other) * 2.0 - 1.0
    size = abs(half_turns)
    # sin(π|x|) = cos(π(|x| − ½)), and the other way round.
    across = sin_pi(0.5 - abs(size - 0.5))
    sine = module.where(half_turns < 0.0, -across, across)
    return length * sin_pi(0.5 - size), length * sine
