"""The page of one reader, without a browser."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bokeh.events import DocumentReady
from bokeh.models import Div, Label

from distbragg.errors import InputError
from distbragg.run.create import create
from distbragg.run.resume import resume
from distbragg.spec.load import parse_sweep
from distbragg.spec.sweep import SweepSpec
from distbragg.store.open import open_stack
from distbragg.viewer.frames import Watcher, open_source
from distbragg.viewer.levels import NOTHING
from distbragg.viewer.page import Page
from distbragg.viewer.serve import view
from tests.unit.viewer.pages import image_of, page_of

EVIL = "<img src=x onerror=alert(1)>$$\\href{javascript:alert(1)}{x}$$"


def sweep_of(axes: Any = None, **sections: Any) -> SweepSpec:
    """Nine frames of 31 x 37 pixels, in nine units."""
    plain: dict[str, Any] = {
        "title": EVIL,
        "beam": {"wavelength_angstrom": 1.0, "fluence_photons_per_m2": 1e27},
        "crystal": {"cell": [31, 37, 41, 90, 90, 90], "block_cells": [5, 6, 7]},
        "structure_factors": {"default_f_electrons": 100.0},
        "detector": {
            "distance_mm": 60.0,
            "pixel_size_mm": 1.0,
            "pixels_slow": 31,
            "pixels_fast": 37,
        },
        "sampling": {"oversample": 1},
        "compute": {"frames_per_unit": 1},
        **sections,
    }
    if axes is None:
        axes = [
            {"name": "phi", "path": "goniometer.phi_deg", "values": [0.0, 1.5, 3.0]},
            {"name": "far", "path": "detector.distance_mm", "values": [50.0, 60.0, 70.0]},
        ]
    return parse_sweep({"experiment": plain, "axes": axes})


def go(page: Page, frame: int) -> None:
    page.controls.frame.value = frame
    page.show_frame()


def settle(page: Page) -> None:
    """Let happen what happens when a frame stays."""
    page._settled()
    page.settling._workers.shutdown(wait=True)
    for callback in list(page.document.session_callbacks):
        if type(callback).__name__ == "NextTickCallback":
            callback.callback()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("viewer") / "run.zarr"
    resume(create(sweep_of(), path), cluster="serial", progress=False)
    return path


@pytest.mark.spec("VIE-6")
def test_a_frame_is_found_by_its_number_and_by_its_axes(run):
    page = page_of(open_source(run))
    go(page, 5)
    assert [slider.value for slider in page.controls.axes] == [1, 2]
    assert "1.5" in page.controls.labels.text
    assert "70" in page.controls.labels.text
    page.controls.axes[0].value = 2
    page._from_axes()
    assert page.number == 8
    stored = open_stack(run).images.values.reshape(9, 31, 37)
    np.testing.assert_array_equal(page.frames[0].frame[0], stored[8])
    assert page.experiment.detector.panels[0].distance == pytest.approx(0.070)


@pytest.mark.spec("VIE-6")
def test_axes_of_one_dimension_are_told_and_have_no_slider_of_their_own(tmp_path):
    axes = [
        {"name": "phi", "dim": "shot", "path": "goniometer.phi_deg", "values": [0.0, 1.5]},
        {"name": "far", "dim": "shot", "path": "detector.distance_mm", "values": [50.0, 60.0]},
    ]
    page = page_of(open_source(create(sweep_of(axes), tmp_path / "r.zarr")), start=1)
    assert page.controls.axes == []
    assert page.controls.labels.text.count("<tr>") == 2
    assert "60" in page.controls.labels.text


@pytest.mark.spec("VIE-6")
def test_what_is_not_rendered_is_said_and_seen_once_it_is(tmp_path):
    made = create(sweep_of(), tmp_path / "r.zarr")
    source = open_source(made)
    page = page_of(source)
    assert page.frames == [None]
    (label,) = page.document.select({"type": Label})
    assert label.text == "not rendered yet"
    assert source.news()
    assert (source.done, source.newest) == (0, None)
    resume(made, cluster="serial", progress=False)
    assert source.news()
    assert (source.done, source.newest) == (9, 8)
    assert not source.news(), "nothing came since"
    page.watcher.version += 1
    page._live()
    assert label.text == ""
    assert "9 of 9 rendered" in page.controls.status.text
    assert image_of(page).max() > 0


@pytest.mark.spec("VIE-6")
def test_following_shows_the_frame_that_came_last(tmp_path):
    made = create(sweep_of(), tmp_path / "r.zarr")
    source = open_source(made)
    page = page_of(source)
    source.news()
    resume(made, cluster="serial", part=(1, 2), progress=False)
    source.news()
    page.controls.follow.active = True
    page._live()
    assert page.number == 8


@pytest.mark.spec("VIE-3")
def test_looking_writes_nothing(tmp_path):
    labelled = sweep_of(structure_factors={"default_f_electrons": 100.0})
    made = create(labelled, tmp_path / "r.zarr")
    resume(made, cluster="serial", part=(1, 3), progress=False)

    def files() -> list[tuple[str, int]]:
        return sorted(
            (str(path), path.stat().st_mtime_ns) for path in (tmp_path / "r.zarr").rglob("*")
        )

    before = files()
    source = open_source(tmp_path / "r.zarr")
    page = page_of(source)
    source.news()
    for frame in range(9):
        go(page, frame)
    page.controls.shown.active = [0, 1, 2, 3, 4]
    settle(page)
    assert files() == before


@pytest.mark.spec("VIE-12")
def test_what_follows_a_frame_waits_until_the_browser_has_the_page(run):
    page = page_of(open_source(run))

    def waiting() -> int:
        kinds = [type(callback).__name__ for callback in page.document.session_callbacks]
        return kinds.count("TimeoutCallback")

    go(page, 3)
    assert waiting() == 0
    page.document.callbacks.trigger_event(DocumentReady())
    assert waiting() == 1
    go(page, 4)
    assert waiting() == 1, "of several frames the last"


@pytest.mark.spec("VIE-2")
def test_text_of_others_is_text(run):
    page = page_of(open_source(run))
    assert "<img" not in page.controls.name.text
    assert "&lt;img src=x onerror=alert(1)&gt;" in page.controls.name.text
    page._say("<script>alert(1)</script>")
    assert "<script>" not in page.controls.status.text
    divs = list(page.document.select({"type": Div}))
    assert divs
    assert all(div.disable_math for div in divs)


@pytest.mark.spec("VIE-5")
def test_predicted_spots_stand_on_the_pixels_they_light(run):
    page = page_of(open_source(run))
    page.controls.shown.active = [0, 1, 2, 3, 4]
    page._overlays()
    settle(page)
    spots = page.panes[0]._spots.data
    assert len(spots["x"]) > 3
    assert np.all(np.diff(spots["photons"]) <= 0.0), "the strongest come first"
    image = page.frames[0].frame[0]
    # The centre of a spot that lies on the detector is a maximum of the image.
    h, k, l = (int(spots[name][0]) for name in "hkl")  # noqa: E741
    x, y = int(spots["x"][0]), int(spots["y"][0])
    around = image[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2]
    assert around.max() > np.percentile(image, 90.0)
    told = page.describe(0, float(spots["y"][0]), float(spots["x"][0]))
    assert f"spot {h} {k} {l}" in told
    assert f"{spots['photons'][0]:.4g} photons" in told


@pytest.mark.spec("VIE-5")
@pytest.mark.parametrize("surface", ["sphere", "cylinder_slow", "cylinder_fast"])
def test_spots_stand_where_they_shine_on_bent_panels(surface):
    base = sweep_of().experiment.detector.model_dump(mode="json", exclude_unset=True)
    bent = {**base, "curved": surface, "pixel_size_mm": 2.0, "distance_mm": 40.0}
    crystal = {"cell": [13, 15, 17, 90, 90, 90], "block_cells": [9, 9, 9], "shape": "gauss"}
    whole = {"oversample": "auto"}  # spots are narrower than these pixels
    bent_sweep = sweep_of(axes=[], detector=bent, crystal=crystal, sampling=whole)
    page = page_of(open_source(bent_sweep))
    page.controls.shown.active = [1]
    page._overlays()
    settle(page)
    spots, image = page.panes[0]._spots.data, page.frames[0].frame[0]
    strong = [
        (int(y), int(x))
        for x, y, photons in zip(spots["x"], spots["y"], spots["photons"], strict=True)
        if 1 < x < 36 and 1 < y < 30 and photons > 0.05 * spots["photons"][0]
    ]
    away = [math.hypot(y - 15, x - 18) for y, x in strong]
    assert max(away) > 12, "where panels that are flat have them elsewhere"
    for y, x in strong:
        around = image[y - 1 : y + 2, x - 1 : x + 2]
        assert around.max() > 3.0 * np.median(image), (y, x)


@pytest.mark.spec("VIE-5")
def test_the_pointer_is_told_the_pixels_own_value_and_what_it_looks_at(run):
    page = page_of(open_source(run))
    told = page.describe(0, 3.25, 7.75)
    assert "fast     7.75" in told
    assert "slow     3.25" in told
    assert f"{float(page.frames[0].frame[0][3, 7]):.3g}" in told
    assert "2θ" in told
    page._point(type("Event", (), {"x": 1e6, "y": 0.0})())
    assert page.readout.text == ""


@pytest.mark.spec("VIE-4")
def test_values_are_written_where_pixels_are_large(run):
    page = page_of(open_source(run))
    assert not page.panes[0]._values.data["text"], "36 pixels do not fit with their values"
    page.sight.x.update(start=3.0, end=9.0)
    page.sight.y.update(start=8.0, end=3.0)
    page.draw()
    data = page.panes[0]._values.data
    at = [
        text
        for x, y, text in zip(data["x"], data["y"], data["text"], strict=True)
        if (x, y) == (4.5, 6.5)
    ]
    value = float(page.frames[0].frame[0][6, 4])
    assert at == [f"{value:.3g}"]
    assert set(data["colour"]) <= {"black", "white"}


@pytest.mark.spec("VIE-4")
def test_contrast_is_found_in_each_frame_or_kept(run):
    page = page_of(open_source(run))
    found = page.contrast.limits
    page.controls.scale.active = 1
    page.draw()
    assert page.contrast.limits.scale == "linear"
    page.controls.low.value, page.controls.high.value = 2.0, 40.0
    page._fix()
    go(page, 4)
    assert (page.contrast.limits.low, page.contrast.limits.high) == (2.0, 40.0)
    page.controls.fixed.active, page.controls.scale.active = False, 0
    go(page, 0)
    assert page.contrast.limits == found


@pytest.mark.spec("VIE-5")
def test_masked_pixels_have_a_colour_of_their_own(tmp_path):
    mask = np.ones((31, 37), dtype=bool)
    mask[4:9, 10:20] = False
    np.save(tmp_path / "mask.npy", mask)
    base = sweep_of().experiment.detector.model_dump(mode="json", exclude_unset=True)
    swept = sweep_of(axes=[], detector={**base, "mask_file": str(tmp_path / "mask.npy")})
    page = page_of(open_source(swept))
    shown = image_of(page) == 253
    np.testing.assert_array_equal(shown, ~mask)
    page.controls.shown.active = []
    page._overlays()
    assert not (image_of(page) == 253).any()
    assert "masked" in page.describe(0, 5.5, 12.5)


@pytest.mark.spec("VIE-7")
def test_two_runs_are_compared_as_difference_and_ratio(run, tmp_path):
    brighter = sweep_of(beam={"wavelength_angstrom": 1.0, "fluence_photons_per_m2": 2e27})
    resume(create(brighter, tmp_path / "b.zarr"), cluster="serial", progress=False)
    page = page_of(open_source(run), open_source(tmp_path / "b.zarr"))
    assert page.panes[0].figure.x_range is page.panes[1].figure.x_range
    page.controls.comparison.active = 1
    page.draw()
    frame, diverging = page._compared(1)
    assert diverging
    one, two = (pyramid.frame for pyramid in page.frames)
    np.testing.assert_allclose(frame.frame, two - one, rtol=1e-6)
    page.controls.comparison.active = 2
    page.draw()
    frame, _ = page._compared(1)
    assert [pane.figure.title.text for pane in page.panes] == ["A", "log2(B / A)"]
    there = np.isfinite(frame.frame)
    assert there.any()
    np.testing.assert_allclose(frame.frame[there], 1.0, atol=1e-5)  # log2 of twice as much
    assert "value" in page.describe(0, 3.5, 3.5)
    assert " | " in page.describe(0, 3.5, 3.5)


@pytest.mark.spec("VIE-8")
def test_profile_and_histogram_count_every_pixel(run):
    page = page_of(open_source(run))
    settle(page)
    bars = page.graphs._bars.data
    image = page.frames[0].frame
    assert int(np.sum(bars["top"])) == int(np.count_nonzero(image > 0))
    profile = page.graphs._profile.data
    assert len(profile["x"]) > 10
    np.testing.assert_allclose(profile["d"], 2.0 * np.pi / np.asarray(profile["x"]))


@pytest.mark.spec("VIE-6")
def test_frames_of_a_specification_are_rendered_when_they_are_looked_at(monkeypatch):
    import distbragg.viewer.frames as module

    rendered = []
    render = module.render_image

    def counted(spec: Any, **how: Any) -> Any:
        rendered.append(spec.goniometer.phi_deg)
        return render(spec, **how)

    monkeypatch.setattr(module, "render_image", counted)
    page = page_of(open_source(sweep_of()))
    go(page, 4)
    go(page, 0)
    assert rendered == [0.0, 1.5], "those that were seen are kept"


@pytest.mark.spec("VIE-4")
def test_pixels_beyond_the_detector_are_nothing(run):
    page = page_of(open_source(run))
    page.frames = [None]
    page._missing = ["gone"]
    page.draw()
    assert page.panes[0]._image.data["image"] == []
    assert page.panes[0].missing.text == "gone"
    assert NOTHING == 254


@pytest.mark.spec("VIE-10")
def test_what_cannot_be_compared_is_refused(run, tmp_path):
    base = sweep_of().experiment.detector.model_dump(mode="json", exclude_unset=True)
    other = create(sweep_of(detector={**base, "pixels_fast": 36}), tmp_path / "o.zarr")
    with pytest.raises(InputError, match="compare runs of one detector"):
        view(run, other)
    with pytest.raises(InputError, match="there is no frame 9"):
        view(run, frame=9)
    with pytest.raises(InputError, match="changes a specification"):
        view(run, overrides=["noise.seed=3"])


def test_a_watcher_says_what_is_wrong_and_goes_on(run):
    class Broken:
        grows = True
        looked = 0

        def news(self) -> bool:
            Broken.looked += 1
            raise OSError("the disk is away")

    watcher = Watcher([Broken()])  # type: ignore[list-item]
    watcher._thread.join(0.5)
    watcher.close()
    assert Broken.looked == 1
    assert watcher.problem == "the disk is away"
