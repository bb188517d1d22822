"""Opening a stack: validated, and honest about what is missing."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import xarray as xr

from distbragg.errors import DamageError, InputError
from distbragg.notes import Note
from distbragg.store.coordinates import label_images
from distbragg.store.grids import damaged_grids, ensure_grid, load_grid, save_grid
from distbragg.store.open import open_stack
from tests.units import write_unit

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


@pytest.mark.spec("STK-3")
@pytest.mark.parametrize(("dtype", "decoded"), [("uint16", "float32"), ("uint32", "float64")])
def test_missing_counts_are_missing_for_xarray_alone(tmp_path, dtype, decoded):
    sweep = tiny_sweep(output={"dtype": dtype}, noise={"photon": True})
    run = create_tiny(tmp_path / "RUN", sweep)
    counts = np.floor(frames_of(run, 0))
    write_unit(run, 0, counts, {})
    write_unit(run, 1, np.full_like(frames_of(run, 1), 1e30), {})
    plain = xr.open_zarr(run.path)
    assert plain.images.dtype == decoded
    there = np.isfinite(plain.images).all(("slow", "fast"))
    assert int(there.sum()) == 3
    assert not np.isfinite(plain.images).any(("slow", "fast")).values[~there.values].any()
    # Counts that were too many are not missing frames.
    assert float(plain.images.max()) == np.iinfo(dtype).max - 1
    raw = xr.open_zarr(run.path, mask_and_scale=False)
    assert raw.images.dtype == dtype
    assert raw.images.attrs["_FillValue"] == np.iinfo(dtype).max
    stack = open_stack(run.path)
    assert stack.images.dtype == dtype
    np.testing.assert_array_equal(stack.rendered, there)
    np.testing.assert_array_equal(stack.images[0, :2], counts[:, 0])
    assert "_FillValue" not in stack.images.attrs
    stack.drop_vars(["rendered", "overloads"]).isel(phi=[0]).to_zarr(
        tmp_path / "COPY", zarr_format=3, consolidated=False
    )
    copy = xr.open_zarr(tmp_path / "COPY", consolidated=False)
    assert int(np.isfinite(copy.images).all(("slow", "fast")).sum()) == 3


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


def test_chunks_that_mean_nothing_are_bad_input(run):
    with pytest.raises(InputError, match=r'chunks: .*"shards"'):
        open_stack(run.path, chunks="shard")


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


def test_grid_is_mapped_read_only_and_equal(run):
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
        save_grid(run.objects, key, grid)
        found = load_grid(run.objects, key)
        np.testing.assert_array_equal(found.amplitude, grid.amplitude)
        assert found.notes == grid.notes
        assert not found.amplitude.flags.writeable
        assert found.amplitude.shape == grid.amplitude.shape
        assert (found.origin, found.default_amplitude, found.interpolate) == (
            grid.origin,
            grid.default_amplitude,
            grid.interpolate,
        )
    assert load_grid(run.objects, "absent") is None


@pytest.mark.spec("STK-22")
@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "text", "huge"])
def test_damaged_grid_is_made_anew_and_told(run, caplog, damage):
    full = dataclasses.replace(tiny_experiment().reflections, amplitude=np.ones((2, 3, 4)))
    save_grid(run.objects, "key", full)
    path = run.state / "grids" / "key.grid"
    data = path.read_bytes()
    changed = {
        "flip": data[:-3] + b"x" + data[-2:],
        "cut": data[:-8],
        "empty": b"",
        "text": b"[1, 2]\n",
        "huge": data.replace(b"[2, 3, 4]", b"[2000000, 3000000, 4]"),
    }
    path.write_bytes(changed[damage])
    assert list(damaged_grids(run.objects)) == [".distbragg/grids/key.grid"]
    found = ensure_grid(run.objects, "key", lambda: full)
    np.testing.assert_array_equal(found.amplitude, full.amplitude)
    assert "is damaged" in caplog.text
    assert path.read_bytes() == data
