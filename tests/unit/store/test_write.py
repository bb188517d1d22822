"""Writing units: whole shards only, nothing that cannot be read back as it was."""

from __future__ import annotations

import os

import numpy as np
import pytest
import xarray as xr
import zarr
from numcodecs import blosc

from distbragg.errors import InputError
from distbragg.store import write as write_module
from distbragg.store.files import sha256_file
from distbragg.store.ledger import completed_units, object_digests, unit_states
from distbragg.store.manifest import class_id
from distbragg.store.write import UnitWriter, to_stored
from tests.units import write_unit

from .conftest import create_tiny, frames_of, tiny_sweep


@pytest.mark.parametrize("panels", [1, 3])
def test_stored_frames_read_back_in_their_places(tmp_path, panels):
    run = create_tiny(tmp_path / "RUN", panels=panels)
    for unit in reversed(range(run.layout.units)):
        write_unit(run, unit, frames_of(run, unit), {})
    images = xr.open_zarr(run.path).images.values
    assert np.isfinite(images).all()
    for unit in range(run.layout.units):
        stored = images[run.layout.unit_region(unit)]
        expected = frames_of(run, unit).astype(np.float32)
        np.testing.assert_array_equal(stored.reshape(expected.shape), expected)


def test_unit_at_the_edge_is_smaller_and_still_whole(run):
    assert run.layout.frame_count(0) == 2
    assert run.layout.frame_count(1) == 1
    write_unit(run, 1, frames_of(run, 1), {})
    images = xr.open_zarr(run.path).images.values
    assert np.isfinite(images[0, 2]).all()
    assert np.isnan(images).sum() == images.size - images[0, 2].size


def test_inner_tiles_that_do_not_divide_the_panel(tmp_path):
    run = create_tiny(tmp_path / "RUN", tiny_sweep(output={"chunk": [4, 5]}))
    assert run.layout.shard_shape[-2:] == (12, 10)
    write_unit(run, 0, frames_of(run, 0), {})
    stored = xr.open_zarr(run.path).images[0, :2].values
    np.testing.assert_array_equal(stored, frames_of(run, 0)[:, 0].astype(np.float32))


@pytest.mark.spec("STK-4")
def test_unit_that_lacks_a_frame_is_refused_and_nothing_is_stored(run):
    with UnitWriter(run, 0) as writer:
        writer.add(frames_of(run, 0)[0])
        with pytest.raises(ValueError, match="unit 0 has 2 frames, got 1"):
            writer.finish({})
    assert not run.object_path(0).parent.exists()


@pytest.mark.spec("STK-4")
def test_threads_and_frames_handed_over_one_by_one_change_no_byte(tmp_path):
    run = create_tiny(tmp_path / "RUN", tiny_sweep(output={"chunk": [4, 5]}))
    digest = write_unit(run, 0, frames_of(run, 0), {})["digest"]
    for threads in (1, 3):
        with UnitWriter(run, 0, threads=threads) as writer:
            for frame in frames_of(run, 0):
                image = writer.blank()
                image[...] = frame
                writer.add(image)
            assert writer.finish({})["digest"] == digest


@pytest.mark.spec("STK-4")
def test_file_that_a_killed_writer_left_is_removed(run, monkeypatch):
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    monkeypatch.setattr(os, "unlink", lambda *_, **__: None)
    with pytest.raises(KeyboardInterrupt):
        write_unit(run, 0, frames_of(run, 0), {})
    monkeypatch.undo()
    assert run.objects.sweep_partial() == 1
    assert completed_units(run) == {}


def test_wrong_number_of_frames_is_refused(run):
    with pytest.raises(ValueError, match="unit 1 has"):
        write_unit(run, 1, frames_of(run, 0), {})
    assert completed_units(run) == {}


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_pixels_that_are_not_finite_are_refused_and_nothing_is_stored(run, value):
    images = frames_of(run, 0)
    images[1, 0, 3, 2] = value
    with pytest.raises(InputError, match=r"1 of 77 pixels are not finite"):
        write_unit(run, 0, images, {})
    assert not run.object_path(0).exists()


@pytest.mark.spec("STK-40")
@pytest.mark.parametrize("value", [1e39, np.inf])
def test_value_beyond_float32_is_stored_as_the_largest_and_counted(run, value):
    images = frames_of(run, 0)
    images[0, 0, 0, 0] = value
    receipt = write_unit(run, 0, images, {})
    assert receipt["overloads"] == [1, *(0 for _ in images[1:])]
    assert xr.open_zarr(run.path).images.values[0, 0, 0, 0] == np.finfo("f4").max
    assert receipt["max"] == np.finfo("f4").max


@pytest.mark.spec("STK-40")
def test_value_beyond_float64_is_refused(tmp_path):
    run = create_tiny(tmp_path / "RUN", tiny_sweep(output={"dtype": "float64"}))
    images = frames_of(run, 0)
    images[0, 0, 0, 0] = np.inf
    with pytest.raises(InputError, match=r"1 of 77 pixels are not finite"):
        write_unit(run, 0, images, {})


@pytest.mark.spec("STK-12")
def test_float64_stack_keeps_every_bit(tmp_path):
    run = create_tiny(tmp_path / "RUN", tiny_sweep(output={"dtype": "float64"}))
    write_unit(run, 0, frames_of(run, 0), {})
    np.testing.assert_array_equal(xr.open_zarr(run.path).images[0, :2], frames_of(run, 0)[:, 0])


