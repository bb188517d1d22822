"""Opening a stack: validated, and honest about what is missing."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr

from distbragg.errors import DamageError, InputError
from distbragg.notes import Note
from distbragg.store.grids import load_grid, save_grid
from distbragg.store.label import label_images
from distbragg.store.open import open_stack
from distbragg.store.write import write_unit

from .conftest import create_tiny, frames_of, tiny_experiment, tiny_sweep


@pytest.mark.spec("STK-3")
def test_opened_stack_says_which_frames_are_missing(run):
    write_unit(run, 0, frames_of(run, 0), {})
    write_unit(run, 3, frames_of(run, 3), {})
    stack = open_stack(run.path)
    assert stack.attrs["missing_frames"] == 15 - 3
    assert stack.rendered.dims == ("phi", "spread")
    done = np.isfinite(stack.images).all(("slow", "fast"))
    np.testing.assert_array_equal(stack.rendered, done)


def test_missing_counts_are_known_from_receipts_where_zero_is_a_count(tmp_path):
    run = create_tiny(
        tmp_path / "RUN", tiny_sweep(output={"dtype": "uint16"}, noise={"photon": True})
    )
    write_unit(run, 0, np.zeros_like(frames_of(run, 0)), {})
    stack = open_stack(run.path)
    assert int(stack.rendered.sum()) == 2
    assert stack.images.dtype == np.uint16


@pytest.mark.parametrize("path", ["nowhere", "."])
def test_path_without_a_run_is_bad_input(tmp_path, path):
    with pytest.raises(InputError):
        open_stack(tmp_path / path)


@pytest.mark.parametrize(
    ("field", "value"),
    [("shape", [5, 3, 11, 8]), ("data_type", "float64"), ("dimension_names", ["a", "b", "c", "d"])],
)
def test_array_that_is_not_the_manifests_is_damage(run, field, value):
    path = run.path / "images" / "zarr.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    with pytest.raises(DamageError, match="images"):
        open_stack(run.path)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"zarr_format": 3}'])
def test_unreadable_array_metadata_is_damage(run, content):
    (run.path / "images" / "zarr.json").write_text(content)
    with pytest.raises(DamageError, match="cannot be opened"):
        open_stack(run.path)


@pytest.mark.parametrize("panels", [1, 2])
def test_images_in_memory_are_labelled_as_those_on_disk(tmp_path, panels):
    run = create_tiny(tmp_path / "RUN", panels=panels)
    stored = xr.open_zarr(run.path)
    experiment = tiny_experiment(panels)
    images = np.zeros((5, 3, panels, 11, 7), np.float32)
    labelled = label_images(
        images, experiment, dims=run.layout.dims, coordinates=run.sweep.coordinates()
    )
    assert labelled.images.dims == stored.images.dims
    assert set(labelled.coords) == set(stored.coords)
    for name in stored.coords:
        np.testing.assert_array_equal(labelled[name], stored[name])
        assert labelled[name].attrs == stored[name].attrs
    assert labelled.images.attrs == stored.images.attrs


def test_grid_is_mapped_read_only_and_equal(tmp_path):
    reflections = tiny_experiment().reflections
    amplitude = np.random.default_rng(0).random((5, 4, 3))
    full = type(reflections)(
        amplitude=amplitude,
        origin=(-2, 0, 1),
        default_amplitude=3.0,
        interpolate=True,
        notes=(Note("warning", "a.mtz", "F is a measured |F|"), Note("note", "a.mtz", "é")),
    )
    for key, grid in (("full", full), ("empty", reflections)):
        save_grid(tmp_path, key, grid)
        save_grid(tmp_path, key, grid)
        found = load_grid(tmp_path, key)
        np.testing.assert_array_equal(found.amplitude, grid.amplitude)
        assert found.notes == grid.notes
        assert not found.amplitude.flags.writeable
        assert found.amplitude.shape == grid.amplitude.shape
        assert (found.origin, found.default_amplitude, found.interpolate) == (
            grid.origin,
            grid.default_amplitude,
            grid.interpolate,
        )
    assert load_grid(tmp_path, "absent") is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "full"]


def test_changed_grid_is_damage(tmp_path):
    save_grid(tmp_path, "key", tiny_experiment().reflections)
    with (tmp_path / "key" / "amplitude.npy").open("ab") as handle:
        handle.write(b"x")
    with pytest.raises(DamageError, match="does not match"):
        load_grid(tmp_path, "key")
