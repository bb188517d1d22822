"""Maps in place of the images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distbragg.run.create import create
from distbragg.run.resume import resume
from distbragg.spec.load import parse_sweep
from distbragg.spec.sweep import SweepSpec
from distbragg.store.open import open_stack
from distbragg.viewer.frames import open_source
from distbragg.viewer.kinds import LATTICES, kind_of
from distbragg.viewer.levels import NOTHING, Limits
from distbragg.viewer.page import Page
from tests.unit.viewer.pages import image_of, page_of

MAPS = ["hkl", "lattice", "mean_wavelength", "bragg_share", "spot_mask", "bragg", "background"]


def sweep_of(maps: list[str] | None, scale: float = 1.0) -> SweepSpec:
    """Two frames of 31 x 37 pixels of two lattices in water."""
    plain: dict[str, Any] = {
        "beam": {"wavelength_angstrom": 1.0, "fluence_photons_per_m2": 1e27 * scale},
        "crystal": {
            "cell": [31, 37, 41, 90, 90, 90],
            "block_cells": [5, 6, 7],
            "shape": "gauss",
            "mosaic": {"spread_deg": 0.3, "distribution": "gaussian"},
            "lattices": [{"turned_deg": [0, 0, 40]}],
        },
        "structure_factors": {"default_f_electrons": 100.0},
        "detector": {
            "distance_mm": 60.0,
            "pixel_size_mm": 1.0,
            "pixels_slow": 31,
            "pixels_fast": 37,
            "beam_stop": {"radius_mm": 4},
        },
        "background": {"water_um": 1.0},
        "sampling": {"oversample": 1},
        "output": {"maps": maps},
        "compute": {"frames_per_unit": 1},
    }
    axis = {"name": "phi", "path": "goniometer.phi_deg", "values": [0.0, 3.0]}
    return parse_sweep({"experiment": plain, "axes": [axis]})


def show(page: Page, name: str) -> None:
    page.controls.kind.value = name
    page.show_kind()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("maps") / "run.zarr"
    resume(create(sweep_of(MAPS), path), cluster="serial", progress=False)
    return path


@pytest.mark.spec("VIE-11")
def test_maps_are_shown_in_place_of_the_images(run):
    page, stack = page_of(open_source(run)), open_stack(run)
    assert page.controls.kind.options[0] == "images"
    assert set(page.controls.kind.options[1:]) == set(MAPS)
    assert page.controls.kind.visible
    before = image_of(page)
    for name in MAPS:
        show(page, name)
        np.testing.assert_array_equal(page._stored[0][0], stack[name][0])
        told = page.describe(0, 3.5, 20.5)
        assert f"value {kind_of(name).text(np.asarray(stack[name][0, 3, 20])):>9}" in told
    page.controls.frame.value = 1
    page.show_frame()
    np.testing.assert_array_equal(page._stored[0][0], stack["background"][1])
    page.controls.frame.value = 0
    show(page, "images")
    np.testing.assert_array_equal(image_of(page), before)


@pytest.mark.spec("VIE-11")
def test_a_name_has_a_colour_and_is_told_as_it_is_stored(run):
    page, stack = page_of(open_source(run)), open_stack(run)
    show(page, "hkl")
    hkl, levels = np.asarray(stack.hkl[0]), image_of(page)
    nowhere = hkl[..., 0] == -32768
    assert nowhere.any()
    np.testing.assert_array_equal(levels == NOTHING, nowhere)
    names = np.unique(hkl[~nowhere], axis=0)
    colours = {tuple(name): set(levels[(hkl == name).all(axis=-1)].tolist()) for name in names}
    assert len(names) > 10
    assert all(len(found) == 1 for found in colours.values())
    # Neighbours rarely share one of the 253 colours.
    assert len(set.union(*colours.values())) > 0.5 * min(len(names), 253)
    slow, fast = np.argwhere(~nowhere)[0].tolist()
    h, k, l = hkl[slow, fast].tolist()  # noqa: E741
    assert f"{h} {k} {l}  d" in page.describe(0, slow + 0.5, fast + 0.5)
    slow, fast = np.argwhere(nowhere)[0].tolist()
    assert "–  " in page.describe(0, slow + 0.5, fast + 0.5)
    show(page, "lattice")
    lattice, levels = np.asarray(stack.lattice[0]), image_of(page)
    assert set(np.unique(lattice)) == {-1, 0, 1}
    palette = page.panes[0]._mapper.palette
    for number in (0, 1):
        shown = {palette[level] for level in np.unique(levels[lattice == number])}
        assert shown == {LATTICES[number]}, "as its spots have it"


@pytest.mark.spec("VIE-11")
def test_shares_have_their_own_limits_and_typed_ones_are_left(run):
    page = page_of(open_source(run))
    page.controls.low.value, page.controls.high.value = 2.0, 40.0
    page._fix()
    assert page.contrast.limits == Limits(2.0, 40.0, "log")
    for name in ("bragg_share", "spot_mask"):
        show(page, name)
        assert page.contrast.limits == Limits(0.0, 1.0, "linear")
    show(page, "mean_wavelength")
    assert page.contrast.limits.scale == "linear"
    assert page._pooling == "mean"
    assert not page.controls.fixed.active
    show(page, "bragg")
    assert page.contrast.limits.scale == "log"


@pytest.mark.spec("VIE-11")
def test_names_are_not_subtracted(run, tmp_path):
    brighter = sweep_of(["hkl", "bragg"], 2.0)
    resume(create(brighter, tmp_path / "b.zarr"), cluster="serial", progress=False)
    page = page_of(open_source(run), open_source(tmp_path / "b.zarr"))
    assert page.controls.kind.options == ["images", "bragg", "hkl"], "what both have"
    page.controls.comparison.active = 1
    show(page, "bragg")
    frame, compares = page._compared(1)
    assert compares
    stack, other = open_stack(run), open_stack(tmp_path / "b.zarr")
    np.testing.assert_allclose(frame.frame[0], other["bragg"][0] - stack["bragg"][0], rtol=1e-6)
    show(page, "hkl")
    assert page._compared(1) == (page.frames[1], False)
    np.testing.assert_array_equal(image_of(page, 0), image_of(page, 1))


@pytest.mark.spec("VIE-11")
def test_maps_of_a_specification_are_those_of_its_run(run):
    page, stack = page_of(open_source(sweep_of(["bragg", "hkl"]))), open_stack(run)
    for name in ("bragg", "hkl"):
        show(page, name)
        np.testing.assert_array_equal(page._stored[0][0], stack[name][0])


@pytest.mark.spec("VIE-11")
def test_values_of_names_are_written_in_pixels_with_room_for_them(run):
    page = page_of(open_source(run))
    show(page, "hkl")
    hkl = np.asarray(open_stack(run).hkl[0])
    slow, fast = np.argwhere(hkl[..., 0] > -32768)[0].tolist()
    page.sight.x.update(start=fast - 2.0, end=fast + 4.0)
    page.sight.y.update(start=slow + 3.0, end=slow - 2.0)
    page.draw()
    data = page.panes[0]._values.data
    h, k, l = hkl[slow, fast].tolist()  # noqa: E741
    at = zip(data["x"], data["y"], data["text"], strict=True)
    told = [text for x, y, text in at if (x, y) == (fast + 0.5, slow + 0.5)]
    assert told == [f"{h} {k} {l}"]


@pytest.mark.spec("VIE-8")
def test_names_have_neither_profile_nor_histogram(run):
    page = page_of(open_source(run))

    def settle() -> list[bool]:
        page._settled()
        page.settling._workers.submit(lambda: None).result()
        for callback in list(page.document.session_callbacks):
            if type(callback).__name__ == "NextTickCallback":
                page.document.remove_next_tick_callback(callback)
                callback.callback()
        return [one.visible for one in page.graphs._figures]

    assert settle() == [True, True]
    show(page, "hkl")
    assert settle() == [False, False]
    show(page, "bragg")
    assert settle() == [True, True]


@pytest.mark.spec("VIE-11")
@pytest.mark.parametrize("frames", [None, False])
def test_variants_of_a_run_lie_over_the_pixels_they_are_made_of(tmp_path, frames):
    sweep = sweep_of(None)
    box = {"slow": [3, 28], "fast": [2, 36]}
    variants = [{"name": "small", "crop": box, "pool": 4, "how": "max"}]
    output = sweep.experiment.output.model_validate({"variants": variants, "frames": frames})
    experiment = sweep.experiment.model_copy(update={"output": output})
    path = tmp_path / "run.zarr"
    sweep = sweep.model_copy(update={"experiment": experiment})
    resume(create(sweep, path), cluster="serial", progress=False)
    page, small = page_of(open_source(path)), open_stack(path)["small"].values[0]
    assert page.controls.kind.options == [*(["images"] if frames is None else []), "small"]
    show(page, "small")
    shown = page._stored[0][0]
    np.testing.assert_array_equal(shown[3:27, 2:34], small.repeat(4, axis=0).repeat(4, axis=1))
    assert f"value {small[1, 2]:.3g} " in " ".join(page.describe(0, 8.5, 11.5).split())
    beside = np.ones(shown.shape, dtype=bool)
    beside[3:27, 2:34] = False
    assert np.isnan(shown[beside]).all()


@pytest.mark.spec("VIE-11")
def test_a_run_without_maps_offers_none():
    page = page_of(open_source(sweep_of(None)))
    assert page.controls.kind.options == ["images"]
    assert not page.controls.kind.visible
