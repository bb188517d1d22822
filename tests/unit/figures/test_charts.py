"""Charts: the numbers that their artists hold."""

from __future__ import annotations

import numpy as np
import pytest

from distbragg.figures.charts import (
    Values,
    draw_histograms,
    draw_map,
    draw_profiles,
    profiles_of,
)
from distbragg.figures.frame import FrameImage
from distbragg.figures.style import Look, color_bar, encoded, new_figure
from distbragg.physics.pixels import coordinates_of_detector
from tests.unit.figures.test_frame import experiment


@pytest.mark.spec("FIG-6")
def test_a_profile_is_drawn_over_q_with_the_resolution_above() -> None:
    made = experiment()
    q = coordinates_of_detector(made).q
    active = np.ones(q.shape, dtype=bool)
    active[0, :30] = False
    image = np.where(active, 5.0 * np.exp(-q), 1e6)
    middles, profiles = profiles_of([("a", FrameImage(image, made, active))], 40)
    ((name, mean),) = profiles
    there = np.isfinite(mean)
    assert name == "a"
    assert middles[-1] == pytest.approx(q.max() * (1 - 0.5 / 40))
    assert mean[there] == pytest.approx(5.0 * np.exp(-middles[there]), rel=0.06)
    axes = draw_profiles(new_figure(), middles, profiles, "mean")
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), mean)
    assert axes.get_yscale() == "log"
    above = axes.child_axes[0]
    assert "2" in [tick.get_text() for tick in above.get_xticklabels()]
    assert above.get_xlabel() == "resolution (Å)"


@pytest.mark.spec("FIG-6")
def test_histograms_count_frames_and_those_rendered() -> None:
    figure = new_figure()
    rendered = np.array([True, True, False, True, False])
    shown = [
        Values("phi (degree)", np.array([0.0, 0.1, 0.9, 1.0, 1.0])),
        Values("file", np.array(["a", "b", "a", "a", "b"])),
        Values("u", np.ones((5, 3))),
    ]
    draw_histograms(figure, shown, rendered, 2)
    numbers, texts, vectors = figure.axes
    heights = [patch.get_height() for patch in numbers.patches]
    assert heights == [2, 3, 2, 1]
    assert [patch.get_height() for patch in texts.patches] == [3, 2, 2, 1]
    assert len(vectors.patches) == 3
    assert [axes.get_xlabel() for axes in figure.axes] == ["phi (degree)", "file", "u"]


@pytest.mark.spec("FIG-6")
def test_what_is_drawn_is_shown_with_its_distribution() -> None:
    figure, every = new_figure(), np.ones(4, dtype=bool)
    cells = np.array([[79, 90.0], [79.2, 90.0], [79.1, 90.0], [78.9, 90.0]])
    shown = [
        Values(
            "spread",
            np.array([np.nan, 0.5, 0.5, np.nan]),
            remark="one of null, 0.5",
            order=(None, 0.5),
        ),
        Values("energy", np.array([1.0, np.nan, 3.0, 3.5])),
        Values("drift", cells, remark="correlated normals"),
        Values("cell", np.column_stack([cells, 90 + cells[:, 0]])),
    ]
    draw_histograms(figure, shown, every, 2)
    few, energy, drift, cell = figure.axes[:4]
    assert few.get_title() == "one of null, 0.5"
    assert [tick.get_text() for tick in few.get_xticklabels()] == ["null", "0.5"]
    assert [patch.get_height() for patch in few.patches] == [2, 2, 2, 2]
    assert [text.get_text() for text in energy.texts] == ["null: 25 %"]
    np.testing.assert_array_equal(drift.lines[0].get_xydata(), cells)
    assert (drift.get_xlabel(), drift.get_ylabel()) == ("drift 0", "drift 1")
    assert cell.get_xlabel() == "cell, beyond the mean"
    assert len(cell.patches) == 2  # the component that never varies is left out


@pytest.mark.spec("FIG-6")
def test_a_map_has_its_values_at_the_places_of_its_axes() -> None:
    x, y = Values("phi", np.array([2.0, 0.0, 1.0])), Values("file", np.array(["b", "a"]))
    values = np.array([[1.0, 2.0, 3.0], [4.0, np.nan, 6.0]])
    axes = draw_map(new_figure(), x, y, values, "sum")
    (mesh,) = axes.collections
    # Sorted both ways: phi 0, 1, 2 and files a, b.
    assert mesh.get_array().tolist() == [[None, 6.0, 4.0], [2.0, 3.0, 1.0]]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["a", "b"]
    line = draw_map(new_figure(), x, None, values[0], "sum").lines[0]
    assert line.get_xydata().tolist() == [[2, 1], [0, 2], [1, 3]]
    points = draw_map(new_figure(), x, Values("e", np.arange(3.0)), values[0], "sum").collections[0]
    assert points.get_offsets().tolist() == [[2, 0], [0, 1], [1, 2]]
    assert points.get_array().tolist() == [1, 2, 3]


@pytest.mark.spec("FIG-8")
def test_names_are_no_formulas_and_ticks_of_logarithms_are() -> None:
    figure, names = new_figure(), np.array(["$x_{", "$5", "a$b$"])
    draw_histograms(figure, [Values("price in $ or $_{", names)], np.ones(3, dtype=bool), 2)
    data = encoded(figure, "svg").decode()
    assert all(f">{name}<" in data or f"{name} -->" in data for name in names)
    profiles = new_figure()
    axes = profiles.subplots()
    axes.set_yscale("log")
    axes.plot([1, 2], [1, 1000])
    axes.set_title("$_{")
    assert "mathdefault" in encoded(profiles, "svg").decode() == encoded(profiles, "svg").decode()


@pytest.mark.spec("FIG-6")
def test_fields_of_unequal_steps_stand_side_by_side_with_their_values() -> None:
    spread = Values("mosaic spread (degree)", np.array([2.0, 0.1, 0.5, 1.0]))
    angle = Values("phi (degree)", np.array([0.0, 10.0, 20.0]))
    axes = draw_map(new_figure(), angle, spread, np.arange(12.0).reshape(4, 3), "sum")
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["0.1", "0.5", "1", "2"]
    assert axes.get_ylim() == (-0.5, 3.5)
    assert axes.get_xlim() == (-5.0, 25.0), "equal steps keep their numbers"
    np.testing.assert_array_equal(axes.collections[0].get_array()[-1], [0.0, 1.0, 2.0])


@pytest.mark.parametrize("ends", [(0.0, 533.0), (12.3, 3000.0), (0.001, 0.02), (1234.0, 1850.0)])
def test_a_colour_bar_has_round_ticks_along_the_brightness_curve(ends: tuple[float, float]) -> None:
    figure, look = new_figure(), Look()
    axes = figure.subplots()
    norm = look.norm(np.linspace(*ends, 50))
    norm.vmin, norm.vmax = ends
    color_bar(figure, axes.imshow(np.zeros((2, 2)), norm=norm), axes, "photons")
    bar = figure.axes[-1]
    ticks = np.array(bar.get_yticks())
    labels = [tick.get_text() for tick in bar.get_yticklabels()]
    assert len(ticks) >= 4
    assert [float(label.replace(",", "")) for label in labels] == ticks.tolist()
    assert max(len(label.strip("0.,")) for label in labels) <= 4, "round numbers"
    assert (np.diff(norm(ticks)) >= 0.15).all()
    assert norm(ticks).min() <= 0.5
    assert norm(ticks).max() >= 0.85