@pytest.mark.spec("STK-12")
def test_counts_must_be_whole(tmp_path):
    run = create_tiny(
        tmp_path / "RUN", tiny_sweep(output={"dtype": "uint16"}, noise={"photon": True})
    )
    whole = np.floor(frames_of(run, 0))
    for wrong in (whole + 0.5, whole - 1000.0):
        with pytest.raises(InputError, match="negative, or no whole counts"):
            write_unit(run, 0, wrong, {})
    write_unit(run, 0, whole, {})
    np.testing.assert_array_equal(xr.open_zarr(run.path).images[0, :2], whole[:, 0])


@pytest.mark.spec("STK-40")
@pytest.mark.parametrize(("dtype", "largest"), [("uint16", 2**16 - 2), ("uint32", 2**32 - 2)])
def test_counts_beyond_the_type_are_found_in_whichever_block_they_lie(monkeypatch, dtype, largest):
    monkeypatch.setattr(write_module, "_BLOCK_PIXELS", 8)
    image = np.random.default_rng(1).poisson(40.0, (2, 11, 9)).astype(np.float64)
    image[0, 0, 0], image[0, 5, 4], image[1, 10, 7] = largest + 1.0, largest, np.inf
    stored, total, overloads = to_stored(image[:, :, ::2], dtype)
    wanted = np.minimum(image[:, :, ::2], largest)
    assert stored.dtype == dtype
    assert stored.flags["C_CONTIGUOUS"]
    np.testing.assert_array_equal(stored, wanted)
    assert (total, overloads) == (wanted.sum(), 1)
    assert to_stored(image, dtype)[2] == 2
    with pytest.raises(InputError, match="2 of 198 pixels are beyond"):
        to_stored(image, dtype, overflow="error")
    image[0, 9, 2] = image[1, 3, 3] = np.nan
    with pytest.raises(InputError, match="2 of 198 pixels are not finite"):
        to_stored(image, dtype)


@pytest.mark.spec("STK-40")
@pytest.mark.parametrize("dtype", ["uint16", "uint32"])
def test_the_sum_of_the_largest_counts_is_exact(dtype):
    largest = float(np.iinfo(dtype).max - 1)
    image = np.full((1, 300, 700), largest)
    assert to_stored(image, dtype)[1:] == (largest * image.size, 0)


@pytest.mark.spec("STK-3")
def test_all_zero_image_is_stored_and_told_from_a_missing_one(run):
    receipt = write_unit(run, 0, np.zeros_like(frames_of(run, 0)), {})
    assert receipt["size"] == run.object_path(0).stat().st_size > 0
    images = xr.open_zarr(run.path).images.values
    assert (images[0, :2] == 0).all()
    assert np.isnan(images[0, 2]).all()


@pytest.mark.spec("STK-7")
def test_receipt_states_the_stored_bytes(run):
    images = frames_of(run, 0)
    receipt = write_unit(run, 0, images, {"attempt": 2, "seconds": 1.5})
    assert (receipt["digest"], receipt["size"]) == sha256_file(run.object_path(0))
    assert receipt["attempt"] == 2
    assert receipt["sum"] == pytest.approx(images.sum(), rel=1e-6)
    assert receipt["max"] == np.float32(images.max())
    assert object_digests(run) == {0: receipt["digest"]}


def test_writing_again_gives_the_same_bytes_and_one_receipt_counts(run):
    first = write_unit(run, 0, frames_of(run, 0), {})
    again = write_unit(run, 0, frames_of(run, 0), {})
    assert first["digest"] == again["digest"]
    assert list(completed_units(run)) == [0]


def test_damaged_object_does_not_stop_its_own_replacement(run):
    digest = write_unit(run, 1, frames_of(run, 1), {})["digest"]
    run.object_path(1).write_bytes(b"torn")
    assert write_unit(run, 1, frames_of(run, 1), {})["digest"] == digest


@pytest.mark.spec("STK-9")
def test_different_pixels_for_the_same_unit_are_reported(run):
    write_unit(run, 0, frames_of(run, 0), {})
    write_unit(run, 0, frames_of(run, 0, seed=1), {})
    assert (unit_states(run).done, unit_states(run).disputed) == (frozenset(), {0})


def test_different_pixels_of_another_numeric_class_are_allowed(run):
    write_unit(run, 0, frames_of(run, 0), {})
    other = {"device": "gpu", "kernel": "y", "precision": "mixed"}
    write_unit(run, 0, frames_of(run, 0, seed=1), {"class": class_id(other)})
    assert list(completed_units(run)) == [0]


def test_flipped_bit_in_the_pixels_is_noticed_at_reading(run):
    write_unit(run, 0, frames_of(run, 0), {})
    data = bytearray(run.object_path(0).read_bytes())
    data[40] ^= 1
    run.object_path(0).write_bytes(data)
    with pytest.raises(ValueError, match="checksum"):
        xr.open_zarr(run.path).images[0, :2].load()


def test_settings_of_the_process_are_put_back(run):
    before = (blosc.use_threads, zarr.config.get("async.concurrency"))
    write_unit(run, 0, frames_of(run, 0), {})
    assert (blosc.use_threads, zarr.config.get("async.concurrency")) == before


def test_killed_before_the_receipt_leaves_the_unit_to_be_done(run, monkeypatch):
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(write_module, "append_receipt", killed)
    with pytest.raises(KeyboardInterrupt):
        write_unit(run, 0, frames_of(run, 0), {})
    assert run.object_path(0).exists()
    assert completed_units(run) == {}
