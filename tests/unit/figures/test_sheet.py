"""Contact sheets: what stands where, and under one brightness."""

from __future__ import annotations

import numpy as np
import pytest

from distbragg.errors import InputError
from distbragg.figures.sheet import Sheet, SheetAxis, draw_sheet, nearly_square
from distbragg.figures.shrink import shrunk
from distbragg.figures.style import Look, encoded, new_figure


def pictures(count: int) -> list[np.ndarray]:
    return list(np.random.default_rng(3).exponential(size=(count, 13, 17)))


def test_block_maxima_keep_the_brightest_pixel_of_ragged_images() -> None:
    image = np.zeros((17, 23))
    image[16, 22] = 9.0
    small = shrunk(image, 6)
    assert small.shape == (5, 6)
    assert small[-1, -1] == 9.0
    assert small.min() == 0.0


def test_small_images_are_not_reduced() -> None:
    image = np.ones((5, 4))
    assert shrunk(image, 5) is image


@pytest.mark.spec("FIG-4")
def test_frames_of_a_sheet_share_one_brightness_and_keep_their_labels() -> None:
    shown = pictures(5)
    shown[1][:] = np.nan  # missing
    shown[2][:] = 0.0  # empty
    figure = new_figure()
    titles = ["0: phi 1, spread 0.5, energy 9000", "1", "2", "3", "4"]
    draw_sheet(figure, Sheet(shown, nearly_square(5), titles, title="all"), Look())
    *drawn, bar = [axes for axes in figure.axes if axes.get_visible()]
    images = [axes.images[0] for axes in drawn if axes.images]
    assert len(images) == 5
    assert len({(image.norm.vmin, image.norm.vmax) for image in images}) == 1
    assert images[0].norm.vmax == pytest.approx(np.nanpercentile(np.stack(shown), 99.7))
    assert drawn[0].get_title() == "0: phi 1\nspread 0.5\nenergy 9000"
    assert [axes.get_title() for axes in drawn if axes.images][1:] == titles[1:]
    assert images[1].get_array().mask.all()
    np.testing.assert_array_equal(images[3].get_array(), shown[3])
    assert bar.get_ylabel() == "photons per pixel"
    assert encoded(figure).startswith(b"\x89PNG\r\n\x1a\n")


@pytest.mark.spec("FIG-4")
def test_a_grid_is_labelled_at_its_edges() -> None:
    figure = new_figure()
    down, across = SheetAxis("spread", ("0", "1")), SheetAxis("phi", ("a", "b", "c"))
    draw_sheet(figure, Sheet(pictures(6), 3, down=down, across=across), Look())
    axes = figure.axes[:6]
    assert [a.get_ylabel() for a in axes] == ["0", "", "", "1", "", ""]
    assert [a.get_xlabel() for a in axes] == ["", "", "", "a", "b", "c"]


@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
@pytest.mark.spec("FIG-8")
def test_equal_pictures_are_equal_bytes(kind: str) -> None:
    def made() -> bytes:
        figure = new_figure()
        draw_sheet(figure, Sheet(pictures(3), 2, ["a", "b", "c"]), Look())
        return encoded(figure, kind)

    assert made() == made()


def test_labels_must_match_the_frames() -> None:
    with pytest.raises(InputError, match="contact sheet of 4 frames has other titles"):
        draw_sheet(new_figure(), Sheet(pictures(4), 2, ["a"]), Look())


def test_an_unknown_colour_map_is_refused() -> None:
    with pytest.raises(InputError, match="'rainbow_trout' is not a colour map"):
        Look("rainbow_trout").color_map()


def test_brightness_without_light_or_spread_is_a_range() -> None:
    for values in (np.zeros((3, 3)), np.full((3, 3), np.nan), np.full((3, 3), 7.0)):
        norm = Look().norm(values)
        assert norm.vmax > norm.vmin
    assert Look(top=50.0).norm(np.arange(100.0)).vmax == 50.0
