"""A frame's picture: rings where the resolution is, spots where they are told, masks, panels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgba

from distbragg.figures.frame import MASKED, FrameImage, draw_frame
from distbragg.figures.style import Look, new_figure
from distbragg.models.build import build_experiment
from distbragg.models.experiment import Experiment
from distbragg.spec.load import parse_spec


def experiment(**detector: Any) -> Experiment:
    own = {"convention": "xds", "distance_mm": 100, "pixel_size_mm": 1.0}
    own |= {"pixels_fast": 121, "pixels_slow": 101}
    return build_experiment(
        parse_spec(
            {
                "beam": {"wavelength_angstrom": 1.0},
                "crystal": {"cell": [30, 40, 50, 90, 90, 90], "block_cells": [3, 3, 3]},
                "structure_factors": {"default_f_electrons": 1},
                "detector": {**own, **detector},
                "sampling": {"oversample": 1},
            }
        )
    )


def ring_points(axes: Any) -> list[np.ndarray]:
    """Vertices of every contour, one array a contour set."""
    return [
        np.concatenate([path.vertices for path in item.get_paths()])
        for item in axes.collections
        if type(item).__name__ == "QuadContourSet"
    ]


@pytest.mark.spec("FIG-5")
def test_a_ring_stands_where_its_resolution_is() -> None:
    """1 Å at 100 mm: 2.5 Å is 2θ = 2 asin 0.2 = 23.07°, 42.6 mm from the beam."""
    made = experiment()
    image = np.ones((1, 101, 121))
    axes = draw_frame(new_figure(), FrameImage(image, made), Look(), rings=[2.5])
    (points,) = ring_points(axes)
    radius = 100 * math.tan(2 * math.asin(1 / 5))
    # Pixels (50, 60) have the beam in their middle.
    found = np.hypot(points[:, 0] - 60, points[:, 1] - 50)
    assert found == pytest.approx(np.full(len(found), radius), abs=0.05)
    assert [text.get_text() for text in axes.texts] == ["2.5 Å"]
    assert axes.get_ylim() == (100.5, -0.5)  # slow runs down


@pytest.mark.spec("FIG-5")
def test_rings_of_a_swung_panel_are_no_circles_but_of_one_resolution() -> None:
    from distbragg.physics.pixels import coordinates_of_pixels

    made = experiment(twotheta_deg=25, pivot="sample")
    axes = draw_frame(new_figure(), FrameImage(np.ones((1, 101, 121)), made), Look())
    assert len(ring_points(axes)) == len(axes.texts) >= 3
    for points, text in zip(ring_points(axes), axes.texts, strict=True):
        found = coordinates_of_pixels(made, 0, points[:, 1], points[:, 0]).resolution
        assert found == pytest.approx(float(text.get_text().split()[0]), rel=2e-3)
    bare = draw_frame(new_figure(), FrameImage(np.ones((1, 101, 121)), made), Look(), rings=())
    assert not bare.texts


@pytest.mark.spec("FIG-5")
def test_spots_are_circled_by_lattice_and_masked_pixels_have_their_own_colour() -> None:
    made = experiment()
    active = np.ones((1, 101, 121), dtype=bool)
    active[0, 40:60] = False
    image = np.ones((1, 101, 121))
    image[0, 50, 60] = 1e9  # masked: must not set the brightness
    spots = {
        "panel": np.array([0, 0, 0]),
        "slow": np.array([0.5, 20.0, 30.0]),
        "fast": np.array([0.5, 40.0, 50.0]),
        "lattice": np.array([0, 1, 1]),
    }
    axes = draw_frame(
        new_figure(), FrameImage(image, made, active), Look(), rings=(), spots=spots, title="one"
    )
    first, second = axes.collections
    # Spots count from the corner, pictures from the middle of the first pixel.
    assert first.get_offsets().tolist() == [[0.0, 0.0]]
    assert second.get_offsets().tolist() == [[39.5, 19.5], [49.5, 29.5]]
    assert first.get_edgecolors().tolist() != second.get_edgecolors().tolist()
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["lattice 0: 1 spot", "lattice 1: 2 spots"]
    pixels, mask = axes.images
    assert pixels.norm.vmax < 10.0
    assert (~mask.get_array().mask).sum() == 20 * 121
    assert mask.cmap(0) == to_rgba(MASKED)
    assert axes.get_title() == "one"


@pytest.mark.spec("FIG-5")
def test_panels_and_their_spots_stand_in_place_in_mm() -> None:
    def panel(x: float, y: float) -> dict[str, Any]:
        return {"origin_mm": [x, y, 100], "fast": [1, 0, 0], "slow": [0, 1, 0]}

    made = build_experiment(
        parse_spec(
            {
                "beam": {"wavelength_angstrom": 1.0},
                "crystal": {"cell": [30, 40, 50, 90, 90, 90], "block_cells": [3, 3, 3]},
                "structure_factors": {"default_f_electrons": 1},
                "detector": {
                    **{"convention": "xds", "pixels_fast": 20, "pixels_slow": 10},
                    "pixel_size_mm": 1.0,
                    "panels": [panel(-25, -5), panel(5, -5)],
                },
            }
        )
    )
    image = np.stack([np.full((10, 20), 1.0), np.full((10, 20), 2.0)])
    spots = {"panel": np.array([0, 1]), "slow": np.array([0.0, 5.0]), "fast": np.array([0.0, 2.0])}
    axes = draw_frame(
        new_figure(), FrameImage(image, made), Look(), rings=(),
        spots={**spots, "lattice": np.zeros(2, int)},
    )  # fmt: skip
    # Up is -y: slow runs down, so that a panel's corner at y = -5 mm is the upper one.
    assert axes.collections[0].get_offsets().tolist() == [[-25, 5], [7, 0]]
    pixels = axes.images[0].get_array()
    assert (pixels[:, :20] == 1).all()
    assert pixels.mask[:, 20:30].all()
    assert (pixels[:, 30:] == 2).all()
