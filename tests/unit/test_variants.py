from __future__ import annotations

import numpy as np
import pytest

from distbragg.errors import InputError
from distbragg.variants import (
    crop,
    cropped_positions,
    inside,
    pool,
    pooled_positions,
    root_uint16,
    squares,
)

COUNTS = np.arange(20, dtype=np.uint16).reshape(4, 5)


def test_pooling_drops_what_fills_no_block():
    highest = pool(COUNTS, 2, "max")
    assert highest.dtype == np.uint16
    assert highest.tolist() == [[6, 8], [16, 18]]
    summed = pool(COUNTS, 2, "sum")
    assert summed.dtype == np.uint64
    assert summed.tolist() == [[12, 20], [52, 60]]
    mean = pool(COUNTS, 2, "mean")
    assert mean.dtype == np.float32
    assert mean.tolist() == [[3, 5], [13, 15]]


def test_sums_are_larger_than_the_type_of_counts():
    full = np.full((2, 3, 3), 65535, dtype=np.uint16)
    assert pool(full, 3, "sum").ravel().tolist() == [9 * 65535] * 2
    assert pool(full, 3, "mean").ravel().tolist() == [65535] * 2


def test_pooled_truth_is_true_where_any_is():
    mask = np.zeros((4, 4), dtype=bool)
    mask[1, 2] = True
    assert pool(mask, 2).tolist() == [[False, True], [False, False]]


def test_fractions_keep_their_type():
    image = np.full((2, 2), 0.5, dtype=np.float32)
    assert [pool(image, 2, how).dtype for how in ("max", "mean", "sum")] == [np.float32] * 3
    assert [pool(image, 2, how).item() for how in ("max", "mean", "sum")] == [0.5, 0.5, 2.0]


def test_crop_is_a_view_of_the_box():
    part = crop(COUNTS, (1, 3, 2, 5))
    assert part.tolist() == [[7, 8, 9], [12, 13, 14]]
    assert np.shares_memory(part, COUNTS)


def test_positions_follow_pixels():
    place = np.array([[2.5, 3.5]])  # the middle of pixel (2, 3)
    assert cropped_positions(place, (1, 3, 2, 5)).tolist() == [[1.5, 1.5]]
    assert pooled_positions(place, 2).tolist() == [[1.25, 1.75]]
    assert inside(np.array([[0.0, 4.99], [4.0, 1.0], [-0.1, 2.0]]), (4, 5)).tolist() == [
        True, False, False,
    ]  # fmt: skip


def test_root_is_rounded_held_and_of_no_number_nothing():
    values = np.array([-4.0, 0.0, 2.0, 2.3, 100.0, 1e12, np.nan, np.inf], dtype=np.float32)
    assert root_uint16(values).tolist() == [0, 0, 1, 2, 10, 65535, 0, 65535]
    assert root_uint16(np.array([2, 1 << 31], dtype=np.uint32), 16).tolist() == [23, 65535]
    assert root_uint16(np.array([2**32 - 1], dtype=np.uint32)).tolist() == [65535]
    assert squares(root_uint16(np.array([100.0]), 8.0), 8.0).tolist() == [100.0]


@pytest.mark.parametrize(
    "call",
    [
        lambda: pool(COUNTS, 5),
        lambda: pool(COUNTS, 0),
        lambda: pool(COUNTS, 2, "median"),
        lambda: pool(COUNTS, 1.5),
        lambda: crop(COUNTS, (0, 5, 0, 2)),
        lambda: crop(COUNTS, (0, 2.0, 0, 2)),
        lambda: crop(COUNTS, (2, 2, 0, 2)),
        lambda: root_uint16(COUNTS, 0.0),
    ],
)
def test_what_cannot_be_made_is_refused(call):
    with pytest.raises(InputError):
        call()
