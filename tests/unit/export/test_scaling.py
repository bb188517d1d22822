"""Integer, count and grey images."""

from __future__ import annotations

import numpy as np
import pytest

from distbragg.errors import InputError
from distbragg.export.scaling import (
    automatic_scale,
    check_image,
    count_image,
    grey_image,
    integer_image,
)


def test_the_brightest_pixel_becomes_55000_above_the_offset() -> None:
    image = np.array([[0.0, 1.5, 3.0], [0.25, 0.0, 0.75]])
    counts = integer_image(image)
    assert counts.dtype == np.uint16
    assert counts.max() == 55040
    assert counts[0, 0] == 40
    assert counts[0, 1] == 27540


def test_a_given_scale_is_used_and_counts_are_clipped_not_wrapped() -> None:
    image = np.array([[0.0, 10.0, 7000.0]])
    assert integer_image(image, scale=10.0, offset=0.0).tolist() == [[0, 100, 65535]]


@pytest.mark.parametrize("scale", [None, 0.0, -1.0])
def test_a_scale_that_is_not_positive_counts_as_not_given(scale: float | None) -> None:
    assert integer_image(np.array([[2.0]]), scale=scale, offset=1.0).tolist() == [[55001]]


def test_negative_offsets_do_not_wrap() -> None:
    assert integer_image(np.array([[0.0, 1.0]]), scale=1.0, offset=-5.0).tolist() == [[0, 0]]


def test_an_empty_image_has_scale_one() -> None:
    assert automatic_scale(np.zeros((3, 2))) == 1.0
    assert np.all(integer_image(np.zeros((3, 2))) == 40)


def test_pixels_outside_the_region_are_zero_without_offset() -> None:
    region = np.array([[True, False]])
    assert integer_image(np.array([[1.0, 1.0]]), scale=1.0, region=region).tolist() == [[41, 0]]
    assert count_image(np.array([[3.0, 3.0]]), region=region).tolist() == [[43, 0]]


def test_counts_are_clipped_at_the_top_of_16_bits() -> None:
    assert count_image(np.array([[70000.0, 65000.0, 0.0]])).tolist() == [[65535, 65040, 40]]


def test_grey_levels_put_five_standard_deviations_at_250() -> None:
    rng = np.random.default_rng(1)
    image = rng.exponential(size=(17, 23))
    levels, scale = grey_image(image)
    assert scale == pytest.approx(250 / (5 * image.std(ddof=1)))
    assert levels.dtype == np.uint8
    assert levels[3, 5] == int(min(image[3, 5] * scale, 255))


def test_a_flat_image_gets_the_scale_of_the_integer_image() -> None:
    levels, scale = grey_image(np.full((2, 2), 2.0))
    assert scale == 27500.0
    assert np.all(levels == 255)


def test_a_given_grey_scale_is_used() -> None:
    levels, scale = grey_image(np.array([[1.0, 2.0]]), scale=10.0)
    assert (levels.tolist(), scale) == ([[10, 20]], 10.0)


@pytest.mark.parametrize("bad", [np.zeros(4), np.zeros((1, 2, 3)), [[np.nan]], [[np.inf]]])
def test_what_is_no_finite_frame_is_refused(bad: object) -> None:
    with pytest.raises(InputError):
        check_image(bad)
