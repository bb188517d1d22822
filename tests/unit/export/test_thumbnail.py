"""The small picture of a frame: bounded, and bright spots stay bright."""

from __future__ import annotations

import numpy as np
import pytest

from distbragg.export.scaling import THUMBNAIL_EDGE, THUMBNAIL_LEVELS, thumbnail
from distbragg.figures.shrink import shrunk


def levels_of(picture):
    return np.frombuffer(picture["levels"], dtype=np.uint8).reshape(picture["shape"])


@pytest.mark.spec("WAT-4")
@pytest.mark.parametrize("shape", [(1, 17, 23), (1, 2463, 2527), (5, 1030, 514), (300, 20, 30)])
def test_a_picture_is_small_whatever_the_frame(shape):
    picture = thumbnail(np.ones(shape, dtype=np.float32))
    assert max(picture["shape"]) <= THUMBNAIL_EDGE
    assert (
        len(picture["levels"])
        == picture["shape"][0] * picture["shape"][1]
        <= THUMBNAIL_EDGE * THUMBNAIL_EDGE
    )


def test_one_bright_pixel_survives_the_shrinking():
    image = np.full((1, 1001, 803), 3.0, dtype=np.float32)
    image[0, 700, 401] = 5000.0
    picture = thumbnail(image)
    levels = levels_of(picture)
    assert picture["max"] == 5000.0
    assert np.argwhere(levels == THUMBNAIL_LEVELS).tolist() == [[700 // 7, 401 // 7]]
    assert levels.min() == 0


def test_panels_stand_side_by_side():
    image = np.zeros((3, 5, 7))
    for panel in range(3):
        image[panel] = panel + 1
    levels = levels_of(thumbnail(image))
    assert levels.shape == (10, 14)
    assert levels[0, 0] < levels[0, 7] < levels[5, 0]
    assert levels[5, 7] == 0, "there is no fourth panel"


@pytest.mark.parametrize("value", [0.0, 1e-300, 1e300])
def test_even_frames_make_a_picture(value):
    picture = thumbnail(np.full((1, 9, 11), value))
    assert picture["max"] == value
    assert np.isfinite(levels_of(picture)).all()


def test_blocks_hold_their_brightest_pixel():
    panel = np.arange(35.0).reshape(5, 7)
    assert shrunk(panel, 3).tolist() == [[16, 19, 20], [30, 33, 34]]
    assert shrunk(panel, 7).tolist() == panel.tolist()
